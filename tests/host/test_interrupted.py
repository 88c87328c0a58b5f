"""The host's part of enrolling: killed before each of its commands, and the order in which it syncs what it makes."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.host import deploy, scripts
from dbca_openssl.host.request import NewRequest
from host.conftest import Reach
from tools.agreement import require_agreement
from tools.ssh_hosts import Fleet
from tools.support import HOSTS, Finished, openssl, run

AIKEN = HOSTS[0]
KEY, REQUEST, CERTIFICATE = f"private/{AIKEN}.key.pem", f"{AIKEN}.req.pem", f"{AIKEN}.cert.pem"
FILES = (KEY, REQUEST, CERTIFICATE)
REKEYED = f".rekey.{AIKEN}"
CHANGING = ("mv", "ln", "rm", "mkdir", "chmod", "chown", "chgrp", "sync")


class Host:
    """The directory of a host on this machine, and programs before the real ones that record and kill."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ssl = root / "mysql/ssl"
        self.programs, self.log = root / "programs", root / "log"
        self.programs.mkdir(parents=True)
        for name in CHANGING:
            program = self.programs / name
            program.write_text(
                f'#!/bin/sh\necho "{name} $*" >> {self.log}\n'
                f'[ "$(wc -l < {self.log})" != "${{KILL:-}}" ] || {{ kill -9 $PPID; exit 1; }}\n'
                f'exec {shutil.which(name)} "$@"\n'
            )
            program.chmod(0o755)

    def run(self, script: str, kill: int = 0) -> Finished:
        """Run a script; its shell is killed before its changing command number `kill`, if it has so many."""
        self.log.unlink(missing_ok=True)
        environment = {"PATH": f"{self.programs}:{os.environ['PATH']}", "KILL": str(kill)}
        return run("sh", "-s", directory=self.root, stdin=script, environment=environment)

    def commands(self) -> list[str]:
        """The changing commands of the last run, without the random part of the directory that it worked in."""
        lines = re.sub(r"\.dbca\.[0-9a-f]{8}", "WORK", self.log.read_text()).splitlines()
        return [line.replace("-- ", "") for line in lines]

    def enroll(self, rekey: bool = False, kill: int = 0) -> Finished:
        return self.run(scripts.enroll(NewRequest(AIKEN, self.ssl, bits=2048), rekey=rekey), kill)

    def deploy(self, certificate: Path, kill: int = 0) -> Finished:
        host = KnownHost(AIKEN, directory=str(self.ssl))
        return self.run(deploy.script(host, {CERTIFICATE: certificate.read_bytes()}), kill)

    def certify(self, folder: Path, certificate: Path) -> None:
        """A certificate for the key in a folder; by whom is no matter to the host."""
        command = ("req", "-x509", "-new", "-key", folder / KEY, "-subj", f"/CN={AIKEN}", "-out", certificate)
        openssl(*command, directory=self.root)

    def files(self, folder: str = ".") -> list[bytes]:
        return [(self.ssl / folder / name).read_bytes() for name in FILES]

    def copy(self, root: Path) -> Host:
        other = Host(root)
        shutil.copytree(self.ssl, other.ssl)
        return other


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """A host with its certificate, and a new pair whose certificate is `new`, not there yet."""
    host = Host(tmp_path_factory.mktemp("waiting"))
    assert host.enroll().code == 0
    host.certify(host.ssl, host.ssl / CERTIFICATE)
    assert host.enroll(rekey=True).code == 0
    host.certify(host.ssl / REKEYED, host.root / "new")
    return host


def require_switched(host: Host, old: list[bytes], new: list[bytes]) -> None:
    assert host.files() == new
    assert [(host.ssl / f"{name}.old").read_bytes() for name in FILES] == old
    assert {path.name for path in host.ssl.iterdir()} - {"openssl.cnf", "private"} == {
        name for file in (REQUEST, CERTIFICATE) for name in (file, f"{file}.old")
    }
    assert {path.name for path in (host.ssl / "private").iterdir()} == {Path(KEY).name, f"{Path(KEY).name}.old"}


@pytest.mark.parametrize("after", ["deploy", "enroll", "enroll --rekey"])
def test_a_switch_goes_on_wherever_it_was_killed(waiting: Host, tmp_path: Path, after: str) -> None:
    new = [
        *((waiting.ssl / REKEYED / name).read_bytes() for name in (KEY, REQUEST)),
        (waiting.root / "new").read_bytes(),
    ]
    old = waiting.files()
    undisturbed = waiting.copy(tmp_path / "undisturbed")
    assert undisturbed.deploy(waiting.root / "new").code == 0
    require_switched(undisturbed, old, new)
    steps = len(undisturbed.log.read_text().splitlines())
    assert steps > 20
    for step in range(1, steps + 1):
        host = waiting.copy(tmp_path / f"{step}")
        assert host.deploy(waiting.root / "new", kill=step).code == -9
        keys = {path.read_bytes() for path in host.ssl.rglob("*.key.pem*")}
        assert {old[0], new[0]} <= keys, step
        if after != "deploy" and (host.ssl / REKEYED).exists():
            went_on = host.enroll(rekey=after == "enroll --rekey")
            assert went_on.code == 0, (step, went_on.messages)
        assert host.deploy(waiting.root / "new").code == 0, step
        require_switched(host, old, new)


