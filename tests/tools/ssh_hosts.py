"""Real sshd processes on loopback ports. Each has its own mount and process namespaces: an /etc and a /run of its own.

What a test does to `/etc/mysql/ssl` of a host is done to that host alone, and killing its first process is what a
crash of the machine is to it. Seen from outside, a host's files lie below `/proc/PID/root`.
"""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tools.support import Finished, run

MYSQL = 3306
"""The number of the user `mysql` on each host."""

_PASSWD = f"""\
root:x:0:0:root:/root:/bin/sh
sshd:x:110:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
mysql:x:{MYSQL}:{MYSQL}::/nonexistent:/bin/false
admin:x:1001:1001::/tmp:/bin/sh
guest:x:1002:1002::/tmp:/bin/sh
"""
_GROUP = f"root:x:0:\nnogroup:x:65534:\nmysql:x:{MYSQL}:\nadmin:x:1001:\nguest:x:1002:\n"
_NAMESPACES = ("--mount", "--pid", "--fork", "--kill-child")
_COPIED = ("ld.so.cache", "ssl/openssl.cnf", "pam.d", "security", "localtime", "login.defs", "alternatives")

_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey /etc/host_key
AuthorizedKeysFile /etc/authorized_keys
StrictModes no
UsePAM no
UseDNS no
PasswordAuthentication no
PermitRootLogin prohibit-password
PidFile none
Subsystem sftp internal-sftp
SetEnv PATH=/etc/bin:{openssl}:/usr/sbin:/usr/bin:/sbin:/bin
"""

_START = """\
set -eu
mount --make-rprivate /
mount --bind "$1" /etc
mount -t tmpfs none /run
mkdir -m 755 /run/sshd
mkdir -p /etc/mysql/ssl
[ -z "$2" ] || mount -t tmpfs -o mode=755,size="$2" none /etc/mysql/ssl
cd /
[ -z "$4" ] || ip link set lo up
exec "$3" -D -f /etc/sshd_config -E /etc/sshd.log
"""


@dataclass
class Machine:
    """A host that runs: its name, its sshd, and where its files are."""

    name: str
    port: int
    etc: Path
    process: subprocess.Popen[bytes]
    is_isolated: bool = False

    @property
    def inside(self) -> tuple[str, ...]:
        """The words before a command that is to run there, past ssh."""
        return ("nsenter", "--mount", *(("--net",) if self.is_isolated else ()), "--target", str(self.pid))

    @property
    def pid(self) -> int:
        """The process number of its sshd, the first process of its namespace."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(children.read_text().split()[0])

    @property
    def ssl(self) -> Path:
        """Its /etc/mysql/ssl, as this process can reach it."""
        return Path(f"/proc/{self.pid}/root/etc/mysql/ssl")

    def fill(self) -> None:
        """Leave no room on the file system of its /etc/mysql/ssl, which must have one of its own."""
        with (self.ssl / "filler").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                return

    def crash(self) -> None:
        """End every process of it at once."""
        if self.process.poll() is None:
            self.process.kill()  # unshare takes all of the namespace with it
        self.process.wait()

    def wait_for(self, name: str) -> None:
        """Wait until there is a file of that name below /etc."""
        for _ in range(2000):
            if (self.etc / name).exists():
                return
            time.sleep(0.01)
        raise AssertionError(f"{self.name} never had /etc/{name}")

    def mode(self, name: str) -> tuple[str, int, int]:
        """The mode of a file below /etc/mysql/ssl, as `ls` shows it, and the numbers of its owner and its group."""
        status = (self.ssl / name).lstat()
        return stat.filemode(status.st_mode), status.st_uid, status.st_gid


