"""One command against another: both run in turn, and their medians are compared."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Cost(NamedTuple):
    """What a command and its children took: seconds of processor, seconds on the clock, MB at the most."""

    cpu: float
    wall: float
    megabytes: float


class Line(NamedTuple):
    """A line of the results: what was measured, how it came out, what it must not be above."""

    what: str
    figure: float
    limit: float | None
    unit: str
    details: str

    @property
    def fits(self) -> bool:
        """Whether it is within its limit."""
        return self.limit is None or self.figure <= self.limit


def environment(**more: str) -> dict[str, str]:
    """What the commands get: as for a user, also where this process was told to write no bytecode."""
    return {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/"), **more}


def cost(arguments: Sequence[str | Path], directory: Path, more: Mapping[str, str] | None = None) -> Cost:
    """Run a command, which must succeed, without a terminal."""
    with open(directory / ".messages", "wb") as messages:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [str(argument) for argument in arguments],
            cwd=directory,
            env=environment(**(more or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=messages,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{arguments}: {(directory / '.messages').read_text()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def in_turn(rounds: int, *runs: Callable[[int], Cost]) -> list[Cost]:
    """Run all of `runs` in each of the rounds, and give the median of each."""
    costs: list[list[Cost]] = [[] for _ in runs]
    for number in range(rounds):
        for one, found in zip(runs, costs, strict=True):
            found.append(one(number))
    return [Cost(*map(statistics.median, zip(*found, strict=True))) for found in costs]


def ratio(
    what: str, ours: Cost, raw: Cost, limit: float | None, *, cpu: bool = False, megabytes: float | None = None
) -> Line:
    """How many times the raw command it takes, on the clock or of the processor; above `megabytes` nothing fits."""
    mine, other = (ours.cpu, raw.cpu) if cpu else (ours.wall, raw.wall)
    details = f"{_shown(mine)} against {_shown(other)}" + (" of the processor" if cpu else "")
    if megabytes is not None:
        details += f", {ours.megabytes:.0f} MB of {megabytes:.0f}"
    fits = megabytes is None or ours.megabytes <= megabytes
    return Line(what, mine / other if fits else float("inf"), limit, "times", details)


def table(lines: Sequence[Line]) -> str:
    """The results in Markdown."""
    rows = ["| what | measured | limit | in figures |", "|---|---|---|---|"]
    for line in lines:
        limit = "" if line.limit is None else f"{line.limit:g}"
        rows.append(f"| {line.what} | {line.figure:.2f} {line.unit} | {limit} | {line.details} |")
    return "\n".join(rows)


def machine() -> str:
    """Where it ran, in a line."""
    banner = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return f"OpenSSL {banner}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
