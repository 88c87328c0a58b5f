"""Fixtures: hosts with a real sshd each, and the verbs that reach them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.ssh_hosts import Fleet
from tools.support import Finished, tool

Reach = Callable[..., Finished]


@pytest.fixture(scope="session")
def ssh_keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the administrator's key and the host key of all hosts."""
    fleet = Fleet(tmp_path_factory.mktemp("ssh"))
    fleet.prepare()
    return fleet.directory


@pytest.fixture
def fleet(ssh_keys: Path, tmp_path: Path) -> Iterator[Fleet]:
    """Hosts to be started; they end with the test."""
    directory = tmp_path / "fleet"
    directory.mkdir()
    for path in ssh_keys.iterdir():
        (directory / path.name).write_bytes(path.read_bytes())
        (directory / path.name).chmod(0o600)
    fleet = Fleet(directory)
    yield fleet
    fleet.stop()


@pytest.fixture
def reach(ca: Path, fleet: Fleet, environment: dict[str, str]) -> Reach:
    """A function that runs a verb on the authority `ca` with the ssh configuration of the fleet."""

    def run_verb(verb: str, *arguments: str | Path, **more: object) -> Finished:
        given = {"environment": environment, "directory": ca} | more
        return tool(verb, "--ssh-config", fleet.config, *arguments, **given)  # type: ignore[arg-type]

    return run_verb
