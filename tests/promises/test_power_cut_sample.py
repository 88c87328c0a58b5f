"""A sample of tests/promises/crash in every run: a few of the states that a power cut may leave of each verb."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import power_states
from tools.killing import World
from tools.power_states import CASES

SAMPLE = 5


@pytest.mark.parametrize("name", ["revoke", "request", "recovery of sign", "sign on FAT", "repair of the serial"])
def test_a_power_cut_loses_nothing(name: str, world: World, tmp_path: Path) -> None:
    recorded = power_states.record(CASES[name], world.copy(tmp_path / "recorded"), 1)
    states = recorded.states[:: max(1, len(recorded.states) // SAMPLE)] + recorded.states[-1:]
    assert power_states.bad(CASES[name], recorded, states, tmp_path) == {}
    assert any(done for _, done in states)
