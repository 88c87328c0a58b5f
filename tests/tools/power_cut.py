"""A model of the disk in a power cut: what may be left of a directory after each prefix of a command's system calls.

A run under strace gives the calls. File content that was not fsynced may be lost, back to any earlier state; so may the
entries of a directory that was not fsynced, each alone, in any subset, or all after a certain one, as ext4 with its
journal loses them. A rename within a directory is one change. Between two directories it is one on file systems with
a journal, and two on FAT. The model's last state is compared with the real directory, so that no call is missed.
"""

from __future__ import annotations

import itertools
import random
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

CALLS = (
    *("openat", "creat", "write", "pwrite64", "sendfile", "copy_file_range", "ftruncate", "fsync", "fdatasync", "sync"),
    *("rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "link", "linkat"),
    *("chmod", "fchmod", "fchmodat", "chdir", "umask"),
)
_BYTES = r"((?:\\x[0-9a-f]{2})*)"
_STRING = rf'"{_BYTES}"'
_ARGUMENT = re.compile(rf"(?:(AT_FDCWD|\d+)<{_BYTES}[^>]*>|{_STRING})")

Version = tuple[bytes, int]
"""Content and mode."""

Tree = dict[str, tuple[bytes | None, int]]
"""A directory as paths relative to it, each with its content (None: a directory) and mode."""

Slot = tuple[int, str]
"""A name in a directory, which is given as the number of an inode."""

Change = dict[Slot, int | None]
"""Entries of directories that change together: what each name leads to from now on."""


def traced(trace: Path, *more: str) -> tuple[str | Path, ...]:
    """The command that records another one; `more` are options of strace."""
    return ("strace", "-f", "-y", "-xx", "-s", "10000000", "-o", trace, "-e", f"trace={','.join(CALLS)}", *more)


@dataclass
class Disk:
    """What is durable, what is only in memory, and what of that is lost together."""

    root: Path
    is_fat: bool = False
    durable: dict[Slot, int] = field(default_factory=dict)
    visible: dict[Slot, int] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    versions: list[list[Version]] = field(default_factory=list)
    """By inode: what may be on the disk, oldest first."""
    folders: set[int] = field(default_factory=set)
    positions: dict[int, int] = field(default_factory=dict)
    umask: int = 0o022
    """Of the process that makes a file at the moment."""

    def __post_init__(self) -> None:
        self._new(self.root, None)

    def _new(self, path: Path, parent: int | None) -> None:
        status, number = path.lstat(), len(self.versions)
        self.versions.append([(path.read_bytes() if path.is_file() else b"", stat.S_IMODE(status.st_mode))])
        if parent is not None:
            self.durable[parent, path.name] = self.visible[parent, path.name] = number
        if path.is_dir():
            self.folders.add(number)
            for child in sorted(path.iterdir()):
                self._new(child, number)

    def find(self, path: str) -> tuple[Slot | None, int | None]:
        """The slot of a path and what is there; neither for what is outside."""
        try:
            parts = Path(path).relative_to(self.root).parts
        except ValueError:
            return None, None
        slot, number = None, 0
        for place, part in enumerate(parts):
            slot = (number, part)
            found = self.visible.get(slot)
            if found is None:
                return (slot, None) if place == len(parts) - 1 else (None, None)
            number = found
        return slot, number

    def change(self, changed: Change) -> None:
        """Entries change in memory."""
        for slot, number in changed.items():
            self.visible.pop(slot, None)
            if number is not None:
                self.visible[slot] = number
        if self.is_fat and len({folder for folder, _ in changed}) > 1:
            self.pending += [{slot: number} for slot, number in changed.items()]
        else:
            self.pending.append(changed)

    def create(self, slot: Slot, mode: int, *, folder: bool = False) -> int:
        """A new file or directory in memory."""
        number = len(self.versions)
        self.versions.append([(b"", mode)])
        if folder:
            self.folders.add(number)
        self.change({slot: number})
        return number

    def rewrite(self, number: int, content: bytes | None = None, mode: int | None = None) -> None:
        """A file has other content or another mode in memory."""
        before = self.versions[number][-1]
        self.versions[number].append((before[0] if content is None else content, before[1] if mode is None else mode))

    def fsync(self, number: int) -> None:
        """A file or a directory is durable, and whatever else its entries belong together with."""
        del self.versions[number][:-1]
        slots: set[Slot] = set()
        left = []
        for changed in reversed(self.pending):
            if slots & changed.keys() or any(folder == number for folder, _ in changed):
                slots |= changed.keys()
            else:
                left.append(changed)
        flushed = [changed for changed in self.pending if not any(changed is one for one in left)]
        self.pending = left[::-1]
        self.durable = _applied(self.durable, flushed)

    def lost(self, seed: int, count: int) -> Iterator[Tree]:
        """What a power cut may leave now: everything, nothing, each change alone, each order, and `count` subsets."""
        chance, every = random.Random(seed), list(range(len(self.pending)))
        newest = {number: len(versions) - 1 for number, versions in enumerate(self.versions)}
        unsure = [number for number, last in newest.items() if last]
        oldest = dict.fromkeys(newest, 0)
        for subset in ([], every, *([one] for one in every), *(every[:one] for one in every)):
            yield self._tree(subset, newest)
            yield self._tree(subset, oldest)
        for one in every:
            yield self._tree([other for other in every if other != one], newest)
        for one in unsure:
            for version in range(newest[one]):
                yield self._tree(every, newest | {one: version})
        for _ in range(count):
            subset = [one for one in every if chance.random() < 0.5]
            yield self._tree(subset, {number: chance.randint(0, last) for number, last in newest.items()})

    def _tree(self, subset: list[int], version: Mapping[int, int]) -> Tree:
        entries = _applied(self.durable, [self.pending[one] for one in subset])
        return self.tree(entries, version)

    def tree(self, entries: Mapping[Slot, int], version: Mapping[int, int] | None = None) -> Tree:
        """The directory that such entries make, of the newest versions where no others are given."""
        children: dict[int, dict[str, int]] = {}
        for (folder, name), number in entries.items():
            children.setdefault(folder, {})[name] = number
        found: Tree = {}

        def walk(folder: int, path: str) -> None:
            for name, number in children.get(folder, {}).items():
                content, mode = self.versions[number][version[number] if version else -1]
                found[path + name] = (None if number in self.folders else content, mode)
                walk(number, f"{path}{name}/")

        walk(0, "")
        return found


def _applied(entries: Mapping[Slot, int], changes: list[Change]) -> dict[Slot, int]:
    result = dict(entries)
    for slot, number in itertools.chain.from_iterable(changed.items() for changed in changes):
        result.pop(slot, None)
        if number is not None:
            result[slot] = number
    return result


def replay(disk: Disk, trace: Path) -> Iterator[str]:
    """Do what a trace tells, and stop after each call that changes something, giving its name."""
    places: dict[str, str] = {}
    masks: dict[str, int] = {}
    for process, call, arguments, value in _finished(trace.read_text()):
        paths: list[str] = []
        descriptors: list[str] = []
        base = ""
        for kind, opened, text in _ARGUMENT.findall(arguments):
            if kind:
                base = _text(opened)
                if kind == "AT_FDCWD":
                    places[process] = base
                else:
                    descriptors.append(base)
            elif call not in ("write", "pwrite64"):
                paths.append(str(Path(base or places.get(process, "/"), _text(text))))
                base = ""
        disk.umask = masks.get(process, 0o022)
        if call == "umask":
            masks[process] = int(arguments, 8)
        elif call == "chdir" and value == "0":
            places[process] = paths[0]
        elif (
            call in _CALLED and not value.startswith(("-", "?")) and _CALLED[call](disk, descriptors, paths, arguments)
        ):
            yield call


def _finished(text: str) -> Iterator[tuple[str, str, str, str]]:
    waiting: dict[str, str] = {}
    for line in text.splitlines():
        process, _, rest = line.partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            waiting[process] = rest.removesuffix("<unfinished ...>").rstrip()
            continue
        if resumed := re.match(r"<\.\.\. \w+ resumed>", rest):
            rest = waiting.pop(process) + rest[resumed.end() :]
        if match := re.match(r"(\w+)\((.*)\)\s+= (.*)", rest):
            yield process, *match.groups()  # type: ignore[misc]


def _text(escaped: str) -> str:
    return bytes.fromhex(escaped.replace("\\x", "")).decode("utf-8", "surrogateescape")


def _open(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    slot, number = disk.find(paths[0])
    if slot is None or not re.search("O_WRONLY|O_RDWR|O_CREAT", arguments):
        return False
    created = number is None
    if number is None:
        mode = re.search(r", 0(\d+)$", arguments)
        number = disk.create(slot, int(mode[1], 8) & ~disk.umask if mode else 0)
    disk.positions[number] = len(disk.versions[number][-1][0]) if "O_APPEND" in arguments else 0
    if "O_TRUNC" in arguments and disk.versions[number][-1][0]:
        disk.rewrite(number, b"")
        return True
    return created


def _write(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    _, number = disk.find(opened[0])
    if number is None:
        return False
    data = bytes.fromhex(re.findall(_STRING, arguments)[0].replace("\\x", ""))
    at, before = disk.positions.get(number, 0), disk.versions[number][-1][0]
    disk.rewrite(number, before[:at] + data + before[at + len(data) :])
    disk.positions[number] = at + len(data)
    return True


def _copy(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    source, target = opened if arguments.split("<")[0].isdigit() and "NULL, " in arguments else opened[::-1]
    (_, number), (_, copied) = disk.find(target), disk.find(source)
    if number is None or copied is None:
        return False
    disk.rewrite(number, disk.versions[copied][-1][0])
    return True


def _truncate(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    _, number = disk.find(opened[0])
    if number is None:
        return False
    disk.rewrite(number, disk.versions[number][-1][0][: int(arguments.rsplit(", ", 1)[1])])
    return True


def _fsync(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    _, number = disk.find(opened[0])
    if number is None:
        return False
    disk.fsync(number)
    return True


def _rename(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    (source, number), (target, _) = disk.find(paths[0]), disk.find(paths[1])
    if source is None or target is None or number is None:
        return False
    disk.change({target: number, source: None})
    return True


def _remove(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    slot, number = disk.find(paths[0])
    if slot is None or number is None:
        return False
    disk.change({slot: None})
    return True


def _mkdir(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    slot, number = disk.find(paths[0])
    if slot is None or number is not None:
        return False
    disk.create(slot, int(arguments.rsplit(", 0", 1)[1], 8) & ~disk.umask, folder=True)
    return True


def _link(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    (_, number), (slot, _) = disk.find(paths[0]), disk.find(paths[1])
    if slot is None or number is None:
        return False
    disk.change({slot: number})
    return True


def _chmod(disk: Disk, opened: list[str], paths: list[str], arguments: str) -> bool:
    _, number = disk.find(paths[0] if paths else opened[0])
    if number is None:
        return False
    disk.rewrite(number, mode=int(re.findall(r", 0(\d+)", arguments)[0], 8))
    return True


_CALLED: dict[str, Callable[[Disk, list[str], list[str], str], bool]] = {
    **dict.fromkeys(("openat", "creat"), _open),
    **dict.fromkeys(("write", "pwrite64"), _write),
    **dict.fromkeys(("sendfile", "copy_file_range"), _copy),
    "ftruncate": _truncate,
    **dict.fromkeys(("fsync", "fdatasync"), _fsync),
    **dict.fromkeys(("rename", "renameat", "renameat2"), _rename),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), _remove),
    **dict.fromkeys(("mkdir", "mkdirat"), _mkdir),
    **dict.fromkeys(("link", "linkat"), _link),
    **dict.fromkeys(("chmod", "fchmod", "fchmodat"), _chmod),
}
