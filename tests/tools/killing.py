"""Killing the tool, or its openssl, before each single step that it takes on the disk, and judging what is left.

A recording run under strace finds the steps: the system calls that change something in the directory at work. Each
point is then one more run in a fresh copy, killed (SIGKILL) when that call is entered.
"""

from __future__ import annotations

import collections
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from tools.kept import (
    NAMES,
    check_authority,
    check_backup,
    check_host,
    check_key,
    check_list,
    check_passphrase,
    follow_passphrase,
)
from tools.support import Finished, run, shell, snapshot

CALLS = (
    *("mkdir", "openat", "write", "fsync", "rename", "unlink", "unlinkat", "rmdir", "chmod", "fchmodat"),
    *("renameat", "renameat2", "creat", "ftruncate", "pwrite64"),
)
"""System calls that can change a directory; `openat` only where it may create or empty a file."""

OLD, PLAIN, LATER = "old.example.net", "plain.example.net", "later.example.net"
REPEATED = (
    *("has a valid certificate already", "exists already, and nothing is overwritten", "is revoked already"),
    "the new pass phrase is the old one",
)


SHARES = "from dbca_openssl.ca import parallel; parallel.LEAST = 1"
LISTED = (
    "from functools import partial; from dbca_openssl.ca import hosts, sign; "
    "sign.sign = partial(sign.sign, reached=[hosts.KnownHost('aiken.example.net', owner='mysql')])"
)
"""As `enroll` signs, which enters the host in the list."""
LARGE = "from dbca_openssl.ca import index; index.LARGE = 1"


@dataclass(frozen=True)
class Verb:
    """A verb that changes something: its arguments, made from the world it works in, and the check of its directory.

    `prepare` is Python that is run before it, to have a small world treated like a large one.
    """

    arguments: Callable[[Path], tuple[str | Path, ...]]
    check: Callable[[Path], list[str]]
    starts_with_authority: bool = True
    prepare: str = ""

    def run(self, world: World, *more: str | Path, before: tuple[str | Path, ...] = ()) -> Finished:
        """Run it; `before` is a command that runs it."""
        program = ("-c", f"{self.prepare}\nfrom dbca_openssl.cli.main import main\nmain()")
        return world.tool(*self.arguments(world.root), *more, before=before, program=program)


@dataclass(frozen=True)
class Point:
    """The `number`-th call of `call` by one process: the tool, or the `process`-th openssl that works on files.

    With a `path`, relative to where openssl works, only the calls on that file are counted.
    """

    call: str
    number: int
    process: int = 0
    path: str = ""


class World:
    """A directory with `keys/`, an authority `database-ca/` with requests and one certificate, and room for a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ca = root / "database-ca"
        self.ssl = root / "ssl"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "DBCA_PASSPHRASE_FILE": str(self.root / "keys/phrase"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
        }

    def copy(self, to: Path) -> World:
        return World(Path(shutil.copytree(self.root, to, symlinks=True)))

    def tool(
        self,
        *arguments: str | Path,
        before: tuple[str | Path, ...] = (),
        program: tuple[str, ...] = ("-m", "dbca_openssl"),
    ) -> Finished:
        command = (*before, sys.executable, *program, *arguments)
        return run(*command, directory=Path("/"), environment=self.environment)

    def tools(self, *commands: tuple[str | Path, ...], prepare: str = "") -> list[Finished]:
        """Several runs, one after the other, that share the start of Python: each is a process of its own (fork).

        `prepare` is as for a verb.
        """
        given = json.dumps([[str(argument) for argument in command] for command in commands])
        program = f"{prepare}\n{_MANY}"
        finished = run(sys.executable, "-c", program, given, directory=Path("/"), environment=self.environment)
        assert finished.code == 0, finished.messages
        return [Finished(*one) for one in finished.document]


_MANY = """
import json, os, sys, tempfile
from dbca_openssl.cli import main
from dbca_openssl.cli.commands import check, deploy, list, renew, revoke, show, sign  # before the fork

def one(arguments):
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as messages:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(messages.fileno(), 2)
            code = main.run(arguments)
            sys.stdout.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for file in output, messages:
            file.seek(0)
        return code, output.read().decode(), messages.read().decode()

