"""A full disk, with 0 to 20 free pages where a tmpfs can be mounted, and ENOSPC from each single call of the tool."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools import full_disk, killing
from tools.killing import VERBS, World

PARTS = 4

Record = Callable[[str, object], None]


@pytest.mark.parametrize("verb", VERBS)
def test_few_pages_are_left(verb: str, world: World, tmp_path: Path, record_property: Record) -> None:
    pages = tuple(range(21)) if full_disk.can_mount() else ()
    wrong = full_disk.levels(verb, world, tmp_path, pages)
    record_property("levels", len(pages))
    record_property("bad levels", len(wrong))
    assert wrong == {}


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", VERBS)
def test_each_call_fails(verb: str, part: int, world: World, tmp_path: Path, record_property: Record) -> None:
    points = killing.steps(VERBS[verb], full_disk.start(verb, world, tmp_path / "recorded"))[part::PARTS]
    wrong: dict[str, list[str]] = {}
    for number, point in enumerate(points):
        wrong |= full_disk.fault(verb, point, full_disk.start(verb, world, tmp_path / str(number)))
    record_property("faults", len(points))
    record_property("bad faults", len(wrong))
    assert wrong == {}
