"""Verbs in power cuts: the states that one may leave, and what each is worth to the commands that come after it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools import power_cut
from tools.kept import check_authority, check_host, check_key, check_passphrase
from tools.killing import REPEATED, VERBS, Verb, World
from tools.power_cut import Disk, Tree
from tools.support import Finished, run

ON_FAT = "from dbca_openssl import transaction; transaction.is_fat = lambda directory: True"
CHUNK = 16
"""So many states are gone on with by one start of Python."""

WRITERS = 8
"""Every so many states are also changed further; all are read, and what they come to by that is one of two states."""

Command = tuple[str | Path, ...]


def _deploy(root: Path) -> Command:
    return ("deploy", "--local", "--ssl-dir", root / "ssl", "--ca", root / "database-ca")


def _repair(root: Path) -> Command:
    return ("repair", "--yes", "--ca", root / "database-ca")


@dataclass(frozen=True)
class Case:
    """A verb and how it is recorded.

    `interrupted`: it is killed once it is decided, and what is recorded goes on with a `list` that recovers.
    `damage`: shell that damages the CA for `repair` first. `is_atomic`: what is left is as before or complete.
    """

    verb: Verb
    is_fat: bool = False
    interrupted: bool = False
    damage: str = ""
    is_atomic: bool = True


def _fat(name: str) -> Case:
    return Case(Verb(VERBS[name].arguments, VERBS[name].check, prepare=ON_FAT), is_fat=True)


def _damaged(damage: str) -> Case:
    return Case(Verb(_repair, check_authority), damage=damage, is_atomic=False)


CASES = {
    **{name: Case(verb) for name, verb in VERBS.items()},
    "backup": Case(VERBS["backup"], is_atomic=False),  # the file comes first, and then the note of it
    "recovery of sign": Case(VERBS["sign"], interrupted=True),
    "recovery of revoke": Case(VERBS["revoke"], interrupted=True),
    "sign on FAT": _fat("sign"),
    "revoke on FAT": _fat("revoke"),
    "repair of the index": _damaged("printf '\\n\\n' >> database-ca.index"),
    "repair of the serial": _damaged("echo nonsense > database-ca.serial"),
    "deploy --local": Case(Verb(_deploy, lambda root: [])),
    "repair of names": _damaged("mv private/database-ca.key.pem private/mariadatabase-ca.key.pem; rmdir certreqs"),
}


@dataclass
class Recorded:
    """What a verb did: the directory before and after it, and the states between, told apart by what matters.

    `tried` counts all of them; those that differ only in what was never committed are judged once.
    """

    before: Tree
    after: Tree
    states: list[tuple[Tree, bool]]
    tried: int


def record(case: Case, world: World, count: int) -> Recorded:
    """Run a verb and see what a power cut may leave at each moment, and after it was told as done (`done`)."""
    if not case.verb.starts_with_authority:
        shutil.rmtree(world.ca)
    if case.damage:
        assert run("sh", "-ec", f"rm -f certreqs/*; {case.damage}", directory=world.ca).code == 0
    disk, traces = Disk(world.root, case.is_fat), [world.root.parent / f"{world.root.name}.trace"]
    before = _here(world)
    if case.interrupted:
        decided = _fsyncs_until_decided(case.verb, world)
        kill = ("-e", f"inject=fsync:signal=KILL:when={decided + 1}")
        killed = case.verb.run(world, before=power_cut.traced(traces[0], *kill))
        assert killed.code == -9 and (world.ca / ".commit/manifest").exists()
        traces.append(world.root.parent / f"{world.root.name}.second-trace")
        finished = world.tool("list", "--ca", world.ca, before=power_cut.traced(traces[1]))
    else:
        finished = case.verb.run(world, before=power_cut.traced(traces[0]))
    assert finished.code == 0, finished.messages
    seen: dict[object, tuple[Tree, bool]] = {}
    tried: set[object] = set()

    def see(number: int, done: bool) -> None:
        for state in disk.lost(number, count):
            tried.add((frozenset(state.items()), done))
            seen.setdefault((frozenset(_counted(state).items()), done), (state, done))

    number = 0
    for trace in traces:
        for _ in power_cut.replay(disk, trace):
            number += 1
            see(number, False)
    see(number, True)
    assert number > 2
    missed = _differences(disk.tree(disk.visible), _here(world))
    assert not missed, f"the model has missed a call: {missed}"
    return Recorded(before, _here(world), list(seen.values()), len(tried))


def _fsyncs_until_decided(verb: Verb, world: World) -> int:
    """How many fsyncs the tool has done when it renames the stage to `.commit`."""
    copy = world.copy(world.root.parent / "counted")
    trace = world.root.parent / "counted.trace"
    assert verb.run(copy, before=("strace", "-o", trace, "-e", "trace=fsync,rename")).code == 0
    before, _, _ = trace.read_text().partition(f'"{copy.ca}/.commit")')
    return before.count("fsync(")


def _here(world: World) -> Tree:
    disk = Disk(world.root)
    return disk.tree(disk.visible)


def _counted(tree: Tree) -> Tree:
    """Without what no command looks into: what was staged and never committed."""
    return {path: what for path, what in tree.items() if not re.search(r"/\.stage\.\w+/|\.database-ca\.\w+/", path)}


def _whole(tree: Tree) -> Tree:
    """Only what counts once a change is recovered."""
    hidden = r"(^|/)(\.lock$|\.stage\.|\.commit(/|$)|\.database-ca\.|out(/|$))"
    return {path: what for path, what in tree.items() if not re.search(hidden, path)}


def materialise(tree: Tree, root: Path) -> World:
    """Make a directory of a state."""
    root.mkdir()
    for path, (content, mode) in tree.items():
        if content is None:
            (root / path).mkdir()
        else:
            (root / path).write_bytes(content)
            (root / path).chmod(mode)
    for path, (content, mode) in tree.items():
        if content is None:
            (root / path).chmod(mode)
    return World(root)


def bad(case: Case, recorded: Recorded, states: Sequence[tuple[Tree, bool]], place: Path) -> dict[int, list[str]]:
    """What is wrong, by the number of the state, once other commands have gone on from it."""
    found = {}
    for start in range(0, len(states), CHUNK):
        chunk = list(enumerate(states))[start : start + CHUNK]
        judges = [
            _Judge(case, recorded, state, done, place / str(number), written=done or not number % WRITERS)
            for number, (state, done) in chunk
        ]
        finished = iter(
            next(iter(judges[0].worlds.values())).tools(
                *(command for judge in judges for command in judge.commands.values()), prepare=case.verb.prepare
            )
        )
        for judge, (number, _) in zip(judges, chunk, strict=True):
            if wrong := list(judge.wrong({name: next(finished) for name in judge.commands})):
                found[number] = wrong
            shutil.rmtree(place / str(number))
    return found


class _Judge:
    """One state, in a copy for each command that comes after the power cut."""

    def __init__(self, case: Case, recorded: Recorded, state: Tree, done: bool, place: Path, *, written: bool) -> None:
        place.mkdir()
        self.case, self.recorded, self.state, self.done = case, recorded, state, done
        self.has_authority = "database-ca/database-ca.cnf" in state
        self.is_on_host = case.verb.check is check_host or "deploy" in case.verb.arguments(Path())
        names = [*(("check", "list") if self.has_authority else ()), "again"]
        if written and self.has_authority and case.verb.check is not check_passphrase:
            names += ["deploy", "crl"]
        elif self.has_authority and case.is_atomic and not self.is_on_host:
            names.remove("again")
        self.worlds = {name: materialise(state, place / name) for name in names}
        self.commands: dict[str, Command] = {
            name: case.verb.arguments(world.root)
            if name == "again"
            else _deploy(world.root)
            if name == "deploy"
            else (name, "--ca", world.ca)
            for name, world in self.worlds.items()
        }

    def wrong(self, finished: dict[str, Finished]) -> Iterator[str]:
        if again := finished.get("again"):
            if again.code != 0 and not any(text in again.messages for text in REPEATED):
                yield f"the same again: {again.messages}"
            yield from self.case.verb.check(self.worlds["again"].root)
        if self.is_on_host:
            yield from self._wrong_on_host()
        elif self.has_authority:
            yield from self._wrong_in_authority(finished)
        elif self.case.verb.starts_with_authority or self.done:
            yield "the authority is lost"

    def _wrong_in_authority(self, finished: dict[str, Finished]) -> Iterator[str]:
        if _whole(_here(self.worlds["check"])) != _whole(self.state):
            yield "check changed something"
        recovered = _here(self.worlds["list"])
        if "database-ca/.commit/manifest" in recovered and finished["list"].code == 0:
            yield "list read what an interrupted change has left"
        if self.case.is_atomic:
            refused = [name for name in self.commands if name in ("list", "deploy", "crl") and finished[name].code]
            yield from (f"{name}: {finished[name].messages}" for name in refused)
            allowed = [_whole(self.recorded.after)] + [_whole(self.recorded.before)] * (not self.done)
            if _whole(recovered) not in allowed:
                yield f"done: {self.done}, but after it {_differences(_whole(recovered), allowed[-1])}"
            if "deploy" in self.commands:
                yield from check_authority(self.worlds["crl"].root)
                yield from check_key(self.worlds["crl"].root)
                yield from self._wrong_in_what_is_delivered()
        else:
            yield from self._wrong_in_repair()

    def _wrong_in_what_is_delivered(self) -> Iterator[str]:
        """A revoked certificate is revoked in what deploy hands out, by openssl's word."""
        world = self.worlds["deploy"]
        crl = world.ssl / "database-ca.crl"
        listed = run("openssl", "crl", "-in", crl, "-noout", "-text", directory=world.root).output
        rows = [line.split("\t") for line in (world.ca / "database-ca.index").read_text().splitlines()]
        revoked = {row[3] for row in rows if row[0] == "R"}
        if set(re.findall(r"Serial Number: ([0-9A-F]+)", listed)) != revoked:
            yield f"deploy hands out a list of others than {revoked}"
        if (world.ssl / "database-ca.cert.pem").read_bytes() != (world.ca / "database-ca.cert.pem").read_bytes():
            yield "deploy hands out another certificate"

    def _wrong_in_repair(self) -> Iterator[str]:
        state = {path.removeprefix("database-ca/"): content for path, (content, _) in self.state.items()}
        before = {path.removeprefix("database-ca/"): content for path, (content, _) in self.recorded.before.items()}
        for path, content in before.items():
            name = path.rsplit("/", 1)[-1]
            kept = [data for other, data in state.items() if other.rsplit("/", 1)[-1].startswith(name)]
            if content and content not in kept and content not in state.values():
                yield f"what was in {path} is lost"
        if self.done and _whole(self.state) != _whole(self.recorded.after):
            yield f"done, but {_differences(_whole(self.state), _whole(self.recorded.after))}"

    def _wrong_on_host(self) -> Iterator[str]:
        """The request may have travelled once it is there: its key must be there as well, and of the same pair."""
        if "deploy" in self.case.verb.arguments(Path()):
            lost = {path: what for path, what in self.recorded.after.items() if self.state.get(path) != what}
            if self.done and lost:
                yield f"done, but {sorted(lost)}"
            if _whole(_here(self.worlds["again"])) != _whole(self.recorded.after):
                yield "the same again does not bring all"
            return
        paths = {path for path, (content, _) in self.state.items() if content}
        request, key, conf = (f"ssl/{name}" for name in _HOST_FILES)
        manifest = "ssl/.commit/manifest" in paths
        if request in paths and not (key in paths or manifest):
            yield "the request is there, its key is lost"
        if self.done and not {request, key, conf} <= paths:
            yield "done, but lost"


_HOST_FILES = ("aiken.example.net.req.pem", "private/aiken.example.net.key.pem", "openssl.cnf")


def _differences(one: Tree, other: Tree) -> list[str]:
    return sorted(path for path in {*one, *other} if one.get(path) != other.get(path))
