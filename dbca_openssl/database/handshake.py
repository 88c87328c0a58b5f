"""A TLS handshake with a running server, without an account on it: `openssl s_client -starttls mysql` (s_client(1)).

The login that is sent inside TLS names a user who does not exist. The server's refusal is the first proof under TLS 1.3
that it has accepted the client's certificate. A handshake without a login would count as a connection error, and after
100 of them a server blocks the host (ERROR 1129).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from dbca_openssl.command import Result
from dbca_openssl.errors import DatabaseCaError, UnreachableError
from dbca_openssl.openssl import SENT_TOO_MUCH, TIMED_OUT, OpenSSL

PORT = 3306
SECONDS = 10
"""How long a handshake may take."""

LARGEST_OUTPUT = 256 * 1024
"""Bytes that s_client may write, with all that the server sends inside TLS."""

USER = "dbca-openssl"
"""The user whose refused login is in the server's log.

With this length the first byte of the login is an `E`; a `K` or a `Q` would be a command to s_client.
"""

REVOKED, EXPIRED, UNKNOWN_CA = 44, 45, 48
"""TLS alerts (RFC 8446, 6.2); `certificate_expired` is also sent for an expired CRL."""

ALERTS = {
    40: "handshake failure",
    42: "bad certificate",
    REVOKED: "certificate revoked",
    EXPIRED: "certificate or CRL expired",
    46: "certificate unknown",
    UNKNOWN_CA: "unknown CA",
}


class There(Protocol):
    """A host whose programs are run instead of those here."""

    def run(self, names: Sequence[str], arguments: Sequence[str], data: bytes = b"", seconds: int = 60) -> Result:
        """Run the first of the programs `names` that it has. Raises DatabaseCaError where it runs none."""


class Target(NamedTuple):
    """Where to connect: a host name or an address, and a port."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        """`HOST:PORT`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Served(NamedTuple):
    """What a server serves: its certificate (PEM), and the TLS version that was negotiated."""

    certificate: bytes
    protocol: str


class ClientCertificate(NamedTuple):
    """The files of a client's certificate and its key."""

    certificate: Path
    key: Path


class Answer(NamedTuple):
    """Whether a server accepted a client certificate, and if not, the TLS alert that it sent (None: it sent none)."""

    accepted: bool
    alert: int | None

    def __str__(self) -> str:
        """The answer in words."""
        if self.accepted:
            return "a login"
        return f"TLS alert {self.alert}, {ALERTS.get(self.alert, 'see RFC 8446')}" if self.alert else "no TLS alert"

    def to_revoked(self) -> str:
        """What is wrong with the server that gives a revoked certificate this answer, or nothing."""
        if self.accepted:
            return "the server accepts a revoked certificate: its CRL is old, or it has none"
        if self.alert == EXPIRED:
            return "the CRL that the server has loaded has expired, so it refuses every client certificate"
        return "" if self.alert == REVOKED else f"the server does not refuse a revoked certificate as such: {self}"


def target(text: str) -> Target:
    """What `HOST[:PORT]` means; an IPv6 address with a port has brackets. Raises DatabaseCaError."""
    match = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?|([A-Za-z0-9][A-Za-z0-9._-]*)(?::(\d{1,5}))?", text)
    if match:
        port = int(match.group(2) or match.group(4) or PORT)
        if 0 < port < 65536:
            return Target(match.group(1) or match.group(3), port)
    elif re.fullmatch(r"[0-9A-Fa-f:.]+", text) and text.count(":") > 1:
        return Target(text)
    raise DatabaseCaError(f"not HOST or HOST:PORT: {text!r}", "for example aiken.example.net:3306, or [::1]:3306")


def served(openssl: OpenSSL, where: Target, there: There | None = None) -> Served:
    """The certificate that the server at `where` serves, to the host `there` or to this one.

    Raises UnreachableError where it serves none.
    """
    result = _connect(openssl, where, there, "-showcerts", "-ign_eof")
    output = result.output.decode("latin-1")
    certificate = re.search(r"^-----BEGIN CERTIFICATE-----$.*?^-----END CERTIFICATE-----\n", output, re.M | re.S)
    version = re.search(r"^ *Protocol *: *(\S+)", output, re.M) or re.search(r"^New, (\S+),", output, re.M)
    if not certificate or not version:
        raise _unreachable(where, result)
    return Served(certificate.group().encode("latin-1"), version.group(1))


