"""A full disk: the directory is as before or complete, and exit code and message say which. All: make test-crash."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import full_disk, killing
from tools.killing import VERBS, World
from tools.support import snapshot

PAGES = (2, 12) if full_disk.can_mount() else ()


SAMPLE = ("sign", "init")
"""The others take their time, so they are for `make test-crash`."""


@pytest.mark.parametrize(
    "verb", [verb if verb in SAMPLE else pytest.param(verb, marks=pytest.mark.slow) for verb in VERBS]
)
def test_few_pages_are_left_or_a_call_fails(verb: str, world: World, tmp_path: Path) -> None:
    wrong = full_disk.levels(verb, world, tmp_path, PAGES)
    points = killing.steps(VERBS[verb], full_disk.start(verb, world, tmp_path / "recorded"))
    for number, point in enumerate((points[len(points) // 3], points[-len(points) // 3])):
        wrong |= full_disk.fault(verb, point, full_disk.start(verb, world, tmp_path / str(number)))
    assert wrong == {}


def test_directories_that_were_made_in_vain_are_removed_again(world: World, tmp_path: Path) -> None:
    verb = VERBS["request"]
    points = killing.steps(verb, world.copy(tmp_path / "recorded"))
    first = [point.call for point in points].index("openat")  # of the lock
    assert first >= 3
    for number, point in enumerate(points[: first + 3]):
        copy = world.copy(tmp_path / str(number))
        before = snapshot(copy.root)
        failed = killing.fail_tool(verb, copy, point, "ENOSPC")
        assert failed.code == 1 and "the disk is full" in failed.messages, (point, failed)
        assert snapshot(copy.root) == before, point
