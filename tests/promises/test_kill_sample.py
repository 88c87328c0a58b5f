"""A sample of tests/promises/crash in every run: kill -9 at a few of the steps of each verb, and of its openssl."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools import killing
from tools.killing import VERBS, WITH_OPENSSL, World

SAMPLE = 2


@pytest.mark.parametrize(
    ("verb", "who"),
    [
        *((verb, "tool") for verb in VERBS),
        *(pytest.param(verb, "openssl", marks=pytest.mark.slow) for verb in WITH_OPENSSL),
    ],
)
def test_a_kill_loses_nothing(verb: str, who: str, world: World, tmp_path: Path) -> None:
    def start(name: str) -> World:
        copy = world.copy(tmp_path / name)
        if not VERBS[verb].starts_with_authority:
            shutil.rmtree(copy.ca)
        return copy

    find, kill = (killing.steps, killing.kill_tool) if who == "tool" else (killing.openssl_steps, killing.kill_openssl)
    points = find(VERBS[verb], start("recorded"))
    renames = [point for point in points if point.call == "rename"] or points
    for point in renames[:: max(1, len(renames) // SAMPLE)][:SAMPLE]:
        copy = start(f"{point.call}-{point.number}-{point.process}")
        killed = kill(VERBS[verb], copy, point)
        assert killed.code == (-9 if who == "tool" else 1), killed
        assert killing.judge(VERBS[verb], copy) == [], point
