"""The table of docs/costs.md is as `make bench` makes it: each figure within its limit, each bench in it."""

from __future__ import annotations

import re
import subprocess
import sys

from tools.support import ROOT

PAGE = ROOT / "docs/costs.md"


def test_each_figure_is_within_its_limit() -> None:
    heading, _, *rows = PAGE.read_text().partition("\n## Measured\n")[2].strip().splitlines()[2:]
    assert heading == "| what | measured | limit | of the floor | limit | in figures |"
    for row in rows:
        what, measured, limit, floor, floor_limit, figures = (cell.strip() for cell in row.split("|")[1:-1])
        assert what and re.search(r"\d (ms|s|MB)\b", figures), row
        assert not limit or float(measured.split()[0]) <= float(limit), row
        assert not floor_limit or float(floor) <= float(floor_limit), row


def test_only_a_whole_run_is_written() -> None:
    command = (sys.executable, ROOT / "tests/benchmarks", "--write", "--quick")
    refused = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert (refused.returncode, "--write needs all of them" in refused.stderr) == (2, True)
