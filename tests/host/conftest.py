"""Fixtures: hosts with a real sshd each, and the verbs that reach them."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ca.test_report import Page
from database.conftest import StartServer, data, programs, start  # noqa: F401  # fixtures, also for hosts
from tools.database_servers import Server
from tools.ssh_hosts import Fleet, Machine
from tools.support import HOSTS, ORGANIZATION, Finished, MakeRequest, done, openssl, tool

CLIENT = "app"
CANARY = "dbca-canary"

Reach = Callable[..., Finished]


@pytest.fixture(scope="session")
def ssh_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the administrator's key and the host key of all hosts."""
    fleet = Fleet(tmp_path_factory.mktemp("ssh"))
    fleet.prepare()
    return fleet.directory


@pytest.fixture
def fleet(ssh_keys: Path, tmp_path: Path) -> Iterator[Fleet]:
    """Hosts to be started; they end with the test."""
    directory = tmp_path / "fleet"
    directory.mkdir()
    for path in ssh_keys.iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
        (directory / path.name).chmod(0o600)
    fleet = Fleet(directory)
    yield fleet
    fleet.stop()


@pytest.fixture
def reach(ca: Path, fleet: Fleet, environment: dict[str, str]) -> Reach:
    """A function that runs a verb on the authority `ca` with the ssh configuration of the fleet."""

    def run_verb(verb: str, *arguments: str | Path, **more: object) -> Finished:
        given = {"environment": environment, "directory": ca} | more
        return tool(verb, "--ssh-config", fleet.config, *arguments, **given)  # type: ignore[arg-type]

    return run_verb


@dataclass
class Site:
    """A CA and its hosts, whose certificates expire in twenty days; `app` has a client certificate."""

    ca: Path
    fleet: Fleet
    environment: dict[str, str]
    servers: dict[str, Server] = field(default_factory=dict)

    def rotate(self, *arguments: str | Path) -> Finished:
        """Run `rotate`."""
        return tool(
            *("rotate", *(arguments or ("--all", "--yes")), "--ssh-config", self.fleet.config),
            directory=self.ca,
            environment=self.environment,
        )

    def report(self) -> tuple[int, dict[str, list[str]]]:
        """The exit code of `report --probe`, and what its page says that each host serves, and which CRL it has."""
        page = self.ca.parent / "report.html"
        made = tool("report", "-o", page, "--probe", "--ssh-config", self.fleet.config, directory=self.ca)
        cells = (Page(page.read_text()).rows[1:] if page.exists() else [])[: len(HOSTS) + 1]
        return made.code, {row[0].partition("\n")[0]: row[7:] for row in cells if row[1] == "server\nguide"}

    def states(self, finished: Finished) -> dict[str, str]:
        """The state of each host in a table."""
        table = finished.output.partition("\nnext:")[0]
        return {line.split()[0]: " ".join(line.split()[1:]) for line in table.splitlines()[1:] if line}

    def serial(self, name: str) -> str:
        """The serial of the certificate in certs/."""
        printed = openssl("x509", "-noout", "-serial", "-in", f"certs/{name}.cert.pem", directory=self.ca)
        return printed.strip().removeprefix("serial=")

    def served(self, name: str) -> str:
        """The serial of the certificate that a server serves, asked on its own host."""
        server = self.servers[name]
        said = self.fleet.shell(
            self.fleet.machines[name],
            f"openssl s_client -starttls mysql -connect {server.address} < /dev/null 2> /dev/null |"
            " openssl x509 -noout -serial",
        )
        return said.output.strip().removeprefix("serial=")

    def admitted(self, name: str, client: str = CLIENT) -> bool:
        """Whether a server lets in who shows the certificate of a client; the client checks the server's name."""
        server, ca = self.servers[name], self.ca
        key = f"private/{client}.key.pem" if client == CANARY else f"{client}.key.pem"
        options = (f"--ssl-ca={ca}/database-ca.cert.pem", f"--ssl-cert={ca}/certs/{client}.cert.pem")
        return server.over_tcp("--user=app", *options, f"--ssl-key={ca}/{key}").code == 0


