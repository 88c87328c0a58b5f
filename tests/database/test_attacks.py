"""Attacks by a server on the clients that speak to it: it gets no file, and its time and bytes are bounded."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from database.conftest import AIKEN, CLIENT, Site
from dbca_openssl.database import client as clients
from dbca_openssl.database import handshake
from dbca_openssl.database.client import Client
from dbca_openssl.database.handshake import ClientCertificate
from dbca_openssl.errors import DatabaseCaError, UnreachableError
from dbca_openssl.openssl import OpenSSL
from tools import rogue_servers
from tools.database_servers import Programs
from tools.rogue_servers import Behaviour, Rogue, rogue
from tools.support import snapshot, tool

MIB = 1 << 20

MOST = 16 * MIB
"""What a server gets rid of before it is given up: more than the limits, since much of it is on its way."""


PROBED = (
    pytest.param(rogue_servers.floods_inside_tls, "sent more than 256 KiB", id="inside TLS"),
    pytest.param(rogue_servers.floods_with_tickets, "sent more than 256 KiB", id="session tickets"),
    pytest.param(rogue_servers.floods_in_the_certificate_message, "no TLS handshake", id="certificate message"),
    pytest.param(lambda *_: rogue_servers.floods_before_tls, "no TLS handshake", id="before TLS"),
    pytest.param(lambda *_: rogue_servers.floods_in_the_greeting, "no TLS handshake", id="greeting"),
)

ASKED = (
    pytest.param(rogue_servers.endless_rows, "the server sent more than 4096 KiB", id="rows"),
    pytest.param(rogue_servers.endless_columns, r"ERROR 20\d\d|signal", id="columns"),
    pytest.param(rogue_servers.endless_error, r"ERROR 20\d\d|sent more than", id="error message"),
    pytest.param(rogue_servers.endless_results, "timed out", id="results"),
    pytest.param(rogue_servers.silent, "timed out", id="silence"),
    pytest.param(rogue_servers.no_such_column, "has no column version", id="another column"),
    pytest.param(rogue_servers.two_rows, "2 instead of one", id="too many rows"),
)

OPTIONS_THAT_ALLOW = ("local-infile", "local-infile=1", "loose-load-data-local-dir=/", "loose-load_data_local_dir={}")
"""What an option file may have that lets a server have files."""

PRINTED_OTHERWISE = ("table", "vertical", "html", "xml", "raw", "skip-column-names", "force", "delimiter=//")
"""What an option file may have that changes what the client prints, but is changed back."""

NOT_WHOLE = ("one-database", "silent", "verbose", "execute=SELECT 1")
"""The same, which cannot be changed back."""


@pytest.mark.parametrize(("attack", "says"), PROBED)
def test_a_probe_of_a_server_that_sends_without_an_end(
    site: Site, tmp_path: Path, attack: Callable[[Path, Path], Behaviour], says: str
) -> None:
    before = snapshot(site.authority)
    with rogue(attack(*_pair(site, AIKEN))) as server:
        probed = tool(
            *("server", "probe", AIKEN, "--connect", server.address, "--ca", site.authority), directory=tmp_path
        )
    assert (probed.code, probed.messages) == (2, "")
    assert says in probed.output.splitlines()[0]
    assert server.sent < MOST or "more than" not in says
    assert snapshot(site.authority) == before


def test_an_answer_to_a_client_certificate_that_has_no_end(site: Site) -> None:
    with rogue(rogue_servers.floods_inside_tls(*_pair(site, AIKEN))) as server:
        where = handshake.target(server.address)
        with pytest.raises(UnreachableError, match="sent more than 256 KiB"):
            handshake.answer(OpenSSL(), where, ClientCertificate(*_pair(site, CLIENT)))
    assert server.sent < MOST


@pytest.mark.parametrize(("attack", "says"), ASKED)
def test_a_statement_to_a_server_that_sends_too_much_or_nothing(
    programs: Programs, tmp_path: Path, attack: Behaviour, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "SECONDS_IN_ALL", 3 if says == "timed out" else 60)
    limited = tmp_path / "limited"
    limited.write_text(f'#!/bin/sh\nulimit -v {512 * 1024}\nexec {programs.client} "$@"\n')  # KiB
    limited.chmod(0o755)
    with rogue(attack) as server, pytest.raises(DatabaseCaError, match=says):
        _client(dataclasses.replace(programs, client=str(limited)), tmp_path, server).server_flavor()


@pytest.mark.parametrize("option", OPTIONS_THAT_ALLOW)
@pytest.mark.parametrize("command", ["accounts", "check", "require", "reload", "replication"])
def test_no_server_is_given_a_file(site: Site, programs: Programs, tmp_path: Path, option: str, command: str) -> None:
    """An option file may allow it, and the server answers every statement with the request for the CA key."""
    key = site.authority / "private/database-ca.key.pem"
    options = _option_file(tmp_path, option.format(key.parent))
    arguments: dict[str, tuple[str, ...]] = {
        "require": ("app@localhost", "--ssl", "--apply"),
        "reload": (AIKEN,),
        "replication": ("--check",),
    }
    before = snapshot(site.authority)
    with rogue(rogue_servers.asks_for(key)) as server:
        refused = tool(
            *("server", command, *arguments.get(command, ()), "--flavor", programs.flavor, *programs.options),
            *("--defaults-file", options, "--host", "127.0.0.1", "--port", str(server.port), "--user", "root"),
            *(("--ca", site.authority) if command == "reload" else ()),
            directory=tmp_path,
        )
    assert refused.code in (1, 2, 3), refused.output
    assert bytes(server.received) == b""
    assert "PRIVATE KEY" not in refused.messages
    assert snapshot(site.authority) == before


def test_a_client_that_verifies_its_server_sends_it_no_password(
    programs: Programs, shared_site: Site, tmp_path: Path
) -> None:
    """A server may ask for the password in clear text; what `client settings` prints prevents it."""
    verify = "ssl-verify-server-cert" if programs.flavor == "mariadb" else "ssl-mode=VERIFY_IDENTITY"
    options = tmp_path / "verify.cnf"
    options.write_text(
        f"[client]\nloose-enable-cleartext-plugin\npassword=p4ss\n{verify}\nssl-ca={shared_site.ssl(CLIENT)}/database-ca.cert.pem\n"
    )
    with rogue(rogue_servers.asks_for_the_password_in_clear) as server:
        client = Client(programs.client, defaults_file=options, host="127.0.0.1", port=server.port, user="root")
        with pytest.raises(DatabaseCaError):
            client.server_flavor()
    assert bytes(server.received) == b""


@pytest.mark.parametrize("option", [f"[mysql]\n{option}" for option in PRINTED_OTHERWISE])
def test_rows_are_read_whatever_an_option_file_says(programs: Programs, tmp_path: Path, option: str) -> None:
    with rogue(rogue_servers.one_row) as server:
        assert list(_client(programs, tmp_path, server, option).query("SELECT 1")) == [
            {"version": "a\tb 10.11.0-MariaDB"}
        ]


@pytest.mark.parametrize("option", [f"[mysql]\n{option}" for option in NOT_WHOLE])
def test_rows_that_an_option_file_keeps_from_us_are_missed(programs: Programs, tmp_path: Path, option: str) -> None:
    """Or `server accounts` would say that there are none."""
    says = "did not print the rows|has no column version"
    with rogue(rogue_servers.one_row) as server, pytest.raises(DatabaseCaError, match=says):
        _client(programs, tmp_path, server, option).server_flavor()


def _pair(site: Site, name: str) -> tuple[Path, Path]:
    return site.ssl(name) / f"{name}.cert.pem", site.ssl(name) / f"private/{name}.key.pem"


def _option_file(directory: Path, *lines: str) -> Path:
    path = directory / "my.cnf"
    without_tls = ("loose-skip-ssl", "loose-ssl-mode=DISABLED")
    path.write_text("\n".join(("[client]", *without_tls, *lines, "")))
    return path


def _client(programs: Programs, directory: Path, server: Rogue, *lines: str) -> Client:
    options = _option_file(directory, *lines)
    return Client(programs.client, defaults_file=options, host="127.0.0.1", port=server.port, user="root")
