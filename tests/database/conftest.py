"""Fixtures: the programs, a data directory made once and copied, servers, and an authority with hosts and clients.

With DBCA_TEST_MYSQL=DIRECTORY the tests run on MySQL, as `make matrix ONLY=mysql` unpacks it, instead of MariaDB.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.database_servers import Programs, Server, copy_data
from tools.support import MakeRequest, done, frozen_openssl, openssl, run

AIKEN, MARGARET = "aiken.example.net", "margaret.example.net"
CLIENT, REVOKED = "client1", "client2"

StartServer = Callable[..., Server]


@dataclass(frozen=True)
class Site:
    """An authority and the directories of its hosts: what the guide has after its last step."""

    authority: Path
    hosts: Path
    phrase: Path

    def ssl(self, host: str) -> Path:
        """The `/etc/mysql/ssl` of a host or client."""
        return self.hosts / host

    def deploy(self, *hosts: str) -> None:
        """Copy the public files to hosts, as they are now: "Copy to Target Systems"."""
        for host in hosts:
            for source in ("database-ca.cert.pem", "crl/database-ca.crl", f"certs/{host}.cert.pem"):
                target = shutil.copy(self.authority / source, self.ssl(host))
                Path(target).chmod(0o644)

    def revoke(self, name: str) -> None:
        """Revoke the certificate of a name, by hand."""
        self._ca("-revoke", f"certs/{name}.cert.pem")

    def new_list(self, *options: str) -> None:
        """A new revocation list, by hand."""
        self._ca("-gencrl", "-out", "crl/database-ca.crl", *options)

    def expired_crl(self) -> None:
        """A new revocation list, by hand, on the first of January 2026 for a month."""
        program = frozen_openssl(self.hosts, "2026-01-01 00:00:00")  # 1.1.1 has no -crl_lastupdate
        self._ca("-gencrl", "-out", "crl/database-ca.crl", "-crldays", "31", program=program)

    def sign_again(self, name: str) -> None:
        """A new certificate for the stored request, by hand."""
        request, certificate = f"certreqs/{name}.req.pem", f"certs/{name}.cert.pem"
        self._ca("-in", request, "-out", certificate, "-extensions", "cert_ext", "-policy", "cert_policy")

    def serial(self, name: str) -> str:
        """The serial of the certificate in certs/."""
        return (
            openssl("x509", "-noout", "-serial", "-in", f"certs/{name}.cert.pem", directory=self.authority)
            .strip()
            .removeprefix("serial=")
        )

    def _ca(self, *arguments: str, program: str | Path = "openssl") -> None:
        finished = run(
            *(program, "ca", "-batch", "-passin", f"file:{self.phrase}", *arguments),
            directory=self.authority,
            environment={"OPENSSL_CONF": "./database-ca.cnf"},
        )
        assert finished.code == 0, finished.messages


@pytest.fixture(scope="session")
def programs() -> Programs:
    """The server and the client to test with."""
    if directory := os.environ.get("DBCA_TEST_MYSQL"):
        programs = Programs("mysql", *(str(Path(directory).absolute() / "bin" / name) for name in ("mysqld", "mysql")))
    else:
        names = ("mariadbd", "mariadb", "mariadb-install-db")
        path = f"{os.environ['PATH']}:/usr/sbin"
        if missing := [name for name in names if not shutil.which(name, path=path)]:
            say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            say(f"{missing[0]} is missing: apt install mariadb-server-core mariadb-client-core")
        programs = Programs("mariadb", str(shutil.which("mariadbd", path=path)), str(shutil.which("mariadb")))
    return programs


@pytest.fixture(scope="session")
def data(programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory that is only copied."""
    directory = tmp_path_factory.mktemp("template") / "data"
    programs.install(directory)
    return directory


@pytest.fixture(scope="session")
def start_for_all(programs: Programs, data: Path) -> Iterator[StartServer]:
    """A function that starts a server, which runs until the end of the session."""
    with _starter(programs, data) as start:
        yield start


