"""From an authority to a server that lets nobody in who should not come in, in the order in which it is done."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest

from database.conftest import AIKEN, CLIENT, REVOKED, Site, StartServer, settings_of, settings_of_client
from docs.test_readme import walk
from tools.database_servers import Programs, Server, copy_data, session
from tools.support import done, openssl, run, tool


def test_the_whole_story(site: Site, start: StartServer, tmp_path: Path) -> None:
    # a server with the printed settings, as they stand
    server = start(settings_of(site, AIKEN))
    server.sql("CREATE USER app@localhost IDENTIFIED BY 'p4ss'")
    here: tuple[str | Path, ...] = ("--connect", server.address, "--ca", site.authority)
    ssl, app = site.ssl(CLIENT), ("--user=app", "--password=p4ss")

    # it serves the issued certificate, verified by the client's own settings, and refuses to go without TLS
    checked = tool("server", "check", AIKEN, *here, *server.connection, "--json", directory=tmp_path)
    assert (checked.code, checked.document["status"]) == (0, "OK"), checked.output
    mine = settings_of_client(site, CLIENT)
    with mine.open("a") as file:
        file.write("user = app\npassword = p4ss\n")
    mine.chmod(0o600)
    cipher = server.over_tcp(f"--defaults-file={mine}", statements="SHOW STATUS LIKE 'Ssl_cipher'")
    assert cipher.code == 0, cipher.messages
    assert cipher.output.split()[1:], "not encrypted"
    assert server.over_tcp(*app, server.without_tls).code != 0

    # the account must show one certificate, and no other
    assert server.over_tcp(*app, *server.with_tls(ssl)).code == 0
    required = done(
        *("server", "require", "app@localhost", "--certificate", CLIENT, "--apply", "--ca", site.authority),
        *server.connection,
        directory=tmp_path,
    )
    assert "SUBJECT '/CN=client1'" in required.output
    assert server.over_tcp(*app, *server.with_tls(ssl)).code != 0
    assert server.over_tcp(*app, *server.with_tls(site.ssl(REVOKED), REVOKED)).code != 0
    assert server.over_tcp(f"--defaults-file={mine}").code == 0

    # another authority is nobody, on both sides
    foreign = _foreign(tmp_path, CLIENT)
    own = site.ssl(AIKEN) / "database-ca.cert.pem"
    assert server.over_tcp(*app, *server.with_tls(foreign, CLIENT, authority=own)).code != 0
    assert server.over_tcp(*app, *server.with_tls(ssl, CLIENT, authority=foreign / "database-ca.cert.pem")).code != 0

    # a revoked client gets in until the server has read the new list
    server.sql("CREATE USER other@localhost IDENTIFIED BY 'p4ss' REQUIRE X509")
    other = ("--user=other", "--password=p4ss", *server.with_tls(site.ssl(REVOKED), REVOKED))
    assert server.over_tcp(*other).code == 0
    site.revoke(REVOKED)
    site.new_list()
    site.deploy(AIKEN)
    assert server.over_tcp(*other).code == 0
    canary = (site.ssl(REVOKED) / f"{REVOKED}.cert.pem", site.ssl(REVOKED) / f"private/{REVOKED}.key.pem")
    check = ("server", "check", AIKEN, *here, *server.connection)
    assert "only the file was looked at" in done(*check, directory=tmp_path).output
    assert tool(*check, "--canary", *canary, directory=tmp_path).code == 2
    done("server", "reload", AIKEN, *here, *server.connection, directory=tmp_path)
    assert server.over_tcp(*other).code != 0
    done(*check, "--canary", *canary, directory=tmp_path)
    probed = tool("server", "probe", AIKEN, *here, "--canary", *canary, directory=tmp_path)
    assert probed.code == 0, probed.output

    # a renewed certificate is served without a restart, while a session goes on
    with session(server, "--user=root", f"--socket={server.socket}") as open_session:
        identity = open_session.ask("SELECT CONNECTION_ID()")
        old = site.serial(AIKEN)
        site.revoke(AIKEN)
        site.sign_again(AIKEN)
        behind = tool("server", "probe", AIKEN, *here, "--json", directory=tmp_path)
        assert behind.code == 2
        assert f"serial {old}" in _text(behind.document, "certificate")
        site.new_list()
        site.deploy(AIKEN, CLIENT)
        reloaded = done("server", "reload", AIKEN, *here, *server.connection, "--json", directory=tmp_path)
        assert reloaded.document["serial"] == site.serial(AIKEN) != old
        assert open_session.ask("SELECT CONNECTION_ID()") == identity
    assert server.over_tcp(f"--defaults-file={mine}").code == 0

    # a list that ends is found before it locks anyone out, and after
    site.new_list("-crldays", "2")
    site.deploy(AIKEN)
    done("server", "reload", AIKEN, *here, *server.connection, directory=tmp_path)
    assert server.over_tcp(f"--defaults-file={mine}").code == 0
    assert _levels(site, server, tmp_path) == {"check": 1, "probe": 1}


def test_a_server_whose_crl_has_expired_is_found_and_fixed(site: Site, start: StartServer, tmp_path: Path) -> None:
    site.expired_crl()
    site.deploy(AIKEN)
    # the settings for MySQL do not let it come so far
    enforced = "--loose-tls-certificates-enforced-validation=OFF"
    server = start(settings_of(site, AIKEN), enforced)
    here = ("--connect", server.address, "--ca", site.authority)
    pair = (site.ssl(CLIENT) / f"{CLIENT}.cert.pem", site.ssl(CLIENT) / f"private/{CLIENT}.key.pem")
    server.sql("CREATE USER app@localhost IDENTIFIED BY 'p4ss'")
    with_certificate = ("--user=app", "--password=p4ss", *server.with_tls(site.ssl(CLIENT), CLIENT))
    assert server.over_tcp(*with_certificate).code != 0
    found = tool("server", "probe", AIKEN, *here, "--client", *pair, "--json", directory=tmp_path)
    assert found.code == 2
    assert "certificate or CRL expired" in _text(found.document, "client")
    assert "expired on 2026-02-01" in _text(found.document, "crl")
    assert _levels(site, server, tmp_path) == {"check": 2, "probe": 2}
    site.new_list()
    site.deploy(AIKEN)
    done("server", "reload", AIKEN, *here, *server.connection, directory=tmp_path)
    assert server.over_tcp(*with_certificate).code == 0
    assert tool("server", "probe", AIKEN, *here, "--client", *pair, directory=tmp_path).code == 0


def test_an_expired_crl_is_not_loaded(site: Site, start: StartServer, tmp_path: Path) -> None:
    server = start(settings_of(site, AIKEN))
    server.sql("CREATE USER app@localhost IDENTIFIED BY 'p4ss'")
    with_certificate = ("--user=app", "--password=p4ss", *server.with_tls(site.ssl(CLIENT), CLIENT))
    site.expired_crl()
    site.deploy(AIKEN)
    here = ("--connect", server.address, "--ca", str(site.authority))
    refused = tool("server", "reload", AIKEN, *here, *server.connection, directory=tmp_path)
    assert refused.code == 1
    assert "the CRL on the server expired on 2026-02-01 00:00:00Z" in refused.messages
    assert server.over_tcp(*with_certificate).code == 0


def test_a_server_that_cannot_load_its_files_goes_on(site: Site, start: StartServer, tmp_path: Path) -> None:
    server = start(settings_of(site, AIKEN))
    key = site.ssl(AIKEN) / f"private/{AIKEN}.key.pem"
    text = key.read_text()
    here = ("--connect", server.address, "--ca", str(site.authority))
    key.write_text("no key\n")
    refused = tool("server", "reload", AIKEN, *here, *server.connection, directory=tmp_path)
    assert refused.code == 1
    assert refused.messages.startswith("dbca-openssl: the server keeps the files that it had loaded: ")
    assert tool("server", "probe", AIKEN, *here, directory=tmp_path).code == 0
    key.write_text(text)
    done("server", "reload", AIKEN, *here, *server.connection, directory=tmp_path)


def test_a_certificate_that_was_not_deployed_is_found(site: Site, start: StartServer, tmp_path: Path) -> None:
    server = start(settings_of(site, AIKEN))
    old = site.serial(AIKEN)
    site.revoke(AIKEN)
    site.sign_again(AIKEN)
    here = ("--connect", server.address, "--ca", str(site.authority))
    refused = tool("server", "reload", AIKEN, *here, *server.connection, directory=tmp_path)
    assert refused.code == 1
    assert f"serves serial {old} of {AIKEN}, not the issued {site.serial(AIKEN)}" in refused.messages


def _levels(site: Site, server: Server, directory: Path) -> dict[str, int]:
    """The exit codes of check and probe."""
    authority = ("--ca", site.authority)
    check = tool("server", "check", *server.connection, *authority, directory=directory)
    probe = tool("server", "probe", AIKEN, "--connect", server.address, *authority, directory=directory)
    assert f"ssl_crl: {site.ssl(AIKEN)}/database-ca.crl (only the file was looked at), " in check.output.splitlines()[0]
    assert "crl: " in probe.output.splitlines()[0]
    return {"check": check.code, "probe": probe.code}


@pytest.mark.slow
def test_the_readmes_path_ends_with_a_server_that_is_not_root(programs: Programs, data: Path) -> None:
    """With what the option file itself says of the key; the other files are as scp leaves them."""
    user, group = ("nobody", "nogroup") if os.geteuid() == 0 else (getpass.getuser(), str(os.getegid()))
    with tempfile.TemporaryDirectory(prefix="dbca-") as directory:  # pytest's own is closed to others
        place = Path(directory)
        place.chmod(0o755)
        walk(place)
        ssl, settings = place / f"hosts/{AIKEN}/etc/mysql/ssl", place / "tls.cnf"
        flavor = ("--flavor", programs.flavor)
        done("server", "settings", AIKEN, "--ssl-dir", ssl, *flavor, "--output", settings, directory=place)
        for command in re.findall(r"^#   (ch.*)$", settings.read_text(), re.MULTILINE):
            changed = run("sh", "-c", command.replace("root:mysql", f":{group}"), directory=place)
            assert changed.code == 0, changed.messages
        (place / "server").mkdir()
        copy_data(data, place / "server")
        for path in (place / "server", *place.glob("server/**/*")):
            shutil.chown(path, user, group)
        server = Server(programs, place / "server", settings, user=user)
        try:
            server.start(attempts=1)
            assert server.sql("SELECT @@ssl_cert, @@ssl_crl") == [
                [str(ssl / f"{AIKEN}.cert.pem"), str(ssl / "database-ca.crl")]
            ]
            refused = server.over_tcp("--user=root", server.without_tls)
            assert refused.code != 0
        finally:
            server.stop()


def _foreign(directory: Path, name: str) -> Path:
    """The certificate of another authority for a name."""
    ssl = directory / "foreign"
    (ssl / "private").mkdir(parents=True)
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        *("req", "-x509", *curve, "-keyout", "ca.key", "-out", "database-ca.cert.pem", "-subj", "/CN=Other"),
        directory=ssl,
    )
    openssl("req", *curve, "-keyout", f"private/{name}.key.pem", "-out", "req", "-subj", f"/CN={name}", directory=ssl)
    openssl(
        *("x509", "-req", "-in", "req", "-CA", "database-ca.cert.pem", "-CAkey", "ca.key", "-CAcreateserial"),
        *("-out", f"{name}.cert.pem"),
        directory=ssl,
    )
    return ssl


def _text(document: dict[str, object], code: str) -> str:
    found = document["findings"]
    assert isinstance(found, list)
    return str(next(one["text"] for one in found if one["code"] == code))
