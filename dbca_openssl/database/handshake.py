"""A TLS handshake with a server that runs, without an account of it: `openssl s_client -starttls mysql` (s_client(1)).

MySQL's protocol: the server greets, the client asks for TLS, and inside of it logs in. The login that is sent here
names a user that there is not, so the server answers with its refusal: an answer from inside of TLS, which under
TLS 1.3 is the first proof that it has accepted the client's certificate. It is also good manners: a server counts a
handshake that ends without a login as a connection error, and after 100 of them it blocks the host (ERROR 1129).
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import x509
from dbca_openssl.command import Result
from dbca_openssl.database.findings import UnreachableError
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import SENT_TOO_MUCH, TIMED_OUT, OpenSSL

PORT = 3306
SECONDS = 10
"""How long a handshake may take; a server that does not answer is found out after so many seconds."""

LARGEST_OUTPUT = 256 * 1024
"""Bytes that s_client may write about a server: all of what the server sends inside of TLS is in it."""

USER = "dbca-openssl"
"""The user that the server finds in its log as refused.

With this length the first byte of the login is an `E`; a `K` or a `Q` would be a command to s_client.
"""

REVOKED, EXPIRED = 44, 45
"""TLS alerts (RFC 8446, 6.2): `certificate_revoked`; `certificate_expired`, which also tells of a list that is over."""

ALERTS = {40: "handshake failure", 42: "bad certificate", 46: "certificate unknown", 48: "unknown authority"}


class Target(NamedTuple):
    """Where to connect: a host name or an address, and a port."""

    host: str
    port: int = PORT

    def __str__(self) -> str:
        """`HOST:PORT`, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Served(NamedTuple):
    """What a server showed: its certificate (PEM), and the protocol that was agreed upon."""

    certificate: bytes
    protocol: str


class ClientCertificate(NamedTuple):
    """The files of a client's certificate and its key."""

    certificate: Path
    key: Path


class Answer(NamedTuple):
    """Whether a server let a client certificate in, and if not, the TLS alert that it gave (None: it gave none)."""

    accepted: bool
    alert: int | None

    def __str__(self) -> str:
        """The alert in words."""
        words = ALERTS | {REVOKED: "certificate revoked", EXPIRED: "certificate or revocation list expired"}
        return f"TLS alert {self.alert}, {words.get(self.alert, 'see RFC 8446')}" if self.alert else "no TLS alert"


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


def served(openssl: OpenSSL, where: Target) -> Served:
    """The certificate that the server at `where` serves. Raises UnreachableError where it serves none."""
    result = _connect(openssl, where, "-showcerts", "-ign_eof")
    output = result.output.decode("latin-1")
    protocol = re.search(r"^ *Protocol *: *(\S+)", output, re.MULTILINE) or re.search(r"^New, (\S+),", output, re.M)
    try:
        blocks = x509.pem_blocks(result.output)
    except UnreadableError:
        blocks = []
    if not blocks or not protocol:
        raise _unreachable(where, result)
    begin, end = b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"
    first = result.output[result.output.index(begin) : result.output.index(end)] + end + b"\n"
    return Served(first, protocol.group(1))


def answer(openssl: OpenSSL, where: Target, client: ClientCertificate) -> Answer:
    """Whether the server at `where` lets `client` in, by `openssl s_client` (s_client(1)).

    Raises UnreachableError where there is no handshake at all, DatabaseCaError where the client's files are no pair.
    """
    certificate, key = str(client.certificate.absolute()), str(client.key.absolute())
    result = _connect(openssl, where, "-quiet", "-cert", certificate, "-key", key)
    alert = re.search(r"SSL alert number (\d+)", result.messages)
    if result.output:  # with -quiet, only what came from inside of TLS
        return Answer(True, None)
    if alert:
        return Answer(False, int(alert.group(1)))
    if re.search(r"[Cc]ould not (?:read|find|open)|unable to load|key values mismatch", result.messages):
        raise DatabaseCaError(f"{certificate} and {key} are no pair that can be used", detail=result.messages)
    raise _unreachable(where, result)


def _connect(openssl: OpenSSL, where: Target, *options: str) -> Result:
    result = openssl.run(
        ("s_client", "-starttls", "mysql", "-connect", str(where), *options),
        directory=Path("/"),
        data=_login(),
        timeout=SECONDS,
        largest_output=LARGEST_OUTPUT,
    )
    if result.code == SENT_TOO_MUCH:
        raise UnreachableError(f"{where}: sent more than {LARGEST_OUTPUT // 1024} KiB")
    return result


def _login() -> bytes:
    """A login without a password, an empty answer to whatever else the server asks, and good-bye.

    The first packet continues the one by which s_client asked for TLS, with the same capabilities.
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
    for pattern, meaning, hints in _REASONS:
        if re.search(pattern, said):
            return UnreachableError(f"{where}: {meaning}", *hints, detail=said)
    if result.code == TIMED_OUT:
        return UnreachableError(f"{where}: no answer within {SECONDS} seconds", detail=said)
    return UnreachableError(f"{where}: no TLS handshake", "--verbose shows what openssl said", detail=said)


_REASONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (r"[Cc]onnection refused", "nothing listens there", ()),
    (r"Name or service not known|getaddrinfo|BIO_lookup", "there is no such host", ()),
    (r"No route to host|Network is unreachable|Connection timed out", "the network does not lead there", ()),
    (
        r"does not support SSL",
        "the server speaks no TLS",
        ("dbca-openssl server settings prints what it needs; its error log tells why it did not take it",),
    ),
    (
        r"[Oo]nly MySQL protocol version|Cannot confirm server version|Timed out in read|server (?:greeting|version)",
        "no server of MariaDB or MySQL, or one that turns this machine away",
        ("no account may connect from here, or it was blocked after too many errors (FLUSH HOSTS)",),
    ),
)
