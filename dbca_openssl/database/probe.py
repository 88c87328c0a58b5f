"""Judges what a server shows to anybody who connects by what the CA issued; no account is needed.

openssl judges the certificate (verify(1)). The CRL and the dates are checked one by one, so that an expired CRL does
not hide a revoked certificate.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import dates, finding
from dbca_openssl.ca import index, verify
from dbca_openssl.database import handshake
from dbca_openssl.database.handshake import ClientCertificate, Served, Target, There
from dbca_openssl.database.trust import Trust, read, read_certificate
from dbca_openssl.errors import DatabaseCaError, UnreachableError
from dbca_openssl.finding import CRITICAL, OK, Finding
from dbca_openssl.x509 import Certificate

MODERN = ("TLSv1.2", "TLSv1.3")
"""The guide: "at least TLSv1.2"."""


class Probe(NamedTuple):
    """A server to probe: the host name that its certificate must have, and its address.

    `canary` is a revoked certificate that must be refused, `valid_client` one that must be accepted. `there` is the
    host whose openssl connects, in place of the one here.
    """

    trust: Trust
    name: str
    where: Target
    canary: ClientCertificate | None = None
    valid_client: ClientCertificate | None = None
    there: There | None = None


def probe(what: Probe, at: datetime) -> list[Finding]:
    """Connect once, and once more for each client certificate. Raises DatabaseCaError where nothing can be judged."""
    trust, issued = what.trust, what.trust.issued(what.name)
    if what.canary:
        _require_revoked(trust, what.canary)
    try:
        served = handshake.served(trust.openssl, what.where, what.there)
    except UnreachableError as error:
        return [Finding(CRITICAL, "server", error.message)]
    level = OK if served.protocol in MODERN else CRITICAL  # what server and openssl negotiated is their newest
    found = [Finding(level, "protocol", served.protocol), *_certificate(what, served, issued, at), _crl(what, at)]
    if what.valid_client:
        found.append(_valid_client(what, what.valid_client))
    if what.canary:
        found.append(_canary(what, what.canary))
    return found


def _certificate(what: Probe, served: Served, issued: Certificate, at: datetime) -> Iterator[Finding]:
    """Whether the certificate is the issued one, and valid for its name, today and according to the CRL (verify(1))."""
    shown = read_certificate(served.certificate, f"what {what.where} serves")
    serial = index.serial_text(shown.serial)
    if shown.encoded == issued.encoded:
        yield Finding(OK, "certificate", f"serial {serial}, as issued")
    elif shown.issuer == issued.issuer:
        text = f"serial {serial} of {shown.common_name or 'nobody'}, but {index.serial_text(issued.serial)} was issued"
        yield Finding(CRITICAL, "certificate", f"{text}: deploy it, then server reload")
    else:
        yield Finding(CRITICAL, "certificate", "issued by another CA, or by the server itself")
    for code, options, fine in (
        ("chain", verify.for_name(what.name), f"valid for {what.name}"),
        ("revocation", _by_crl(what.trust), "not revoked"),
    ):
        refusal = _refusal(what.trust, served.certificate, *options)
        yield Finding(CRITICAL, code, refusal) if refusal else Finding(OK, code, fine)
    if at < shown.start:
        text = f"valid from {dates.shown(shown.start)}; the clock here says {dates.shown(at)}"
        yield Finding(CRITICAL, "validity", text)
    else:
        yield finding.until("validity", shown.end, at, finding.CERTIFICATE_DAYS)


def _crl(what: Probe, at: datetime) -> Finding:
    """The age of the CA's CRL; once it has expired, servers refuse every client that shows a certificate."""
    whose = "the CA's CRL; not what the server has loaded"
    if what.canary is None:
        whose += ": only the file was looked at, --canary shows what is loaded"
    try:
        return finding.until("crl", min(what.trust.crl_ends().values()), at, finding.CRL_DAYS, whose)
    except DatabaseCaError as error:
        return Finding(CRITICAL, "crl", error.message)


def _valid_client(what: Probe, client: ClientCertificate) -> Finding:
    answer = handshake.answer(what.trust.openssl, what.where, client, what.there)
    if answer.accepted:
        return Finding(OK, "client", f"{client.certificate.name} is accepted")
    return Finding(CRITICAL, "client", f"{client.certificate.name} is refused: {answer}")


def _canary(what: Probe, canary: ClientCertificate) -> Finding:
    answer = handshake.answer(what.trust.openssl, what.where, canary, what.there)
    name, problem = canary.certificate.name, answer.to_revoked()
    return Finding(
        CRITICAL if problem else OK, "canary", f"{name}: {problem}" if problem else f"{name} is refused as revoked"
    )


def _require_revoked(trust: Trust, canary: ClientCertificate) -> None:
    """A server would refuse, or accept, any other canary for another reason."""
    refusal = _refusal(trust, read(canary.certificate), *_by_crl(trust))
    if refusal != "certificate revoked":
        raise DatabaseCaError(
            f"{canary.certificate} is no canary: it is {refusal or 'not revoked'}",
            "sign a client certificate for this purpose, and revoke it; then: dbca-openssl crl",
        )


def _by_crl(trust: Trust) -> tuple[str, ...]:
    return ("-crl_check", "-CRLfile", str(trust.crl))


def _refusal(trust: Trust, pem: bytes, *options: str) -> str:
    """Why openssl does not accept a certificate, whatever its dates; an empty text where it does."""
    command = ("verify", "-x509_strict", "-no_check_time", *options, "-CAfile", str(trust.authority))
    return verify.refusal(trust.openssl.run(command, directory=Path("/"), data=pem))
