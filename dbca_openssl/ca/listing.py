"""What there is: the certificates in the index, one certificate in full, and the state of the CA."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import backup, index
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.ca import sign as signing
from dbca_openssl.ca.backup import Made
from dbca_openssl.ca.certificates import certificate_path, is_path, not_found, own_certificate, read_certificate
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import INDEX, Authority, certificate_of, issued
from dbca_openssl.crls import Crl
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.x509 import Certificate

SOON = 30
"""Days: what expires within them is pointed out."""


class Status(NamedTuple):
    """The state of the CA: its certificate, its CRL (None: none that can be read), the certificates of the others.

    `counts` are how many are `valid`, `expired` and `revoked`. Rows are kept of those that are `revoked`, of those that
    are `ending_soon`, within 30 days, and of those that are `expired`, but that nobody has renewed or revoked. `saved`
    is the last backup (None: the CA knows of none), `is_behind` whether anything was signed or revoked since.
    """

    own: Certificate
    revocation_list: Crl | None
    counts: Mapping[str, int]
    revoked: Sequence[Row]
    expired: Sequence[Row]
    ending_soon: Sequence[Row]
    waiting: list[str]
    at: datetime
    saved: Made | None
    is_behind: bool

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever signed."""
        return not any(self.counts.values())


class Details(NamedTuple):
    """One certificate in full, as its file has it and as the index has it (None: not of this CA)."""

    certificate: Certificate
    path: str
    row: Row | None
    fingerprint: str
    issuer: str
    key: tuple[str, int | None]
    key_usage: list[str]
    extended_key_usage: list[str]


def certificates(authority: Authority) -> list[Row]:
    """The rows of hosts and clients in the index; the CA's own row is left out. Raises DatabaseCaError."""
    return list(each(authority))


def each(authority: Authority) -> Iterator[Row]:
    """The same one after the other. Raises DatabaseCaError, for a damaged line when it comes to that."""
    authority.require()
    data = authority.read(INDEX)
    subject = index.subject_of(data, own_certificate(authority).serial)
    return (row for row in index.each(data) if row.subject != subject)


def status(authority: Authority) -> Status:
    """The state of the CA. Raises DatabaseCaError where there is none, or it cannot be read."""
    at = dates.now()
    calendar, soon = dates.Calendar(at), dates.days_after(at, SOON)
    counts = dict.fromkeys(("valid", "expired", "revoked"), 0)
    revoked, expired, ending = list[Row](), list[Row](), list[Row]()
    saved, is_behind = backup.last(authority), False
    for row in each(authority):
        if saved and not is_behind and int(row.serial, 16) > saved.highest:
            is_behind = any(saved.since([row]))
        _, left, is_over = calendar(row.until)
        if row.state == index.REVOKED:
            counts["revoked"] += 1
            revoked.append(row)
        elif row.state == index.EXPIRED or is_over:
            counts["expired"] += 1
            if row.state == index.VALID:
                expired.append(row)
        else:
            counts["valid"] += 1
            if left <= SOON and row.end <= soon:
                ending.append(row)
    try:
        crl = revocation.current_list(authority)
    except DatabaseCaError:
        crl = None
    waiting, own = signing.waiting(authority), own_certificate(authority)
    if saved:
        is_behind = is_behind or own.serial > saved.highest or any(saved.since(revoked))
    return Status(own, crl, counts, revoked, expired, ending, waiting, at, saved, is_behind)


def details(authority: Authority, what: str) -> Details:
    """The certificate that `what` means: a name, a serial in hex, or a file. Raises DatabaseCaError."""
    authority.require()
    rows = index.rows(authority.read(INDEX))
    path = _path(authority, what, rows)
    certificate = read_certificate(authority, path)
    serial = index.serial_text(certificate.serial)
    ours = certificate.issuer == own_certificate(authority).subject
    row = next((row for row in rows if row.serial == serial), None) if ours else None
    fingerprint = hashlib.sha256(certificate.encoded).hexdigest().upper()
    try:
        shown = certificate.issuer_text, certificate.key, *certificate.usages
    except UnreadableError as error:
        raise DatabaseCaError(f"{authority.path(path)} cannot be read: {error}") from None
    return Details(certificate, str(authority.path(path)), row, fingerprint, *shown)


def _path(authority: Authority, what: str, rows: Sequence[Row]) -> str:
    if is_path(what) or authority.path(certificate_of(what)).exists():
        return str(certificate_path(authority, what).absolute())
    serial = what.upper().zfill(len(what) + len(what) % 2)
    found = [row for row in rows if row.name == what] or [row for row in rows if row.serial == serial]
    if not found:
        raise not_found(what, rows)
    return issued(found[-1].serial)


def of_hosts(rows: Sequence[Row], own: Certificate) -> list[Row]:
    """Without the rows of the CA itself, of which a renewed one has several."""
    serial = index.serial_text(own.serial)
    subject = next((row.subject for row in rows if row.serial == serial), None)
    return [row for row in rows if row.subject != subject]
