"""`server accounts` and `server require`, against what direct connections can do, and with hostile names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from database.conftest import CLIENT, REVOKED, Site
from dbca_openssl.database import statements
from dbca_openssl.database.statements import Account, Requirement
from tools.database_servers import Server
from tools.support import done, openssl, tool

HOSTILE = (
    "a'b",
    'a"b',
    "a`b",
    "a``b",
    "a\\b",
    "a\\'b",
    "a\\",
    "100%",
    "x' REQUIRE NONE --",
    "`; DROP USER w@localhost; -- x",
    "'; DROP USER w@localhost; -- x",
    "\\'; DROP USER w@localhost; -- x",
    "\\! touch pwned",
    "us@er",
    "ünïcode",
    "/*!50000 x*/",
    "#x",
)

SQL_MODES = ("", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES", "ANSI_QUOTES,NO_BACKSLASH_ESCAPES")


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def test_exactly_the_accounts_that_can_connect_without_tls(
    shared_server: Server, shared_site: Site, tmp_path: Path
) -> None:
    server = shared_server
    accounts = {
        "open1@localhost": "",
        "open2@127.0.0.1": "",
        "open3@%": "",
        "open4@127.%": "REQUIRE NONE",
        "ssl@localhost": "REQUIRE SSL",
        "x509@localhost": "REQUIRE X509",
        "subject@localhost": "REQUIRE SUBJECT '/CN=x'",
        "issuer@localhost": "REQUIRE ISSUER '/CN=y'",
        "both@localhost": "REQUIRE SUBJECT '/CN=x' AND ISSUER '/CN=y'",
        "cipher@localhost": "REQUIRE CIPHER 'AES256-SHA'",
        "locked@localhost": "ACCOUNT LOCK",
        "locked2@%": "REQUIRE SSL ACCOUNT LOCK",
    }
    names = [f"`{user}`@`{host}`" for user, host in (name.split("@") for name in accounts)]
    for name, requirement in zip(names, accounts.values(), strict=True):
        server.sql(f"CREATE USER {name} IDENTIFIED BY 'p4ss' {requirement}")
    server.sql("CREATE ROLE reader")
    try:
        listed = done("server", "accounts", *server.connection, "--json", directory=tmp_path).document["accounts"]
        kinds = {f"{one['user']}@{one['host']}": one["kind"] for one in listed}
        for account in accounts:
            user = account.split("@")[0]
            reached = server.over_tcp(f"--user={user}", "--password=p4ss", server.without_tls, *_public_key(server))
            assert (reached.code == 0) == (kinds[account] == "open"), (account, kinds[account], reached.messages)
        assert {name: kind for name, kind in kinds.items() if kind not in ("open", "tls")} == {
            "locked@localhost": "locked",
            "locked2@%": "locked",
            "reader@" + ("" if server.programs.flavor == "mariadb" else "%"): "role",
            **{
                f"{name}@localhost": "system"
                for name in (
                    ("mariadb.sys",)
                    if server.programs.flavor == "mariadb"
                    else ("mysql.infoschema", "mysql.session", "mysql.sys")
                )
            },
        }
        text = done("server", "accounts", *server.connection, directory=tmp_path).output
        table = {line.split("  ")[0]: line.split()[1:] for line in text.splitlines() if line.startswith("'")}
        assert table["'open3'@'%'"] == ["open", "-"]
        requires = {name: table[f"'{name}'@'localhost'"][1:] for name in ("ssl", "x509", "subject", "issuer", "both")}
        assert requires == {name: [name] for name in requires} | {"both": ["subject,", "issuer"]}
        assert "'locked'@'localhost'" not in table
    finally:
        server.sql(f"DROP USER {', '.join(names)}; DROP ROLE reader")


@pytest.mark.parametrize("mode", SQL_MODES)
def test_hostile_names_stay_names(shared_server: Server, tmp_path: Path, mode: str) -> None:
    """The printed statements, typed by an administrator whose session has this or that mode."""
    server = shared_server
    users = [Account(name, "localhost") for name in HOSTILE]
    # MySQL itself loses a backslash in a host, and what is not ASCII, whoever asks
    hosts = [Account("someone", name) for name in HOSTILE if "@" not in name and "\\" not in name and name.isascii()]
    given = {f"{_quoted(one.user)}@{_quoted(one.host)}": one for one in users + hosts}
    set_mode = f"SET NAMES utf8mb4; SET sql_mode = '{mode}';\n"
    try:
        server.sql(f"CREATE USER w@localhost; {set_mode} CREATE USER {', '.join(given)}")
        for text, account in given.items():
            assert statements.account(text) == account
        printed = [statements.script(statements.require(account, Requirement("X509"))) for account in given.values()]
        server.sql(set_mode + set_mode.join(printed))
        assert _types(server) == {(account.user, account.host.lower()): "X509" for account in given.values()}
        assert server.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'w'") == [["1"]]
        assert not (server.directory / "pwned").exists()
    finally:
        server.sql(f"{set_mode} DROP USER IF EXISTS w@localhost, {', '.join(given)}")


@pytest.mark.parametrize("name", ["a'b`c\"d", "`; DROP USER w@localhost; -- x", "\\'; \\! id"])
def test_a_hostile_name_is_executed_as_a_name(shared_server: Server, tmp_path: Path, name: str) -> None:
    server, account = shared_server, f"{_quoted(name)}@localhost"
    before = server.sql("SELECT @@GLOBAL.sql_mode")[0][0]
    try:
        server.sql(f"CREATE USER w@localhost, {account}; SET GLOBAL sql_mode = 'NO_BACKSLASH_ESCAPES,ANSI_QUOTES'")
        done(*("server", "require", f"{name}@localhost", "--x509", "--apply", *server.connection), directory=tmp_path)
        assert _types(server) == {(name, "localhost"): "X509"}
        assert server.sql("SELECT COUNT(*) FROM mysql.user WHERE user = 'w'") == [["1"]]
    finally:
        server.sql(f"DROP USER IF EXISTS w@localhost, {account}; SET GLOBAL sql_mode = '{before}'")


@pytest.mark.parametrize("name", ["a\nb", "a\tb", "a\x1b[2Jb", "a\u2028b", " a", "a ", "\U0001f600"])
def test_names_that_no_statement_should_carry_are_refused(tmp_path: Path, name: str) -> None:
    refused = tool("server", "require", f"{name}@localhost", "--ssl", directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")
    assert "\x1b" not in refused.messages


def test_the_names_in_the_issuer_are_quoted_for_every_sql_mode(
    shared_server: Server, keys: Path, tmp_path: Path
) -> None:
    """An organisation beyond ASCII has backslashes in its X509_NAME_oneline form."""
    done(
        *("init", "--organization", 'Büro "d\'Or" \\ Söhne', "--common-name", "Our 'CA'", "--no-passphrase"),
        *("--key", keys / "host.key.pem"),
        directory=tmp_path,
    )
    authority = tmp_path / "database-ca"
    text = done("render", "openssl.cnf", "--name", CLIENT, directory=tmp_path).output
    (tmp_path / "request.cnf").write_text(text)
    openssl(
        *("req", "-new", "-key", keys / "host.key.pem", "-out", authority / f"certreqs/{CLIENT}.req.pem"),
        directory=tmp_path,
        environment={"OPENSSL_CONF": str(tmp_path / "request.cnf"), "CN": CLIENT},
    )
    done("sign", CLIENT, "--yes", directory=authority)
    issuer = "/O=B\\xC3\\xBCro \"d'Or\" \\ S\\xC3\\xB6hne/CN=Our 'CA'"
    server = shared_server
    server.sql("CREATE USER app@localhost")
    command = ("server", "require", "app@localhost", "--certificate", CLIENT, "--ca", str(authority))
    try:
        printed = done(*command, directory=tmp_path).output
        for mode in SQL_MODES:
            server.sql(f"SET sql_mode = '{mode}';\n{printed}")
            found = server.sql("SELECT HEX(x509_issuer) FROM mysql.user WHERE user = 'app'")
            assert bytes.fromhex(found[0][0]).decode() == issuer, printed
            server.sql("ALTER USER app@localhost REQUIRE NONE")
        done(*command, "--apply", *server.connection, directory=tmp_path)
        assert server.sql("SELECT HEX(x509_issuer) FROM mysql.user WHERE user = 'app'") == found
    finally:
        server.sql("DROP USER app@localhost")


def test_a_server_accepts_the_certificate_that_the_statement_names(
    shared_server: Server, shared_site: Site, tmp_path: Path
) -> None:
    server, ssl = shared_server, shared_site.ssl(CLIENT)
    server.sql("CREATE USER app@localhost IDENTIFIED BY 'p4ss'")
    app = ("--user=app", "--password=p4ss")
    command = ("server", "require", "app@localhost", "--apply", *server.connection, "--ca", str(ssl))
    try:
        done(*command, "--ssl", directory=tmp_path)
        assert server.over_tcp(*app, server.without_tls, *_public_key(server)).code != 0
        assert server.over_tcp(*app, *server.with_tls(ssl)).code == 0
        done(*command, "--x509", directory=tmp_path)
        assert server.over_tcp(*app, *server.with_tls(ssl)).code != 0
        assert server.over_tcp(*app, *server.with_tls(ssl, CLIENT)).code == 0
        for more in ((), ("--no-issuer",)):
            done(*command, "--certificate", CLIENT, *more, directory=tmp_path)
            assert server.over_tcp(*app, *server.with_tls(ssl, CLIENT)).code == 0
        required = "SELECT x509_subject, x509_issuer FROM mysql.user WHERE user = 'app'"
        assert server.sql(required) == [[f"/CN={CLIENT}", ""]]
    finally:
        server.sql("DROP USER app@localhost")


def test_what_is_left_without_the_issuer() -> None:
    """A cipher alone would require no certificate at all."""
    bound = Requirement("CERTIFICATE", "/CN=a'b", "/CN=ca", "AES256-SHA")
    assert bound.sql() == "SUBJECT '/CN=a''b' AND ISSUER '/CN=ca' AND CIPHER 'AES256-SHA'"
    assert bound.of_any_issuer().sql() == "SUBJECT '/CN=a''b' AND CIPHER 'AES256-SHA'"
    assert bound._replace(subject="").of_any_issuer().sql() == "X509"


def test_the_account_that_asks_is_not_locked_out(shared_server: Server, shared_site: Site, tmp_path: Path) -> None:
    server = shared_server
    before = server.sql("SELECT user, host, ssl_type FROM mysql.user ORDER BY user, host")
    command = ("server", "require", "root@LOCALHOST", "--apply", *server.connection)
    authority = ("--ca", shared_site.authority)
    for requirement in (("--x509",), ("--certificate", REVOKED)):
        refused = tool(*command, *authority, *requirement, directory=tmp_path)
        assert refused.code == 1
        assert "is the account that connects" in refused.messages
    assert server.sql("SELECT user, host, ssl_type FROM mysql.user ORDER BY user, host") == before


def test_an_account_that_asks_by_tls_may_require_tls_of_itself(
    shared_server: Server, shared_site: Site, tmp_path: Path
) -> None:
    server = shared_server
    server.sql("CREATE USER admin@localhost IDENTIFIED BY 'p4ss'; GRANT ALL ON *.* TO admin@localhost")
    options = tmp_path / "admin.cnf"
    tls = [option.removeprefix("--") for option in server.with_tls(shared_site.ssl(CLIENT))]
    options.write_text("\n".join(("[client]", "user = admin", "password = p4ss", *tls, "")))
    options.chmod(0o600)
    here = (
        "--defaults-file",
        str(options),
        "--host",
        "127.0.0.1",
        "--port",
        str(server.port),
        *server.programs.options,
    )
    try:
        done("server", "require", "admin@localhost", "--ssl", "--apply", *here, directory=tmp_path)
        assert done("server", "accounts", *here, "--json", directory=tmp_path).code == 0
        options.write_text(f"[client]\nuser = admin\npassword = p4ss\n{server.without_tls.removeprefix('--')}\n")
        assert tool("server", "accounts", *here, directory=tmp_path).code == 1
    finally:
        server.sql("DROP USER admin@localhost")


def test_an_account_that_is_not_there_is_told(shared_server: Server, tmp_path: Path) -> None:
    refused = tool("server", "require", "nobody@%", "--ssl", "--apply", *shared_server.connection, directory=tmp_path)
    assert refused.code == 1
    assert refused.messages.startswith("dbca-openssl: the server has no account 'nobody'@'%'\n")


def test_json_is_one_document(shared_server: Server, tmp_path: Path) -> None:
    printed = done("server", "require", "app@%", "--ssl", "--json", directory=tmp_path).output
    assert json.loads(printed) == {"sql": "ALTER USER 'app'@'%' REQUIRE SSL;\n", "applied": False}


def _types(server: Server) -> dict[tuple[str, str], str]:
    rows = server.sql(
        "SELECT HEX(CONVERT(user USING utf8mb4)), HEX(CONVERT(host USING utf8mb4)), ssl_type FROM mysql.user "
        "WHERE ssl_type <> ''"
    )
    return {(bytes.fromhex(user).decode(), bytes.fromhex(host).decode()): kind for user, host, kind in rows}


def _public_key(server: Server) -> tuple[str, ...]:
    """MySQL's passwords need TLS, or the key of the server."""
    return ("--get-server-public-key",) if server.programs.flavor == "mysql" else ()
