"""A full disk: a small file system with few free pages, where root runs the tests, or single calls that fail."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools import killing
from tools.killing import VERBS, World
from tools.support import snapshot

PAGE = 4096


@contextmanager
def stick(at: Path) -> Iterator[Path]:
    """A tmpfs of 2 MiB, mounted as long as the context lasts."""
    at.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(at)], check=True)
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


def fill(stick: Path, pages: int) -> None:
    """Fill it up, but for a number of pages."""
    free = os.statvfs(stick).f_bavail - pages
    (stick / "filler").write_bytes(b"\0" * (free * PAGE))
    assert os.statvfs(stick).f_bavail == pages


def can_mount() -> bool:
    """Whether a tmpfs can be mounted: not where root has no right to, as in many containers."""
    if os.geteuid() != 0:
        return False
    return (
        subprocess.run(["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True).returncode
        == 0
    )


def levels(verb: str, world: World, tmp_path: Path, pages: tuple[int, ...]) -> dict[str, list[str]]:
    """What is wrong where only so many pages are free."""
    wrong = {}
    for free in pages:
        with stick(tmp_path / f"stick{free}") as small:
            copy = start(verb, world, small / "world")
            fill(small, free)
            before = snapshot(copy.root, without=(".lock",))
            finished = VERBS[verb].run(copy)
            found = killing.judge_failure(VERBS[verb], copy, before, finished)
            if finished.code and "the disk is full" not in finished.messages:
                found.append(f"the message is {finished.messages!r}")
            if found:
                wrong[f"{free} pages"] = found
    return wrong


def fault(verb: str, point: killing.Point, copy: World) -> dict[str, list[str]]:
    """What is wrong where one call fails as on a full disk; afterwards the tool must go on."""
    before = snapshot(copy.root, without=(".lock",))
    finished = killing.fail_tool(VERBS[verb], copy, point, "ENOSPC")
    found = killing.judge_failure(VERBS[verb], copy, before, finished)
    found += killing.judge(VERBS[verb], copy)
    shutil.rmtree(copy.root)
    return {f"{point}": found} if found else {}


def start(verb: str, world: World, to: Path) -> World:
    """A fresh copy of the world for a verb."""
    copy = world.copy(to)
    if not VERBS[verb].starts_with_authority:
        shutil.rmtree(copy.ca)
    return copy