def answer(openssl: OpenSSL, where: Target, client: ClientCertificate, there: There | None = None) -> Answer:
    """Whether the server at `where` accepts the certificate of `client`, from the host `there` or from this one.

    Raises UnreachableError where there is no handshake at all, DatabaseCaError where the client's files do not match.
    """
    certificate, key = str(client.certificate.absolute()), str(client.key.absolute())
    result = _connect(openssl, where, there, "-quiet", "-cert", certificate, "-key", key)
    alert = re.search(r"SSL alert number (\d+)", result.messages)
    if result.output:  # with -quiet, only what came from inside TLS
        return Answer(True, None)
    if alert:
        return Answer(False, int(alert.group(1)))
    if re.search(r"[Cc]ould not (?:read|find|open)|unable to load|key values mismatch", result.messages):
        raise DatabaseCaError(f"{certificate} and {key} do not match, or cannot be read", detail=result.messages)
    raise _unreachable(where, result)


def _connect(openssl: OpenSSL, where: Target, there: There | None, *options: str) -> Result:
    command = ("s_client", "-starttls", "mysql", "-connect", str(where), *options)
    if there:
        return there.run(("openssl",), command, login(), SECONDS)  # what ssh may bring is limited
    result = openssl.run(command, directory=Path("/"), data=login(), timeout=SECONDS, largest_output=LARGEST_OUTPUT)
    if result.code == SENT_TOO_MUCH:
        raise UnreachableError(f"{where}: sent more than {LARGEST_OUTPUT // 1024} KiB")
    return result


def login() -> bytes:
    """A login without a password, an empty answer to what the server asks next, and COM_QUIT.

    The first packet follows the one by which s_client asked for TLS, with the same capabilities.
    """
    capabilities, largest, character_set = 0x007FAE85, 1 << 24, 33
    login = struct.pack("<IIB23x", capabilities, largest, character_set)
    login += USER.encode() + b"\0" + b"\0" + b"mysql_native_password\0" + b"\0"
    return b"".join(
        struct.pack("<I", len(payload))[:3] + bytes([number]) + payload
        for number, payload in ((2, login), (4, b""), (0, b"\x01"))
    )


def _unreachable(where: Target, result: Result) -> UnreachableError:
    said = result.messages + result.output.decode("utf-8", "replace")
    if known := reason(where, said):
        return known
    if result.code == TIMED_OUT:
        return UnreachableError(f"{where}: timed out after {SECONDS} seconds", detail=said)
    return UnreachableError(f"{where}: no TLS handshake", "--verbose shows openssl's messages", detail=said)


def reason(where: Target, said: str) -> UnreachableError | None:
    """Why there was no handshake, by what s_client `said`, if it is known."""
    for pattern, meaning, *hints in _REASONS:
        if re.search(pattern, said):
            return UnreachableError(f"{where}: {meaning}", *hints, detail=said)
    return None


# patterns of what is printed, what that means, and hints
_REASONS = (
    (r"[Cc]onnection refused", "connection refused"),
    (r"Name or service not known|getaddrinfo|BIO_lookup", "unknown host"),
    (r"No route to host|Network is unreachable", "no route to host"),
    (r"Connection timed out", "timed out"),
    (
        r"does not support SSL",
        "the server does not offer TLS",
        "dbca-openssl server settings prints the options that it needs; its error log says what was wrong with them",
    ),
    (
        r"[Oo]nly MySQL protocol version|Cannot confirm server version|Timed out in read|server (?:greeting|version)",
        "not a MariaDB or MySQL server, or one that refuses connections from this host",
        "no account may connect from here, or this host was blocked after too many errors (FLUSH HOSTS)",
    ),
)
