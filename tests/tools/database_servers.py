"""Real servers of MariaDB or MySQL on 127.0.0.1, with temporary data directories, and their real clients."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools.support import Finished, run

PASSWORD = "p4ss"


@dataclass(frozen=True)
class Programs:
    """The programs of one flavor."""

    flavor: str
    server: str
    client: str

    @property
    def options(self) -> tuple[str, ...]:
        """What the tool has to be told of them."""
        return "--client-program", self.client

    def install(self, data: Path) -> None:
        """A new data directory, where root may come in without a password."""
        if self.flavor == "mariadb":
            command = ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal"]
            command += ["--skip-test-db", "--innodb-log-file-size=4M", *_as("root")]
        else:
            command = [self.server, "--no-defaults", "--initialize-insecure", *_as("root")]
        # with a tmpdir of its own: a server that starts clears away the temporary tables that it finds
        done = run(*command, f"--datadir={data}", f"--tmpdir={data.parent}", directory=data.parent)
        assert done.code == 0, done.output + done.messages


@dataclass
class Server:
    """One server, stopped or running; `settings` is its option file, and everything else is on its command line.

    `inside` are the words before a command that have it run on another host.
    """

    programs: Programs
    directory: Path
    settings: Path | None = None
    options: Sequence[str] = ()
    port: int = 0
    user: str = "root"
    inside: Sequence[str] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    @property
    def socket(self) -> Path:
        """Its local socket."""
        return self.directory / "socket"

    @property
    def connection(self) -> tuple[str, ...]:
        """The options by which the tool reaches it as root."""
        return (*self.programs.options, "--socket", str(self.socket), "--user", "root")

    @property
    def log(self) -> str:
        """Its error log."""
        path = self.directory / "log.err"
        return path.read_text(errors="replace") if path.exists() else ""

    def start(self, attempts: int = 3) -> Server:
        """Start it on a free port, which another process may be quicker to take, and wait until it answers."""
        for _ in range(attempts):
            self.port = free_port()
            if self._started():
                return self
        raise AssertionError(f"the server does not start:\n{self.log[-3000:]}")

    def stop(self) -> None:
        """Stop it, and wait for its end."""
        if self.process:
            self.process.terminate()
            self.process.wait(60)
            self.process = None

    def sql(self, statements: str) -> list[list[str]]:
        """Run statements as root by the local socket; the rows of the last ones, without heads."""
        done = self._as_root(statements)
        assert done.code == 0, f"{statements}\n{done.messages}"
        return [line.split("\t") for line in done.output.splitlines()]

    def client(self, *options: str, statements: str = "SELECT 1") -> Finished:
        """Run the real client; an option file must be the first option."""
        first = () if options and options[0].startswith("--defaults-file") else ("--no-defaults",)
        return run(
            *(*self.inside, self.programs.client, *first, *options, "--batch", "--skip-column-names"),
            directory=self.directory,
            stdin=statements,
        )

    def over_tcp(self, *options: str, statements: str = "SELECT 1") -> Finished:
        """Run the real client over TCP."""
        first, rest = (options[:1], options[1:]) if options and "defaults-file" in options[0] else ((), options)
        return self.client(*first, "--host=127.0.0.1", f"--port={self.port}", *rest, statements=statements)

    @property
    def without_tls(self) -> str:
        """The client's option to leave TLS away."""
        return "--skip-ssl" if self.programs.flavor == "mariadb" else "--ssl-mode=DISABLED"

    def with_tls(self, ssl: Path, name: str = "", authority: Path | None = None) -> tuple[str, ...]:
        """The client's options to verify the server, and to show the certificate of `name`."""
        verify = "--ssl-verify-server-cert" if self.programs.flavor == "mariadb" else "--ssl-mode=VERIFY_IDENTITY"
        shown = (f"--ssl-cert={ssl}/{name}.cert.pem", f"--ssl-key={ssl}/private/{name}.key.pem") if name else ()
        return (f"--ssl-ca={authority or ssl / 'database-ca.cert.pem'}", verify, *shown)

    def _as_root(self, statements: str) -> Finished:
        # the client of MariaDB 11.8 would want a server with TLS and a valid certificate, here too
        return self.client("--user=root", f"--socket={self.socket}", self.without_tls, statements=statements)

    def _started(self) -> bool:
        first = f"--defaults-file={self.settings}" if self.settings else "--no-defaults"
        directory = self.directory
        options = [f"--datadir={directory}/data", f"--socket={self.socket}", f"--pid-file={directory}/pid"]
        options += [
            f"--tmpdir={directory}",
            f"--log-error={directory}/log.err",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
        ]
        if self.programs.flavor == "mysql":
            options += ["--mysqlx=OFF", "--secure-file-priv="]
        else:
            options += ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=8M"]
        self.process = subprocess.Popen(
            [*self.inside, self.programs.server, first, *_as(self.user), *options, *self.options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(600):
            if self.process.poll() is not None:
                self.process = None
                return False
            if self.socket.exists() and self._as_root("SELECT 1").code == 0:
                return True
            time.sleep(0.05)
        self.stop()
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def eventually(condition: object, seconds: float = 20) -> bool:
    """Whether a callable becomes true in time: for what a server does by itself, and says nowhere when it is done."""
    assert callable(condition)
    for _ in range(int(seconds * 10)):
        if condition():
            return True
        time.sleep(0.1)
    return False


@contextmanager
def session(server: Server, *options: str) -> Iterator[Session]:
    """A client that stays connected."""
    with subprocess.Popen(
        [server.programs.client, "--no-defaults", *options, "--batch", "--skip-column-names", "--unbuffered"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "HOME": str(server.directory)},
        text=True,
    ) as process:
        yield Session(process)
        assert process.stdin
        process.stdin.close()
        process.wait(30)


@dataclass(frozen=True)
class Session:
    """An open connection."""

    process: subprocess.Popen[str]

    def ask(self, statement: str) -> str:
        """The first line of the answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{statement};\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")


def copy_data(template: Path, directory: Path) -> None:
    """A data directory of one's own; no two servers may have one identity."""
    shutil.copytree(template, directory / "data")
    (directory / "data/auto.cnf").unlink(missing_ok=True)


def environment_with(values: Mapping[str, str]) -> dict[str, str]:
    """An environment for a program that is run without the tests' helpers."""
    return {"PATH": os.environ["PATH"]} | dict(values)


def _as(user: str) -> list[str]:
    """The option without which a server does not run as root."""
    return [f"--user={user}"] if os.geteuid() == 0 else []
