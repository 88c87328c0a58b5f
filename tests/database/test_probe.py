"""`server probe`: what anybody who connects can see, and a canary that must be refused."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from database.conftest import AIKEN, CLIENT, MARGARET, REVOKED, Site, StartServer, settings_of
from dbca_openssl.database import handshake
from dbca_openssl.errors import DatabaseCaError, UnreachableError
from dbca_openssl.openssl import OpenSSL
from tools.database_servers import Server, eventually, free_port
from tools.support import ORGANIZATION, done, frozen_tool, openssl, snapshot, tool


def _pair(site: Site, name: str) -> tuple[Path, Path]:
    return site.ssl(name) / f"{name}.cert.pem", site.ssl(name) / f"private/{name}.key.pem"


def _findings(document: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {one["code"]: f"{one['level'].lower()}: {one['text']}" for one in document["findings"]}


def test_a_server_as_it_should_be(shared_server: Server, shared_site: Site, tmp_path: Path) -> None:
    before = snapshot(shared_site.authority)
    probed = done(
        *("server", "probe", AIKEN, "--connect", shared_server.address, "--ca", shared_site.authority, "--json"),
        *("--canary", *_pair(shared_site, REVOKED), "--client", *_pair(shared_site, CLIENT)),
        directory=tmp_path,
    ).document
    assert probed["status"] == "OK"
    found = _findings(probed)
    assert found["protocol"] == "ok: TLSv1.3"
    assert found["certificate"] == f"ok: serial {shared_site.serial(AIKEN)}, as issued"
    assert found["chain"] == f"ok: valid for {AIKEN}"
    assert found["revocation"] == "ok: not revoked"
    assert found["canary"] == "ok: client2.cert.pem is refused as revoked"
    assert found["crl"].startswith("ok: the CA's CRL; not what the server has loaded, valid until ")
    assert found["client"] == "ok: client1.cert.pem is accepted"
    assert snapshot(shared_site.authority) == before


def test_the_copies_on_a_host_are_enough(shared_server: Server, shared_site: Site, tmp_path: Path) -> None:
    done(
        "server", "probe", AIKEN, "--connect", shared_server.address, "--ca", shared_site.ssl(AIKEN), directory=tmp_path
    )


def test_another_name_is_not_served(shared_server: Server, shared_site: Site, tmp_path: Path) -> None:
    probed = tool(
        *("server", "probe", MARGARET, "--connect", shared_server.address, "--ca", shared_site.authority, "--json"),
        directory=tmp_path,
    )
    assert probed.code == 2
    found = _findings(probed.document)
    assert found["certificate"].startswith(f"critical: serial {shared_site.serial(AIKEN)} of {AIKEN}")
    assert found["chain"].lower() == "critical: hostname mismatch"  # 1.1.1 begins it with a capital


def test_a_server_certificate_that_is_revoked(site: Site, shared_server: Server, tmp_path: Path) -> None:
    """The shared server's authority is the same one, so a list of ours can revoke its certificate."""
    site.revoke(AIKEN)
    site.new_list()
    command = ("server", "probe", AIKEN, "--connect", shared_server.address, "--ca", site.authority, "--json")
    probed = tool(*command, directory=tmp_path)
    assert probed.code == 2
    assert _findings(probed.document)["revocation"] == "critical: certificate revoked"
    site.expired_crl()
    found = _findings(tool(*command, directory=tmp_path).document)
    assert found["revocation"] == "critical: certificate revoked", "an expired CRL hides it"
    looked = "only the file was looked at, --canary shows what is loaded"
    assert found["crl"].startswith(
        f"critical: the CA's CRL; not what the server has loaded: {looked}, expired on 2026-02-01 00:00:00Z"
    )


def test_a_server_without_a_list_lets_the_canary_in(shared_site: Site, start: StartServer, tmp_path: Path) -> None:
    text = settings_of(shared_site, MARGARET).read_text()
    without = tmp_path / "without-crl.cnf"
    without.write_text("\n".join(line for line in text.splitlines() if not line.startswith("ssl_crl")))
    server = start(without)
    probed = tool(
        *("server", "probe", MARGARET, "--connect", server.address, "--ca", shared_site.authority, "--json"),
        *("--canary", *_pair(shared_site, REVOKED)),
        directory=tmp_path,
    )
    assert probed.code == 2
    assert _findings(probed.document)["canary"].startswith(
        "critical: client2.cert.pem: the server accepts a revoked certificate"
    )
    checked = tool("server", "check", *server.connection, "--json", directory=tmp_path)
    assert checked.code == 2
    assert _findings(checked.document)["ssl_crl"] == "critical: none, so revoked clients are accepted"


def test_only_a_revoked_certificate_is_a_canary(shared_server: Server, shared_site: Site, tmp_path: Path) -> None:
    refused = tool(
        *("server", "probe", AIKEN, "--connect", shared_server.address, "--ca", shared_site.authority),
        *("--canary", *_pair(shared_site, CLIENT)),
        directory=tmp_path,
    )
    assert refused.code == 3
    assert refused.output.startswith("UNKNOWN: ")
    assert "client1.cert.pem is no canary: it is not revoked" in refused.output


def test_nobody_there_is_critical(shared_site: Site, tmp_path: Path) -> None:
    where = f"127.0.0.1:{free_port()}"
    probed = tool(
        "server", "probe", AIKEN, "--connect", where, "--ca", shared_site.authority, "--json", directory=tmp_path
    )
    assert probed.code == 2
    assert _findings(probed.document) == {"server": f"critical: {where}: connection refused"}


