"""`server reload HOST` and `server check HOST` speak to the server of HOST, and to no other under its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from database.conftest import AIKEN, MARGARET, REVOKED, Site, StartServer, settings_of
from tools.database_servers import Server
from tools.support import done, openssl, snapshot, tool


def _both(site: Site, start: StartServer) -> tuple[Server, Server]:
    return start(settings_of(site, AIKEN)), start(settings_of(site, MARGARET))


def _typed_on(server: Server, site: Site, directory: Path) -> tuple[str | Path, ...]:
    """An option file as it is on a host, where the client finds the local server by itself."""
    path = directory / "my.cnf"
    verify = "ssl-ca={}\nloose-skip-ssl-verify-server-cert\nloose-ssl-mode=REQUIRED\n"
    authority = site.authority / "database-ca.cert.pem"
    path.write_text(f"[client]\nuser=root\nsocket={server.socket}\n{verify.format(authority)}")
    return (*server.programs.options, "--defaults-file", path)


def _serial(server: Server, directory: Path) -> str:
    """The serial that a server serves."""
    text = openssl("s_client", "-starttls", "mysql", "-connect", server.address, directory=directory)
    (directory / "served.pem").write_text(text)
    return (
        openssl("x509", "-noout", "-serial", "-in", "served.pem", directory=directory).strip().removeprefix("serial=")
    )


def test_another_host_is_reloaded_from_this_one(site: Site, start: StartServer, tmp_path: Path) -> None:
    aiken, margaret = _both(site, start)
    margaret.sql("CREATE USER other@localhost IDENTIFIED BY 'p4ss' REQUIRE X509")
    revoked = ("--user=other", "--password=p4ss", *margaret.with_tls(site.ssl(REVOKED), REVOKED))
    assert margaret.over_tcp(*revoked).code == 0
    site.revoke(REVOKED)
    site.new_list()
    site.deploy(AIKEN, MARGARET)
    here = ("--connect", margaret.address, "--ca", site.authority, *_typed_on(aiken, site, tmp_path))
    done("server", "reload", MARGARET, *here, directory=tmp_path)
    assert margaret.over_tcp(*revoked).code != 0


@pytest.mark.parametrize("may_read_files", [True, False])
def test_the_server_of_another_name_is_not_reloaded(
    site: Site, start: StartServer, tmp_path: Path, may_read_files: bool
) -> None:
    aiken, margaret = _both(site, start)
    privilege = "RELOAD" if aiken.programs.flavor == "mariadb" else "CONNECTION_ADMIN"
    aiken.sql(
        f"CREATE USER reloader@localhost; GRANT {privilege}{', FILE' * may_read_files} ON *.* TO reloader@localhost"
    )
    old = _serial(aiken, tmp_path)
    site.revoke(AIKEN)
    site.sign_again(AIKEN)
    site.deploy(AIKEN)
    before = snapshot(site.hosts)
    account: tuple[str | Path, ...] = ("--user", "reloader", "--socket", str(aiken.socket), *aiken.programs.options)
    refused = tool(
        *("server", "reload", MARGARET, "--connect", margaret.address, "--ca", site.authority, *account),
        directory=tmp_path,
    )
    assert refused.code == 1
    assert f"is not the server of {MARGARET}: its certificate is that of '{AIKEN}'" in refused.messages
    assert _serial(aiken, tmp_path) == old, "it was reloaded"
    assert snapshot(site.hosts) == before
    reloaded = done("server", "reload", AIKEN, "--ca", site.authority, *account, directory=tmp_path)
    assert reloaded.output.startswith(f"{aiken.address}  has reloaded")
    assert _serial(aiken, tmp_path) == site.serial(AIKEN) != old


def test_another_host_is_checked_from_this_one(site: Site, start: StartServer, tmp_path: Path) -> None:
    aiken, margaret = _both(site, start)
    here = ("--connect", margaret.address, "--ca", site.authority, "--json")
    checked = tool("server", "check", MARGARET, *here, *_typed_on(aiken, site, tmp_path), directory=tmp_path)
    assert checked.code == 0, checked.output
    (loaded,) = [one["text"] for one in checked.document["findings"] if one["code"] == "loaded"]
    assert loaded.startswith(f"{site.ssl(MARGARET)}/")
    refused = tool("server", "check", MARGARET, *here, *aiken.connection, directory=tmp_path)
    assert refused.code == 3
    assert f"is not the server of {MARGARET}" in refused.document["error"]
