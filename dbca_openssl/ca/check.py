"""What is wrong with an authority's directory, or soon will be; without the key, so that cron and CI can ask.

Each finding says what is wrong and what mends it. The limits are days; a revocation list is good for weeks only, so
for it they are at most a quarter (warning) and an eighth (critical) of its own life.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from dbca_openssl import dates, x509
from dbca_openssl.ca import archive, index, listing
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.ca.certificates import own_certificate
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import (
    ATTRIBUTES,
    CERTIFICATE,
    CONFIGURATION,
    CRL,
    CRL_NUMBER,
    DIRECTORIES,
    INDEX,
    KEY,
    MISNAMED_CONFIGURATION,
    SERIAL,
    Authority,
)
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.finding import CRITICAL, FINE, FROM_A_COPY, REPAIR, WARNING, Finding
from dbca_openssl.lock import is_locked
from dbca_openssl.names import is_entity_name, shown
from dbca_openssl.transaction import COMMIT, STAGE, is_interrupted
from dbca_openssl.x509 import Certificate

WARN_DAYS, CRITICAL_DAYS = 30, 7

MISNAMED = {MISNAMED_CONFIGURATION: CONFIGURATION, "private/mariadatabase-ca.key.pem": KEY}
"""The names that the guide's own slips give (errata 1 and 4), and the right ones."""


class Limits(NamedTuple):
    """From how many days left on an end is a warning, or critical; and whether every certificate file is read."""

    warn_days: int = WARN_DAYS
    critical_days: int = CRITICAL_DAYS
    deep: bool = False


class Checked(NamedTuple):
    """All findings, and the figures for a monitoring system (None: cannot be read)."""

    findings: tuple[Finding, ...]
    authority_end: datetime | None
    list_end: datetime | None
    rows: tuple[Row, ...]
    at: datetime

    @property
    def level(self) -> int:
        """The worst of the findings."""
        return max((finding.level for finding in self.findings), default=FINE)


def check(authority: Authority, limits: Limits) -> Checked:
    """Look at everything that can be looked at without the key.

    Raises DatabaseCaError where nothing can be told: there is no authority, it may not be read, or there is no openssl.
    """
    require_something(authority)
    _require_readable(authority)
    authority.openssl.version  # noqa: B018  # the probe: without openssl nothing can be told
    at = dates.now()
    own, rows = None, None
    findings = [*_files(authority), *_leftovers(authority)]
    try:
        own = own_certificate(authority)
        findings += _ending(own.end, at, limits, "authority", "the authority's own certificate", "init --renew")
    except DatabaseCaError as error:
        findings.append(Finding(CRITICAL, "authority", error.message, "newcerts/ and every host have a copy of it"))
    if authority.path(INDEX).is_file():
        data = authority.read(INDEX)
        try:
            rows = index.rows(data)
        except DatabaseCaError as error:
            mend = FROM_A_COPY if archive.mended_index(authority, data) is None else REPAIR
            findings.append(Finding(CRITICAL, "index", error.message, mend))
    files = archive.serials(authority)
    if rows is not None:
        findings += _numbers(authority, files, rows)
    if rows is not None and own is not None:
        hosts = listing.of_hosts(rows, own)
        findings += _rows(rows, hosts, _allows_duplicates(authority))
        findings += archive.findings(authority, files, rows, own, limits.deep)
        findings += _ends(hosts, own, at, limits)
    current = None
    try:
        current = revocation.current_list(authority)
    except DatabaseCaError as error:
        if own is not None:
            findings.append(Finding(CRITICAL, "crl", error.message, "dbca-openssl crl"))
    if current is not None:
        findings += _list(authority, current, rows, at, limits)
    return Checked(
        tuple(findings),
        own.end if own else None,
        current.end if current else None,
        tuple(listing.of_hosts(rows, own) if rows and own else ()),
        at,
    )


def require_something(authority: Authority) -> None:
    """Raise DatabaseCaError where nothing in the directory looks like an authority, not even a damaged one."""
    if not any(authority.path(name).exists() for name in (*MISNAMED, INDEX, CERTIFICATE)):
        authority.require()


def _require_readable(authority: Authority) -> None:
    for name in (".", *DIRECTORIES, CONFIGURATION, KEY, CERTIFICATE, INDEX, ATTRIBUTES, SERIAL, CRL_NUMBER, CRL):
        path = authority.path(name)
        needed = os.R_OK | os.X_OK if path.is_dir() else os.F_OK if name == KEY else os.R_OK
        if os.path.lexists(path) and not os.access(path, needed):
            raise DatabaseCaError(f"cannot read {path}", "run it as the user who owns the authority")