@pytest.fixture
def start(programs: Programs, data: Path) -> Iterator[StartServer]:
    """A function that starts a server, which runs until the end of the test."""
    with _starter(programs, data) as start:
        yield start


@pytest.fixture(scope="session")
def grown(pristine: Path, keys: Path, make_request: MakeRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an authority, `database-ca`, that has signed two hosts and two clients; only copied."""
    directory = tmp_path_factory.mktemp("grown")
    authority = shutil.copytree(pristine, directory / "database-ca")
    for name in (AIKEN, MARGARET):
        make_request(name, "localhost", "127.0.0.1", to=authority / "certreqs")
    for name in (CLIENT, REVOKED):
        make_request(name, to=authority / "certreqs")
    done(
        *("sign", AIKEN, MARGARET, CLIENT, REVOKED, "--yes", "--allow-alt-name", "localhost"),
        *("--allow-alt-name", "127.0.0.1", "--passphrase-file", keys / "phrase"),
        directory=authority,
    )
    for name in (AIKEN, MARGARET, CLIENT, REVOKED):
        (directory / name / "private").mkdir(parents=True)
        shutil.copy(keys / "host.key.pem", directory / name / f"private/{name}.key.pem")
    return directory


@pytest.fixture
def site(grown: Path, keys: Path, tmp_path: Path) -> Site:
    """A site of one's own, with everything deployed."""
    return _site(grown, keys, tmp_path / "site")


@pytest.fixture(scope="session")
def shared_site(grown: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site that no test changes; the certificate of client2 is revoked, and everybody knows."""
    site = _site(grown, keys, tmp_path_factory.mktemp("shared") / "site")
    site.revoke(REVOKED)
    site.new_list()
    site.deploy(AIKEN, MARGARET, CLIENT, REVOKED)
    return site


@pytest.fixture(scope="session")
def shared_server(shared_site: Site, start_for_all: StartServer) -> Server:
    """A server called aiken with the rendered settings, where every account may choose; tests leave it as it is."""
    return start_for_all(settings_of(shared_site, AIKEN), "--require-secure-transport=OFF")


def settings_of(site: Site, name: str, *options: str) -> Path:
    """The option file that the tool writes for a server."""
    flavor = "mysql" if os.environ.get("DBCA_TEST_MYSQL") else "mariadb"
    command: tuple[str | Path, ...] = ("server", "settings", name, "--ssl-dir", site.ssl(name), "--flavor", flavor)
    path = site.hosts / f"{name}{''.join(options)}.cnf"
    path.unlink(missing_ok=True)
    done(*command, "--output", path, *options, directory=site.hosts)
    return path


def settings_of_client(site: Site, name: str) -> Path:
    """The option file that the tool prints for a client."""
    flavor = "mysql" if os.environ.get("DBCA_TEST_MYSQL") else "mariadb"
    path = site.hosts / f"{name}.cnf"
    printed = done("client", "settings", name, "--for", flavor, "--ssl-dir", site.ssl(name), directory=site.hosts)
    path.write_text(printed.output)
    return path


def _site(grown: Path, keys: Path, to: Path) -> Site:
    shutil.copytree(grown, to)
    site = Site(to / "database-ca", to, keys / "phrase")
    site.deploy(AIKEN, MARGARET, CLIENT, REVOKED)
    return site


class _starter:  # noqa: N801  # used as a function
    def __init__(self, programs: Programs, data: Path) -> None:
        self.programs, self.data = programs, data
        self.servers: list[Server] = []

    def __enter__(self) -> StartServer:
        self.root = Path(tempfile.mkdtemp(prefix="dbca-"))  # a socket's path has 107 characters at the most
        return self.start

    def start(self, settings: Path | None = None, *options: str, inside: Sequence[str] = ()) -> Server:
        directory = Path(tempfile.mkdtemp(dir=self.root))
        copy_data(self.data, directory)
        server = Server(self.programs, directory, settings, options, inside=inside)
        self.servers.append(server)
        return server.start()

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.stop()
        shutil.rmtree(self.root, ignore_errors=True)
