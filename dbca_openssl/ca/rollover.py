"""A new CA certificate with the same key, or a second CA that takes over from the first.

A certificate with the same key and name replaces the old one, and everything that was signed stays valid. A new key is
another CA: for a while the hosts trust both, and get both CRLs, since a server that checks CRLs refuses everybody
whose CA has none.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import archive, guide_commands, index, listing
from dbca_openssl.ca.certificates import own_certificate, read_certificate
from dbca_openssl.ca.change import BACKUPS, Change
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import CERTIFICATE, CONFIGURATION, CRL, DATABASE, REQUEST, Authority, issued
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import fsync, replace, require_absent
from dbca_openssl.names import shown
from dbca_openssl.transaction import Transaction
from dbca_openssl.x509 import Certificate

RECORD = "database-ca.rollover"
"""In the directory of each of the two CAs, while hosts trust both: `old` or `new`, and where the other one is.

Afterwards, in that of the CA that they have left: `left`, and where the one is that they trust.
"""

_RECORD = re.compile(r"(old|new|left) ([^\n\0]+)\n")


class Pair(NamedTuple):
    """The two CAs of a rollover."""

    old: Authority
    new: Authority

    def other(self, authority: Authority) -> Authority:
        """The one of the two that is not in the directory of `authority`."""
        return self.new if authority.directory == self.old.directory else self.old

    def names_of_other(self, authority: Authority) -> frozenset[str]:
        """The names with a certificate of the other CA; that of the new one counts, where it has signed one."""
        old, new = (
            {row.name for row in listing.certificates(one) if row.status(dates.now()) == "valid"} for one in self
        )
        return frozenset(new if authority.directory == self.old.directory else old - new)


def renew_own_certificate(authority: Authority, start: datetime, end: datetime) -> Certificate:
    """Sign the CA's own request again, with its key and name, and replace the CA certificate.

    The old row is marked as expired in the index: with two valid rows of one name every openssl refuses to go on, and
    servers that check CRLs refuse a revoked root. Its copy stays in `newcerts/`.
    Raises DatabaseCaError, and then nothing has changed.
    """
    authority.require()
    authority.read(REQUEST)
    configuration = authority.read(CONFIGURATION).decode("utf-8", "replace")
    with Change(authority, CERTIFICATE) as change:
        old = own_certificate(authority)  # not before: an interrupted change is recovered first
        _require_lasting(authority, listing.of_hosts(change.rows, old))
        change.staged(CERTIFICATE).unlink()
        change.expire(index.serial_text(old.serial))
        change.run(guide_commands.self_sign(start, end, configuration, home=change.stage))
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


def pair(old: Authority, new: Authority) -> Pair:
    """The CAs, if `new` can take over from `old`. Raises DatabaseCaError if not."""
    for authority in (old, new):
        authority.require()
    first, second = own_certificate(old), own_certificate(new)
    if first.public_key == second.public_key:
        raise DatabaseCaError("the two CAs have the same key", "init --renew is enough where the key stays")
    if first.subject == second.subject:
        raise DatabaseCaError(
            "the two CAs have the same name, and servers would mix up their CRLs",
            "make the new one with another --common-name",
        )
    return Pair(old, new)


def under_way(authority: Authority) -> Pair | None:
    """The rollover that a CA is in, if it is in one. Raises DatabaseCaError where the other CA is not there."""
    path = authority.path(RECORD)
    if not path.is_file():
        return None
    said = _RECORD.fullmatch(authority.read(RECORD).decode("utf-8", "surrogateescape"))
    if not said:
        raise DatabaseCaError(f"{path} is damaged", "dbca-openssl rollover OLD --ca NEW --advance writes it again")
    if said[1] == "left":
        return None
    other = authority._replace(directory=Path(os.path.normpath(authority.path(said[2]))))
    if not other.path(CERTIFICATE).is_file():
        raise DatabaseCaError(
            f"the other CA of the rollover is not in {other.directory}", f"bring it there, or correct {path}"
        )
    return pair(other, authority) if said[1] == "old" else pair(authority, other)


def require_current(authority: Authority) -> None:
    """Raise DatabaseCaError where the hosts have left a CA: a timer that goes on with it would take them back."""
    path = authority.path(RECORD)
    said = _RECORD.fullmatch(authority.read(RECORD).decode("utf-8", "surrogateescape")) if path.is_file() else None
    if said and said[1] == "left":
        raise DatabaseCaError(
            f"the hosts have left this CA, and trust the one in {shown(os.path.normpath(authority.path(said[2])))}",
            "name that one with --ca DIR or DBCA_CA, in timers too",
            f"if hosts are to use this one again: rm {shlex.quote(str(path))}",
        )


def begin(both: Pair) -> None:
    """Record in each of the two CAs that hosts trust both. Raises DatabaseCaError."""
    for authority, word, other in ((both.new, "old", both.old), (both.old, "new", both.new)):
        place = os.path.relpath(other.directory, authority.directory)
        _record(authority, f"{word} {place}\n".encode("utf-8", "surrogateescape"))


def finish(both: Pair, left: Authority) -> None:
    """Record that hosts trust only one of the two, and have `left` the other. Raises DatabaseCaError."""
    if left.path(RECORD).is_file():
        place = os.path.relpath(both.other(left).directory, left.directory)
        _record(left, f"left {place}\n".encode("utf-8", "surrogateescape"))
    _record(both.other(left), None)


def _record(authority: Authority, data: bytes | None) -> None:
    with Transaction(
        authority.directory, compared=[RECORD], tell=authority.tell, timeout=authority.lock_timeout
    ) as change:
        if data is None:
            authority.path(RECORD).unlink(missing_ok=True)
            fsync(authority.directory)
        elif change.base[RECORD] != data:
            change.write(RECORD, data)
            change.commit((RECORD,))


def bundle(authorities: Sequence[Authority]) -> dict[str, bytes]:
    """The two files that hosts get while they trust several CAs: certificates and CRLs, one after another.

    They have the usual names, so that no setting of a server changes. Raises DatabaseCaError where one is missing.
    """
    files = {}
    for name in (CERTIFICATE, CRL):
        parts = [authority.read(name) for authority in authorities]
        files[name.rpartition("/")[2]] = b"".join(part if part.endswith(b"\n") else part + b"\n" for part in parts)
    return files


def write_bundle(both: Pair, directory: Path) -> list[str]:
    """Write the files of both CAs into a directory; returns their paths. Written before, they are refreshed.

    Raises DatabaseCaError where there are other files of those names.
    """
    files = bundle((both.new, both.old))
    certificates = directory / CERTIFICATE
    if not certificates.is_file() or certificates.read_bytes() != files[CERTIFICATE]:
        for name in files:
            require_absent(directory / name)
    directory.mkdir(exist_ok=True)
    for name, data in files.items():
        replace(directory / name, data)
    fsync(directory)
    return [str(directory / name) for name in files]