@dataclass
class Fleet:
    """All hosts of one test, and the ssh configuration that reaches them by their names."""

    directory: Path
    machines: dict[str, Machine] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        """The ssh configuration of the administrator."""
        return self.directory / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The host keys that the administrator knows."""
        return self.directory / "known_hosts"

    def prepare(self) -> None:
        """Make the administrator's key and, once for all, a host key."""
        for needed in ("sshd", "ssh", "ssh-keygen", "unshare"):
            assert program(needed), f"{needed} is missing: apt install openssh-server openssh-client util-linux"
        assert os.geteuid() == 0, "the tests of hosts need root, for the namespaces of their sshd"
        self.directory.mkdir(parents=True, exist_ok=True)
        for name in ("administrator", "host_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / name, directory=self.directory)

    def start(self, *names: str, size: str = "", isolated: bool = False) -> list[Machine]:
        """Start a host for each name; with `size` its /etc/mysql/ssl is a file system of that size.

        With `isolated` no port of it can be reached from here; ssh gets there as by a jump host.
        """
        starting = [self._start(name, size, isolated) for name in names]
        for machine in starting:
            _wait_for_log(machine)
            self.machines[machine.name] = machine
        self.write_config()
        return starting

    def write_config(self, **ports: int) -> None:
        """Write configuration and known hosts; `ports` are hosts that do not run."""
        reached = {name: machine.port for name, machine in self.machines.items()} | {
            name.replace("_", "."): port for name, port in ports.items()
        }
        self.config.write_text(
            "".join(f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n" for name, port in reached.items())
            + "".join(
                f"Host {machine.name}\n"
                f"  ProxyCommand {' '.join(machine.inside)} {program('sshd')} -i -f /etc/sshd_config\n"
                for machine in self.machines.values()
                if machine.is_isolated and machine.process.poll() is None
            )
            + "Host *\n"
            f"  User root\n  IdentityFile {self.directory}/administrator\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.known_hosts}\n  GlobalKnownHostsFile /dev/null\n"
        )
        key = (self.directory / "host_key.pub").read_text()
        self.known_hosts.write_text("".join(f"[127.0.0.1]:{port} {key}" for port in reached.values()))

    def restart(self, machine: Machine) -> Machine:
        """Start a host again, with the files that it had."""
        machine.crash()
        for name in ("bin", "told"):
            shutil.rmtree(machine.etc / name, ignore_errors=True)
        again = self._boot(machine.name, machine.etc, "", machine.is_isolated)
        _wait_for_log(again)
        self.machines[machine.name] = again
        self.write_config()
        return again

    def shell(self, machine: Machine, script: str) -> Finished:
        """Have root run a script on a host, past ssh."""
        return run(*machine.inside, "sh", "-s", directory=self.directory, stdin=script)

    @contextmanager
    def crashing(self, machine: Machine, moment: str) -> Iterator[None]:
        """The host crashes as soon as it runs `openssl` with arguments that begin with `moment`, a pattern of sh."""
        self._intercept(machine, moment, ": > /etc/bin/reached; exec sleep 60")
        reached = machine.etc / "bin/reached"
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.02):
                if reached.exists():
                    machine.crash()
                    return

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
            assert reached.exists(), f"the host never ran openssl {moment}"
        finally:
            done.set()
            watcher.join()

    def delay(self, machine: Machine, moment: str, seconds: int) -> None:
        """The host takes some seconds more for an openssl with such arguments, once."""
        self._intercept(machine, moment, f"mv /etc/bin/openssl /etc/bin/done; sleep {seconds}")

    def lie(self, machine: Machine, commands: str, told: str = "") -> None:
        """Whatever root is to run on a host, it runs `commands`; `/etc/told` holds `told`."""
        (machine.etc / "told").write_text(told)
        (machine.etc / "liar").write_text(f"#!/bin/sh\ncat > /dev/null\n{commands}\n")
        (machine.etc / "liar").chmod(0o755)
        (machine.etc / "passwd").write_text(_PASSWD.replace("/root:/bin/sh", "/root:/etc/liar"))

    def _intercept(self, machine: Machine, moment: str, commands: str) -> None:
        """Put an openssl before the real one on a host: with arguments like `moment` it runs `commands` first."""
        (machine.etc / "bin").mkdir()
        pattern = moment.replace(" ", "\\ ")
        (machine.etc / "bin/openssl").write_text(
            f'#!/bin/sh\ncase "$*" in {pattern}*) {commands} ;; esac\nexec {program("openssl")} "$@"\n'
        )
        (machine.etc / "bin/openssl").chmod(0o755)

    def stop(self) -> None:
        """End all hosts."""
        for machine in self.machines.values():
            machine.crash()

    def _start(self, name: str, size: str, isolated: bool) -> Machine:
        root = self.directory / "hosts" / name
        etc = root / "etc"
        etc.mkdir(parents=True)
        _make_etc(etc, self.directory)
        return self._boot(name, etc, size, isolated)

    def _boot(self, name: str, etc: Path, size: str, isolated: bool) -> Machine:
        port = free_port()
        (etc / "sshd.log").unlink(missing_ok=True)
        (etc / "sshd_config").write_text(_SSHD.format(port=port, openssl=Path(program("openssl")).parent))
        process = subprocess.Popen(
            [
                *("unshare", *_NAMESPACES, *(("--net",) if isolated else ())),
                *("sh", "-c", _START, "sh", etc, size, program("sshd"), "isolated" if isolated else ""),
            ],
            env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return Machine(name, port, etc, process, isolated)


def program(name: str) -> str:
    """The path of a program, also where only root looks for it."""
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin") or ""


def free_port() -> int:
    """A loopback port at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def read_all(machines: Iterable[Machine]) -> dict[str, bytes]:
    """Every private key on the hosts."""
    return {
        f"{machine.name}:{path.name}": path.read_bytes()
        for machine in machines
        for path in (machine.ssl / "private").glob("*.key.pem")
    }


def _make_etc(etc: Path, keys: Path) -> None:
    for name in _COPIED:
        source = Path("/etc") / name
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            ignore = shutil.ignore_patterns("opasswd")  # only the root of the machine may read it
            shutil.copytree(source, etc / name, symlinks=True, ignore=ignore)
        elif source.exists():
            shutil.copy2(source, etc / name)
    (etc / "passwd").write_text(_PASSWD)
    (etc / "group").write_text(_GROUP)
    (etc / "shadow").write_text("".join(f"{line.split(':')[0]}:*:20000::::::\n" for line in _PASSWD.splitlines()))
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    (etc / "sudoers").write_text("admin ALL=(ALL) NOPASSWD: ALL\n")
    (etc / "sudoers").chmod(0o440)
    shutil.copy(keys / "host_key", etc / "host_key")
    shutil.copy(keys / "administrator.pub", etc / "authorized_keys")
    (etc / "authorized_keys").chmod(0o644)


def _wait_for_log(machine: Machine) -> None:
    log = machine.etc / "sshd.log"
    for _ in range(1000):
        if log.exists() and "Server listening" in log.read_text():
            return
        assert machine.process.poll() is None, f"the sshd of {machine.name} did not start"
        time.sleep(0.01)
    raise AssertionError(f"the sshd of {machine.name} does not listen: {log.read_text() if log.exists() else ''}")
