"""kill -9 at every step that is taken on the disk, by the tool and by its openssl. Slow: not in the default run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tools import killing
from tools.killing import VERBS, WITH_OPENSSL, Point, World
from tools.support import snapshot

PARTS = 4
"""Each verb's points are dealt out to this many tests, so that two processes share the work."""

Record = Callable[[str, object], None]


@pytest.fixture
def start(world: World, tmp_path: Path) -> Callable[[str, str], World]:
    """A fresh copy of the world for a verb."""

    def make(verb: str, name: str) -> World:
        copy = world.copy(tmp_path / name)
        if not VERBS[verb].starts_with_authority:
            shutil.rmtree(copy.ca)
        return copy

    return make


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", VERBS)
def test_the_tool_is_killed_at_every_step(
    verb: str, part: int, start: Callable[[str, str], World], record_property: Record
) -> None:
    points = killing.steps(VERBS[verb], start(verb, "recorded"))
    assert len(points) >= 20

    def bad(point: Point, world: World) -> list[str]:
        killed = killing.kill_tool(VERBS[verb], world, point)
        return ([] if killed.code == -9 else [f"not killed: {killed}"]) + killing.judge(VERBS[verb], world)

    _all(verb, points[part::PARTS], bad, start, record_property)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("verb", WITH_OPENSSL)
def test_the_openssl_is_killed_at_every_step(
    verb: str, part: int, start: Callable[[str, str], World], record_property: Record
) -> None:
    points = killing.openssl_steps(VERBS[verb], start(verb, "recorded"))
    assert len(points) >= 4

    def bad(point: Point, world: World) -> list[str]:
        without = (".lock", "count", "killed-openssl")
        before = snapshot(world.root, without=without)
        refused = killing.kill_openssl(VERBS[verb], world, point)
        wrong = [] if refused.code == 1 else [f"not refused: {refused}"]
        if snapshot(world.root, without=without) != before:
            wrong.append("something is changed")
        return wrong + killing.judge(VERBS[verb], world)

    _all(verb, points[part::PARTS], bad, start, record_property)


def _all(
    verb: str,
    points: list[Point],
    bad: Callable[[Point, World], list[str]],
    start: Callable[[str, str], World],
    record_property: Record,
) -> None:
    wrong = {}
    for number, point in enumerate(points):
        world = start(verb, str(number))
        if found := bad(point, world):
            wrong[point] = found
        shutil.rmtree(world.root)
    record_property("points", len(points))
    record_property("bad", len(wrong))
    assert wrong == {}
