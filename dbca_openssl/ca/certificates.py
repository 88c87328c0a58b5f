"""The certificate files of the CA: its own, those of hosts and clients, and which file a word of the user means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dbca_openssl import dates, x509
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import CERTIFICATE, Authority, certificate_of
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import is_same_name, shown
from dbca_openssl.x509 import Certificate

_LIST = "dbca-openssl list tells which there are"


def own_certificate(authority: Authority) -> Certificate:
    """The CA certificate. Raises DatabaseCaError where it cannot be read."""
    return read_certificate(authority, CERTIFICATE)


def require_ready(authority: Authority, *, is_signing: bool) -> None:
    """Have the CA ready to be unlocked, for signing or for something else.

    Raises DatabaseCaError where the clock is before the CA certificate, so that what is signed would be valid for
    nobody, and where the token with the key does not answer: a command that needs the key would wait for ever.
    """
    if is_signing and (at := dates.now()) < (start := own_certificate(authority).start):
        raise DatabaseCaError(
            f"the clock here says {dates.shown(at)}, and the CA certificate is valid from {dates.shown(start)}",
            "set the clock; if that of the CA certificate was wrong: dbca-openssl init --renew",
        )
    if authority.is_on_token():
        authority.found_key().public_key(authority.openssl)


def read_certificate(authority: Authority, name: str) -> Certificate:
    """The certificate in a file, given relative to the CA directory or absolute. Raises DatabaseCaError."""
    try:
        return x509.certificate_in(authority.read(name))
    except UnreadableError as error:
        raise DatabaseCaError(f"{authority.path(name)} is no certificate that can be read: {error}") from None


def certificate_path(authority: Authority, what: str) -> Path:
    """The certificate file that `what` means: a path, or the name of a host or client. Raises DatabaseCaError."""
    path = Path(what) if is_path(what) else authority.path(certificate_of(what))
    if not path.is_file():
        raise DatabaseCaError(f"there is no certificate {shown(str(path))}", _LIST)
    return path


def not_found(what: str, rows: Sequence[Row]) -> DatabaseCaError:
    """What to raise where no row has the name or serial `what`; its hint has the same name in another spelling."""
    other = next((row.name for row in reversed(rows) if is_same_name(row.name, what)), None)
    hint = f"there is {other}: capital and small letters count here" if other else _LIST
    return DatabaseCaError(f"there is no certificate with the name or serial {shown(what)}", hint)


def is_path(what: str) -> bool:
    """Whether a word of the user is a file, not a name or a serial."""
    return "/" in what or what.endswith((".pem", ".crt", ".csr", ".req"))
