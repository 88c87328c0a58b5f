"""A full disk: the directory is as before or complete, and exit code and message say which. All of it: tests/crash."""

from __future__ import annotations

from pathlib import Path

import full_disk
import killing
import pytest
from killing import VERBS, World

PAGES = (0, 8, 15) if full_disk.can_mount() else ()


@pytest.mark.parametrize("verb", VERBS)
def test_few_pages_are_left_or_a_call_fails(verb: str, world: World, tmp_path: Path) -> None:
    wrong = full_disk.levels(verb, world, tmp_path, PAGES)
    points = killing.steps(VERBS[verb], full_disk.start(verb, world, tmp_path / "recorded"))
    for number, point in enumerate((points[len(points) // 3], points[-len(points) // 3])):
        wrong |= full_disk.fault(verb, point, full_disk.start(verb, world, tmp_path / str(number)))
    assert wrong == {}
