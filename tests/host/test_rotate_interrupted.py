"""`rotate` and `rollover`, killed at each step and run again: all is done, and no client was ever refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from host.conftest import CANARY, CLIENT, Client, Site, rollover
from tools.support import HOSTS, done, index_rows

SSH_CALLS = 9
"""Three hosts are looked at, get their certificates, and get the CRL."""

CA_CALLS = 7
"""Three `-revoke`, one that signs, and for the CRL the canary's signature and revocation, and `-gencrl`."""


def steps(ssh_calls: int, ca_calls: int) -> list[tuple[str, str, int]]:
    """The moments of a run at which it is killed."""
    return [
        (program, moment, number)
        for program, calls in (("ssh", ssh_calls), ("openssl ca", ca_calls))
        for number in range(1, calls + 1)
        for moment in ("before", "after")
    ]


FEW = [("ssh", "after", 6)]

STAGES = {1: (6, 6), 2: (9, 1), 3: (9, 0)}
"""The calls of each stage: three hosts are looked at, asked for their accounts, and delivered to; both CAs make a CRL
with a new canary, and then the new one signs.
"""

WRAPPER = """\
#!/bin/sh
case $0:$1 in *ssh:* | *openssl:ca) ;; *) exec {real} "$@" ;; esac
exec 9>> {state}/count
flock 9
echo >&9
number=$(wc -l < {state}/count)
flock -u 9
[ "{moment}$number" != before{number} ] || kill -9 "$(cat {state}/pid)"
{real} "$@" 9>&-
code=$?
[ "{moment}$number" != after{number} ] || kill -9 "$(cat {state}/pid)"
exit $code
"""


@pytest.mark.parametrize(
    ("program", "moment", "number"),
    [pytest.param(*one, marks=() if one in FEW else pytest.mark.every_step) for one in steps(SSH_CALLS, CA_CALLS)],
)
def test_the_next_run_finishes_it(site: Site, program: str, moment: str, number: int, tmp_path: Path) -> None:
    before = {name: site.serial(name) for name in HOSTS}
    with Client(site) as client:
        _killed(site, ("rotate", "--all"), (program, moment, number), tmp_path)
        finished = site.rotate()
        assert finished.code == 0, finished.messages
    assert client.refused == []
    assert client.connections > len(HOSTS)
    for name in HOSTS:
        assert site.serial(name) != before[name]
        assert site.served(name) == site.serial(name)
        assert site.admitted(name)
        assert not site.admitted(name, CANARY)
    signed = [row for row in index_rows(site.ca) if row[0] == "V" and row[5].removeprefix("/CN=") in HOSTS]
    assert len(signed) == len(HOSTS), "each was signed once more, not twice"
    assert len(index_rows(site.ca)) == 2 + 2 * len(HOSTS) + len(_canaries(site))
    assert {one["state"] for one in site.rotate("--all", "--json").document["hosts"]} == {"up to date"}


@pytest.mark.every_step
@pytest.mark.parametrize(
    ("stage", "at"),
    [pytest.param(stage, at, id=f"{stage} {at}") for stage, calls in STAGES.items() for at in steps(*calls)],
)
def test_the_next_run_of_a_rollover_finishes_it(
    site: Site, new: Path, stage: int, at: tuple[str, str, int], tmp_path: Path
) -> None:
    done("sign", site.ca / f"certreqs/{CLIENT}.req.pem", "--yes", "--ca", new, directory=tmp_path)
    for _ in range(1, stage):
        assert rollover(site, new, "--advance").code == 0
    client = Client(site)
    if stage > 1:
        assert rollover(site, new, "--output", str(tmp_path / "both")).code == 0
        client.trusted = tmp_path / "both/database-ca.cert.pem"
    if stage == 3:
        client.certificate = new / f"certs/{CLIENT}.cert.pem"
    with client:
        _killed(site, ("rollover", str(site.ca), "--ca", str(new), "--advance"), at, tmp_path)
        while (reached := _stages(site, new)) != {stage}:
            assert reached <= {stage - 1, stage}
            advanced = rollover(site, new, "--advance")
            assert advanced.code == 0, advanced.messages
    assert client.refused == []
    assert client.connections > len(HOSTS)
    signed = [row for row in index_rows(new) if row[5].removeprefix("/CN=") in HOSTS]
    assert len(signed) == (len(HOSTS) if stage > 1 else 0), "each was signed once"


def _stages(site: Site, new: Path) -> set[int]:
    shown = rollover(site, new, "--json")
    assert shown.code == 0, shown.output
    return {one["stage"] for one in shown.document["hosts"]}


def _canaries(site: Site) -> list[list[str]]:
    return [row for row in index_rows(site.ca) if row[5] == f"/CN={CANARY}"]


def _killed(site: Site, verb: Sequence[str], at: tuple[str, str, int], state: Path) -> None:
    """Run a verb until its program, wrapped, kills it at that moment of its call of that number."""
    program, moment, number = at
    name, _, _ = program.partition(" ")
    wrapper = state / "wrapped" / name
    wrapper.parent.mkdir()
    wrapper.write_text(WRAPPER.format(real=shutil.which(name), state=state, moment=moment, number=number))
    wrapper.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "dbca_openssl", *verb, "--yes", "--ssh-config", str(site.fleet.config)],
        cwd=site.ca,
        env={"PATH": f"{wrapper.parent}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(site.ca)} | site.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (state / "pid").write_text(str(process.pid))
    assert process.wait(120) == -9
