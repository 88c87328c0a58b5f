"""Very many hosts at once: what they need of this machine has a limit."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest

from tools.support import run

HOSTS = [f"host{number:02}.example.net" for number in range(40)]

STAND_IN = """\
#!/bin/sh
cat > /dev/null
sleep 0.5
echo dbca end
"""
"""For ssh, which would need a machine for each host; `test_deploy.py` has real ones."""


@pytest.mark.parametrize("limit", ["-S -n 128", "-n 128"], ids=["raised", "kept"])
def test_open_files_do_not_run_out(ca: Path, limit: str, tmp_path: Path) -> None:
    (ca / "database-ca.hosts").write_text("[databases]\n" + "\n".join(HOSTS) + "\n")
    (tmp_path / "ssh").write_text(STAND_IN)
    (tmp_path / "ssh").chmod(0o755)
    deploy = shlex.join((sys.executable, "-m", "dbca_openssl", "deploy", "--all", "--jobs", "40"))
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    finished = run("bash", "-c", f"ulimit {limit} && exec {deploy}", directory=ca, environment=path)
    assert finished.code == 0, finished.messages
    assert [line.split()[0] for line in finished.output.splitlines()[1:] if "nothing" in line] == HOSTS
