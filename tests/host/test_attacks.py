"""What a hostile host, or another user on a host, tries: refused, and nothing has changed here or there.

One table. Each attack prepares a host and the CA; then a command is run, which must refuse for the reason given.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from dbca_openssl.plan import WriteFile
from host.conftest import Reach
from tools.ssh_hosts import MYSQL, Fleet, Machine
from tools.support import HOSTS, MakeRequest, done, run, shell, snapshot, tool

AIKEN, MARGARET, _ = HOSTS
QUICK = ("--bits", "2048")
KEY = f"private/{AIKEN}.key.pem"
REKEYED = f".rekey.{AIKEN}"
ENROLL, REKEY = ("enroll", AIKEN, *QUICK), ("enroll", AIKEN, *QUICK, "--rekey")
MEASURED = (
    sys.executable,
    "-c",
    """
import resource, subprocess, sys
status = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
""",
)  # by a small process: what a large one starts, as pytest, is charged with the memory of that until it executes
DEPLOY, OWNER = ("deploy", AIKEN), ("--owner", "mysql")


@dataclass(frozen=True)
class Ground:
    """Where an attack is tried: a CA, and one host with a valid certificate of it, whose files belong to root."""

    ca: Path
    machine: Machine
    fleet: Fleet
    make_request: MakeRequest
    environment: dict[str, str]

    @property
    def ssl(self) -> Path:
        return self.machine.ssl

    @property
    def victim(self) -> Path:
        """A secret of root beside the attacked directory."""
        return self.machine.etc / "victim"

    def run(self, *arguments: str) -> None:
        done(*arguments, "--yes", directory=self.ca, environment=self.environment)

    def answer(self, request: str) -> None:
        """Whatever the host is asked, it claims to have made a new pair, and shows a request."""
        self.fleet.lie(self.machine, "echo 'dbca state rekeyed'; cat /etc/told; echo 'dbca end'", request)

    def state(self) -> dict[str, tuple[str, int, int]]:
        """Every file of the host below /etc/mysql and the victim: mode, owner and group."""
        paths = [self.victim, *(self.machine.etc / "mysql").rglob("*")]
        return {
            str(path): (stat.filemode(path.lstat().st_mode), path.lstat().st_uid, path.lstat().st_gid) for path in paths
        }


@dataclass(frozen=True)
class Attack:
    """What is prepared, the command that is run then, and what its refusal says."""

    name: str
    prepare: Callable[[Ground], None]
    command: tuple[str, ...]
    refusal: str

    def __str__(self) -> str:
        return self.name


def _compromised(ground: Ground) -> None:
    request = (ground.ssl / f"{AIKEN}.req.pem").read_text()
    ground.run("revoke", AIKEN, "--reason", "keyCompromise")
    ground.answer(request)


def _other_key(ground: Ground) -> None:
    ground.answer(ground.make_request(AIKEN).read_text())


def _large(ground: Ground) -> None:
    command = ("openssl", "req", "-new", "-key", ground.ssl / KEY, "-config", "/dev/stdin")
    names = "\n".join(f"DNS.{number} = {'a' * 60}{number}.example.net" for number in range(700))
    text = f"[req]\nprompt=no\ndistinguished_name=d\nreq_extensions=e\n[d]\nCN={AIKEN}\n[e]\nsubjectAltName=@n\n[n]\n"
    made = run(*command, directory=ground.ca, stdin=f"{text}{names}\n")
    assert len(made.output) > 65536, made.messages
    (ground.ssl / f"{AIKEN}.req.pem").write_text(made.output)


def _belongs_to(name: str, user: int = MYSQL) -> Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        path = ground.ssl / name
        if not path.exists():
            path.mkdir()
        os.chown(path, user, user)

    return prepare


def _mode(name: str, mode: int) -> Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        (ground.ssl / name).chmod(mode)

    return prepare


def _link(name: str) -> Callable[[Ground], None]:
    """What should be a file or directory is a link to the victim, or to a directory that has it under that name."""

    def prepare(ground: Ground) -> None:
        path = ground.ssl / name
        if path.is_dir():
            path.rename(ground.ssl.parent / "elsewhere")
            path.symlink_to("/etc/mysql/elsewhere")
        else:
            path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to("/etc/victim")

    return prepare


def _waiting_key_is_a_link(ground: Ground) -> None:
    """As the owner of the directory would prepare it: root gives the victim to the owner of the older key."""
    os.chown(ground.ssl / KEY, MYSQL, MYSQL)
    _link(f"{REKEYED}/{KEY}")(ground)
    shutil.copy(ground.ssl / f"{AIKEN}.cert.pem", ground.ssl / REKEYED)


ATTACKS = [
    Attack("rekeying with a compromised key", _compromised, REKEY, "has a key that was revoked as compromised"),
    Attack("a claim that it is rekeyed", _other_key, ENROLL, f"{AIKEN} has a valid certificate already: serial 01"),
    Attack("a request that sign refuses", _large, ("fetch", AIKEN), "its request has more than 64 KiB"),
    *(
        Attack(f"{' '.join(command[::2])}: {what}", prepare, command, refusal)
        for what, prepare, refusal in (
            ("another user's directory", _belongs_to("."), "/etc/mysql/ssl belongs to another user, number 3306"),
            ("another user's private", _belongs_to("private"), "/private belongs to another user, number 3306"),
            ("another user's stage", _belongs_to(".dbca.1"), "/.dbca.1 belongs to another user, number 3306"),
            ("another user's new pair", _belongs_to(REKEYED), f"/{REKEYED} belongs to another user, number 3306"),
            ("a directory for all", _mode(".", 0o777), "other users can write in /etc/mysql/ssl"),
            ("a private for a group", _mode("private", 0o770), "other users can write in /etc/mysql/ssl/private"),
            ("a key that is a link", _link(KEY), f"/{KEY} is a link, or not what it should be"),
            ("a private that is a link", _link("private"), "/private is a link, or not what it should be"),
            ("a directory that is a link", _link("."), "/etc/mysql/ssl is a link, or not what it should be"),
            ("a new key that is a link", _waiting_key_is_a_link, f"/{REKEYED}/{KEY} is a link, or not what it"),
        )
        for command in ((*DEPLOY, *OWNER), (*REKEY, *OWNER))
    ),
    Attack("another user's key", _belongs_to(KEY), DEPLOY, f"/{KEY} belongs to another user, number 3306"),
    Attack("not the named user's key", _belongs_to(KEY, 1001), (*DEPLOY, *OWNER), f"/{KEY} belongs to another user"),
]


@pytest.fixture(scope="module")
def enrolled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of an enrolled host and its CA are kept, made once; every attack has a copy."""
    return tmp_path_factory.mktemp("enrolled")


