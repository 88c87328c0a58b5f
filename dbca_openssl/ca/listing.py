"""What there is: the certificates in the index, one certificate in full, and the authority at a glance."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from dbca_openssl import dates, x509
from dbca_openssl.ca import index
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.ca import sign as signing
from dbca_openssl.ca.certificates import certificate_path, is_path, own_certificate
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import INDEX, Authority, certificate_of, issued
from dbca_openssl.ca.revoke import RevocationList
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import shown
from dbca_openssl.x509 import Certificate

SOON = 30
"""Days: what ends within them is pointed out."""


class Status(NamedTuple):
    """The authority at a glance: its certificate, its list (None: there is none that is good), its index's rows."""

    own: Certificate
    revocation_list: RevocationList | None
    rows: Sequence[Row]
    waiting: list[str]
    at: datetime

    def counts(self) -> dict[str, int]:
        """How many certificates of hosts and clients are `valid`, `expired` and `revoked`."""
        found = Counter(row.status(self.at) for row in self.rows)
        return {status: found[status] for status in ("valid", "expired", "revoked")}

    def ending_soon(self) -> list[Row]:
        """The valid certificates that end within 30 days."""
        return [row for row in self.rows if row.is_ending(self.at, SOON)]


class Details(NamedTuple):
    """One certificate in full, as its file has it and as the index has it (None: not of this authority)."""

    certificate: Certificate
    path: str
    row: Row | None
    alternative_names: tuple[tuple[str, str], ...]
    fingerprint: str


def certificates(authority: Authority) -> list[Row]:
    """The rows of hosts and clients in the index; the authority's own row is left out. Raises DatabaseCaError."""
    authority.require()
    own = own_certificate(authority)
    return of_hosts(index.rows(authority.read(INDEX)), own)


def status(authority: Authority) -> Status:
    """The authority at a glance. Raises DatabaseCaError where there is none, or it cannot be read."""
    authority.require()
    own = own_certificate(authority)
    rows = of_hosts(index.rows(authority.read(INDEX)), own)
    return Status(own, _list(authority), rows, signing.waiting(authority), dates.now())


def details(authority: Authority, what: str) -> Details:
    """The certificate that `what` means: a name, a serial in hex, or a file. Raises DatabaseCaError."""
    authority.require()
    rows = index.rows(authority.read(INDEX))
    path = _path(authority, what, rows)
    try:
        der = x509.certificate_der(authority.read(path))
        certificate = x509.certificates(authority.openssl, [der])[0]
        value = certificate.extension(x509.ALTERNATIVE_NAME)
        names = x509.alternative_names(authority.openssl, [value])[0] if value else ()
    except UnreadableError as error:
        raise DatabaseCaError(f"{authority.path(path)} is no certificate that can be read: {error}") from None
    own = own_certificate(authority)
    serial = index.serial_text(certificate.serial)
    row = next((row for row in rows if row.serial == serial), None) if certificate.issuer == own.subject else None
    return Details(certificate, str(authority.path(path)), row, names, hashlib.sha256(der).hexdigest().upper())


def _list(authority: Authority) -> RevocationList | None:
    try:
        return revocation.current_list(authority)
    except DatabaseCaError:
        return None


def _path(authority: Authority, what: str, rows: Sequence[Row]) -> str:
    if is_path(what) or authority.path(certificate_of(what)).exists():
        return str(certificate_path(authority, what).absolute())
    if generations := [row.serial for row in rows if row.name == what]:
        return issued(generations[-1])
    if re.fullmatch("[0-9A-Fa-f]+", what):
        serial = what.upper() if len(what) % 2 == 0 else f"0{what.upper()}"
        if any(row.serial == serial for row in rows):
            return issued(serial)
        raise DatabaseCaError(f"there is no certificate with the name or serial {shown(what)}")
    return str(certificate_path(authority, what).absolute())


def of_hosts(rows: Sequence[Row], own: Certificate) -> list[Row]:
    """Without the rows of the authority itself, of which a renewed one has several."""
    serial = index.serial_text(own.serial)
    subject = next((row.subject for row in rows if row.serial == serial), None)
    return [row for row in rows if row.subject != subject]
