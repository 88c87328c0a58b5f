"""`server replication`: from the printed statements alone, encrypted, and stopped by the revocation list."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from database.conftest import AIKEN, MARGARET, Site, StartServer, settings_of
from tools.database_servers import Server, eventually
from tools.support import Finished, done, snapshot, tool

SENTINEL = "the quick brown fox of the wire"


class Wire:
    """A TCP relay to a server that keeps every byte which goes through it."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.seen = bytearray()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.ends: list[socket.socket] = []
        self.relays: list[threading.Thread] = []
        self.accepting = threading.Thread(target=self._accept)
        self.accepting.start()

    def close(self) -> None:
        """End every connection."""
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.accepting.join(10)
        for end in self.ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for relay in self.relays:
            relay.join(10)
        for end in (*self.ends, self.listener):
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
                self.ends.append(near)
                far = socket.create_connection(("127.0.0.1", self.target))
                self.ends.append(far)
            except OSError:
                return
            for one, other in ((near, far), (far, near)):
                self.relays.append(threading.Thread(target=self._relay, args=(one, other)))
                self.relays[-1].start()

    def _relay(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                self.seen += data
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_replication_over_tls_from_the_printed_statements(site: Site, start: StartServer, tmp_path: Path) -> None:
    source = start(settings_of(site, AIKEN), "--server-id=1", "--log-bin=binlog")
    replica = start(settings_of(site, MARGARET), "--server-id=2")
    wire = Wire(source.port)
    try:
        printed = _printed(site, source, wire.port, tmp_path)
        source.sql(printed["source"])
        replica.sql(printed["replica"])
        source.sql(f"CREATE DATABASE d; CREATE TABLE d.t (text VARCHAR(99)); INSERT INTO d.t VALUES ('{SENTINEL}')")
        assert eventually(lambda: _rows(replica) == [[SENTINEL]]), _check(replica, tmp_path).output

        # it runs over TLS: the tool says so, the source holds the account to its certificate, the wire has no text
        checked = _check(replica, tmp_path)
        assert checked.code == 0, checked.output
        assert source.sql("SELECT ssl_type, x509_subject FROM mysql.user WHERE user = 'replication'") == [
            ["SPECIFIED", f"/CN={MARGARET}"]
        ]
        assert len(wire.seen) > 5000
        assert SENTINEL.encode() not in wire.seen

        # the wire would have shown it: the same text over a connection without TLS
        source.sql("SET GLOBAL require_secure_transport = OFF; CREATE USER plain@localhost IDENTIFIED BY 'p4ss'")
        source.client(
            *("--host=127.0.0.1", f"--port={wire.port}", "--user=plain", "--password=p4ss", source.without_tls),
            *(() if source.programs.flavor == "mariadb" else ("--get-server-public-key",)),
            statements=f"SELECT '{SENTINEL}'",
        )
        assert SENTINEL.encode() in wire.seen

        # a revoked replica is kept out from its next connection on
        site.revoke(MARGARET)
        site.new_list()
        site.deploy(AIKEN)
        here = ("--connect", source.address, "--ca", site.authority)
        done("server", "reload", AIKEN, *here, *source.connection, directory=tmp_path)
        replica.sql("STOP REPLICA; START REPLICA")
        assert eventually(lambda: "Replica_IO_Running: " in _check(replica, tmp_path).output.splitlines()[0], 10)
        source.sql("INSERT INTO d.t VALUES ('not for you')")
        assert _check(replica, tmp_path).code == 2
        assert _rows(replica) == [[SENTINEL]]
    finally:
        wire.close()


def test_tls_is_added_to_a_replication_that_runs(site: Site, start: StartServer, tmp_path: Path) -> None:
    plain = "--require-secure-transport=OFF"
    source = start(settings_of(site, AIKEN), "--server-id=1", "--log-bin=binlog", plain)
    replica = start(settings_of(site, MARGARET), "--server-id=2", plain)
    source.sql(
        "CREATE USER replication@localhost IDENTIFIED BY 'p4ss';GRANT REPLICATION SLAVE ON *.* TO replication@localhost"
    )
    head, word = (
        ("CHANGE MASTER TO", "MASTER")
        if source.programs.flavor == "mariadb"
        else ("CHANGE REPLICATION SOURCE TO GET_SOURCE_PUBLIC_KEY = 1,", "SOURCE")
    )
    where = f"{word}_HOST = '127.0.0.1', {word}_PORT = {source.port}, {word}_USER = 'replication'"
    replica.sql(f"{head} {where}, {word}_PASSWORD = 'p4ss', {word}_SSL = 0; START REPLICA")
    source.sql(f"CREATE DATABASE d; CREATE TABLE d.t (text VARCHAR(99)); INSERT INTO d.t VALUES ('{SENTINEL}')")
    assert eventually(lambda: _rows(replica) == [[SENTINEL]]), _check(replica, tmp_path).output
    before = _check(replica, tmp_path)
    assert before.code == 2
    assert "Source_SSL_Allowed: No: not encrypted" in before.output
    printed = _printed(site, source, source.port, tmp_path, "--existing")
    source.sql(printed["source"])
    replica.sql(printed["replica"])
    source.sql("INSERT INTO d.t VALUES ('and on')")
    assert eventually(lambda: _rows(replica) == [[SENTINEL], ["and on"]]), _check(replica, tmp_path).output
    assert _check(replica, tmp_path).code == 0


MARIADB = """\
-- on the source, aiken.example.net
CREATE USER 'replication'@'margaret.example.net' IDENTIFIED BY 'p4ss''word' REQUIRE SUBJECT \
'/CN=margaret.example.net' AND ISSUER \
'/O=example.net/CN=example.net Database Clients and Servers Certification Authority';
GRANT REPLICATION SLAVE ON *.* TO 'replication'@'margaret.example.net';
-- on the replica, margaret.example.net
CHANGE MASTER TO
  MASTER_HOST = 'aiken.example.net',
  MASTER_PORT = 3306,
  MASTER_USER = 'replication',
  MASTER_PASSWORD = 'p4ss''word',
  MASTER_USE_GTID = slave_pos,
  MASTER_SSL = 1,
  MASTER_SSL_CA = '/etc/mysql/ssl/database-ca.cert.pem',
  MASTER_SSL_CERT = '/etc/mysql/ssl/margaret.example.net.cert.pem',
  MASTER_SSL_KEY = '/etc/mysql/ssl/private/margaret.example.net.key.pem',
  MASTER_SSL_CRL = '/etc/mysql/ssl/database-ca.crl',
  MASTER_SSL_VERIFY_SERVER_CERT = 1;
START REPLICA;
"""


def test_the_statements_for_each_flavor(shared_site: Site, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p4ss'word\n")
    command = ("server", "replication", "--source", AIKEN, "--replica", MARGARET, "--ca", str(shared_site.authority))
    options = ("--gtid", "--password-file", "password")
    assert done(*command, *options, directory=tmp_path).output == MARIADB
    of_any = re.sub(r" AND ISSUER '[^']*'", "", MARIADB)
    assert done(*command, *options, "--no-issuer", directory=tmp_path).output == of_any != MARIADB
    mysql = MARIADB.replace("MASTER_USE_GTID = slave_pos", "SOURCE_AUTO_POSITION = 1").replace("MASTER_", "SOURCE_")
    mysql = mysql.replace("CHANGE MASTER TO", "CHANGE REPLICATION SOURCE TO")
    assert done(*command, *options, "--flavor", "mysql", directory=tmp_path).output == mysql


def test_a_file_for_each_server(shared_site: Site, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p4ss'word\n")
    (tmp_path / "statements").mkdir()
    command: tuple[str | Path, ...] = ("server", "replication", "--source", AIKEN, "--replica", MARGARET, "--gtid")
    command += ("--password-file", "password", "--ca", shared_site.authority, "--output")
    files = (f"statements/{AIKEN}.for-{MARGARET}.sql", f"statements/{MARGARET}.from-{AIKEN}.sql")
    written = done(*command, "statements", directory=tmp_path)
    assert [line.split()[0] for line in written.output.splitlines()] == list(files)
    assert "".join((tmp_path / file).read_text() for file in files) == MARIADB
    assert {(tmp_path / file).stat().st_mode & 0o777 for file in files} == {0o600}
    (tmp_path / files[0]).unlink()
    before = snapshot(tmp_path)
    for directory in ("statements", "no/such/directory"):
        assert tool(*command, directory, directory=tmp_path).code == 1
    assert snapshot(tmp_path) == before


def test_a_new_password_each_time(shared_site: Site, tmp_path: Path) -> None:
    command = ("server", "replication", "--source", AIKEN, "--replica", MARGARET, "--ca", str(shared_site.authority))
    first, second = (done(*command, directory=tmp_path) for _ in range(2))
    passwords = [
        re.findall(r"(?:IDENTIFIED BY|PASSWORD =) '([A-Za-z0-9_-]{32})'", one.output) for one in (first, second)
    ]
    assert [len(found) for found in passwords] == [2, 2]
    assert len({*passwords[0], *passwords[1]}) == 2
    assert "keep them to yourself" in first.messages


@pytest.mark.parametrize("password", ["", "\n", "x" * 33])
def test_a_password_that_mysql_would_cut_off_is_refused(shared_site: Site, tmp_path: Path, password: str) -> None:
    (tmp_path / "password").write_text(password)
    refused = tool(
        *("server", "replication", "--source", AIKEN, "--replica", MARGARET, "--ca", shared_site.authority),
        *("--password-file", "password"),
        directory=tmp_path,
    )
    assert (refused.code, refused.output) == (1, "")


def test_a_server_that_is_no_replica_is_told(shared_server: Server, tmp_path: Path) -> None:
    refused = _check(shared_server, tmp_path)
    assert (refused.code, refused.output) == (3, "UNKNOWN: the server is not a replica\n")
    assert refused.messages.startswith("hint: ")


def _printed(site: Site, source: Server, port: int, directory: Path, *options: str) -> dict[str, str]:
    printed = done(
        *("server", "replication", "--source", f"127.0.0.1:{port}", "--replica", MARGARET),
        *("--account-host", "localhost", "--ssl-dir", site.ssl(MARGARET), "--ca", site.authority),
        *("--flavor", source.programs.flavor, "--json", *options),
        directory=directory,
    ).document
    assert isinstance(printed, dict)
    return printed


def _check(replica: Server, directory: Path) -> Finished:
    return tool("server", "replication", "--check", *replica.connection, directory=directory)


def _rows(replica: Server) -> list[list[str]]:
    done = replica.client("--user=root", f"--socket={replica.socket}", statements="SELECT text FROM d.t")
    return [line.split("\t") for line in done.output.splitlines()]
