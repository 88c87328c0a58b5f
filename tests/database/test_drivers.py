"""`client settings`: what it prints connects each driver to a real server that requires X509, and lets no other one by.

The drivers of other languages are slow to start, and run by `make test-clients`.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, get_args

import pytest

from database.conftest import AIKEN, CLIENT, Site, StartServer, settings_of
from dbca_openssl.database.settings import KINDS, Kind, of_client
from dbca_openssl.errors import DatabaseCaError
from tools.database_servers import Server, eventually, free_port
from tools.support import ROOT, Finished, done, recipe, run, tool

ELSEWHERE = "127.0.0.2"
"""The server listens there too, and its certificate does not have this name."""

USER = "app:1@x/y"
"""It is more than a name in a URL or DSN."""

ASK, ANSWER = "SHOW SESSION STATUS LIKE 'Ssl_version'", "TLSv1."
EXPORTED = "of the store"


class Driver(NamedTuple):
    """How a program that prints the answer to `ASK` is made of settings: a file for them, one beside, a command."""

    kind: Kind
    settings: str
    program: str
    command: tuple[str, ...]
    beside: str = ""
    reads_crl: bool = False


PYTHON = "import sys; sys.path.insert(0, ''); import {module}, tls\n"
ONE = "cursor = connection.cursor(); cursor.execute(sys.argv[1]); print(cursor.fetchone()[1])"
AWAITED = """
import asyncio
async def ask():
    connection = await {module}.connect(**tls.options)
    async with connection.cursor() as cursor:
        await cursor.execute(sys.argv[1])
        print((await cursor.fetchone())[1])
    {close}
