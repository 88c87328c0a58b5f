"""`dbca_openssl.testing` on real servers: what it issues is accepted and refused, and the page's example runs."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from database.conftest import StartServer
from dbca_openssl.database.statements import Flavor
from dbca_openssl.testing import throwaway_authority
from tools.database_servers import Programs
from tools.support import ROOT, run

PAGE = (ROOT / "docs/testing.md").read_text()


def test_a_server_and_its_clients(programs: Programs, start: StartServer, tmp_path: Path) -> None:
    flavor: Flavor = "mysql" if programs.flavor == "mysql" else "mariadb"
    with throwaway_authority() as authority:
        issued = authority.issue("localhost", "127.0.0.1")
        settings = tmp_path / "server.cnf"
        settings.write_text(issued.server_settings(flavor))
        server = start(settings)
        app, expired = authority.issue("app"), authority.issue("expired", days=-1)
        server.sql("CREATE USER app@localhost IDENTIFIED BY 'p4ss' REQUIRE SUBJECT '/CN=app'")

        def connects(client: str, settings: str) -> bool:
            path = tmp_path / f"{client}.cnf"
            path.write_text(settings)
            return server.over_tcp(f"--defaults-file={path}", "--user=app", "--password=p4ss").code == 0

        assert connects("app", app.client_settings(flavor))
        assert not connects("expired", expired.client_settings(flavor))
        without = ("--user=app", "--password=p4ss", server.without_tls)
        assert server.over_tcp(*without).code != 0

        authority.revoke(app)
        server.sql("FLUSH SSL" if flavor == "mariadb" else "ALTER INSTANCE RELOAD TLS")
        assert not connects("app", app.client_settings(flavor))
        assert connects("app", authority.issue("app").client_settings(flavor))


ELSEWHERE = "127.0.0.2"
"""On 127.0.0.1 the client of MariaDB 11.8 does not compare names."""


@pytest.mark.parametrize("wrong", ["nothing", "another name", "expired", "another authority"])
def test_a_server_with_the_wrong_certificate(
    wrong: str, start: StartServer, programs: Programs, tmp_path: Path
) -> None:
    flavor: Flavor = "mysql" if programs.flavor == "mysql" else "mariadb"
    with throwaway_authority() as authority, throwaway_authority(tmp_path / "strangers", "Strangers") as strangers:
        issued = {
            "nothing": lambda: authority.issue("localhost", ELSEWHERE),
            "another name": lambda: authority.issue("elsewhere.example.net"),
            "expired": lambda: authority.issue("expired", ELSEWHERE, days=-1),
            "another authority": lambda: strangers.issue("localhost", ELSEWHERE),
        }[wrong]()
        settings = tmp_path / "server.cnf"
        settings.write_text(issued.server_settings(flavor))
        # MySQL would not start with a certificate that has ended
        without_checks = ("--require-secure-transport=OFF", "--loose-tls-certificates-enforced-validation=OFF")
        server = start(settings, *without_checks, "--bind-address=0.0.0.0")
        mine = tmp_path / "client.cnf"
        mine.write_text(authority.issue("app").client_settings(flavor))
        there = ("--user=root", f"--host={ELSEWHERE}")
        assert server.over_tcp(*there, server.without_tls).code == 0
        accepted = server.over_tcp(f"--defaults-file={mine}", *there).code == 0
        assert accepted == (wrong == "nothing")


@pytest.mark.slow
def test_the_example_of_the_page_runs_as_it_is_written(tmp_path: Path) -> None:
    path = f"{os.environ['PATH']}:/usr/sbin"
    assert shutil.which("mariadbd", path=path), "apt install mariadb-server-core mariadb-client-core"
    conftest, tests = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_tls.py").write_text(tests)
    finished = run(
        *(sys.executable, "-m", "pytest", "-W", "error", "-p", "no:cacheprovider"),
        directory=tmp_path,
        environment={"PATH": path},
    )
    assert "1 passed" in finished.output, finished.output