class Client:
    """A client that connects to each server in turn, all the time, with the files that it was given last."""

    def __init__(self, site: Site) -> None:
        self.site, self.connections, self.refused = site, 0, list[str]()
        self.trusted, self.certificate = site.ca / "database-ca.cert.pem", site.ca / f"certs/{CLIENT}.cert.pem"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._connect)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def is_running(self) -> bool:
        """Whether it still connects."""
        return self._thread.is_alive()

    def _connect(self) -> None:
        while not self._stop.is_set():
            for name in HOSTS:
                options = (f"--ssl-ca={self.trusted}", f"--ssl-cert={self.certificate}")
                key = f"--ssl-key={self.site.ca}/{CLIENT}.key.pem"
                connected = self.site.servers[name].over_tcp("--user=app", *options, key)
                self.connections += 1
                if connected.code != 0:
                    self.refused.append(f"{name}: {connected.messages}")


@pytest.fixture
def site(
    ca: Path,
    fleet: Fleet,
    start: StartServer,  # noqa: F811
    make_request: MakeRequest,
    keys: Path,
    environment: dict[str, str],
) -> Site:
    """Three hosts with a server each, enrolled by hand."""
    *near, far = HOSTS
    machines = [*fleet.start(*near), *fleet.start(far, isolated=True)]
    for name in (*HOSTS, CLIENT):
        make_request(name, to=ca / "certreqs")
    done("sign", *HOSTS, CLIENT, "--days", "20", "--yes", directory=ca, environment=environment)
    shutil.copy(keys / "host.key.pem", ca / f"{CLIENT}.key.pem")
    site = Site(ca, fleet, environment)
    lines: list[str] = []
    for machine in machines:
        deliver(site, machine, keys)
        ssl = Path("/etc/mysql/ssl")
        options = [f"--ssl-ca={ssl}/database-ca.cert.pem", f"--ssl-crl={ssl}/database-ca.crl"]
        options += [f"--ssl-cert={ssl}/{machine.name}.cert.pem", f"--ssl-key={ssl}/private/{machine.name}.key.pem"]
        options += [f"--server-id={len(lines) + 1}", "--log-bin=binlog"]
        server = site.servers[machine.name] = start(None, *options, inside=machine.inside)
        server.sql("SET sql_log_bin = 0; CREATE USER app@'%' REQUIRE X509")
        lines.append(f"{machine.name} dbca_connect={server.address} dbca_socket={server.socket}\n")
    (ca / "database-ca.hosts").write_text("# ours\n[databases]\n" + "".join(lines) + f"[clients]\n{CLIENT}\n")
    return site


@pytest.fixture
def new(ca: Path) -> Path:
    """The CA that is to take over, without a pass phrase."""
    openssl("genrsa", "-out", "new.key.pem", "2048", directory=ca.parent)
    done(
        *("init", "-o", ORGANIZATION, "--common-name", "Database CA 2", "--key", "new.key.pem"),
        *("--no-passphrase", "--ca", "new-ca"),
        directory=ca.parent,
    )
    return ca.parent / "new-ca"


def rollover(site: Site, new: Path, *more: str) -> Finished:
    """Run `rollover`."""
    return tool(
        *("rollover", site.ca, "--ca", new, "--ssh-config", site.fleet.config, "--yes"),
        *more,
        directory=site.ca.parent,
        environment=site.environment,
    )


def deliver(site: Site, machine: Machine, keys: Path) -> None:
    (machine.ssl / "private").mkdir()
    shutil.copy(keys / "host.key.pem", machine.ssl / f"private/{machine.name}.key.pem")
    for source in ("database-ca.cert.pem", "crl/database-ca.crl", f"certs/{machine.name}.cert.pem"):
        (machine.ssl / Path(source).name).write_bytes((site.ca / source).read_bytes())
        (machine.ssl / Path(source).name).chmod(0o644)
