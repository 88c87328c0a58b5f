"""A new CA certificate with the same key, or a second CA that takes over from the first.

A certificate with the same key and name replaces the old one, and everything that was signed stays valid. A new key is
another CA: for a while the hosts trust both, and get both CRLs, since a server that checks CRLs refuses everybody
whose CA has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import archive, guide_commands, index, listing
from dbca_openssl.ca.certificates import own_certificate, read_certificate
from dbca_openssl.ca.change import BACKUPS, Change
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import CERTIFICATE, CRL, DATABASE, REQUEST, Authority, issued
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.x509 import Certificate


class Rollover(NamedTuple):
    """How far the hosts have moved from one CA to the other: names still with the old one, and already moved."""

    waiting: tuple[str, ...]
    moved: tuple[str, ...]

    @property
    def stage(self) -> int:
        """1: nobody has moved, deliver both CA certificates; 2: some have; 3: all have, drop the old one."""
        if not self.waiting:
            return 3
        return 2 if self.moved else 1


def renew_own_certificate(authority: Authority, start: datetime, end: datetime) -> Certificate:
    """Sign the CA's own request again, with its key and name, and replace the CA certificate.

    The old row is marked as expired in the index: with two valid rows of one name every openssl refuses to go on, and
    servers that check CRLs refuse a revoked root. Its copy stays in `newcerts/`.
    Raises DatabaseCaError, and then nothing has changed.
    """
    authority.require()
    authority.read(REQUEST)
    with Change(authority, CERTIFICATE) as change:
        old = own_certificate(authority)  # not before: an interrupted change is recovered first
        _require_lasting(authority, listing.of_hosts(change.rows, old))
        change.staged(CERTIFICATE).unlink()
        change.expire(index.serial_text(old.serial))
        change.run(guide_commands.self_sign(start, end, home=change.stage))
        rows = change.appended()
        change.require_intact(*DATABASE, CERTIFICATE)
        new = read_certificate(authority, f"{change.stage}/{CERTIFICATE}")
        made = [issued(row.serial) for row in rows]
        same = (new.subject, new.issuer, new.public_key) == (old.subject, old.subject, old.public_key)
        if len(made) != 1 or not same or (new.start, new.end) != (start, end):
            raise DatabaseCaError("openssl made another certificate than the old one with new dates; it is thrown away")
        change.commit((*made, *DATABASE), (CERTIFICATE,), BACKUPS)
    return new


def _require_lasting(authority: Authority, rows: Sequence[Row]) -> None:
    """Raise DatabaseCaError where a valid certificate names the serial of the CA certificate, as easy-rsa's do.

    Of very many only the newest are read.
    """
    at = dates.now()
    valid = [row for row in rows if row.status(at) == "valid" and authority.path(issued(row.serial)).is_file()]
    for row in valid[-archive.READ_AT_MOST :]:
        if read_certificate(authority, issued(row.serial)).names_issuers_serial:
            raise DatabaseCaError(
                f"the certificate of {row.name} names the serial of the old CA certificate, and would expire with it",
                f"dbca-openssl renew {row.name} signs it again without the serial",
                "or move to a new CA: dbca-openssl rollover",
            )


def rollover(old: Authority, new: Authority) -> Rollover:
    """How far the hosts have moved from `old` to `new`. Raises DatabaseCaError where one cannot take over the other."""
    first, second = own_certificate(old), own_certificate(new)
    if first.public_key == second.public_key:
        raise DatabaseCaError("the two CAs have the same key", "init --renew is enough where the key stays")
    if first.subject == second.subject:
        raise DatabaseCaError(
            "the two CAs have the same name, and servers would mix up their CRLs",
            "make the new one with another --common-name",
        )
    at = dates.now()
    moved = {row.name for row in listing.certificates(new) if row.status(at) == "valid"}
    names = dict.fromkeys(row.name for row in listing.certificates(old) if row.status(at) == "valid")
    return Rollover(tuple(name for name in names if name not in moved), tuple(name for name in names if name in moved))


def bundle(authorities: Sequence[Authority]) -> dict[str, bytes]:
    """The two files that hosts get while they trust several CAs: certificates and CRLs, one after another.

    They have the usual names, so that no setting of a server changes. Raises DatabaseCaError where one is missing.
    """
    files = {}
    for name in (CERTIFICATE, CRL):
        parts = [authority.read(name) for authority in authorities]
        files[name.rpartition("/")[2]] = b"".join(part if part.endswith(b"\n") else part + b"\n" for part in parts)
    return files
