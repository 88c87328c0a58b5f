"""What a host's server has loaded, seen from the host itself: what is asked there, and what the answer says.

No port of the server must be reachable from here. The handshake is that of `database/handshake.py`, by the host's own
openssl; the server reads its files again by the statement of `server reload`, through the host's own client.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dbca_openssl.ca import canary
from dbca_openssl.ca.host_variables import NEVER
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import Authority, certificate_of
from dbca_openssl.database import handshake
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host.scripts import script
from dbca_openssl.host.ssh import Answer
from dbca_openssl.x509 import Certificate

_SHOWN = 400
"""Characters of a host's own words that are shown."""


class Canary(NamedTuple):
    """A revoked client certificate and its key, in PEM form, as text."""

    certificate: str
    key: str


class View(NamedTuple):
    """What a host says of itself: SHA-256 digests in hex, empty where there is nothing.

    `files` are those of the public files by name, `key` that of the public key, `served` that of the certificate that
    the server serves, or `unserved` why there is none. `canaries` are its answers to those that were shown. `unloaded`
    is why the server did not read its files again, if it did not.
    """

    files: Mapping[str, str]
    key: str
    served: str
    unserved: str
    canaries: tuple[handshake.Answer, ...]
    unloaded: str | None


def canaries(*authorities: Authority) -> list[Canary]:
    """The canary of each CA that has one. Raises DatabaseCaError where it cannot be read."""
    return [
        Canary(*(authority.read(name).decode("ascii") for name in (certificate_of(canary.NAME), canary.KEY)))
        for authority in authorities
        if canary.is_kept(authority)
    ]


def has_server(host: KnownHost) -> bool:
    """Whether there is a server on the host that the tool asks."""
    return host.reload != NEVER


def asked(host: KnownHost, shown: Sequence[Canary]) -> dict[str, object]:
    """The values for `server.sh.j2`."""
    return {
        "reload": host.reload,
        "defaults_file": host.defaults_file,
        "socket": host.socket,
        "connect": str(_where(host)),
        "login": "".join(f"\\{byte:03o}" for byte in handshake.login()),
        "canaries": shown,
    }


def look(host: KnownHost, canaries: Sequence[Canary], *, reload: bool = False) -> str:
    """The script that says what lies on a host, and what its server serves, after it has read its files if `reload`."""
    title = f"The files of {host.name}, and what its server has loaded"
    return script("look", title, host.name, host.directory, server=asked(host, canaries), reload=reload)


def view(answer: Answer) -> View:
    """What a host has answered."""
    files = dict(rest.rpartition(" ")[::2] for rest in answer.all("file"))
    key, served, unserved = (answer.one(word) for word in ("key", "served", "unserved"))
    unloaded = answer.one("unloaded")[:_SHOWN] if answer.all("unloaded") else None
    canaries = tuple(
        handshake.Answer(one == "accepted", int(one) if re.fullmatch(r"\d{1,3}", one, re.ASCII) else None)
        for one in answer.all("canary")
    )
    return View(files, key, served, unserved, canaries, unloaded)


def require_loaded(host: KnownHost, seen: View) -> None:
    """Raise DatabaseCaError where the server did not read its files again, or serves no certificate."""
    if seen.unloaded is not None:
        raise DatabaseCaError(
            f"{host.name}: the server did not read its files again: {seen.unloaded or 'it gave no reason'}",
            "dbca_defaults_file, dbca_socket and dbca_reload in database-ca.hosts say how it does",
        )
    if not seen.served:
        known = handshake.reason(_where(host), seen.unserved)
        raise DatabaseCaError(
            f"{host.name}: {known.message if known else f'{_where(host)}: no TLS handshake'}",
            *(known.hints if known else ()),
            "dbca_connect in database-ca.hosts says where it listens; with dbca_reload=never it is not asked",
            detail=seen.unserved,
        )


def require_served(host: KnownHost, seen: View, certificate: Certificate) -> None:
    """Raise DatabaseCaError where the server does not serve that certificate."""
    require_loaded(host, seen)
    if seen.served != digest(certificate.encoded):
        raise DatabaseCaError(
            f"{host.name}: the server at {_where(host)} serves another certificate than the valid one",
            f"its ssl_cert must name {host.directory}/{host.name}.cert.pem, and dbca_connect its address",
        )


def require_crl(host: KnownHost, seen: View) -> None:
    """Raise DatabaseCaError where the server does not refuse a canary that was shown to it as revoked."""
    for one in seen.canaries:
        if problem := one.to_revoked():
            raise DatabaseCaError(f"{host.name}: {problem}", f"its ssl_crl must name {host.directory}/database-ca.crl")


def digest(data: bytes) -> str:
    """The SHA-256 digest of bytes, in hex."""
    return hashlib.sha256(data).hexdigest()


def _where(host: KnownHost) -> handshake.Target:
    return handshake.target(host.connect) if host.connect else handshake.Target("127.0.0.1")
