"""One command against another: both run in turn, and their medians are compared."""

from __future__ import annotations

import os
import platform
import re
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
    """A line of the results: what was measured, how it came out, what it must not be above.

    `floor` is how many times that takes which no tool can do without: see `docs/costs.md`.
    """

    what: str
    figure: float
    limit: float | None
    unit: str
    details: str
    floor: float | None = None
    floor_limit: float | None = None

    @property
    def fits(self) -> bool:
        """Whether it is within its limits."""
        figures = ((self.figure, self.limit), (self.floor, self.floor_limit))
        return all(figure is None or limit is None or figure <= limit for figure, limit in figures)


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
        raise SystemExit(f"{arguments}: exit {process.returncode}: {(directory / '.messages').read_text()[-2000:]}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def in_turn(rounds: int, *runs: Callable[[int], Cost]) -> list[Cost]:
    """Run all of `runs` in each of the rounds, and give the median of each."""
    costs: list[list[Cost]] = [[] for _ in runs]
    for number in range(rounds):
        for one, found in zip(runs, costs, strict=True):
            found.append(one(number))
    return [Cost(*map(statistics.median, zip(*found, strict=True))) for found in costs]


def total(*costs: Cost) -> Cost:
    """The cost of several commands, one after the other."""
    return Cost(sum(one.cpu for one in costs), sum(one.wall for one in costs), max(one.megabytes for one in costs))


def ratio(
    what: str,
    ours: Cost,
    raw: Cost,
    limit: float | None,
    *,
    cpu: bool = False,
    megabytes: float | None = None,
    floor: Cost | None = None,
    floor_limit: float | None = None,
) -> Line:
    """How many times the raw command it takes, on the clock or of the processor; above `megabytes` nothing fits.

    `floor` is compared on the clock.
    """
    mine, other = (ours.cpu, raw.cpu) if cpu else (ours.wall, raw.wall)
    details = f"{_shown(mine)} against {_shown(other)}" + (" of the processor" if cpu else "")
    above = None
    if floor is not None:
        above = ours.wall / floor.wall
        details += f"; floor {_shown(floor.wall)}" + (f", {_shown(ours.wall)} on the clock" if cpu else "")
    if megabytes is not None:
        details += f"; {ours.megabytes:.0f} MB of {megabytes:.0f}"
    fits = megabytes is None or ours.megabytes <= megabytes
    return Line(what, mine / other if fits else float("inf"), limit, "times", details, above, floor_limit)


HEAD = ("| what | measured | limit | of the floor | limit | in figures |", "|---|---|---|---|---|---|")


def table(lines: Sequence[Line]) -> str:
    """The results in Markdown."""
    rows = list(HEAD)
    for line in lines:
        limit, floor_limit = ("" if one is None else f"{one:g}" for one in (line.limit, line.floor_limit))
        floor = "" if line.floor is None else f"{line.floor:.2f}"
        rows.append(
            f"| {line.what} | {line.figure:.2f} {line.unit} | {limit} | {floor} | {floor_limit} | {line.details} |"
        )
    return "\n".join(rows)


def fsyncs(directory: Path, files: int, folders: int) -> Cost:
    """What it takes to make so many new files durable, and so many times a directory with a new name in it."""
    paths = [directory / f".fsync.{number}" for number in range(files)]
    for path in paths:
        path.write_bytes(b"x" * 4096)
    seconds = 0.0
    for number in range(files + folders):
        if number >= files:
            paths[0].rename(paths[0].with_suffix(f".{number}"))
            paths[0] = paths[0].with_suffix(f".{number}")
        descriptor = os.open(paths[number] if number < files else directory, os.O_RDONLY)
        begin = time.perf_counter()
        os.fsync(descriptor)
        seconds += time.perf_counter() - begin
        os.close(descriptor)
    for path in paths:
        path.unlink()
    return Cost(0, seconds, 0)


def signatures(bits: int, count: int) -> Cost:
    """What so many signatures of an RSA key take on all cores, as `openssl speed` counts them in a second."""
    command = ["openssl", "speed", "-seconds", "1", "-multi", str(os.cpu_count()), f"rsa{bits}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [figures] = [line.split(" bits ")[1].split() for line in said.splitlines() if re.match(rf"rsa +{bits} bits ", line)]
    return Cost(0, count / float(figures[len(figures) // 2]), 0)  # seconds of each operation, then operations a second


def machine() -> str:
    """Where it ran, in a line."""
    banner = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout.split()[1]
    return f"OpenSSL {banner}, Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}"


def _shown(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"
