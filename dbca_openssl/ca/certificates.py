"""The certificate files of the authority: its own, those of hosts and clients, and which file a word means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dbca_openssl import x509
from dbca_openssl.ca.layout import CERTIFICATE, Authority, certificate_of
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import shown
from dbca_openssl.x509 import Certificate


def own_certificate(authority: Authority) -> Certificate:
    """The authority's own certificate. Raises DatabaseCaError where it cannot be read."""
    return read_certificate(authority, CERTIFICATE)


def read_certificate(authority: Authority, name: str) -> Certificate:
    """The certificate in a file, given relative to the authority or absolute. Raises DatabaseCaError."""
    return read_certificates(authority, [name])[0]


def read_certificates(authority: Authority, names: Sequence[str]) -> list[Certificate]:
    """The certificates in several files, by one openssl. Raises DatabaseCaError for the first that can't be read."""
    if not names:
        return []
    encoded = [encoded_certificate(authority, name) for name in names]
    try:
        return x509.certificates(authority.openssl, encoded)
    except UnreadableError as error:
        if len(names) > 1:
            for name in names:
                read_certificates(authority, [name])
        raise _unreadable(authority, names[0], error) from None


def encoded_certificate(authority: Authority, name: str) -> bytes:
    """The DER bytes of the certificate in a file. Raises DatabaseCaError where it does not hold exactly one."""
    try:
        return x509.certificate_der(authority.read(name))
    except UnreadableError as error:
        raise _unreadable(authority, name, error) from None


def _unreadable(authority: Authority, name: str, error: UnreadableError) -> DatabaseCaError:
    return DatabaseCaError(f"{authority.path(name)} is no certificate that can be read: {error}")


def certificate_path(authority: Authority, what: str) -> Path:
    """The certificate file that `what` means: a path, or the name of a host or client. Raises DatabaseCaError."""
    path = Path(what) if is_path(what) else authority.path(certificate_of(what))
    if not path.is_file():
        raise DatabaseCaError(f"there is no certificate {shown(str(path))}", "dbca-openssl list tells which there are")
    return path


def is_path(what: str) -> bool:
    """Whether a word of the user is a file, not a name or a serial."""
    return "/" in what or what.endswith((".pem", ".crt", ".csr", ".req"))
