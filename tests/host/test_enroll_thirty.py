"""Thirty hosts at once, over real sshd: slow."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from host.conftest import Reach
from tools.agreement import require_agreement
from tools.ssh_hosts import Fleet
from tools.support import PASSPHRASE, run

QUICK = ("--bits", "2048")


@pytest.mark.slow
def test_thirty_hosts_with_one_passphrase_and_one_transaction(
    ca: Path, fleet: Fleet, reach: Reach, tmp_path: Path
) -> None:
    names = [f"host{number:02}.example.net" for number in range(30)]
    machines = fleet.start(*names)
    log, real = tmp_path / "log", run("sh", "-c", "command -v openssl", directory=tmp_path).output.strip()
    (tmp_path / "openssl").write_text(f'#!/bin/sh\necho "$1" >> {log}\nexec {real} "$@"\n')
    (tmp_path / "openssl").chmod(0o755)
    reading, writing = os.pipe()
    os.write(writing, f"{PASSPHRASE}\n".encode())
    os.close(writing)
    enrolled = reach(
        *("enroll", *names, *QUICK, "--jobs", "8", "--passphrase-fd", str(reading)),
        *("--openssl", tmp_path / "openssl"),
        environment={},
        pass_fds=(reading,),
    )
    os.close(reading)
    assert enrolled.code == 0, enrolled.messages
    assert log.read_text().split().count("ca") == 1
    require_agreement(ca, machines)
