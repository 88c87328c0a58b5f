"""What a host's server has loaded, seen from the host itself: what is asked there, and what the answer says.

No port of the server must be reachable from here. The handshake is that of `database/handshake.py`, by the host's own
openssl; the server reads its files again by the statement of `server reload`, through the host's own client.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

from dbca_openssl.ca import canary
from dbca_openssl.ca.hosts import NEVER, KnownHost
from dbca_openssl.ca.layout import Authority, certificate_of
from dbca_openssl.database import handshake
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host.ssh import Answer
from dbca_openssl.x509 import Certificate


class Canary(NamedTuple):
    """A revoked client certificate and its key, in PEM form, as text."""

    certificate: str
    key: str


class View(NamedTuple):
    """What a host says of itself: SHA-256 digests in hex, empty where there is nothing.

    `files` are those of the public files by name, `key` that of the public key, `served` that of the certificate that
    the server serves, or `unserved` why there is none. `canary` is `accepted`, the number of a TLS alert, or empty
    (None: it was not shown). `unloaded` is why the server did not read its files again, if it did not.
    """

    files: Mapping[str, str]
    key: str
    served: str
    unserved: str
    canary: str | None
    unloaded: str | None


def kept_canary(authority: Authority) -> Canary | None:
    """The CA's canary, if it has one. Raises DatabaseCaError where it cannot be read."""
    if not canary.is_kept(authority):
        return None
    certificate, key = (authority.read(name).decode("ascii") for name in (certificate_of(canary.NAME), canary.KEY))
    return Canary(certificate, key)


def has_server(host: KnownHost) -> bool:
    """Whether there is a server on the host that the tool asks."""
    return host.reload != NEVER


def asked(host: KnownHost, revoked: Canary | None) -> dict[str, object]:
    """The values for `server.sh.j2`."""
    return {
        "reload": host.reload,
        "defaults_file": host.defaults_file,
        "socket": host.socket,
        "connect": str(_where(host)),
        "login": "".join(f"\\{byte:03o}" for byte in handshake.login()),
        "canary": revoked,
    }


def view(answer: Answer) -> View:
    """What a host has answered."""
    files = dict(rest.rpartition(" ")[::2] for rest in answer.all("file"))
    refused, unloaded = (answer.one(word) if answer.all(word) else None for word in ("canary", "unloaded"))
    return View(files, answer.one("key"), answer.one("served"), answer.one("unserved"), refused, unloaded)


def fault(host: KnownHost, seen: View, certificate: Certificate) -> DatabaseCaError | None:
    """Why the server does not serve that certificate, if it does not."""
    where = _where(host)
    if seen.unloaded is not None:
        return DatabaseCaError(
            f"{host.name}: the server did not read its files again: {seen.unloaded or 'it gave no reason'}",
            "dbca_defaults_file, dbca_socket and dbca_reload in database-ca.hosts say how it does",
        )
    if not seen.served:
        known = handshake.reason(where, seen.unserved)
        return DatabaseCaError(
            f"{host.name}: {known.message if known else f'{where}: no TLS handshake'}",
            *(known.hints if known else ()),
            "dbca_connect in database-ca.hosts says where it listens; with dbca_reload=never it is not asked",
            detail=seen.unserved,
        )
    if seen.served != digest(certificate.encoded):
        return DatabaseCaError(
            f"{host.name}: the server at {where} serves another certificate than the valid one",
            f"its ssl_cert must name {host.directory}/{host.name}.cert.pem, and dbca_connect its address",
        )
    return None


def crl_fault(host: KnownHost, seen: View) -> DatabaseCaError | None:
    """Why the server has not loaded the CRL, if a canary was shown to it that it does not refuse as revoked."""
    if seen.canary in (None, str(handshake.REVOKED)):
        return None
    if seen.canary == "accepted":
        text = "the server accepts a revoked certificate: its CRL is old, or it has none"
    elif seen.canary == str(handshake.EXPIRED):
        text = "the CRL that the server has loaded has expired, so it refuses every client certificate"
    else:
        text = f"the server does not refuse a revoked certificate as such (TLS alert {seen.canary or 'none'})"
    return DatabaseCaError(f"{host.name}: {text}", f"its ssl_crl must name {host.directory}/database-ca.crl")


def digest(data: bytes) -> str:
    """The SHA-256 digest of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def _where(host: KnownHost) -> handshake.Target:
    return handshake.target(host.connect) if host.connect else handshake.Target("127.0.0.1")
