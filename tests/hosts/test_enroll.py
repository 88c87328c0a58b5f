"""`enroll`, over real sshd."""

from __future__ import annotations

from pathlib import Path

from support import HOSTS

from hosts.conftest import Reach
from hosts.fleet import Fleet


def test_three_hosts_from_nothing(ca: Path, fleet: Fleet, reach: Reach) -> None:
    machines = fleet.start(*HOSTS)
    done = reach("enroll", *HOSTS, "--bits", "2048")
    print(done.messages, done.output)
    assert done.code == 0, done.messages