def test_no_certificate_to_compare_with_is_unknown(shared_server: Server, shared_site: Site, tmp_path: Path) -> None:
    probed = tool(
        *("server", "probe", "other.example.net", "--connect", shared_server.address, "--ca", shared_site.authority),
        directory=tmp_path,
    )
    assert probed.code == 3
    assert probed.output.startswith("UNKNOWN: cannot read ")


def test_a_server_without_tls_is_told(start: StartServer, shared_site: Site, tmp_path: Path) -> None:
    server = start(None, "--skip-ssl" if _is_mariadb(shared_site) else "--tls-version=")
    probed = tool(
        "server", "probe", AIKEN, "--connect", server.address, "--ca", shared_site.authority, directory=tmp_path
    )
    assert probed.code == 2
    assert "the server does not offer TLS" in probed.output
    checked = tool("server", "check", *server.connection, directory=tmp_path)
    assert checked.code == 2
    here = ("--connect", server.address, "--ca", str(shared_site.authority))
    reloaded = tool("server", "reload", AIKEN, *here, *server.connection, directory=tmp_path)
    assert reloaded.code == 1


@pytest.mark.skipif("DBCA_TEST_MYSQL" in os.environ, reason="MySQL shows this number to nobody")
def test_a_probe_is_no_connection_error_to_the_server(shared_server: Server, tmp_path: Path) -> None:
    """After max_connect_errors of them a server blocks a host, which a plain s_client from cron would achieve."""
    where = handshake.Target("127.0.0.1", shared_server.port)

    def errors() -> int:
        return int(shared_server.sql("SHOW GLOBAL STATUS LIKE 'Aborted_connects_preauth'")[0][1])

    before = errors()
    for _ in range(3):
        assert handshake.served(OpenSSL(), where).protocol == "TLSv1.3"
    assert errors() == before
    openssl("s_client", "-starttls", "mysql", "-connect", str(where), directory=tmp_path)
    assert eventually(lambda: errors() == before + 1)


def test_a_server_that_turns_everybody_away(start: StartServer, shared_site: Site) -> None:
    server = start(settings_of(shared_site, AIKEN), "--skip-name-resolve")
    server.sql("DROP USER IF EXISTS root@127.0.0.1")
    with pytest.raises(UnreachableError, match="refuses connections from this host"):
        handshake.served(OpenSSL(), handshake.Target("127.0.0.1", server.port))


def test_a_port_that_is_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshake, "SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = handshake.Target("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(UnreachableError, match=r"timed out after 0\.5 seconds"):
            handshake.served(OpenSSL(), where)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("aiken.example.net", "aiken.example.net", 3306),
        ("aiken:3307", "aiken", 3307),
        ("192.0.2.7:1", "192.0.2.7", 1),
        ("[2001:db8::1]:3307", "2001:db8::1", 3307),
        ("2001:db8::1", "2001:db8::1", 3306),
    ],
)
def test_targets(text: str, host: str, port: int) -> None:
    assert handshake.target(text) == handshake.Target(host, port)


@pytest.mark.parametrize("text", ["", "host:0", "host:65536", "host:", "-h", "a b", "[::1", "host:1:2", "host\n"])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(DatabaseCaError, match="not HOST or HOST:PORT"):
        handshake.target(text)


def _is_mariadb(site: Site) -> bool:
    return "MariaDB" in settings_of(site, AIKEN).read_text()


def test_all_crls_of_a_host_count_while_it_trusts_two_cas(
    site: Site, keys: Path, start: StartServer, tmp_path: Path
) -> None:
    """Also the second one, which has two days left; and `deploy` is not advised, which would remove it."""
    clock = f"{datetime.now(UTC) - timedelta(days=28):%Y-%m-%d 12:00:00}"
    new = (
        "--common-name",
        "example.net Database CA 2",
        "--key",
        keys / "host.key.pem",
        "--no-passphrase",
        "--crl-days",
        "30",
    )
    made = frozen_tool(clock, "init", "-o", ORGANIZATION, *new, "--ca", tmp_path / "second", directory=tmp_path)
    assert made.code == 0, made.messages
    done("rollover", site.authority, "--ca", tmp_path / "second", "--output", tmp_path / "both", directory=tmp_path)
    ssl = site.ssl(AIKEN)
    for name in ("database-ca.cert.pem", "database-ca.crl"):
        (ssl / name).write_bytes((tmp_path / "both" / name).read_bytes())
    server = start(settings_of(site, AIKEN))
    probed = tool("server", "probe", AIKEN, "--connect", server.address, "--ca", ssl, directory=tmp_path)
    assert (probed.code, "(1 days)" in probed.output or "(2 days)" in probed.output) == (1, True), probed.output
    check = ("server", "check", *server.connection, "--json", "--ca")
    checked = _findings(tool(*check, site.authority, directory=tmp_path).document)
    assert checked["ssl_crl"].startswith("warning: "), checked
    required = tool(*("server", "require", "app@%", "--certificate", AIKEN, "--ca", ssl), directory=tmp_path)
    assert required.code == 0, required.messages
    site.new_list("-crldays", "300")
    checked = _findings(tool(*check, site.authority, directory=tmp_path).document)
    assert checked["ssl_crl"].endswith(
        "is older than the CRL of the CA: bring the CRLs of both CAs, which rollover --output writes"
    )
