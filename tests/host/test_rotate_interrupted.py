"""`rotate`, killed at each of its steps and run again: all is done in the end, and no client was ever refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from host.conftest import CANARY, Client, Site
from tools.support import HOSTS, index_rows

SSH_CALLS = 9
"""Three hosts are looked at, get their certificates, and get the CRL."""

CA_CALLS = 7
"""Three `-revoke`, one that signs, and for the CRL the canary's signature and revocation, and `-gencrl`."""

FEW = [("ssh", "after", 6)]
ALL = [
    *(("ssh", moment, number) for number in range(1, SSH_CALLS + 1) for moment in ("before", "after")),
    *(("openssl ca", moment, number) for number in range(1, CA_CALLS + 1) for moment in ("before", "after")),
]

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
    [pytest.param(*one, marks=() if one in FEW else pytest.mark.every_step) for one in ALL],
)
def test_the_next_run_finishes_it(site: Site, program: str, moment: str, number: int, tmp_path: Path) -> None:
    before = {name: site.serial(name) for name in HOSTS}
    name, _, _ = program.partition(" ")
    wrapper = tmp_path / "wrapped" / name
    wrapper.parent.mkdir()
    real = shutil.which(name)
    wrapper.write_text(WRAPPER.format(real=real, state=tmp_path, moment=moment, number=number))
    wrapper.chmod(0o755)
    with Client(site) as client:
        _killed(site, wrapper.parent, tmp_path)
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


def _canaries(site: Site) -> list[list[str]]:
    return [row for row in index_rows(site.ca) if row[5] == f"/CN={CANARY}"]


def _killed(site: Site, programs: Path, state: Path) -> None:
    """Run `rotate` until a wrapped program kills it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "dbca_openssl", "rotate", "--all", "--yes", "--ssh-config", str(site.fleet.config)],
        cwd=site.ca,
        env={"PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(site.ca)} | site.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (state / "pid").write_text(str(process.pid))
    assert process.wait(120) == -9
