"""`server settings`: exact texts, and what real servers and clients read in them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from database.conftest import AIKEN, CLIENT, Site, StartServer, settings_of
from tools.database_servers import Programs, eventually, session
from tools.support import done, run, snapshot, tool

SERVER = """\
#
# TLS of the MariaDB server aiken.example.net
#
# The server must be able to read its key; nobody but root may change it, or the directory that it is in:
#   chown -h root:mysql /etc/mysql/ssl/private /etc/mysql/ssl/private/aiken.example.net.key.pem
#   chmod 710 /etc/mysql/ssl/private
#   chmod 640 /etc/mysql/ssl/private/aiken.example.net.key.pem
# "dbca-openssl deploy HOST --owner mysql" does the same. The other files are public: mode 644.

[mysqld]
ssl_ca                      = /etc/mysql/ssl/database-ca.cert.pem
ssl_cert                    = /etc/mysql/ssl/aiken.example.net.cert.pem
ssl_key                     = /etc/mysql/ssl/private/aiken.example.net.key.pem
# Once this CRL has expired, every client that shows a certificate is refused: renew and reload it in time
ssl_crl                     = /etc/mysql/ssl/database-ca.crl
tls_version                 = TLSv1.2,TLSv1.3
# Without this line an account without REQUIRE may connect without TLS
require_secure_transport    = ON
"""


def test_the_settings_of_a_server(tmp_path: Path) -> None:
    assert done("server", "settings", AIKEN, directory=tmp_path).output == SERVER


def test_mysql_does_not_start_without_tls(tmp_path: Path) -> None:
    text = done("server", "settings", AIKEN, "--flavor", "mysql", directory=tmp_path).output
    assert text.startswith(SERVER.replace("MariaDB", "MySQL"))
    assert text.endswith("\ntls_certificates_enforced_validation = ON\n")


def test_tls_that_is_not_required_yet(tmp_path: Path) -> None:
    staged = done("server", "settings", AIKEN, "--staged", directory=tmp_path).output
    assert staged.startswith(SERVER.rpartition("# Without")[0])
    assert not [line for line in staged.splitlines() if line.startswith("require_secure_transport")]


@pytest.mark.slow
def test_check_says_when_it_is_time_to_require_tls(shared_site: Site, start: StartServer, tmp_path: Path) -> None:
    server = start(settings_of(shared_site, AIKEN, "--staged"), "--performance-schema=ON")
    own = tmp_path / "my.cnf"
    own.write_text("[client]\nloose-ssl\nloose-ssl-mode=REQUIRED\n")
    connection: tuple[str | Path, ...] = ("--defaults-file", own, *server.connection)

    def enforced() -> str:
        checked = tool("server", "check", *connection, "--json", directory=tmp_path)
        return next(str(one["text"]) for one in checked.document["findings"] if one["code"] == "enforced")

    server.sql("CREATE USER app@localhost")
    plain = ("--host=127.0.0.1", f"--port={server.port}", "--user=app")
    with session(server, *plain, server.without_tls) as open_session:
        assert open_session.ask("SELECT 'hello'") == "hello"
        listed = done("server", "accounts", *connection, "--json", directory=tmp_path).document["accounts"]
        free = [one["account"] for one in listed if one["kind"] == "open"]
        assert enforced() == (
            f"not for {len(free)} accounts, which server accounts lists; 1 TCP session without TLS now"
        )
        server.sql(";".join(f"ALTER USER {account} REQUIRE SSL" for account in free))
        assert enforced() == "by every account that can connect; 1 TCP session without TLS now"
    assert eventually(lambda: "no TCP sessions without TLS now: it is time for require_secure" in enforced())


@pytest.mark.parametrize(
    ("flavor", "line"),
    [("mariadb", "ssl-verify-server-cert"), ("mysql", "ssl-mode                    = VERIFY_IDENTITY")],
)
def test_a_client_verifies_the_server(tmp_path: Path, flavor: str, line: str) -> None:
    text = done("client", "settings", CLIENT, "--for", flavor, "--ssl-dir", "ssl", directory=tmp_path).output
    assert [one for one in text.splitlines() if one and not one.startswith("#")] == [
        "[client]",
        f"ssl-ca                      = {tmp_path}/ssl/database-ca.cert.pem",
        f"ssl-cert                    = {tmp_path}/ssl/client1.cert.pem",
        f"ssl-key                     = {tmp_path}/ssl/private/client1.key.pem",
        f"ssl-crl                     = {tmp_path}/ssl/database-ca.crl",
        line,
    ]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "tls.cnf").write_text("mine\n")
    (tmp_path / "dangling.cnf").symlink_to("nowhere")
    before = snapshot(tmp_path)
    for name in ("tls.cnf", "dangling.cnf", "no/such/directory.cnf"):
        refused = tool("server", "settings", AIKEN, "--output", name, directory=tmp_path)
        assert refused.code == 1, name
    assert snapshot(tmp_path) == before


def test_a_file_is_public(tmp_path: Path) -> None:
    done("server", "settings", AIKEN, "--output", "tls.cnf", directory=tmp_path)
    assert (tmp_path / "tls.cnf").read_text() == SERVER
    assert (tmp_path / "tls.cnf").stat().st_mode & 0o777 == 0o644


def test_only_for_a_certificate_that_there_is(shared_site: Site, tmp_path: Path) -> None:
    done("server", "settings", AIKEN, "--ca", shared_site.authority, directory=tmp_path)
    refused = tool("server", "settings", "other.example.net", "--ca", shared_site.authority, directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")


@pytest.mark.parametrize(
    "folder", ["with blank", "with#hash", "back\\slash \\n", "apo'strophe;", "$(touch pwned)", "ü"]
)
def test_servers_and_clients_read_odd_paths_as_they_are(programs: Programs, tmp_path: Path, folder: str) -> None:
    for side, option, program in (("server", "--flavor", programs.server), ("client", "--for", programs.client)):
        name = f"{side}.cnf"
        command = (side, "settings", AIKEN, option, programs.flavor, "--ssl-dir", tmp_path / folder)
        (tmp_path / name).write_text(done(*command, directory=tmp_path).output)
        read = run(program, f"--defaults-file={tmp_path / name}", "--print-defaults", directory=tmp_path).output
        assert f"={tmp_path / folder}/private/{AIKEN}.key.pem" in read


@pytest.mark.parametrize(
    ("kind", "name", "host", "section"),
    [("maxscale", "app", "MaxScale", "maxscale"), ("odbc", "ODBC@x", AIKEN, "ODBC")],
)
def test_a_section_that_is_for_something_else(kind: str, name: str, host: str, section: str, tmp_path: Path) -> None:
    refused = tool("client", "settings", name, "--for", kind, "--host", host, directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")
    assert f"the section [{section}] is for something else" in refused.messages


@pytest.mark.parametrize("folder", ["a\nb", 'a"b', "a\tb"])
def test_paths_that_no_option_file_can_carry(tmp_path: Path, folder: str) -> None:
    refused = tool("server", "settings", AIKEN, "--ssl-dir", tmp_path / folder, directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")
    assert "no option file can carry" in refused.messages


@pytest.mark.parametrize("missing", ["database-ca.crl", f"private/{AIKEN}.key.pem", f"{AIKEN}.cert.pem"])
def test_a_server_does_not_start_without_its_files(
    shared_site: Site, start: StartServer, programs: Programs, tmp_path: Path, missing: str
) -> None:
    ssl = Path(shutil.copytree(shared_site.ssl(AIKEN), tmp_path / "ssl"))
    (ssl / missing).unlink()
    done(
        *("server", "settings", AIKEN, "--ssl-dir", ssl, "--flavor", programs.flavor, "--output", "tls.cnf"),
        directory=tmp_path,
    )
    with pytest.raises(AssertionError, match="does not start"):
        start(tmp_path / "tls.cnf")