@pytest.fixture
def ground(
    ca: Path,
    fleet: Fleet,
    reach: Reach,
    make_request: MakeRequest,
    environment: dict[str, str],
    enrolled: Path,
) -> Ground:
    (machine,) = fleet.start(AIKEN)
    if not (enrolled / "ca").exists():
        assert reach(*ENROLL).code == 0
        shutil.copytree(machine.ssl, enrolled / "ssl")
        shutil.copytree(ca, enrolled / "ca")
    shutil.copytree(enrolled / "ssl", machine.ssl, dirs_exist_ok=True)
    shutil.copytree(enrolled / "ca", ca, dirs_exist_ok=True)
    ground = Ground(ca, machine, fleet, make_request, environment)
    ground.victim.write_text("the secret of root\n")
    ground.victim.chmod(0o600)
    return ground


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_attack(attack: Attack, ground: Ground, reach: Reach) -> None:
    attack.prepare(ground)
    there, owners, here = snapshot(ground.machine.etc / "mysql"), ground.state(), snapshot(ground.ca)
    refused = reach(*attack.command)
    assert refused.code == 1, refused.output
    assert attack.refusal in refused.messages
    assert "Traceback" not in refused.messages
    assert (snapshot(ground.machine.etc / "mysql"), ground.state()) == (there, owners)
    assert snapshot(ground.ca, without=(".lock",)) == {name: value for name, value in here.items() if name != ".lock"}