def _files(authority: Authority) -> Iterator[Finding]:
    """Files and directories that are missing, and modes."""
    for wrong, right in MISNAMED.items():
        if authority.path(wrong).is_file() and not authority.path(right).exists():
            yield Finding(CRITICAL, "name", f"{wrong} is called {right} everywhere else in the guide", REPAIR)
    for name in DIRECTORIES:
        if not authority.path(name).is_dir():
            yield Finding(CRITICAL, "missing", f"there is no directory {name}", REPAIR)
    for name in (CONFIGURATION, KEY):
        misnamed = any(authority.path(wrong).is_file() for wrong, right in MISNAMED.items() if right == name)
        if not _has_content(authority, name) and not misnamed:
            yield Finding(CRITICAL, "missing", f"there is no {name}, or it is empty", FROM_A_COPY)
    if not _has_content(authority, ATTRIBUTES):
        yield Finding(WARNING, "attributes", f"there is no {ATTRIBUTES} yet, or it is empty", REPAIR)
    elif _allows_duplicates(authority):
        yield Finding(
            WARNING,
            "attributes",
            f"{ATTRIBUTES} allows two valid certificates of one name, against the configuration",
            "once no name is valid twice, write unique_subject = yes into it",
        )
    private, key = authority.path("private"), authority.path(KEY)
    if private.is_dir() and private.stat().st_mode & 0o077:
        yield Finding(WARNING, "mode", "others may look into private/", f"{REPAIR}, or encrypt the device (FAT)")
    if key.is_file() and key.stat().st_mode & 0o077:
        yield Finding(CRITICAL, "mode", f"others may read {KEY}", f"{REPAIR}, or encrypt the device (FAT)")


def _leftovers(authority: Authority) -> Iterator[Finding]:
    """What killed processes left: ours, which the next change removes, and those of a plain openssl."""
    if not is_locked(authority.directory):  # or else they belong to a change that is going on
        for path in sorted(authority.directory.glob(f"{STAGE}*")) + sorted(authority.directory.glob(COMMIT)):
            if path.name == COMMIT and is_interrupted(authority.directory):
                yield Finding(
                    CRITICAL, "interrupted", "an interrupted change is made, but not yet in its place", REPAIR
                )
            else:
                yield Finding(WARNING, "leftover", f"{path.name} is left of an interrupted change", REPAIR)
    for name in (SERIAL, INDEX, ATTRIBUTES, CRL_NUMBER):
        new, old = authority.path(f"{name}.new"), authority.path(f"{name}.old")
        if authority.path(name).exists():
            if not authority.path(name).is_file():
                yield Finding(CRITICAL, "missing", f"{name} is not a regular file", FROM_A_COPY)
            if new.exists():
                yield Finding(WARNING, "leftover", f"{new.name} is left of an openssl that was killed", REPAIR)
        elif new.exists() or old.exists():
            yield Finding(CRITICAL, "leftover", f"an openssl was killed while it replaced {name}", REPAIR)
        elif name != ATTRIBUTES:
            mend = REPAIR
            if name == INDEX:
                mend = FROM_A_COPY
            elif name == CRL_NUMBER and not _has_content(authority, CRL):
                mend = "write a number into it that no list has had, in hex, with an even number of digits"
            yield Finding(CRITICAL, "missing", f"there is no {name}", mend)
    empty = authority.path(INDEX).is_file() and not _has_content(authority, INDEX)
    if empty and _has_content(authority, f"{INDEX}.old"):
        yield Finding(CRITICAL, "index", f"{INDEX} is empty, {INDEX}.old is not: was the disk full?", REPAIR)


def _allows_duplicates(authority: Authority) -> bool:
    """Whether openssl takes two valid certificates of one name: its attributes go before the configuration."""
    attributes = authority.read(ATTRIBUTES) if _has_content(authority, ATTRIBUTES) else b""
    return bool(re.search(rb"^\s*unique_subject\s*=\s*no", attributes, re.MULTILINE))


def _rows(rows: Sequence[Row], hosts: Sequence[Row], duplicates: bool) -> Iterator[Finding]:
    """Serials and names that are there twice, and names that no host can have."""
    for serial, count in Counter(row.serial for row in rows).items():
        if count > 1:
            yield Finding(
                CRITICAL,
                "duplicate-serial",
                f"{count} certificates in the index have the serial {serial}",
                "revoke and replace all but one: two openssl ran at the same time",
            )
    refuses, mend = "", "dbca-openssl revoke SERIAL, of all but one of them: dbca-openssl list has the serials"
    if not duplicates:
        refuses = ": openssl refuses to go on"
        mend = "mark all but one as revoked in the index (R, and the date in the third field), then dbca-openssl crl"
    for subject, count in Counter(row.subject for row in rows if row.state == index.VALID).items():
        if count > 1:
            yield Finding(
                CRITICAL,
                "duplicate-name",
                f"{count} valid certificates have the subject {shown(subject)}{refuses}",
                mend,
            )
    for row in hosts:
        if row.state == index.VALID and not is_entity_name(row.name):
            yield Finding(
                WARNING,
                "bad-name",
                f"{shown(row.subject)} (serial {row.serial}) is not the name of a host or a client",
                f"sign a request with a plain common name, then dbca-openssl revoke {row.serial}",
            )


