"""The client: exact command lines, rows as they are, and failures in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbca_openssl.database.client import Client
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.finding import Finding, Level, worst
from tools.database_servers import Server
from tools.support import tool


def test_the_command_line_has_the_administrators_options_and_no_password() -> None:
    client = Client("/usr/bin/mariadb", None, Path("my.cnf"), Path("socket"), "host", 3307, "user")
    assert client.command() == (
        *("/usr/bin/mariadb", "--defaults-file=my.cnf", "--socket=socket", "--host=host", "--port=3307", "--user=user"),
        *("--batch", "--binary-mode", "--default-character-set=utf8mb4", "--connect-timeout=10"),
        *("--local-infile=0", "--loose-load-data-local-dir=", "--quick", "--skip-safe-updates", "--skip-force"),
        *("--delimiter=;", "--column-names", "--skip-table", "--skip-vertical", "--skip-html", "--skip-xml"),
        "--skip-raw",
    )
    assert client._replace(tls=True).command() == (*client.command(), "--ssl")


def test_a_client_that_uses_no_tls_unasked_is_told_the_date_too(shared_server: Server, tmp_path: Path) -> None:
    """Such as the one of MariaDB 10.5."""
    own = tmp_path / "my.cnf"
    own.write_text(f"[client]\n{shared_server.without_tls.removeprefix('--')}\n")
    options = ("--defaults-file", str(own), *shared_server.connection)
    checked = tool("server", "check", *options, "--json", directory=tmp_path)
    (loaded,) = [one for one in checked.document["findings"] if one["code"] == "loaded"]
    assert loaded["level"] == "OK"
    assert ", valid until " in loaded["text"]


def test_rows_are_what_the_server_has(shared_server: Server) -> None:
    client = _client(shared_server)
    assert list(client.query(r"SELECT 'a\tb\nc\\d\0e' AS odd, NULL AS nothing, 'ü' AS `a head`, '' AS none")) == [
        {"odd": "a\tb\nc\\d\0e", "nothing": "NULL", "a head": "ü", "none": ""}
    ]
    assert list(client.query("SELECT 'a\u2028b\x0bc\rd' AS breaks")) == [{"breaks": "a\u2028b\x0bc\rd"}]
    assert list(client.query("SELECT 1 AS one FROM DUAL WHERE FALSE")) == []
    assert client.server_flavor() == shared_server.programs.flavor


def test_what_fails_is_told_in_one_line_with_a_hint(shared_server: Server, tmp_path: Path) -> None:
    refused = tool(
        *("server", "accounts", *map(str, shared_server.programs.options)),
        *("--socket", str(shared_server.socket), "--user", "nobody"),
        directory=tmp_path,
    )
    assert refused.code == 1
    first, hint = refused.messages.splitlines()
    assert first.startswith(
        f"dbca-openssl: {Path(shared_server.programs.client).name}: ERROR 1045 (28000): Access denied"
    )
    assert hint.startswith("hint: --defaults-file FILE names an option file")


def test_a_statement_that_is_wrong_stops_the_rest(shared_server: Server) -> None:
    with pytest.raises(DatabaseCaError, match=r"ERROR 1064 \(42000\)"):
        _client(shared_server).execute("CREATE NONSENSE", "CREATE DATABASE should_not_be")
    assert shared_server.sql("SHOW DATABASES LIKE 'should_not_be'") == []


def test_no_server_is_critical_and_no_client_is_unknown(shared_server: Server, tmp_path: Path) -> None:
    nowhere = ("--socket", str(tmp_path / "nowhere"))
    checked = tool("server", "check", *shared_server.programs.options, *nowhere, directory=tmp_path)
    assert (checked.code, checked.messages) == (2, "")
    assert checked.output.startswith("CRITICAL server: 1 finding: server: ")
    checked = tool("server", "check", "--client-program", "/no/such/client", *nowhere, directory=tmp_path)
    assert checked.code == 3
    assert checked.output == "UNKNOWN: cannot run /no/such/client: there is no such program\n"


@pytest.mark.parametrize(
    ("levels", "whole"),
    [
        ([], Level.OK),
        ([Level.OK, Level.WARNING], Level.WARNING),
        ([Level.WARNING, Level.UNKNOWN], Level.UNKNOWN),
        ([Level.UNKNOWN, Level.CRITICAL, Level.OK], Level.CRITICAL),
    ],
)
def test_the_worst_counts(levels: list[Level], whole: Level) -> None:
    assert worst(Finding(level, "x", "") for level in levels) is whole


def _client(server: Server) -> Client:
    return Client(server.programs.client, socket=server.socket, user="root")
