"""What is wrong with an authority's directory, or soon will be; without the key, so that cron and CI can ask.

Each finding says what is wrong and what mends it. The limits are days; a revocation list is good for weeks only, so
for it they are at most a quarter (warning) and an eighth (critical) of its own life.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from dbca_openssl import validity
from dbca_openssl.authority import index, inventory, revocation, structures
from dbca_openssl.authority.certificates import own_certificate
from dbca_openssl.authority.index import Row
from dbca_openssl.authority.paths import (
    ATTRIBUTES,
    CONFIGURATION,
    CRL,
    CRL_NUMBER,
    DIRECTORIES,
    INDEX,
    KEY,
    SERIAL,
    Authority,
    issued,
)
from dbca_openssl.authority.structures import Certificate
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import is_entity_name, shown
from dbca_openssl.outline import UnreadableError
from dbca_openssl.transaction import COMMIT, STAGE

FINE, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
"""The exit codes of monitoring plugins."""

WARN_DAYS, CRITICAL_DAYS = 30, 7

MISNAMED = {"database_ca.cnf": CONFIGURATION, "private/mariadatabase-ca.key.pem": KEY}
"""The names that the guide's own slips give (errata 1 and 4), and the right ones."""

READ_AT_MOST = 1000
"""How many certificate files are opened and compared with the index, the newest first, unless all are asked for."""

