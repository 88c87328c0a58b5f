"""What is wrong with a CA directory, or soon will be; without the key, so that cron and CI can ask.

Each finding says what is wrong and its fix. The limits are days; a CRL is valid for weeks only, so for it they are at
most a quarter (warning) and an eighth (critical) of its period.
"""

from __future__ import annotations

import heapq
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import archive, backup, exposure, index, listing
from dbca_openssl.ca import hosts as known_hosts
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.ca.certificates import own_certificate, read_certificate
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.key import URI
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
    PUBLIC_DIRECTORIES,
    SERIAL,
    Authority,
    issued,
)
from dbca_openssl.ca.survey import Survey
from dbca_openssl.crls import Crl
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.finding import CRITICAL, FROM_A_BACKUP, REPAIR, WARNING, Finding, Level, worst
from dbca_openssl.lock import Lock, is_locked
from dbca_openssl.names import shown
from dbca_openssl.transaction import COMMIT, STAGE, is_interrupted
from dbca_openssl.x509 import Certificate

WARN_DAYS, CRITICAL_DAYS = 30, 7

WHILE_REFRESHED = 60.0
"""Seconds: how long `check` waits for an `export` that replaces files of the copy."""

MISNAMED = {MISNAMED_CONFIGURATION: CONFIGURATION, "private/mariadatabase-ca.key.pem": KEY}
"""The names that the guide gives by mistake (errata 1 and 4), and the right ones."""


DELIVER_FIRST = (
    "deliver the new certificates first: dbca-openssl deploy HOST..., then dbca-openssl crl, then deploy again"
)
"""A CRL that revokes a renewed certificate locks out every host that still has it."""
_REBUILD = f"have {REPAIR} rebuild it from newcerts/ and {CRL} (every host has a copy of that)"


class Limits(NamedTuple):
    """With how many days left an expiry is a warning, or critical; and whether every certificate file is read."""

    warn_days: int = WARN_DAYS
    critical_days: int = CRITICAL_DAYS
    deep: bool = False


class Checked(NamedTuple):
    """All findings, and the figures for a monitoring system (None, or no counts: it cannot be read).

    `counts` are how many certificates of hosts and clients are `valid`, `expired` and `revoked`.
    """

    findings: tuple[Finding, ...]
    authority_end: datetime | None
    list_end: datetime | None
    counts: Mapping[str, int]

    @property
    def level(self) -> Level:
        """The worst of the findings."""
        return worst(self.findings)


def check(authority: Authority, limits: Limits) -> Checked:
    """Check everything that can be checked without the key; of a public copy, nothing that it does not have.

    Raises DatabaseCaError where nothing can be said: there is no CA, it may not be read, or there is no openssl.
    """
    if authority.is_public():
        return _check_copy(authority, limits)
    return _check(authority, limits)


def _check_copy(authority: Authority, limits: Limits) -> Checked:
    lock = Lock(authority.directory, authority.tell, WHILE_REFRESHED, itself=True)
    try:
        checked = _check(authority, limits)
    finally:
        lock.release()
    fix = "in the CA itself: {}; then: dbca-openssl export --public"
    return checked._replace(findings=tuple(one._replace(fix=fix.format(one.fix)) for one in checked.findings))


def _check(authority: Authority, limits: Limits) -> Checked:
    require_something(authority)
    _require_readable(authority)
    authority.openssl.version  # noqa: B018  # without openssl nothing can be said
    at = dates.now()
    own, survey, current = None, None, None
    known = known_hosts.of_bytes(None)
    findings = [*_files(authority), *_leftovers(authority)]
    findings += (*sorted(exposure.writable(authority)), *exposure.configuration(authority))
    try:
        own = own_certificate(authority)
        findings += _expiring(own.end, at, limits, "authority", "the CA certificate", "init --renew")
        findings += _token(authority, own)
    except DatabaseCaError as error:
        findings.append(Finding(CRITICAL, "authority", error.message, "newcerts/ and every host have a copy of it"))
    try:
        known = known_hosts.read(authority)
    except DatabaseCaError as error:
        findings.append(Finding(CRITICAL, "hosts", error.message, "; ".join(error.hints)))
    files = archive.serials(authority)
    if authority.path(INDEX).is_file():
        data = authority.read(INDEX)
        try:
            survey = _survey(authority, data, own, files, known.hosts, limits, at)
        except DatabaseCaError as error:
            fix = FROM_A_BACKUP if archive.repaired_index(authority, data) is None else REPAIR
            findings.append(Finding(CRITICAL, "index", error.message, fix))
        if count := data.count(archive.REBUILT):
            text = f"{count} rows of {INDEX} are rebuilt: revocations that no CRL had are lost"
            fix = (
                "see dbca-openssl list, revoke what should be, then: " + rf"sed -i 's/\trebuilt\t/\tunknown\t/' {INDEX}"
            )
            findings.append(Finding(WARNING, "rebuilt", text, fix))
    if survey is not None:
        findings += _number(authority, SERIAL, "serial", survey.highest, "which is taken")
    if survey is not None and own is not None:
        findings += _rows(survey, allows_duplicates(authority))
        findings += archive.findings(authority, survey, own)
        findings += _certificates(survey, known.hosts, own, at, limits)
        if known.new("localhost").profile == "modern":
            findings += _without_san(authority, known.hosts, survey.newest_valid)
        findings += backup.findings(authority, survey.changed)
    try:
        current = revocation.current_list(authority)
    except DatabaseCaError as error:
        if own is not None:
            findings.append(Finding(CRITICAL, "crl", error.message, "dbca-openssl crl"))
    else:
        revoked = None if survey is None else [row for row in survey.changed if row.state == index.REVOKED]
        findings += _crl(authority, current, revoked, at, limits)
    if own:
        findings += _clock(own, current, at)
    ends = own.end if own else None, current.end if current else None
    return Checked(tuple(findings), *ends, survey.counts if survey and own else {})


