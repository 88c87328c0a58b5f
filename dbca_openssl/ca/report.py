"""One static page about a CA for a browser: its hosts and certificates, what is next, what was done and when.

The page begins with a mark of its CA. A file that begins with it may be replaced, and no other.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from datetime import MAXYEAR, UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import __version__, dates, names, render
from dbca_openssl.ca import archive, backup, canary, index, listing
from dbca_openssl.ca import check as checking
from dbca_openssl.ca import hosts as known_hosts
from dbca_openssl.ca.certificates import own_certificate
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import INDEX, Authority
from dbca_openssl.crls import Crl
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError, of_system
from dbca_openssl.files import beside, read_file, replace, require_absent, write_new
from dbca_openssl.x509 import Certificate

MOST_TICKS, RIGHTMOST_TICK = 6, 92
"""How many dates fit beside each other on a telephone, and how far to the right the last may be, in per cent."""

_STEPS = (1, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 12_000, 24_000)
"""Months from one of them to the next; the last is for the year 9999, which means never (RFC 5280, 4.1.2.5)."""

NEWEST = 1000
"""Of what is past, former certificates and the audit trail, the page has so many."""

MOST = 10_000
"""So many valid certificates are on the page, those that expire first, and so many of the newest others."""

_NO_REASON = "no reason given"
_ROLES = {"serverAuth": "server", "clientAuth": "client"}


class Seen(NamedTuple):
    """What a host was seen to serve, and which CRL it has, in words; and how bad each is, where that is known."""

    serves: str
    crl: str
    serves_level: str = "critical"
    crl_level: str = "critical"


def write(authority: Authority, path: Path, text: str) -> None:
    """Write the page, in place of an older one about the same CA. Raises DatabaseCaError where `path` is not that."""
    require_ours(authority, path)
    try:
        if path.is_file():
            require_ours(authority, beside(path))  # of a killed report, and no other
            replace(path, text.encode())
        else:
            write_new(path, text.encode())
    except OSError as error:
        raise of_system(f"cannot write {path}", error) from None


def require_ours(authority: Authority, path: Path) -> None:
    """Raise DatabaseCaError where `path` is something else than a page about this CA, or nothing."""
    mark = _mark(authority).encode()
    if path.is_symlink() or not path.is_file() or not read_file(path).startswith(mark):
        require_absent(path)


def _mark(authority: Authority) -> str:
    digest = hashlib.sha256(own_certificate(authority).public_key).hexdigest()
    return f"<!DOCTYPE html>\n<!-- dbca-openssl report {digest} -->\n"


def page(
    authority: Authority, status: listing.Status, following: Sequence[str], seen: Mapping[str, Seen] | None = None
) -> str:
    """The page as HTML: it loads nothing, and its script only sorts and filters.

    `following` are the commands that are next, `seen` is what was seen of hosts (None: nobody has looked). Raises
    DatabaseCaError where the CA cannot be read.
    """
    checked = checking.check(authority, checking.Limits())
    at, own = status.at, status.own
    try:
        known = known_hosts.read(authority).hosts
    except DatabaseCaError:  # which `check` finds too
        known = {}
    rows = _read(authority, own, at, known)
    wanted = dict.fromkeys(row.serial for row in (*rows.current, *rows.former, *rows.latest))
    certificates = {
        serial: certificate
        for serial, certificate in archive.read(authority, list(wanted))
        if certificate and archive.is_issued(certificate, serial, own)
    }
    # the line ends with the last certificate: the CA is valid for years more, which would crowd them at its beginning
    ends = [row.end for row in rows.current if row.status(at) == "valid"] or [own.end]
    if status.revocation_list:
        ends.append(status.revocation_list.end)
    last = max([at + timedelta(days=1), *ends])

    def shown(row: Row) -> dict[str, object]:
        return _certificate(row, certificates.get(row.serial), known.get(row.name), at) | _moment(row.end, at, last)

    script = render.rendered("report.js")
    text = render.rendered(
        "report.html.j2",
        mark=_mark(authority),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=__version__,
        at=dates.shown(at),
        directory=str(authority.directory),
        is_copy=authority.is_public(),
        authority=own.common_name,
        authority_end=_moment(own.end, at, last),
        list_end=_moment(status.revocation_list.end, at, last) if status.revocation_list else None,
        counts=status.counts,
        level=checked.level.name.lower(),
        findings=[
            {"level": finding.level.name.lower(), "text": finding.text, "fix": finding.fix}
            for finding in sorted(checked.findings, key=lambda finding: -finding.level)
        ],
        following=following,
        certificates=[shown(row) for row in rows.current],
        left_out=rows.left_out,
        without=[{"name": name, **_host(known[name])} for name in rows.without],
        former=[shown(row) for row in reversed(rows.former)],
        seen=seen,
        reasons=rows.reasons,
        events=_events(authority, status.revocation_list, rows, certificates),
        most=NEWEST,
        ticks=_ticks(at, last),
    )
    return "\n".join(map(names.printable, text.split("\n")))


class _Rows(NamedTuple):
    """What the page has of the index: a million rows are not kept.

    `current` are the certificates of hosts and clients, but for those that a newer one of the same name has replaced,
    which are `former`; `left_out` are too many for a page. `without` are hosts of the list without any. `latest` are
    the last rows of all, the CA's too, whose subject is `own_subject`; `reasons` count why certificates were revoked.
    """

    current: list[Row]
    former: list[Row]
    left_out: int
    without: list[str]
    latest: deque[Row]
    own_subject: str | None
    reasons: Counter[str]


def _read(authority: Authority, own: Certificate, at: datetime, known: Collection[str]) -> _Rows:
    data, calendar = authority.read(INDEX), dates.Calendar(at)
    own_subject = index.subject_of(data, own.serial)
    latest, past, reasons = deque[Row](maxlen=NEWEST), deque[Row](maxlen=MOST), Counter[str]()
    valid: list[Row] = []
    valid_count = past_count = 0
    without = dict.fromkeys(known)
    for row in index.each(data):
        latest.append(row)
        if row.subject == own_subject:
            continue
        without.pop(row.name, None)
        if row.state == index.VALID and not calendar(row.until)[2]:
            valid_count += 1
            valid.append(row)
            if len(valid) == 2 * MOST:
                valid = _soonest(valid)
            continue
        past_count += 1
        past.append(row)
        if row.state == index.REVOKED:
            reasons["canary of a CRL" if row.name == canary.NAME else row.reason or _NO_REASON] += 1
    newest = {row.name: row for row in past if row.name != canary.NAME}  # the canary's are never valid
    newest |= {row.name: row for row in index.each(data) if row.name in newest} if newest else {}
    shown = _soonest(valid)
    current = [*shown, *(row for row in past if newest.get(row.name) == row)]
    return _Rows(
        sorted(current, key=lambda row: (row.state == index.REVOKED, row.end)),
        [row for row in past if newest.get(row.name) != row][-NEWEST:],
        valid_count - len(shown) + past_count - len(past),
        list(without),
        latest,
        own_subject,
        reasons,
    )


def _soonest(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.end)[:MOST]


def _moment(end: datetime, at: datetime, last: datetime) -> dict[str, object]:
    """When something expires: the date, the days left, and how far along the time line it is, in per cent."""
    return {
        "date": f"{end:%Y-%m-%d}",
        "days": dates.days_left(end, at),
        "place": round(min(100.0, max(0.0, 100 * (end - at) / (last - at))), 2),
        "beyond": end > last,
    }


def _host(host: KnownHost) -> dict[str, object]:
    return {"role": "client" if host.is_client else "server", "profile": host.profile}


def _certificate(row: Row, certificate: Certificate | None, host: KnownHost | None, at: datetime) -> dict[str, object]:
    """What the index says of a certificate, and the certificate itself, where there is a copy that can be read."""
    key = role = ""
    if certificate:
        try:
            kind, bits = certificate.key
            key = f"RSA {bits}" if kind == "RSA" else kind
            role = " or ".join(_ROLES[usage] for usage in certificate.usages[1] if usage in _ROLES)
        except UnreadableError:
            key = "cannot be read"
    return {
        "name": row.name,
        "serial": row.serial,
        "status": row.status(at),
        "revoked": f"{row.revoked_at:%Y-%m-%d}" if row.revoked_at else "",
        "reason": row.reason or _NO_REASON if row.revoked else "",
        "issued": f"{certificate.start:%Y-%m-%d}" if certificate else "",
        "san": [name for _, name in certificate.alternative_names] if certificate else [],
        "key": key,
        "role": "client" if "@" in row.name else role,
        "profile": "",
    } | (_host(host) if host else {})


def _events(
    authority: Authority, crl: Crl | None, rows: _Rows, certificates: Mapping[str, Certificate]
) -> list[tuple[str, ...]]:
    """The audit trail of the latest rows: when, what, name, serial, why; newest first."""
    before = dict[str, Certificate]()
    found: list[tuple[datetime, tuple[str, ...]]] = []
    for row in rows.latest:
        if certificate := certificates.get(row.serial):
            former = before.get(row.name)
            if row.subject == rows.own_subject:
                what = "CA certificate begins"
            elif row.name == canary.NAME:
                what = "canary signed and revoked"
            elif former is None:
                what = "signed"
            else:
                what = "renewed" if former.public_key == certificate.public_key else "signed with another key"
            before[row.name] = certificate
            found.append((certificate.start, (what, row.name, row.serial, "")))
        if row.revoked_at and row.name != canary.NAME:
            found.append((row.revoked_at, ("revoked", row.name, row.serial, row.reason or _NO_REASON)))
    if crl:
        found.append((crl.start, ("CRL made", "", "", f"number {crl.number}")))
    if saved := backup.last(authority):
        found.append((saved.at, ("backup made", "", "", "")))
    newest = sorted(found, key=lambda event: event[0])[: -NEWEST - 1 : -1]
    return [(dates.shown(when), *what) for when, what in newest]


def _ticks(at: datetime, last: datetime) -> list[dict[str, object]]:
    """The first of a few months or years on the time line, and how far along it they are, in per cent."""
    months = (last.year - at.year) * 12 + last.month - at.month
    step = next(step for step in _STEPS if months // step <= MOST_TICKS)
    first = (at.year * 12 + at.month - 1) // step * step
    whole = (divmod(first + number * step, 12) for number in range(1, MOST_TICKS + 2))
    moments = [datetime(year, month + 1, 1, tzinfo=UTC) for year, month in whole if year <= MAXYEAR]
    moments = [moment for moment in moments if 100 * (moment - at) <= RIGHTMOST_TICK * (last - at)]
    form = "%Y" if step % 12 == 0 else "%b %Y"
    return [{"text": f"{moment:{form}}", "place": round(100 * (moment - at) / (last - at), 2)} for moment in moments]
