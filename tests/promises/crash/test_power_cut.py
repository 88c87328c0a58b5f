"""A power cut after each system call of each verb: what is lost of what was not on the disk yet. Slow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools import power_states
from tools.killing import World
from tools.power_states import CASES

SUBSETS = 6
"""Random subsets of what may be lost, at each moment; beside each alone, all, and each order."""


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_lost(
    name: str, world: World, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    recorded = power_states.record(CASES[name], world.copy(tmp_path / "recorded"), SUBSETS)
    wrong = power_states.bad(CASES[name], recorded, recorded.states, tmp_path)
    record_property("states", recorded.tried)
    record_property("judged", len(recorded.states))
    record_property("bad", len(wrong))
    assert wrong == {}