def _survey(
    authority: Authority,
    data: bytes,
    own: Certificate | None,
    files: Sequence[str],
    known: Collection[str],
    limits: Limits,
    at: datetime,
) -> Survey:
    saved = backup.last(authority)
    chosen = set(files if limits.deep else heapq.nlargest(archive.READ_AT_MOST, files, lambda serial: int(serial, 16)))
    return Survey(data, own, files, chosen, known, saved.highest if saved else None, limits.warn_days, at)


def urgent(authority: Authority, found: listing.Status) -> list[Finding]:
    """What of the same the bare command names too: missing files, what killed processes left, revocations to come, and
    a wrong clock.

    Raises DatabaseCaError where the CRL cannot be read.
    """
    findings = [*_files(authority), *_leftovers(authority)]
    if found.revocation_list:
        findings += _crl(authority, found.revocation_list, found.revoked, found.at, Limits())
    findings += _clock(found.own, found.revocation_list, found.at)
    return [one for one in findings if (one.level == CRITICAL and one.code != "mode") or one.fix == DELIVER_FIRST]


def require_something(authority: Authority) -> None:
    """Raise DatabaseCaError where the directory has nothing of a CA, not even of a damaged one."""
    if not any(authority.path(name).exists() for name in (*MISNAMED, INDEX, CERTIFICATE)):
        authority.require()


def _require_readable(authority: Authority) -> None:
    for name in (".", *DIRECTORIES, CONFIGURATION, KEY, CERTIFICATE, INDEX, ATTRIBUTES, SERIAL, CRL_NUMBER, CRL):
        path = authority.path(name)
        needed = os.R_OK | os.X_OK if path.is_dir() else os.F_OK if name == KEY else os.R_OK
        if os.path.lexists(path) and not os.access(path, needed):
            raise DatabaseCaError(f"cannot read {path}", "run it as the user who owns the CA directory")


def _files(authority: Authority) -> Iterator[Finding]:
    """Files and directories that are missing, and modes."""
    for wrong, right in MISNAMED.items():
        if authority.path(wrong).is_file() and not authority.path(right).exists():
            yield Finding(CRITICAL, "name", f"{wrong} is called {right} everywhere else in the guide", REPAIR)
    for name in PUBLIC_DIRECTORIES if authority.is_public() else DIRECTORIES:
        if not authority.path(name).is_dir():
            yield Finding(CRITICAL, "missing", f"there is no directory {name}", REPAIR)
    for name in (
        (CONFIGURATION,) if authority.is_public() else (CONFIGURATION, *(() if authority.is_on_token() else (KEY,)))
    ):
        misnamed = any(authority.path(wrong).is_file() for wrong, right in MISNAMED.items() if right == name)
        if not _has_content(authority, name) and not misnamed:
            instead = "; without one make a new CA and move the hosts: dbca-openssl rollover" if name == KEY else ""
            yield Finding(CRITICAL, "missing", f"there is no {name}, or it is empty", f"{FROM_A_BACKUP}{instead}")
    if not _has_content(authority, ATTRIBUTES):
        yield Finding(WARNING, "attributes", f"there is no {ATTRIBUTES} yet, or it is empty", REPAIR)
    elif allows_duplicates(authority):
        yield Finding(
            WARNING,
            "attributes",
            f"{ATTRIBUTES} allows two valid certificates of one name, against the configuration",
            "once no name is valid twice, write unique_subject = yes into it",
        )
    private, key = authority.path("private"), authority.path(KEY)
    if private.is_dir() and private.stat().st_mode & 0o077:
        yield Finding(WARNING, "mode", "others may read private/", f"{REPAIR}, or encrypt the device (FAT)")
    if key.is_file() and key.stat().st_mode & 0o077:
        yield Finding(CRITICAL, "mode", f"others may read {KEY}", f"{REPAIR}, or encrypt the device (FAT)")