asyncio.run(ask())
"""


def _python(module: str, rest: str, reads_crl: bool = True) -> Driver:
    program = PYTHON.format(module=module) + rest
    return Driver("python", "tls.py", program, (sys.executable, "program.py", ASK), "program.py", reads_crl)


def _node(module: str, rest: str, reads_crl: bool) -> Driver:
    program = f"const driver = require('{module}'), options = require('./tls.js'), ask = process.argv[2];\n{rest}"
    return Driver("node", "tls.js", program, ("node", "program.js", ASK), "program.js", reads_crl)


def _php(call: str) -> Driver:
    program = f"<?php mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT); require 'tls.php'; echo {call};"
    return Driver("php", "tls.php", program, ("php", "program.php", ASK), "program.php")


FAST = {
    "PyMySQL": _python("pymysql", f"connection = pymysql.connect(**tls.options); {ONE}"),
    "the client": Driver("mariadb", "my.cnf", "", (), reads_crl=True),
}
SLOW = {
    "aiomysql": _python("aiomysql", AWAITED.format(module="aiomysql", close="connection.close()")),
    "asyncmy": _python("asyncmy", AWAITED.format(module="asyncmy", close="await connection.ensure_closed()")),
    "mysql-connector-python": _python(
        "mysql.connector", f"connection = mysql.connector.connect(**tls.connector_options); {ONE}", reads_crl=False
    ),
    "mariadb (Node.js)": _node(
        "mariadb",
        "driver.createConnection(options).then(c => c.query({sql: ask, rowsAsArray: true})"
        ".then(rows => { console.log(rows[0][1]); c.end(); }));",
        reads_crl=True,
    ),
    "mysql2 (Node.js)": _node(
        "mysql2/promise",
        # given an address, it looks for "localhost" in the certificate; so another name is reached at the same one
        f"if (options.host === '{ELSEWHERE}') {{ options.host = 'elsewhere.example.net';"
        " options.stream = () => require('net').connect(options.port, '127.0.0.1'); }\n"
        "driver.createConnection(options).then(c => c.query({sql: ask, rowsAsArray: true})"
        ".then(([rows]) => { console.log(rows[0][1]); c.end(); }));",
        reads_crl=False,
    ),
    "go-sql-driver": Driver(
        "go",
        "tls.go",
        'package main\nimport ("fmt"; "os")\nfunc main() {\n\tdb, err := openDatabase("")\n\tvar name, answer string\n'
        "\tif err == nil { err = db.QueryRow(os.Args[1]).Scan(&name, &answer) }\n"
        "\tif err != nil { fmt.Fprintln(os.Stderr, err); os.Exit(1) }\n\tfmt.Println(answer)\n}\n",
        ("go", "run", "tls.go", "main.go", ASK),
        "main.go",
    ),
    "mysqli": _php("open_mysqli('')->query($argv[1])->fetch_row()[1]"),
    "PDO": _php("open_pdo('')->query($argv[1])->fetchColumn(1)"),
    "MariaDB Connector/J": Driver(
        "jdbc",
        "Database.java",
        "class Main { public static void main(String[] words) throws Exception {\n"
        f'    var rows = Database.open("", "{EXPORTED}").createStatement().executeQuery(words[0]);\n'
        "    rows.next(); System.out.println(rows.getString(2)); System.exit(0); } }\n",
        (
            "sh",
            "-c",
            'javac -d . *.java && java -cp .:/usr/share/java/mariadb-java-client.jar:/usr/share/java/* Main "$1"',
            "sh",
            ASK,
        ),
        "Main.java",
    ),
    "MariaDB Connector/ODBC": Driver(
        "odbc", ".odbc.ini", "", ("sh", "-c", 'echo "$1" | isql -b -v client1', "sh", ASK), reads_crl=True
    ),
}
NOT_RUN = {"dotnet", "proxysql", "maxscale"}
"""Kinds for which docs/clients.md says so; `mysql` is run by the tests on MySQL."""


@dataclass(frozen=True)
class Clients:
    """A server where `app` may come in with a certificate only, and directories of files for a client."""

    site: Site
    server: Server
    files: Path

    def run(self, driver: Driver, directory: Path, files: str, host: str = "127.0.0.1", port: int = 0) -> Finished:
        """Run a driver with its settings for the files in a directory."""
        where = ("--host", host, "--port", str(port or self.server.port), "--user", USER)
        ssl = self.files / files
        if driver.kind not in ("mariadb", "odbc"):  # whose formats have no quotes, or none for quotes
            ssl = self.files / f'{files} "$HOME" {{x}} \\n\'ü'
            if not ssl.is_symlink():
                ssl.symlink_to(files)
        kind = driver.kind if driver.command else self.server.programs.flavor  # of its own client
        text = done("client", "settings", CLIENT, "--for", kind, "--ssl-dir", ssl, *where, directory=directory)
        (directory / driver.settings).write_text(text.output)
        if driver.beside:
            (directory / driver.beside).write_text(driver.program)
        if driver.kind == "jdbc":
            export(ssl.resolve(), directory)
        if not driver.command:
            return self.server.client(f"--defaults-file={directory / driver.settings}", statements=ASK)
        more = {
            "LC_ALL": "C.UTF-8",  # for javac, and for Java to open files
            "GO111MODULE": "off",
            "GOPATH": "/usr/share/gocode",
            "GOCACHE": str(directory.parent / "go"),
            "NODE_PATH": str(ROOT / ".clients_cache/node_modules"),
            "ODBCINI": str(directory / ".odbc.ini"),
        }
        return run(*driver.command, directory=directory, environment=more)


def export(ssl: Path, directory: Path, *options: str) -> None:
    (directory / "password").write_text(f"{EXPORTED}\n")
    (directory / "password").chmod(0o600)
    (ssl / f"private/{CLIENT}.p12").unlink(missing_ok=True)
    password = ("--new-passphrase-file", directory / "password")
    done("export", CLIENT, "--format", "pkcs12", "--ssl-dir", ssl, *password, *options, directory=directory)


@pytest.fixture(scope="module")
def clients(shared_site: Site, start_for_all: StartServer, tmp_path_factory: pytest.TempPathFactory) -> Clients:
    files = tmp_path_factory.mktemp("clients")
    for name in ("right", "other ca", "revoked server"):
        shutil.copytree(shared_site.ssl(CLIENT), files / name.replace(" ", "-"))
    other = tmp_path_factory.mktemp("other")
    done("init", "-o", "Other", "--bits", "2048", "--no-passphrase", "--ca", other / "ca", directory=other)
    for source in ("database-ca.cert.pem", "crl/database-ca.crl"):
        shutil.copy(other / "ca" / source, files / "other-ca")
    revoking = Site(shutil.copytree(shared_site.authority, other / "revoking"), other, shared_site.phrase)
    revoking.revoke(AIKEN)
    revoking.new_list()
    shutil.copy(revoking.authority / "crl/database-ca.crl", files / "revoked-server")
    server = start_for_all(settings_of(shared_site, AIKEN), "--bind-address=0.0.0.0")
    server.sql(f"CREATE USER `{USER}` REQUIRE X509")
    return Clients(shared_site, server, files)


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)], ids=lambda name: name
)
def test_a_driver_connects_and_verifies_the_server(name: str, clients: Clients, tmp_path: Path) -> None:
    driver = (FAST | SLOW)[name]
    outcomes = {}
    for case, files, host in (
        ("right", "right", "127.0.0.1"),
        ("other name", "right", ELSEWHERE),
        ("other CA", "other-ca", "127.0.0.1"),
        ("revoked", "revoked-server", "127.0.0.1"),
    ):
        place = tmp_path / case.replace(" ", "-")
        place.mkdir()
        outcomes[case] = clients.run(driver, place, files, host)
    assert ANSWER in outcomes["right"].output, outcomes["right"]
    accepted = {case for case, finished in outcomes.items() if ANSWER in finished.output}
    assert accepted == ({"right"} if driver.reads_crl else {"right", "revoked"}), outcomes


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--legacy",)], ids=["modern", "legacy"])
def test_keytool_reads_what_is_exported(site: Site, options: tuple[str, ...], tmp_path: Path) -> None:
    export(site.ssl(CLIENT), tmp_path, *options)
    store = site.ssl(CLIENT) / f"private/{CLIENT}.p12"
    command = ("keytool", "-list", "-v", "-keystore", store, "-storetype", "PKCS12", "-storepass:file", "password")
    read = run(*command, directory=tmp_path)
    assert read.code == 0, read.output
    for line in (f"Alias name: {CLIENT}", "Entry type: PrivateKeyEntry", "Certificate chain length: 2"):
        assert line in read.output


@pytest.mark.slow
def test_tls_goes_through_haproxy(clients: Clients, tmp_path: Path) -> None:
    port = free_port()
    where = ("--host", "127.0.0.1", "--port", str(clients.server.port))
    text = done("client", "settings", "localhost", "--for", "haproxy", *where, directory=tmp_path).output
    text = text.replace(f"bind :{clients.server.port}", f"bind 127.0.0.1:{port}")
    (tmp_path / "haproxy.cfg").write_text(text)
    checked = run("/usr/sbin/haproxy", "-c", "-f", "haproxy.cfg", directory=tmp_path)
    assert checked.code == 0, checked.messages
    started = run("/usr/sbin/haproxy", "-D", "-p", "pid", "-f", "haproxy.cfg", directory=tmp_path)
    try:
        assert started.code == 0, started.messages
        (tmp_path / "client").mkdir()

        def through() -> bool:
            return ANSWER in clients.run(FAST["PyMySQL"], tmp_path / "client", "right", "localhost", port).output

        assert eventually(through)
    finally:
        run("kill", (tmp_path / "pid").read_text().strip(), directory=tmp_path)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("mariadb", ("--host", "margaret:3307")),
        ("haproxy", ("--host", "-x")),
        ("go", ("--host", "1::2::3")),
        ("python", ("--user", "\u202eabc")),  # turns the rest of the line around
        ("mysql", ("--user", "\ufeff")),
        ("odbc", ("--user", "a;b")),
        ("jdbc", ("--ssl-dir", "/x\\u000a static { System.exit(1); } //")),
        ("mariadb", ("--user", f"{'a' * 4080} plugin-dir=/tmp")),
        ("odbc", ("--ssl-dir", f"/{'a' * 1000}")),
    ],
)
def test_what_a_format_would_read_otherwise_is_refused(kind: Kind, options: tuple[str, ...], tmp_path: Path) -> None:
    refused = tool("client", "settings", CLIENT, "--for", kind, *options, directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")
    assert refused.messages.isascii()
    assert len(refused.messages.splitlines()) <= 2  # with a hint


def test_an_option_file_of_a_server_has_no_longer_lines_either(tmp_path: Path) -> None:
    refused = tool("server", "settings", AIKEN, "--ssl-dir", f"/{'a' * 4080} plugin-dir=/tmp", directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")


@pytest.mark.parametrize("kind", KINDS)
def test_no_value_makes_a_line_of_its_own(kind: Kind) -> None:
    value = "a\"';\\\nINJECTED = 1"
    for host, user, directory in (
        (value, None, Path("/ssl")),
        (None, value, Path("/ssl")),
        (None, None, Path(f"/{value}")),
    ):
        text = ""
        with suppress(DatabaseCaError):
            text = of_client(kind, CLIENT, directory, host, None, user)
        assert "INJECTED" not in text


@pytest.mark.skipif("DBCA_TEST_MYSQL" in os.environ, reason="the page has the client of MariaDB")
def test_the_first_connection_as_the_page_has_it(clients: Clients, site: Site, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    there = f"--host=localhost --protocol=tcp --port={clients.server.port}"
    for name, text in (
        (
            "dbca-openssl",
            'case $1 in request) set -- "$@" --bits 2048 ;; sign) set -- "$@" --yes ;; esac\n'
            f'exec {sys.executable} -m dbca_openssl "$@"\n',
        ),
        (
            Path(clients.server.programs.client).name,
            'for word; do shift; case $word in --host* | aiken.*) ;; *) set -- "$@" "$word" ;; esac; done\n'
            f'exec {clients.server.programs.client} "$@" {there}\n',
        ),
    ):
        (programs / name).write_text(f"#!/bin/sh\n{text}")
        (programs / name).chmod(0o755)
    clients.server.sql("CREATE USER backup")
    ran = run(
        *("sh", "-eu", "-c", recipe("The first connection").replace("--execute status", f'--execute "{ASK}"')),
        directory=site.authority,
        environment={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "DBCA_PASSPHRASE_FILE": str(site.phrase),
        },
    )
    assert ANSWER in ran.output, ran.output + ran.messages
    assert "SUBJECT '/CN=backup@margaret'" in clients.server.sql("SHOW CREATE USER backup")[0][0]
    refused = clients.server.over_tcp(*clients.server.with_tls(clients.files / "right", CLIENT), "--user=backup")
    assert "Access denied" in refused.messages


def test_every_kind_is_run_or_the_page_says_that_it_was_not(tmp_path: Path) -> None:
    listed = done("client", "settings", CLIENT, "--json", directory=tmp_path).document["kinds"]
    assert set(listed) == set(KINDS) == set(get_args(Kind))
    assert {one.kind for one in (FAST | SLOW).values()} | {"mysql", "haproxy"} | NOT_RUN == set(KINDS)
    table = re.findall(r"^\| `(\w+)` .* \| (.*?) \| (.*?) \|$", (ROOT / "docs/clients.md").read_text(), re.MULTILINE)
    assert [kind for kind, *_ in table] == list(KINDS)
    assert {kind for kind, _, tested in table if tested == "not run"} == NOT_RUN