@pytest.mark.parametrize(
    ("prepare", "refusal"),
    [
        (lambda ssl: os.chown(ssl, MYSQL, MYSQL), "ssl belongs to another user, number 3306"),
        (lambda ssl: os.chown(ssl / "private", MYSQL, MYSQL), "private belongs to another user, number 3306"),
        (lambda ssl: ssl.chmod(0o777), "other users can write in "),
        (lambda ssl: (ssl / "private").rename(ssl / "p") and (ssl / "private").symlink_to("p"), "private is a link"),
    ],
    ids=["another user's directory", "another user's private", "a directory for all", "a private that is a link"],
)
def test_request_works_in_no_directory_of_others(tmp_path: Path, prepare: Callable[[Path], None], refusal: str) -> None:
    ssl = tmp_path / "ssl"
    (ssl / "private").mkdir(parents=True, mode=0o700)
    prepare(ssl)
    before = snapshot(tmp_path)
    refused = tool("request", AIKEN, "--bits", "2048", "--ssl-dir", ssl, directory=tmp_path)
    assert refused.code == 1, refused.output
    assert refusal in refused.messages
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("size", [400_000_000, 300_000], ids=["endless", "ended at once"])
@pytest.mark.parametrize("output", ["", " >&2"], ids=["output", "messages"])
def test_a_flood_without_line_ends_is_cut_off(
    ground: Ground, output: str, size: int, environment: dict[str, str]
) -> None:
    ground.fleet.lie(ground.machine, f"head -c {size} /dev/zero | tr '\\0' x{output}")
    messages = ground.ca.parent / "messages"
    with messages.open("wb") as file:
        measured = subprocess.run(
            [*MEASURED, sys.executable, "-m", "dbca_openssl", "fetch", AIKEN, "--ssh-config", ground.fleet.config],
            cwd=ground.ca,
            env={"PATH": os.environ["PATH"], "HOME": str(ground.ca)} | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            check=False,
        )
    assert measured.returncode == 1
    assert f"{AIKEN}: sent more than 256 KiB" in messages.read_text()
    assert "Traceback" not in messages.read_text()
    assert int(measured.stdout.split()[-1]) < 150_000  # KiB, of which Python and what it imports have two thirds


@pytest.mark.parametrize("end", ["END_OF_FILE", "END_OF_SCRIPT", "END_OF_TEXT", "END_OF_FILE_"])
def test_no_line_of_a_file_ends_a_here_document(
    ca: Path, tmp_path: Path, environment: dict[str, str], make_request: MakeRequest, end: str
) -> None:
    owned, ssl, programs = tmp_path / "owned", tmp_path / "ssl", tmp_path / "programs"
    text = f"{end}\ntouch {owned}\n"
    step = WriteFile("file", f"first\n{text}").script()
    assert shell(step, tmp_path).code == 0
    assert (tmp_path / "file").read_text() == f"first\n{text}"

    programs.mkdir()
    (programs / "ssh").write_text("#!/bin/sh\nexec sh -s\n")
    (programs / "ssh").chmod(0o755)
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    certificate = ca / "database-ca.cert.pem"
    certificate.write_text(text + certificate.read_text())
    script = done("deploy", AIKEN, "--ssl-dir", ssl, "--print", directory=ca, environment=environment).output
    assert end in script
    for arguments in ((), ("-n",)):
        finished = run("sh", *arguments, directory=tmp_path, stdin=script, environment=path)
        assert finished.code == 0, finished.messages
    assert (ssl / certificate.name).read_bytes() == certificate.read_bytes()
    for verb in (("deploy", AIKEN, "--ssl-dir", ssl), ("deploy", "--local", "--ssl-dir", tmp_path / "local")):
        done(*verb, directory=ca, environment=environment | path)
    assert not owned.exists()