def _token(authority: Authority, own: Certificate) -> Iterator[Finding]:
    """Whether the token with the CA key answers, and has the key of the CA certificate."""
    if authority.is_on_token():
        try:
            if authority.found_key().public_key(authority.openssl) != own.public_key:
                text = "the key on the token does not belong to the CA certificate"
                yield Finding(CRITICAL, "token", text, f"correct {URI}, or find the token with the CA key")
        except DatabaseCaError as error:
            yield Finding(WARNING, "token", error.message, "; ".join(error.hints[:1]))


def _leftovers(authority: Authority) -> Iterator[Finding]:
    """What killed processes left: ours, which the next change recovers, and those of a plain openssl."""
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
                yield Finding(CRITICAL, "missing", f"{name} is not a regular file", FROM_A_BACKUP)
            if new.exists():
                yield Finding(WARNING, "leftover", f"{new.name} is left of an openssl that was killed", REPAIR)
        elif new.exists() or old.exists():
            yield Finding(CRITICAL, "leftover", f"an openssl was killed while it replaced {name}", REPAIR)
        elif name != ATTRIBUTES:
            fix = f"{FROM_A_BACKUP}, or {_REBUILD}" if name == INDEX else REPAIR
            if name == CRL_NUMBER and not _has_content(authority, CRL):
                fix = "write a number into it that no CRL has had, in hex, with an even number of digits"
            yield Finding(CRITICAL, "missing", f"there is no {name}", fix)
    empty = authority.path(INDEX).is_file() and not _has_content(authority, INDEX)
    if empty and _has_content(authority, f"{INDEX}.old"):
        yield Finding(CRITICAL, "index", f"{INDEX} is empty, {INDEX}.old is not: was the disk full?", REPAIR)
    elif empty and archive.serials(authority):
        yield Finding(CRITICAL, "index", f"{INDEX} is empty, newcerts/ is not", f"{FROM_A_BACKUP}, or {_REBUILD}")


def allows_duplicates(authority: Authority) -> bool:
    """Whether openssl takes two valid certificates of one name: its attributes go before the configuration."""
    attributes = authority.read(ATTRIBUTES) if _has_content(authority, ATTRIBUTES) else b""
    return bool(re.search(rb"^\s*unique_subject\s*=\s*no", attributes, re.MULTILINE))


def _rows(survey: Survey, duplicates: bool) -> Iterator[Finding]:
    """Serials and names that are there twice, and names that no host can have."""
    for serial, count in survey.serials_twice().items():
        yield Finding(
            CRITICAL,
            "duplicate-serial",
            f"{count} certificates in the index have the serial {serial}",
            "revoke and replace all but one: two openssl ran at the same time",
        )
    refuses, fix = "", "dbca-openssl revoke SERIAL, of all but one of them: dbca-openssl list has the serials"
    if not duplicates:
        refuses = ": openssl refuses to go on"
        fix = "mark all but one as revoked in the index (R, and the date in the third field), then dbca-openssl crl"
    for subject, count in survey.subjects_twice().items():
        text = f"{count} valid certificates have the subject {shown(subject)}{refuses}"
        yield Finding(CRITICAL, "duplicate-name", text, fix)
    for row in survey.bad_names:
        yield Finding(
            WARNING,
            "bad-name",
            f"{shown(row.subject)} (serial {row.serial}) is not the name of a host or a client",
            f"sign a request with a plain common name, then dbca-openssl revoke {row.serial}",
        )


def _number(authority: Authority, name: str, code: str, taken: int, why: str) -> Iterator[Finding]:
    """The file of the next serial, or of the next CRL's number, against the highest one that is `taken`."""
    if not authority.path(name).is_file():
        return
    data = authority.read(name)
    try:
        number = index.next_serial(data, name)
    except DatabaseCaError as error:
        yield Finding(CRITICAL, code, error.message, REPAIR)
        return
    if number <= taken:
        text = f"{name} has {index.serial_text(number)}, which is not above {index.serial_text(taken)}, {why}"
        yield Finding(CRITICAL, code, text, REPAIR)
    elif not data.endswith(b"\n"):
        yield Finding(WARNING, code, f"{name} has no line end", REPAIR)