def test_the_making_goes_on_wherever_it_was_killed(waiting: Host, tmp_path: Path) -> None:
    undisturbed = Host(tmp_path / "undisturbed")
    assert undisturbed.enroll().code == 0
    for step in range(1, len(undisturbed.log.read_text().splitlines()) + 1):
        host = Host(tmp_path / f"{step}")
        assert host.enroll(kill=step).code != 0
        key = host.ssl / KEY
        there = key.read_bytes() if key.exists() else None
        went_on = host.enroll()
        assert went_on.code == 0, (step, went_on.messages)
        assert there is None or key.read_bytes() == there
        assert "BEGIN CERTIFICATE REQUEST" in went_on.output
        assert not list(host.ssl.glob(".dbca.*"))


@pytest.mark.parametrize(
    "left", [(), ("private",), (KEY,), (REQUEST,), ("empty key", REQUEST), ("another key", REQUEST)]
)
def test_a_new_pair_of_which_a_part_is_left_is_made_again(waiting: Host, tmp_path: Path, left: tuple[str, ...]) -> None:
    host = waiting.copy(tmp_path / "host")
    made, there = host.ssl / REKEYED, host.ssl / "there"
    made.rename(there)
    (made / "private").mkdir(parents=True)
    for name in left:
        if name in FILES:
            shutil.copy(there / name, made / name)
    if "empty key" in left:
        (made / KEY).touch(mode=0o600)
    elif "another key" in left:
        shutil.copy(host.ssl / KEY, made / KEY)
    elif not left:
        (made / "private").rmdir()
    old = host.files()
    again = host.enroll(rekey=True)
    assert again.code == 0, again.messages
    assert host.files() == old
    assert (made / KEY).read_bytes() not in ((there / KEY).read_bytes(), old[0])
    host.certify(made, host.root / "certificate")
    assert host.deploy(host.root / "certificate").code == 0
    assert (host.ssl / f"{KEY}.old").read_bytes() == old[0]


def test_a_pair_is_on_the_disk_before_its_request_is_told(tmp_path: Path) -> None:
    host = Host(tmp_path / "host")
    assert host.enroll().code == 0
    commands = host.commands()
    assert commands[:2] == [f"mkdir -p {host.ssl}", f"sync {host.root} {host.root}/mysql"]
    key, request = f"ln WORK/{KEY} {KEY}", f"ln WORK/{REQUEST} {REQUEST}"
    linked = [line for line in commands if line.startswith(("ln", "sync"))][1:]
    assert linked == [
        f"sync WORK/{KEY} WORK/{REQUEST} WORK/openssl.cnf WORK/private WORK",
        "ln WORK/openssl.cnf openssl.cnf",
        key,
        "sync private .",
        request,
        "sync .",
        f"sync {KEY} private {REQUEST} .",
    ]


def test_a_switch_is_on_the_disk_before_the_next_step(waiting: Host, tmp_path: Path) -> None:
    host = waiting.copy(tmp_path / "host")
    assert host.deploy(waiting.root / "new").code == 0
    expected = [f"sync WORK/{CERTIFICATE}", f"mv -f WORK/{CERTIFICATE} {REKEYED}/{CERTIFICATE}", f"sync {REKEYED}"]
    for file in FILES:
        folder = "private" if file == KEY else "."
        expected += [
            f"ln -f {file} {file}.old",
            f"ln {REKEYED}/{file} {file}.new",
            f"sync {REKEYED}/{file} {folder}",
            f"mv -f {file}.new {file}",
            f"sync {folder}",
        ]
    expected += [f"mv {REKEYED} WORK.rekeyed", "sync .", "sync ."]
    assert [line for line in host.commands() if line.startswith(("ln", "mv", "sync"))] == expected


@pytest.mark.parametrize("rename", [1, 2, 3, 5])
def test_a_signature_that_was_interrupted_is_delivered(
    ca: Path, fleet: Fleet, reach: Reach, environment: dict[str, str], rename: int
) -> None:
    (aiken,) = fleet.start(AIKEN)
    strace = ("strace", "-o", "/dev/null", "-e", "trace=rename", "-e", f"inject=rename:signal=KILL:when={rename}")
    command = (sys.executable, "-m", "dbca_openssl", "enroll", AIKEN, "--ssh-config", fleet.config, "--bits", "2048")
    killed = run(*strace, *command, directory=ca, environment=environment)
    assert killed.code == -9, killed.messages
    assert not (aiken.ssl / CERTIFICATE).exists()
    again = reach("enroll", AIKEN, "--bits", "2048")
    assert again.code == 0, again.messages
    require_agreement(ca, [aiken])
