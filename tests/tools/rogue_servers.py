"""Rogue servers: they send without an end, ask for files, or send nothing more.

They speak as much of MySQL's protocol as that takes: a greeting, OK to any login, and one answer to a statement.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = bytes(1 << 20)
PLAIN, WITH_TLS = 0x0018A7BF, 0x0018AFBF
"""Capabilities of a server; the second with CLIENT_SSL."""


@dataclass
class Rogue:
    """A server on a port of 127.0.0.1, how much it could send, and what it was given."""

    port: int
    sent: int = 0
    received: bytearray = field(default_factory=bytearray)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"


class Connection:
    """One client of a rogue server."""

    def __init__(self, rogue: Rogue, stream: socket.socket) -> None:
        self.rogue, self.stream, self.number = rogue, stream, 0

    def send(self, data: bytes) -> None:
        """Send bytes, and count them."""
        self.stream.sendall(data)
        self.rogue.sent += len(data)

    def packet(self, payload: bytes) -> None:
        """Send one packet."""
        self.send(struct.pack("<I", len(payload))[:3] + bytes([self.number % 256]) + payload)
        self.number += 1

    def read(self) -> bytes:
        """One packet of the client."""
        head = self._bytes(4)
        self.number = head[3] + 1
        return self._bytes(int.from_bytes(head[:3], "little"))

    def _bytes(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self.stream.recv(count - len(data))
            if not more:
                raise ConnectionError
            data += more
        return data

    def greet(self, capabilities: int = PLAIN) -> None:
        """The greeting of a server."""
        low, high = struct.pack("<I", capabilities)[:2], struct.pack("<I", capabilities)[2:]
        head = b"\x0a5.5.5-10.11.0-MariaDB\0" + bytes(4) + b"12345678\0" + low + b"\x21\x02\0" + high
        self.packet(head + bytes([21]) + bytes(10) + b"abcdefghijkl\0mysql_native_password\0")

    def let_in(self) -> None:
        """Greet, and accept any login."""
        self.greet()
        self.read()
        self.packet(OK)

    def encrypt(self, certificate: Path, key: Path, tickets: int = 2) -> None:
        """Greet, and go on inside TLS when the client asks for it."""
        self.greet(WITH_TLS)
        self.read()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.num_tickets = tickets
        self.stream = context.wrap_socket(self.stream, server_side=True)


OK = b"\0\0\0\x02\0\0\0"
END = b"\xfe\0\0\x02\0"


def _column(name: bytes) -> bytes:
    return b"\x03def\0\0\0" + bytes([len(name)]) + name + b"\0\x0c\x21\0\0\1\0\0\xfd\0\0\0\0\0"


COLUMN = _column(b"version")

Behaviour = Callable[[Connection], None]


@contextmanager
def rogue(behaviour: Behaviour) -> Iterator[Rogue]:
    """A server that does to each client what `behaviour` says."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Rogue(listener.getsockname()[1])

        def serve() -> None:
            with suppress(OSError):
                while True:
                    stream, _ = listener.accept()
                    stream.settimeout(30)
                    connection = Connection(server, stream)
                    with suppress(OSError, ConnectionError):
                        behaviour(connection)
                    connection.stream.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def answering(answer: Behaviour, question: bytes = b"SELECT VERSION") -> Behaviour:
    """What lets everybody in, gives `answer` to statements that begin with `question`, and OK to all others."""

    def behave(connection: Connection) -> None:
        connection.let_in()
        while (statement := connection.read())[:1] == b"\x03":
            if statement[1:].startswith(question):
                answer(connection)
            else:
                connection.packet(OK)

    return behave


def asks_for(path: Path) -> Behaviour:
    """To every statement: send me that file (LOCAL INFILE)."""

    def answer(connection: Connection) -> None:
        connection.packet(b"\xfb" + str(path).encode())
        while part := connection.read():
            connection.rogue.received += part
        connection.packet(OK)

    return answering(answer, question=b"")


@answering
def endless_rows(connection: Connection) -> None:
    """A result without an end."""
    for payload in (b"\1", COLUMN, END):
        connection.packet(payload)
    _without_end(connection, b"\xfc\xe8\x03" + b"10.11.0-MariaDB".ljust(1000, b"x"))


@answering
def endless_columns(connection: Connection) -> None:
    """A result whose head has no end."""
    connection.packet(b"\xfc\xff\xff")
    _without_end(connection, COLUMN)


@answering
def endless_error(connection: Connection) -> None:
    """An error message without an end: packet after packet of the greatest length, which are one message."""
    connection.packet(b"\xff\x15\x04#28000" + b"x" * (0xFFFFFF - 9))
    _without_end(connection, b"x" * 0xFFFFFF)


@answering
def endless_results(connection: Connection) -> None:
    """Nothing but the announcement of the next result."""
    _without_end(connection, b"\0\0\0\x0a\0\0\0")


def silent(connection: Connection) -> None:
    """Let everybody in, and answer nothing."""
    connection.let_in()
    while connection.read():
        pass


def asks_for_the_password_in_clear(connection: Connection) -> None:
    """Let in whoever sends the password in clear text."""
    connection.greet()
    connection.read()
    connection.packet(b"\xfemysql_clear_password\0")
    connection.rogue.received += connection.read()


def floods_before_tls(connection: Connection) -> None:
    """Send without an end, and no greeting."""
    while True:
        connection.send(BLOCK)


def floods_in_the_greeting(connection: Connection) -> None:
    """A greeting of the greatest length, and more."""
    connection.send(b"\xff\xff\xff\0\x0a")
    while True:
        connection.send(b"5" * len(BLOCK))


def floods_inside_tls(certificate: Path, key: Path) -> Behaviour:
    """Send without an end once TLS is there."""

    def behave(connection: Connection) -> None:
        connection.encrypt(certificate, key)
        while True:
            connection.send(BLOCK)

    return behave


def floods_with_tickets(certificate: Path, key: Path) -> Behaviour:
    """Send session tickets, of which s_client says more than they hold."""

    def behave(connection: Connection) -> None:
        connection.encrypt(certificate, key, tickets=100_000)
        connection.read()

    return behave


def floods_in_the_certificate_message(certificate: Path, key: Path) -> Behaviour:
    """Send a chain of 2 MB."""
    chain = certificate.with_name("chain.pem")
    data = certificate.read_bytes()
    chain.write_bytes(data * (2_000_000 // len(data)))

    def behave(connection: Connection) -> None:
        connection.encrypt(chain, key)
        connection.read()

    return behave


def _without_end(connection: Connection, payload: bytes) -> None:
    many = max(1, len(BLOCK) // (len(payload) + 4))
    while True:
        start = connection.number
        head = struct.pack("<I", len(payload))[:3]
        connection.send(b"".join(head + bytes([(start + one) % 256]) + payload for one in range(many)))
        connection.number += many


def _rows(count: int, column: bytes = b"version") -> Behaviour:
    def behave(connection: Connection) -> None:
        connection.let_in()
        while (statement := connection.read())[:1] == b"\x03":
            if b"SELECT 'row' AS last" in statement:
                answer: tuple[bytes, ...] = (b"\1", _column(b"last"), END, b"\3row", END)
            elif statement[1:7] == b"SELECT":
                answer = (b"\1", _column(column), END, *(b"\x13a\tb 10.11.0-MariaDB",) * count, END)
            else:
                answer = (OK,)
            for payload in answer:
                connection.packet(payload)

    return behave


one_row = _rows(1)
"""An honest server: to a question one row, with a tab in it, and OK to everything else."""

two_rows = _rows(2)
no_such_column = _rows(1, b"nothing")
