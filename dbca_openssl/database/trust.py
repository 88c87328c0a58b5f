"""What a server is compared with: the CA certificate, the CRL, and the issued certificates."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import crls, x509
from dbca_openssl.ca.layout import CERTIFICATE, CONFIGURATION, CRL, Authority
from dbca_openssl.crls import Crl
from dbca_openssl.database.statements import Requirement
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import shown
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.x509 import Certificate


class Trust(NamedTuple):
    """The public files, in the CA directory or, on a host, in `/etc/mysql/ssl`."""

    openssl: OpenSSL
    authority: Path
    crl: Path
    certificates: Path

    def path(self, name: str) -> Path:
        """The file of the certificate that was issued to `name`."""
        return self.certificates / f"{name}.cert.pem"

    def issued(self, name: str) -> Certificate:
        """The certificate that was issued to `name`. Raises DatabaseCaError where there is none that can be read."""
        return read_certificate(read(self.path(name)), str(self.path(name)))

    def crl_data(self) -> bytes:
        """The CRL, as its file has it. Raises DatabaseCaError."""
        return read(self.crl)

    def crl_ends(self) -> dict[bytes, datetime]:
        """When each CRL expires, as `next_updates`. Raises DatabaseCaError also where no CA signed it (crl(1))."""
        found = read_crls(self.crl_data(), str(self.crl))
        for crl in found:
            crls.require_signed(crl, self.openssl, self.authority, str(self.crl))
        return next_updates(found)


def of_authority(authority: Authority) -> Trust:
    """The files in a CA directory, or in a host's directory such as `/etc/mysql/ssl`.

    Raises DatabaseCaError where it is neither.
    """
    directory = authority.directory
    if not authority.path(CONFIGURATION).is_file() and authority.path(CERTIFICATE).is_file():
        return Trust(authority.openssl, directory / CERTIFICATE, directory / Path(CRL).name, directory)
    authority.require()
    return Trust(authority.openssl, directory / CERTIFICATE, directory / CRL, directory / "certs")


def read_certificate(pem: bytes, label: str) -> Certificate:
    """The one certificate in `pem`, called `label` in messages. Raises DatabaseCaError where there is none."""
    try:
        return x509.certificate_in(pem)
    except UnreadableError as error:
        raise DatabaseCaError(f"{label} is no certificate that can be read: {error}") from None


def read_crls(pem: bytes, label: str) -> list[Crl]:
    """The CRLs in `pem`, called `label` in messages. Raises DatabaseCaError where something else is in it."""
    try:
        return crls.crls_in(pem)
    except UnreadableError as error:
        raise DatabaseCaError(f"{label} is no CRL that can be read: {error}") from None


def next_updates(found: Sequence[Crl]) -> dict[bytes, datetime]:
    """When the CRLs expire, by the name of their issuer (DER); while hosts trust two CAs there are two."""
    return {crl.issuer: crl.end for crl in sorted(found, key=lambda crl: crl.end)}


def requirement(trust: Trust, name: str) -> Requirement:
    """Subject and issuer of the certificate of `name`, as a server compares them: X509_NAME_oneline(3).

    Raises DatabaseCaError where they have characters that the versions of openssl write in different ways.
    """
    path = trust.path(name)
    subject, issued_by = compared_names(trust.openssl, path)
    certificate = trust.issued(name)
    try:
        authorities = x509.certificates_in(read(trust.authority))
    except UnreadableError as error:
        raise DatabaseCaError(f"{trust.authority} has no certificates that can be read: {error}") from None
    issuer = next((one for one in authorities if one.subject == certificate.issuer), None)
    if issuer is None:
        raise DatabaseCaError(f"{path} was not issued by the CA of {trust.authority}")
    for part, pairs in (("subject", certificate.subject_parts), ("issuer", issuer.subject_parts)):
        if value := next((value for _, value in pairs if "/" in value or "+" in value), None):
            raise DatabaseCaError(
                f"the {part} {shown(value)} has a '/' or '+' in it, which versions of openssl write in different ways",
                "--x509 requires any certificate of the CA",
            )
    return Requirement("CERTIFICATE", subject, issued_by)


def compared_names(openssl: OpenSSL, path: Path) -> tuple[str, str]:
    """Subject and issuer of a certificate as X509_NAME_oneline(3) writes them. Raises DatabaseCaError."""
    result = openssl.run(
        ("x509", "-noout", "-subject", "-issuer", "-nameopt", "compat"), directory=Path("/"), data=read(path)
    )
    found = re.fullmatch(r"subject= ?(/\S.*)\nissuer= ?(/\S.*)\n", result.output.decode("utf-8", "replace"))
    if result.code != 0 or not found:
        raise DatabaseCaError(f"{path} is no certificate that can be read", detail=result.messages)
    return found[1], found[2]


def read(path: Path) -> bytes:
    """The bytes of a file. Raises DatabaseCaError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatabaseCaError(f"cannot read {path}: {error.strerror}") from None