REPAIR = "dbca-openssl repair"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: how bad, a word for programs, what it is, and what mends it."""

    level: int
    code: str
    text: str
    mend: str


@dataclass(frozen=True)
class Limits:
    """From how many days left on an end is a warning, or critical; and whether every certificate file is read."""

    warn_days: int = WARN_DAYS
    critical_days: int = CRITICAL_DAYS
    deep: bool = False


@dataclass(frozen=True)
class Checked:
    """All findings, and the figures for a monitoring system."""

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
    """Look at everything that can be looked at without the key. Raises DatabaseCaError where there is no authority."""
    at = validity.now()
    if not authority.directory.is_dir():
        authority.require()
    findings = [*_files(authority), *_leftovers(authority)]
    rows: list[Row] = []
    own = current = None
    try:
        own = own_certificate(authority)
        findings += _ending(own.end, at, limits, "authority", "the authority's own certificate", "init --renew")
    except DatabaseCaError as error:
        findings.append(Finding(CRITICAL, "authority", error.message, "a copy from any host that has it will do"))
    try:
        rows = index.rows(authority.read(INDEX))
    except DatabaseCaError as error:
        findings.append(Finding(CRITICAL, "index", error.message, REPAIR))
    findings += _rows(rows)
    findings += _numbers(authority, rows)
    if own:
        findings += _certificates(authority, rows, own, limits)
        findings += _ends(rows, own, at, limits)
        try:
            current = revocation.current_list(authority)
            findings += _list(authority, current, rows, at, limits)
        except DatabaseCaError as error:
            findings.append(Finding(CRITICAL, "crl", error.message, "dbca-openssl crl"))
    return Checked(
        tuple(findings),
        own.end if own else None,
        current.end if current else None,
        tuple(inventory.of_hosts(rows, own) if own else rows),
        at,
    )


def _files(authority: Authority) -> Iterator[Finding]:
    """Files and directories that are missing, and modes."""
    for wrong, right in MISNAMED.items():
        if authority.path(wrong).is_file() and not authority.path(right).exists():
            yield Finding(CRITICAL, "name", f"{wrong} is called {right} everywhere else in the guide", REPAIR)
    for name in DIRECTORIES:
        if not authority.path(name).is_dir():
            yield Finding(CRITICAL, "missing", f"there is no directory {name}", REPAIR)
    for name in (CONFIGURATION, KEY):
        if not authority.path(name).is_file():
            yield Finding(CRITICAL, "missing", f"there is no {name}", "bring it back from a copy")
    if not authority.path(ATTRIBUTES).is_file():
        yield Finding(WARNING, "attributes", f"there is no {ATTRIBUTES} yet", REPAIR)
    elif re.search(rb"^\s*unique_subject\s*=\s*no", authority.read(ATTRIBUTES), re.MULTILINE):
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
    for path in sorted(authority.directory.glob(f"{STAGE}*")) + sorted(authority.directory.glob(COMMIT)):
        yield Finding(WARNING, "leftover", f"{path.name} is left of a change that was cut short", REPAIR)
    for name in (SERIAL, INDEX, ATTRIBUTES, CRL_NUMBER):
        new, old = authority.path(f"{name}.new"), authority.path(f"{name}.old")
        if authority.path(name).exists():
            if new.exists():
                yield Finding(WARNING, "leftover", f"{new.name} is left of an openssl that was killed", REPAIR)
        elif new.exists() or old.exists():
            yield Finding(CRITICAL, "leftover", f"an openssl was killed while it replaced {name}", REPAIR)
        elif name != ATTRIBUTES:
            yield Finding(CRITICAL, "missing", f"there is no {name}", REPAIR)


def _rows(rows: list[Row]) -> Iterator[Finding]:
    """Serials and names that are there twice, and names that no host can have."""
    for serial, count in Counter(row.serial for row in rows).items():
        if count > 1:
            yield Finding(
                CRITICAL,
                "duplicate-serial",
                f"{count} certificates in the index have the serial {serial}",
                "revoke and replace all but one: two openssl ran at the same time",
            )
    for subject, count in Counter(row.subject for row in rows if row.state == index.VALID).items():
        if count > 1:
            yield Finding(
                CRITICAL,
                "duplicate-name",
                f"{count} valid certificates have the subject {shown(subject)}: openssl refuses to go on",
                "mark all but one as revoked in the index (R, and the date in the third field), then dbca-openssl crl",
            )


def _numbers(authority: Authority, rows: list[Row]) -> Iterator[Finding]:
    """The serial file against everything that was issued."""
    highest = max((int(row.serial, 16) for row in rows), default=-1)
    highest = max([highest, *issued_serials(authority)])
    try:
        serial = index.next_serial(authority.read(SERIAL))
    except DatabaseCaError as error:
        if authority.path(SERIAL).exists():
            yield Finding(CRITICAL, "serial", error.message, REPAIR)
        return
    if serial <= highest:
        yield Finding(
            CRITICAL,
            "serial",
            f"the next serial, {index.serial_text(serial)}, is not above {index.serial_text(highest)}, which is taken",
            REPAIR,
        )
    elif not authority.read(SERIAL).endswith(b"\n"):
        yield Finding(WARNING, "serial", f"{SERIAL} has no line end", REPAIR)


def _certificates(authority: Authority, rows: list[Row], own: Certificate, limits: Limits) -> Iterator[Finding]:
    """`newcerts/` and `certs/` against the index."""
    by_serial = {row.serial: row for row in rows}
    files = set(_serial_files(authority))
    for serial in sorted(files - by_serial.keys(), key=lambda text: int(text, 16)):
        yield Finding(CRITICAL, "not-in-index", f"{issued(serial)} is not in the index: it can't be revoked", REPAIR)
    for serial in by_serial.keys() - files:
        yield Finding(
            WARNING,
            "no-copy",
            f"{by_serial[serial].name} (serial {serial}) has no copy in newcerts/, which revoking it needs",
            f"copy the certificate from its host to {issued(serial)}",
        )
    known = sorted(files & by_serial.keys(), key=lambda text: int(text, 16), reverse=True)
    chosen = known if limits.deep else known[:READ_AT_MOST]
    for serial, certificate in _read(authority, chosen):
        row = by_serial[serial]
        if certificate is None:
            yield Finding(CRITICAL, "copy", f"{issued(serial)} is no certificate", "copy it from certs/ or its host")
        elif certificate.serial != int(serial, 16) or certificate.issuer != own.subject:
            yield Finding(CRITICAL, "copy", f"{issued(serial)} is not of this authority", "bring back the right one")
        elif certificate.subject != own.subject and certificate.common_name != row.name:
            yield Finding(
                CRITICAL,
                "copy",
                f"{issued(serial)} is of {shown(certificate.common_name)}, in the index it is {shown(row.name)}",
                "two openssl ran at the same time: revoke and replace both",
            )
    newest = {row.name: row for row in rows}
    for row in newest.values():
        delivered = authority.path(f"certs/{row.name}.cert.pem") if is_entity_name(row.name) else None
        if delivered is None or row.state != index.VALID or row.serial not in chosen or not delivered.is_file():
            continue
        if delivered.read_bytes() != authority.path(issued(row.serial)).read_bytes():
            yield Finding(
                WARNING,
                "certs",
                f"certs/{delivered.name} is not the newest certificate of {row.name}",
                f"compare it with {issued(row.serial)}",
            )


def _ends(rows: list[Row], own: Certificate, at: datetime, limits: Limits) -> Iterator[Finding]:
    """Certificates of hosts and clients that end soon, or have ended."""
    for row in inventory.of_hosts(rows, own):
        if row.state == index.VALID:
            yield from _ending(row.end, at, limits, "certificate", row.name, f"renew {row.name}")
            if row.end > own.end:
                yield Finding(WARNING, "outlives", f"{row.name} outlives the authority", f"renew {row.name} --cap")


def _list(
    authority: Authority, current: revocation.RevocationList, rows: list[Row], at: datetime, limits: Limits
) -> Iterator[Finding]:
    """The revocation list: its age, whether every revoked certificate is in it, and its number."""
    life = (current.end - current.start).days
    limits = Limits(min(limits.warn_days, life // 4), min(limits.critical_days, life // 8))
    yield from _ending(current.end, at, limits, "crl", "the revocation list", "crl")
    try:
        listed = set(structures.revoked_serials(authority.openssl, structures.crl_der(authority.read(CRL))))
    except UnreadableError as error:
        yield Finding(CRITICAL, "crl", f"{CRL} cannot be read: {error}", "dbca-openssl crl")
        return
    missing = [row for row in rows if row.state == index.REVOKED and int(row.serial, 16) not in listed]
    if missing:
        names = ", ".join(row.name for row in missing[:3]) + (" ..." if len(missing) > 3 else "")
        yield Finding(CRITICAL, "crl", f"the revocation list does not name {names}", "dbca-openssl crl")
    try:
        number = index.next_serial(authority.read(CRL_NUMBER), CRL_NUMBER)
    except DatabaseCaError as error:
        yield Finding(CRITICAL, "crl-number", error.message, REPAIR)
        return
    if number <= current.number:
        yield Finding(CRITICAL, "crl-number", f"{CRL_NUMBER} is not above the list's own number", REPAIR)


def issued_serials(authority: Authority) -> list[int]:
    """The serials of the files in `newcerts/`."""
    return [int(serial, 16) for serial in _serial_files(authority)]


def _serial_files(authority: Authority) -> list[str]:
    try:
        names = os.listdir(authority.path("newcerts"))  # noqa: PTH208  # pathlib is ten times slower on 100,000 files
    except OSError:
        return []
    return [match.group(1) for name in names if (match := re.fullmatch(r"([0-9A-F]+)\.pem", name))]


def _read(authority: Authority, serials: list[str]) -> Iterator[tuple[str, Certificate | None]]:
    """The certificates in `newcerts/`, by one openssl; None for what is none."""
    encoded = {}
    for serial in serials:
        try:
            encoded[serial] = structures.certificate_der(authority.read(issued(serial)))
        except (DatabaseCaError, UnreadableError):
            yield serial, None
    try:
        yield from zip(encoded, structures.certificates(authority.openssl, list(encoded.values())), strict=True)
    except UnreadableError:
        for serial, der in encoded.items():
            try:
                yield serial, structures.certificates(authority.openssl, [der])[0]
            except UnreadableError:
                yield serial, None


def _ending(end: datetime, at: datetime, limits: Limits, code: str, what: str, verb: str) -> Iterator[Finding]:
    left = validity.days_left(end, at)
    mend = f"dbca-openssl {verb}"
    if end <= at:
        yield Finding(CRITICAL, code, f"{what} ended on {validity.shown(end)}", mend)
    elif left < limits.warn_days:
        level = CRITICAL if left < limits.critical_days else WARNING
        yield Finding(level, code, f"{what} ends in {left} days, on {validity.shown(end)}", mend)
