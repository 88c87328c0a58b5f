"""Whether a server or client would accept a certificate: by `openssl verify`, with the CRL (verify(1))."""

from __future__ import annotations

import re
from pathlib import Path

from dbca_openssl import dates
from dbca_openssl.ca.certificates import certificate_path
from dbca_openssl.ca.layout import CERTIFICATE, CRL, Authority
from dbca_openssl.command import Result
from dbca_openssl.errors import DatabaseCaError

_HINTS = {
    "certificate revoked": "make a new key on its host and sign its request, or see dbca-openssl list",
    "CRL has expired": "dbca-openssl crl makes a new one; until it is on the servers they refuse every client",
    "certificate has expired": "sign a new request of its host",
    "hostname mismatch": "the certificate does not have that name; request --alt-name adds one",
    "IP address mismatch": "the certificate does not have that address; request --alt-name adds one",
    "unable to get local issuer certificate": "another CA signed it",
    "unable to get certificate CRL": "dbca-openssl crl makes one; or another CA signed it",
}


def verify(authority: Authority, what: str, host: str | None = None) -> Path:
    """The path of the certificate `what`, a name or a file, once openssl has accepted it strictly and with the CRL.

    `host` is a host name or an address that it must be valid for. Raises DatabaseCaError with openssl's reason.
    """
    authority.require()
    path = certificate_path(authority, what)
    for needed in (CERTIFICATE, CRL):
        authority.read(needed)
    named = () if host is None else for_name(host)
    result = authority.openssl.run(
        ("verify", "-x509_strict", "-crl_check", "-CAfile", CERTIFICATE, "-CRLfile", CRL, *named, str(path.absolute())),
        directory=authority.directory,
    )
    why = refusal(result)
    if not why:
        return path
    hint = next((hint for reason, hint in _HINTS.items() if reason.lower() in why.lower()), None)
    hints = [hint] if hint else []
    if "not yet valid" in why or "expired" in why:
        hints.append(f"the clock here says {dates.shown(dates.now())}")
    raise DatabaseCaError(f"{path} is not accepted: {why}", *hints, detail=_messages(result))


def for_name(name: str) -> tuple[str, str]:
    """The option by which `openssl verify` demands that a certificate is valid for a host name or an address."""
    address = re.fullmatch(r"[0-9.]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", name)
    return ("-verify_ip" if address else "-verify_hostname", name)


def refusal(result: Result) -> str:
    """Why `openssl verify` does not accept a certificate; an empty text where it does."""
    if result.code == 0 and result.output.rstrip().endswith(b": OK"):
        return ""
    reasons = re.findall(r"^error \d+ at \d+ depth lookup: ?(.+)$", _messages(result), re.MULTILINE)
    return reasons[0].strip() if reasons else "openssl cannot read it"


def _messages(result: Result) -> str:
    return result.messages + result.output.decode("utf-8", "replace")