def _certificates(
    survey: Survey, known: Mapping[str, KnownHost], own: Certificate, at: datetime, limits: Limits
) -> Iterator[Finding]:
    """What expires soon or after the CA, or has expired; if openssl has marked it, only names of the list."""
    missed = [row for row in survey.newest_listed.values() if row.state == index.EXPIRED]
    for row in (*survey.ending, *missed):
        verb = "rotate" if row.name in known and not known[row.name].is_client else "renew"
        yield from _expiring(row.end, at, limits, "certificate", row.name, f"{verb} {row.name}")
        if row.end > own.end:
            text = f"{row.name} expires after the CA certificate"
            yield Finding(WARNING, "outlives", text, f"dbca-openssl renew {row.name} --cap")


def _without_san(authority: Authority, known: Mapping[str, KnownHost], rows: Iterable[Row]) -> Iterator[Finding]:
    """The servers whose certificate has no SAN."""
    for row in rows:
        is_client = "@" in row.name or (row.name in known and known[row.name].is_client)
        with suppress(DatabaseCaError):  # a copy that cannot be read is a finding of its own
            if not is_client and not read_certificate(authority, issued(row.serial)).alternative_names:
                text = f"the certificate of {row.name} has no SAN, which the profile modern asks for"
                fix = f"dbca-openssl enroll {row.name} --rekey --profile modern"
                yield Finding(WARNING, "no-san", text, fix)


def _crl(authority: Authority, crl: Crl, rows: Sequence[Row] | None, at: datetime, limits: Limits) -> Iterator[Finding]:
    """The CRL: its age, whether it and the revoked `rows` (None: not known) agree, and its number."""
    period = (crl.end - crl.start).days
    limits = Limits(min(limits.warn_days, period // 4), min(limits.critical_days, period // 8))
    revoked = {int(row.serial, 16) for row in rows or ()}
    missing = revocation.missing(rows or (), crl)
    again = index.some(authority.read(INDEX), names={row.name for row in missing}) if missing else ()
    valid = {row.name for row in again if row.state == index.VALID}
    renewed = [row for row in missing if row.reason == revocation.SUPERSEDED and row.name in valid]
    fix = DELIVER_FIRST if renewed else "dbca-openssl crl"
    for one in _expiring(crl.end, at, limits, "crl", "the CRL", "crl"):
        yield one._replace(fix=fix)
    if missing:
        names = ", ".join(row.name for row in missing[:3]) + (" ..." if len(missing) > 3 else "")
        level, why = (CRITICAL, "") if renewed != missing else (WARNING, " yet, whose certificate was renewed")
        yield Finding(level, "crl", f"the CRL does not have {names}{why}", fix)
    for serial in sorted(crl.revoked.keys() - revoked) if rows is not None else ():
        text = index.serial_text(serial)
        yield Finding(
            CRITICAL,
            "lost-revocation",
            f"the CRL has the serial {text}, which the index does not have as revoked",
            f"dbca-openssl revoke {text}, or the next CRL takes it back",
        )
    yield from _number(authority, CRL_NUMBER, "crl-number", crl.number, "the number of the CRL")


def _clock(own: Certificate, crl: Crl | None, at: datetime) -> Iterator[Finding]:
    """Whether the clock is behind what was made before: then nothing else that is said of dates can be believed."""
    start = max(own.start, crl.start if crl else own.start)
    if start - at > timedelta(hours=1):  # the clocks of two machines that work on one CA may be so far apart
        text = f"the clock here says {dates.shown(at)}, but the CA has a file of {dates.shown(start)}"
        yield Finding(CRITICAL, "clock", text, "set the clock; if it was wrong when the CRL was made: dbca-openssl crl")


def _has_content(authority: Authority, name: str) -> bool:
    path = authority.path(name)
    return path.is_file() and path.stat().st_size > 0


def _expiring(end: datetime, at: datetime, limits: Limits, code: str, what: str, verb: str) -> Iterator[Finding]:
    left, fix = dates.days_left(end, at), f"dbca-openssl {verb}"
    if end <= at:
        gone = f", or dbca-openssl revoke {what} where the host is gone" if code == "certificate" else ""
        yield Finding(CRITICAL, code, f"{what} expired on {dates.shown(end)}", f"{fix}{gone}")
    elif left < limits.warn_days:
        level = CRITICAL if left < limits.critical_days else WARNING
        yield Finding(level, code, f"{what} expires in {left} days, on {dates.shown(end)}", fix)