def _numbers(authority: Authority, files: Sequence[str], rows: Sequence[Row]) -> Iterator[Finding]:
    """The serial file against everything that was issued."""
    if not authority.path(SERIAL).is_file():
        return
    data, taken = authority.read(SERIAL), archive.highest(files, rows)
    try:
        serial = index.next_serial(data)
    except DatabaseCaError as error:
        yield Finding(CRITICAL, "serial", error.message, REPAIR)
        return
    if serial <= taken:
        yield Finding(
            CRITICAL,
            "serial",
            f"the next serial, {index.serial_text(serial)}, is not above {index.serial_text(taken)}, which is taken",
            REPAIR,
        )
    elif not data.endswith(b"\n"):
        yield Finding(WARNING, "serial", f"{SERIAL} has no line end", REPAIR)


def _ends(hosts: Sequence[Row], own: Certificate, at: datetime, limits: Limits) -> Iterator[Finding]:
    """Certificates of hosts and clients that end soon, or have ended."""
    soon = at + timedelta(days=limits.warn_days)
    for row in hosts:
        if row.state == index.VALID and not soon <= (end := row.end) <= own.end:
            yield from _ending(end, at, limits, "certificate", row.name, f"renew {row.name}")
            if end > own.end:
                yield Finding(WARNING, "outlives", f"{row.name} outlives the authority", f"renew {row.name} --cap")


def _list(
    authority: Authority,
    current: revocation.RevocationList,
    rows: Sequence[Row] | None,
    at: datetime,
    limits: Limits,
) -> Iterator[Finding]:
    """The revocation list: its age, whether it and the index agree on what is revoked, and its number."""
    life = (current.end - current.start).days
    limits = Limits(min(limits.warn_days, life // 4), min(limits.critical_days, life // 8))
    yield from _ending(current.end, at, limits, "crl", "the revocation list", "crl")
    try:
        listed = set(x509.revoked_serials(authority.openssl, x509.crl_der(authority.read(CRL))))
    except UnreadableError as error:
        yield Finding(CRITICAL, "crl", f"{CRL} cannot be read: {error}", "dbca-openssl crl")
        return
    revoked = {int(row.serial, 16): row for row in rows or () if row.state == index.REVOKED}
    missing = [row.name for serial, row in revoked.items() if serial not in listed]
    if missing:
        names = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        yield Finding(CRITICAL, "crl", f"the revocation list does not name {names}", "dbca-openssl crl")
    for serial in sorted(listed - revoked.keys()) if rows is not None else ():
        text = index.serial_text(serial)
        yield Finding(
            CRITICAL,
            "lost-revocation",
            f"the revocation list names the serial {text}, the index does not have it as revoked",
            f"dbca-openssl revoke {text}, or the next list takes it back",
        )
    if not authority.path(CRL_NUMBER).is_file():
        return
    data = authority.read(CRL_NUMBER)
    try:
        number = index.next_serial(data, CRL_NUMBER)
    except DatabaseCaError as error:
        yield Finding(CRITICAL, "crl-number", error.message, REPAIR)
        return
    if number <= current.number:
        yield Finding(CRITICAL, "crl-number", f"{CRL_NUMBER} is not above the list's own number", REPAIR)
    elif not data.endswith(b"\n"):
        yield Finding(WARNING, "crl-number", f"{CRL_NUMBER} has no line end", REPAIR)


def _has_content(authority: Authority, name: str) -> bool:
    path = authority.path(name)
    return path.is_file() and path.stat().st_size > 0


def _ending(end: datetime, at: datetime, limits: Limits, code: str, what: str, verb: str) -> Iterator[Finding]:
    left = dates.days_left(end, at)
    mend = f"dbca-openssl {verb}"
    if end <= at:
        gone = f", or dbca-openssl revoke {what} where the host is gone" if code == "certificate" else ""
        yield Finding(CRITICAL, code, f"{what} ended on {dates.shown(end)}", f"{mend}{gone}")
    elif left < limits.warn_days:
        level = CRITICAL if left < limits.critical_days else WARNING
        yield Finding(level, code, f"{what} ends in {left} days, on {dates.shown(end)}", mend)
