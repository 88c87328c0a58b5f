"""What a server shows to anybody who connects, held against what the authority issued: no account is needed.

openssl itself judges the certificate (verify(1)); the revocation list and the dates are looked at one by one, so that
a list that is over does not hide a certificate that is revoked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import finding
from dbca_openssl.ca import index
from dbca_openssl.command import Result
from dbca_openssl.database import handshake
from dbca_openssl.database.handshake import ClientCertificate, Served, Target
from dbca_openssl.database.trust import Trust, read_certificate
from dbca_openssl.errors import DatabaseCaError, UnreachableError
from dbca_openssl.finding import Finding, Level
from dbca_openssl.x509 import Certificate

MODERN = ("TLSv1.2", "TLSv1.3")
"""The guide: "at least TLSv1.2"."""


class Probe(NamedTuple):
    """A server to look at: the host name that its certificate must have, and where it is.

    `canary` is a revoked certificate that must be refused, `valid_client` one that must be let in.
    """

    trust: Trust
    name: str
    where: Target
    canary: ClientCertificate | None = None
    valid_client: ClientCertificate | None = None


def probe(what: Probe, at: datetime) -> list[Finding]:
    """Connect once, and once more for each client certificate. Raises DatabaseCaError where nothing can be judged."""
    trust, issued = what.trust, what.trust.issued(what.name)
    if what.canary:
        _require_revoked(trust, what.canary)
    try:
        served = handshake.served(trust.openssl, what.where)
    except UnreachableError as error:
        return [Finding(Level.CRITICAL, "server", error.message)]
    found = [protocol(served), *certificate(what, served, issued, at), revocation_list(trust, at)]
    if what.valid_client:
        found.append(_valid_client(what, what.valid_client))
    if what.canary:
        found.append(_canary(what, what.canary))
    return found


def protocol(served: Served) -> Finding:
    """The protocol that server and openssl agreed upon, their best."""
    return Finding(Level.OK if served.protocol in MODERN else Level.CRITICAL, "protocol", served.protocol)


def certificate(what: Probe, served: Served, issued: Certificate, at: datetime) -> Iterator[Finding]:
    """Whether the certificate is the issued one, and good for its name, now and according to the list (verify(1)).

    Raises DatabaseCaError where what is served cannot be read.
    """
    trust = what.trust
    shown = read_certificate(trust.openssl, served.certificate, f"what {what.where} serves")
    serial = index.serial_text(shown.serial)
    if shown.encoded == issued.encoded:
        yield Finding(Level.OK, "certificate", f"serial {serial}, as it was issued")
    elif shown.issuer == issued.issuer:
        yield Finding(
            Level.CRITICAL,
            "certificate",
            f"serial {serial} of {shown.common_name or 'nobody'}, where {index.serial_text(issued.serial)} was issued: "
            "deploy it, then server reload",
        )
    else:
        yield Finding(Level.CRITICAL, "certificate", "another authority issued it, or the server itself")
    complaint = _complaint(_verify(trust, served.certificate, "-no_check_time", *_for_name(what.name)))
    yield Finding(Level.CRITICAL if complaint else Level.OK, "chain", complaint or f"valid for {what.name}")
    complaint = _complaint(
        _verify(trust, served.certificate, "-no_check_time", "-crl_check", "-CRLfile", str(trust.revocation_list))
    )
    yield Finding(Level.CRITICAL if complaint else Level.OK, "revocation", complaint or "not revoked")
    if at < shown.start:
        yield Finding(Level.CRITICAL, "validity", f"not before {shown.start:%Y-%m-%d %H:%M:%S}Z")
    else:
        yield finding.until("validity", shown.end, at, finding.CERTIFICATE_DAYS)


def revocation_list(trust: Trust, at: datetime) -> Finding:
    """The age of the revocation list; when it is over, servers refuse every client that shows a certificate."""
    try:
        return finding.until("crl", trust.list_end(), at, finding.CRL_DAYS)
    except DatabaseCaError as error:
        return Finding(Level.CRITICAL, "crl", error.message)


def _valid_client(what: Probe, client: ClientCertificate) -> Finding:
    answer = handshake.answer(what.trust.openssl, what.where, client)
    if answer.accepted:
        return Finding(Level.OK, "client", f"{client.certificate.name} is let in")
    return Finding(Level.CRITICAL, "client", f"{client.certificate.name} is refused: {answer}")


def _canary(what: Probe, canary: ClientCertificate) -> Finding:
    answer = handshake.answer(what.trust.openssl, what.where, canary)
    name = canary.certificate.name
    if answer.accepted:
        return Finding(
            Level.CRITICAL, "canary", f"{name} is revoked, but the server lets it in: it has an old CRL, or none"
        )
    if answer.alert == handshake.REVOKED:
        return Finding(Level.OK, "canary", f"{name} is refused as revoked")
    if answer.alert == handshake.EXPIRED:
        return Finding(Level.CRITICAL, "canary", "the server's CRL has expired, so it refuses every client certificate")
    return Finding(Level.CRITICAL, "canary", f"{name} is refused, but not as revoked: {answer}")


def _require_revoked(trust: Trust, canary: ClientCertificate) -> None:
    """A canary that is not revoked, or is of another authority, would be refused, or not, for another reason."""
    options = ("-no_check_time", "-crl_check", "-CRLfile", str(trust.revocation_list))
    try:
        complaint = _complaint(_verify(trust, canary.certificate.read_bytes(), *options))
    except OSError as error:
        raise DatabaseCaError(f"cannot read {canary.certificate}: {error.strerror}") from None
    if complaint != "certificate revoked":
        raise DatabaseCaError(
            f"{canary.certificate} is no canary: it is {complaint or 'not revoked'}",
            "sign a client certificate for this purpose, and revoke it; then: dbca-openssl crl",
        )


def _verify(trust: Trust, pem: bytes, *options: str) -> Result:
    return trust.openssl.run(
        ("verify", "-x509_strict", *options, "-CAfile", str(trust.authority)), directory=Path("/"), data=pem
    )


def _complaint(result: Result) -> str:
    """What openssl has against a certificate; an empty text where it has nothing."""
    said = result.messages + result.output.decode("utf-8", "replace")
    if result.code == 0 and result.output.rstrip().endswith(b": OK"):
        return ""
    reasons = re.findall(r"^error \d+ at \d+ depth lookup: ?(.+)$", said, re.MULTILINE)
    return reasons[0].strip() if reasons else "openssl cannot judge it"


def _for_name(name: str) -> tuple[str, str]:
    address = re.fullmatch(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", name)
    return ("-verify_ip" if address else "-verify_hostname", name)