print(json.dumps([one(arguments) for arguments in json.loads(sys.argv[1])]))
"""


def _ca(*arguments: str) -> Callable[[Path], tuple[str | Path, ...]]:
    return lambda root: (*arguments, "--ca", root / "database-ca")


def _init(root: Path) -> tuple[str | Path, ...]:
    return ("init", "-o", "example.net", "--key", root / "keys/ca.key.pem", "--ca", root / "database-ca")


def _request(root: Path) -> tuple[str | Path, ...]:
    return ("request", NAMES[0], "--bits", "2048", "--ssl-dir", root / "ssl")


def _passphrase(root: Path) -> tuple[str | Path, ...]:
    return ("passphrase", "--new-passphrase-file", root / "keys/new-phrase", "--ca", root / "database-ca")


def _backup(root: Path) -> tuple[str | Path, ...]:
    return ("backup", root / "database-ca.tar", "--ca", root / "database-ca")


VERBS = {
    "init": Verb(_init, check_authority, starts_with_authority=False),
    "sign": Verb(_ca("sign", NAMES[0], "--yes"), check_authority),
    "batch": Verb(_ca("sign", *NAMES, "--yes"), check_authority),
    "crl": Verb(_ca("crl"), check_authority),
    "request": Verb(_request, check_host),
    "revoke": Verb(_ca("revoke", OLD, "--yes"), check_authority),
    "renew": Verb(_ca("renew", OLD, "--yes"), check_authority),
    "init --renew": Verb(_ca("init", "--renew"), check_authority),
    "passphrase": Verb(_passphrase, check_passphrase),
    "backup": Verb(_backup, check_backup),
    "batch in shares": Verb(_ca("sign", *NAMES, "--yes"), check_authority, prepare=SHARES),
    "sign, large index": Verb(_ca("sign", NAMES[0], "--yes"), check_authority, prepare=LARGE),
    "sign, with the list": Verb(_ca("sign", NAMES[0], "--yes"), check_list, prepare=LISTED),
    "revoke, large index": Verb(_ca("revoke", OLD, "--yes"), check_authority, prepare=LARGE),
}
"""Every verb that changes a directory; a new one is one more line here."""

WITH_OPENSSL = [verb for verb in VERBS if verb != "backup"]
"""Those that have openssl change something."""


def steps(verb: Verb, world: World) -> list[Point]:
    """The points at which the tool itself changes something on the disk; `world` is used up."""
    trace = world.root / "trace"
    strace = ("strace", "-y", "-o", trace, "-e", f"trace={','.join(CALLS)}")
    finished = verb.run(world, before=strace)
    assert finished.code == 0, finished.messages
    return _points(trace.read_text(), world.root)


def openssl_steps(verb: Verb, world: World) -> list[Point]:
    """The points at which an openssl that the tool starts changes something on the disk; `world` is used up."""
    program = world.root / "recorded-openssl"
    traces = world.root / "traces"
    traces.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        'case "$1" in ca | req | pkey) ;; *) exec openssl "$@" ;; esac\n'
        f"case $CA_HOME in */*) number=${{CA_HOME##*/}} ;; *) number=$(ls {traces} | wc -l) ;; esac\n"  # */*: a share
        f'exec strace -y -o {traces}/$number -e trace={",".join(CALLS)} openssl "$@"\n'
    )
    program.chmod(0o755)
    finished = verb.run(world, "--openssl", program)
    assert finished.code == 0, finished.messages
    found = []
    for trace in sorted(traces.iterdir()):
        count: collections.Counter[str] = collections.Counter()
        for point in _points(trace.read_text(), world.root):
            found.append(_within_home(replace(point, process=int(trace.name)), count))
    return found


def _points(trace: str, root: Path) -> list[Point]:
    count: collections.Counter[str] = collections.Counter()
    found = []
    for line in trace.splitlines():
        match = re.match(r"(\w+)\((.*)", line)
        if not match:
            continue
        call, rest = match.groups()
        count[call] += 1
        if call in ("write", "pwrite64", "fsync", "ftruncate"):
            written = re.match(r"\d+<([^>]*)>", rest)  # and not what is written, which may well be a path
            rest = written[0] if written else ""
        # Python's paths are absolute; openssl's are relative to a directory at work, and are shown as they are
        paths = re.sub(r"AT_FDCWD<[^>]*>", "", rest)
        here = re.search(rf'{re.escape(str(root))}/(\.?database-ca|ssl)|"[^/"]', paths)
        if here and (call != "openat" or re.search(r"O_CREAT|O_TRUNC|O_WRONLY|O_RDWR", rest)):
            found.append(Point(call, count[call], path=re.sub(r"^\d+<|>$", "", rest) if call == "write" else ""))
    return found


def _within_home(point: Point, count: collections.Counter[str]) -> Point:
    """A write of openssl, counted on its file alone: it also writes dots while it looks for primes, never as many."""
    if point.call != "write":
        return point
    path = re.sub(r"^.*/(\.stage\.\w+(/\d+)?|\.database-ca\.\w+)/", "", point.path)
    count[path] += 1
    return Point(point.call, count[path], point.process, path)


def kill_tool(verb: Verb, world: World, point: Point) -> Finished:
    """Run the verb and kill the tool at a point."""
    return verb.run(world, before=_killing(point))


def fail_tool(verb: Verb, world: World, point: Point, error: str) -> Finished:
    """Run the verb while one call of the tool's fails, with an `error` such as ENOSPC."""
    inject = f"inject={point.call}:error={error}:when={point.number}"
    strace = ("strace", "-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject)
    return verb.run(world, before=strace)


def judge_failure(verb: Verb, world: World, before: dict[str, tuple[str, str]], finished: Finished) -> list[str]:
    """What is wrong after a failure: the tree must be as before or complete, and the exit code and message say which.

    `before` is a snapshot of the world without `.lock`.
    """
    unchanged = snapshot(world.root, without=(".lock",)) == before
    if finished.code == 1 and "the change is made" not in finished.messages:
        wrong = [] if unchanged else [f"something is changed after {finished.messages!r}"]
    elif finished.code in (0, 1):
        wrong = ["nothing is changed"] if unchanged else []
        if finished.code == 0:
            wrong += verb.check(world.root)
    else:
        wrong = [f"exit {finished.code}"]
    if finished.code:
        lines = [line for line in finished.messages.splitlines() if line.startswith("dbca-openssl: ")]
        if not lines or "should not happen" in lines[-1]:
            wrong.append(f"no reason is given: {finished.messages!r}")
    return wrong


def kill_openssl(verb: Verb, world: World, point: Point) -> Finished:
    """Run the verb and kill its openssl at a point."""
    program, count = world.root / "killed-openssl", world.root / "count"
    only = f'-P "$PWD/${{CA_HOME:+$CA_HOME/}}{point.path}"' if point.path else ""
    program.write_text(
        "#!/bin/sh\n"
        'case "$1" in ca | req | pkey) ;; *) exec openssl "$@" ;; esac\n'
        f"echo >> {count}\n"
        f"case $CA_HOME in */*) number=${{CA_HOME##*/}} ;; *) number=$(($(wc -l < {count}) - 1)) ;; esac\n"
        f'[ $number -eq {point.process} ] || exec openssl "$@"\n'
        f'exec {" ".join(_killing(point))} {only} openssl "$@"\n'
    )
    program.chmod(0o755)
    return verb.run(world, "--openssl", program)


def _killing(point: Point) -> tuple[str, ...]:
    inject = f"inject={point.call}:signal=KILL:when={point.number}"
    return ("strace", "-o", "/dev/null", "-e", f"trace={point.call}", "-e", inject)


def judge(verb: Verb, world: World) -> list[str]:
    """What is wrong after a kill: first plain openssl goes on in a copy, then the tool itself; `world` is used up."""
    wrong = []
    whole = (world.ca / "database-ca.cnf").exists()
    changes_key = verb.check is check_passphrase
    if whole:
        if changes_key:
            follow_passphrase(world.root)
        wrong += check_key(world.root)
        copy = world.copy(world.root / "copy")
        wrong += [f"plain openssl after it: {what}" for what in _plain_goes_on(copy, changes_key)]
    elif verb.starts_with_authority:
        wrong.append("the authority is lost")
    delivered, revoked = _delivered(world), _revoked(world)
    commands = [verb.arguments(world.root)]
    if verb.check is not check_host:
        commands += [(*arguments, "--ca", world.ca) for arguments in _going_on(world)]
    if changes_key:  # what comes after it needs the new one
        _recover_passphrase(world)
        [again] = world.tools(commands.pop(0))
        delivered |= _delivered(world)
        follow_passphrase(world.root)
        others = world.tools(*commands)
    else:
        again, *others = world.tools(*commands, prepare=verb.prepare)
    if again.code != 0 and not any(text in again.messages for text in REPEATED):
        wrong.append(f"the same again: {again.messages}")
    wrong += [f"after it: {one.messages}" for one in others if one.code]
    wrong += verb.check(world.root)
    kept = {*_delivered(world).values(), *(path.read_bytes() for path in world.ca.glob("newcerts/*"))}
    wrong += [f"{name} is lost" for name, data in delivered.items() if data not in kept]
    if verb.check is not check_host:
        listed = run("openssl", "crl", "-in", "crl/database-ca.crl", "-noout", "-text", directory=world.ca).output
        found = set(re.findall(r"Serial Number: ([0-9A-F]+)", listed))
        if not revoked <= _revoked(world) == found:
            wrong.append(f"revoked before {revoked}, in the index {_revoked(world)}, in the list {found}")
    wrong += [f"{path} is left" for path in world.root.rglob("*") if _is_left_over(path, world)]
    return wrong


def _delivered(world: World) -> dict[str, bytes]:
    paths = (*world.ca.glob("certs/*"), *world.ca.glob("private/*.pem"), *world.ssl.glob("private/*"))
    return {str(path.relative_to(world.root)): path.read_bytes() for path in paths}


def _revoked(world: World) -> set[str]:
    """The serials of the rows that are revoked, where there is an index."""
    index = world.ca / "database-ca.index"
    lines = index.read_text().splitlines() if index.exists() else []
    return {line.split("\t")[3] for line in lines if line.startswith("R\t")}


def _is_left_over(path: Path, world: World) -> bool:
    temporary = path.name.startswith((".stage.", ".commit", ".database-ca.")) or path.name.endswith(".new")
    return temporary and world.root / "copy" not in path.parents


def _recover_passphrase(world: World) -> None:
    world.tools(("list", "--ca", world.ca))
    follow_passphrase(world.root)


def _plain_goes_on(world: World, changes_key: bool) -> list[str]:
    """The guide's commands as typed by somebody who does not know that the tool was killed; then the tool again."""
    typed = shell(
        f"""set -e
        export OPENSSL_CONF=./database-ca.cnf
        cp ../requests/{PLAIN}.req.pem certreqs/
        openssl ca -batch -passin file:../keys/phrase -in ./certreqs/{PLAIN}.req.pem -out ./certs/{PLAIN}.cert.pem \\
            -extensions cert_ext --policy cert_policy
        openssl ca -passin file:../keys/phrase -gencrl -out crl/database-ca.crl
        """,
        world.ca,
    )
    if typed.code or not (world.ca / f"certs/{PLAIN}.cert.pem").exists():
        return [typed.messages]
    certificate = (world.ca / f"certs/{PLAIN}.cert.pem").read_bytes()
    crl = (world.ca / "crl/database-ca.crl").read_bytes()
    made = {name: (world.ca / f"database-ca.{name}").read_bytes() for name in ("serial", "index", "index.attr")}
    if changes_key:
        _recover_passphrase(world)
    [settled] = world.tools((*_going_on(world)[0], "--ca", world.ca))
    if settled.code:
        return [f"the tool after it: {settled.messages}"]
    wrong = check_authority(world.root) + check_key(world.root)
    if (world.ca / f"certs/{PLAIN}.cert.pem").read_bytes() != certificate:
        wrong.append("its certificate is overwritten")
    if (world.ca / "crl/database-ca.crl").read_bytes() != crl:
        wrong.append("its revocation list is overwritten")
    for name, data in made.items():
        if (world.ca / f"database-ca.{name}.old").read_bytes() != data:
            wrong.append(f"{name}.old is not what it left")
    return wrong


def _going_on(world: World) -> tuple[tuple[str | Path, ...], ...]:
    later = world.root / f"requests/{LATER}.req.pem"
    return ("sign", later, "--yes"), ("crl",), ("list",), ("verify", LATER)
