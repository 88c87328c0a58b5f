"""`make bench`: the tool against the raw openssl, in turn, on the same keys and requests; prints a table in Markdown.

    python tests/benchmarks [--quick] [--write] [--place DIR] [NAME...]

NAME is one of the methods of `Bench` below; without a name all of them run, and --write puts the table into
docs/costs.md, which says what the floors are. Exits 1 where a figure is above its limit. Every limit is on a ratio of
two commands that were measured in turn, or on memory: seconds depend on the machine, and on what else it does.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import fleet
from measuring import Cost, Line, cost, fsyncs, in_turn, machine, ratio, signatures, table, total
from peers import CertTool, EasyRsa
from places import BITS, CONFIGURATION, PROGRAM, REAL, SERVER, Place, host, quiet, serial

READING = {"list": 18.0, "check": 32.0, "": 11.0}
"""The verbs that read a whole index (the bare command has no name), and their limits."""

INDEX = "database-ca.index"

STATUS = "openssl ca -status 01 || [ $? = 1 ]"
"""The raw openssl that reads a whole index, and exits 1 when it has done it."""


PEERS = {"bookworm": (1, 0.05), "trixie": (0.9, 0.04), "certtool": (9, 0.5)}
"""Limits against easy-rsa of two releases of Debian, and certtool: of `sign NAME`, and of a certificate in a batch."""

FSYNCS = (9, 8)
"""Files and directories of which a change that signs makes sure that they are on the disk."""

COSTS = Path(__file__).parents[2] / "docs/costs.md"
TABLE = "## Measured\n"
"""The heading in it under which everything is made by --write."""


class Bench:
    """All that is measured; with `quick` in few rounds and with small numbers."""

    def __init__(self, place: Place, quick: bool) -> None:
        self.place = place
        self.quick = quick
        self.secret = ("--passphrase-file", place.phrase)

    def rounds(self, count: int) -> int:
        """How often, in this run."""
        return max(3, count // 5) if self.quick else count

    def tool(self, *arguments: str | Path) -> Cost:
        """Run the tool."""
        return cost((PROGRAM, *arguments), self.place.root)

    def raw(self, authority: Path, *arguments: str | Path) -> Cost:
        """Run `openssl ca` as the guide types it."""
        command = ("openssl", "ca", "-batch", "-passin", f"file:{self.place.phrase}", *arguments)
        return cost(command, authority, CONFIGURATION)

    def typer(self) -> Cost:
        """What a command costs that does nothing: the interpreter, and the library of the command line."""
        return cost((sys.executable, "-c", "import typer"), self.place.root)

    def start(self) -> Iterator[Line]:
        """`--version` and the bare command, against the interpreter alone."""
        empty = self.place.root / "empty"
        empty.mkdir(exist_ok=True)
        typer, bare, version, python = in_turn(
            self.rounds(40),
            lambda _: self.typer(),
            lambda _: cost((PROGRAM,), empty),
            lambda _: cost((PROGRAM, "--version"), empty),
            lambda _: cost((sys.executable, "-c", "pass"), empty),
        )
        yield ratio("`import typer` alone, against `python3 -c pass`", typer, python, None, cpu=True)
        yield ratio("`--version`, against `python3 -c pass`", version, python, None, cpu=True, floor=python)
        what = "the bare command where there is no CA, against `python3 -c pass`"
        yield ratio(what, bare, python, None, cpu=True, floor=typer)

    def one(self) -> Iterator[Line]:
        """`sign NAME` against `openssl ca`, its floor, and the other tools."""
        rounds = self.rounds(40)
        self.place.need_requests(rounds)
        ours, theirs = self.place.fresh("ours", rounds), self.place.fresh("theirs", rounds)
        peers = self.peers()
        mine, raw, typer, synced, *others = in_turn(
            rounds,
            lambda number: self.tool("sign", host(number), "--yes", "--ca", ours, *self.secret),
            lambda number: self.raw(theirs, *_of(number), *SERVER),
            lambda _: self.typer(),
            lambda _: fsyncs(self.place.root, *FSYNCS),
            *(peer.sign for peer in peers.values()),
        )
        floor = total(typer, raw, synced)
        yield ratio("`sign NAME`, against `openssl ca`", mine, raw, 7.5, cpu=True, floor=floor, floor_limit=1.3)
        for (key, peer), other in zip(peers.items(), others, strict=True):
            yield ratio(f"the same, against {peer.name}", mine, other, PEERS[key][0])

    def peers(self) -> dict[str, EasyRsa | CertTool]:
        """The other tools, by their words in PEERS."""
        make = {"certtool": lambda: CertTool(self.place)}
        return {key: make[key]() if key in make else EasyRsa(self.place, key) for key in PEERS}

    def whole(self) -> Iterator[Line]:
        """`init`, `request` and `sign` against the guide's commands as a shell script."""
        work = self.place.root / "whole"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        authority, ssl, name = work / "ca", work / "ssl", "aiken.example.net"
        with_key = _openssl_with_key(work / "openssl-with-key", self.place.host_key)
        given = ("--key", self.place.authority_key, *self.secret)
        verbs: tuple[tuple[str | Path, ...], ...] = (
            ("init", "--organization", "example.net", "--ca", authority, *given),
            ("request", name, "--ssl-dir", ssl, "--openssl", with_key),
            ("sign", ssl / f"{name}.req.pem", "--ca", authority, "--yes", *self.secret),
        )
        scripts = []
        for verb in verbs:
            scripts.append(quiet(PROGRAM, *verb, "--print", directory=work))
            quiet(PROGRAM, *verb, directory=work)
        scripts[1] = scripts[1].replace("openssl req -new", f"{shlex.quote(str(with_key))} req -new")

        def empty() -> None:
            shutil.rmtree(authority)
            shutil.rmtree(ssl)

        def tool(_: int) -> Cost:
            empty()
            return total(*(cost((PROGRAM, *verb), work) for verb in verbs))

        def script(_: int) -> Cost:
            empty()
            return total(*(cost(("sh", "-c", text), work) for text in scripts))

        mine, raw, typer, synced = in_turn(
            self.rounds(20), tool, script, lambda _: self.typer(), lambda _: fsyncs(self.place.root, *FSYNCS)
        )
        floor = total(raw, *(typer, synced) * len(verbs))
        what = "`init`, `request` and `sign`, against the guide's commands as a shell script"
        yield ratio(what, mine, raw, 5.3, floor=floor)

    def batch(self) -> Iterator[Line]:
        """`sign --all` of 1000 against one raw `openssl ca -infiles`, all cores, and the other tools one by one."""
        count, rounds, few = (100, 3, 5) if self.quick else (1000, 5, 20)
        self.place.need_requests(count)
        peers = self.peers()
        mine, raw, spread, limit, *others = in_turn(
            rounds,
            lambda _: self._batch(count),
            lambda _: self._infiles(count),
            lambda _: self._infiles_on_all_cores(count),
            lambda _: signatures(BITS, count),
            *(
                lambda number, peer=peer: total(*(peer.sign(number * few + one) for one in range(few)))
                for peer in peers.values()
            ),
        )
        what = f"`sign --all` of {count:,}, against one `openssl ca -infiles`"
        yield ratio(what, mine, raw, 1.25, floor=limit, floor_limit=2.4)
        yield self._spread(mine, spread, limit)
        one = mine.wall / count
        for (key, peer), other in zip(peers.items(), others, strict=True):
            each = other.wall / few
            details = f"{one * 1000:.1f} ms against {each * 1000:.0f} ms a certificate: {each / one:.0f} times faster"
            yield Line(f"the same, against {peer.name}", one / each, PEERS[key][1], "times", details)

    def ten_thousand(self) -> Iterator[Line]:
        """`sign --all` of 10,000, once."""
        count = 1000 if self.quick else 10_000
        self.place.need_requests(count)
        before, mine, raw, spread, after = (
            signatures(BITS, count),
            self._batch(count),
            self._infiles(count),
            self._infiles_on_all_cores(count),
            signatures(BITS, count),
        )
        floor = Cost(0, (before.wall + after.wall) / 2, 0)
        what = f"`sign --all` of {count:,}, against one `openssl ca -infiles`"
        yield ratio(what, mine, raw, None, floor=floor, floor_limit=2.4)
        yield self._spread(mine, spread, floor)

    def hundred_thousand(self) -> Iterator[Line]:
        """`sign --all` of 100,000, once, against the signatures alone; in bounded memory."""
        count = 10_000 if self.quick else 100_000
        self.place.need_requests(count)
        before, mine, after = signatures(BITS, count), self._batch(count), signatures(BITS, count)
        floor = Cost(0, (before.wall + after.wall) / 2, 0)
        what = f"`sign --all` of {count:,}, against the signatures alone"
        yield ratio(what, mine, floor, None, floor=floor, megabytes=300)

    def _batch(self, count: int) -> Cost:
        return self.tool("sign", "--all", "--yes", "--ca", self.place.fresh("ours", count), *self.secret)

    def _infiles(self, count: int) -> Cost:
        names = (f"certreqs/{host(number)}.req.pem" for number in range(count))
        return self.raw(self.place.fresh("theirs", count), *SERVER, "-infiles", *names)

    def _infiles_on_all_cores(self, count: int) -> Cost:
        """As many raw openssl as there are cores, each with its part of the requests, and a CA of its own."""
        cores = os.cpu_count() or 1
        script = self.place.root / "parts.sh"
        with script.open("w") as file:
            for number in range(cores):
                authority = self.place.fresh(f"part{number}", count)
                names = (f"certreqs/{host(one)}.req.pem" for one in range(number, count, cores))
                words = ("openssl", "ca", "-batch", "-passin", f"file:{self.place.phrase}", *SERVER, "-infiles", *names)
                file.write(f'(cd {shlex.quote(str(authority))} && exec {shlex.join(words)}) & all="$all $!"\n')
            file.write("for one in $all; do wait $one || exit; done\n")
        return cost(("sh", script), self.place.root, CONFIGURATION)

    def _spread(self, mine: Cost, spread: Cost, floor: Cost) -> Line:
        what = f"the same, against {os.cpu_count()} at once, one on each core with its part"
        line = ratio(what, mine, spread, 1.6)
        return line._replace(details=f"{line.details}, which are {spread.wall / floor.wall:.2f} of the floor")

    def fleet(self) -> Iterator[Line]:
        """`enroll`, `deploy` and `rotate` of thirty hosts at once, and of up to a thousand."""
        yield from fleet.at_once(self.place)
        yield from fleet.curve(self.place, 100 if self.quick else 1000)

    def large(self) -> Iterator[Line]:
        """The verbs that read an index of 100,000 rows, and those that change it."""
        yield from self._reading(100_000, READING, 150)
        yield from self._changing(100_000, self.rounds(10), 1.8)

    def million(self) -> Iterator[Line]:
        """The same with a million rows, without a limit."""
        yield from self._reading(1_000_000, {}, None)
        yield from self._changing(1_000_000, 3, None)

    def _reading(self, rows: int, limits: Mapping[str, float], megabytes: float | None) -> Iterator[Line]:
        large = self.place.large(rows)
        for verb in READING:
            mine, raw, typer, read = in_turn(
                self.rounds(5),
                lambda _, verb=verb: self.tool(*filter(None, (verb,)), "--ca", large),  # type: ignore[misc]
                lambda _: cost(("sh", "-c", STATUS), large, CONFIGURATION),
                lambda _: self.typer(),
                lambda _: cost(("cat", INDEX), large),
            )
            what = f"{f'`{verb}`' if verb else 'the bare command'}, {rows:,} rows, against `openssl ca -status`"
            floor = total(typer, read)
            yield ratio(what, mine, raw, limits.get(verb), cpu=True, megabytes=megabytes, floor=floor)

    def _changing(self, rows: int, rounds: int, limit: float | None) -> Iterator[Line]:
        """The floor is what it takes where the index is short, and to read the long one once."""
        ours, theirs = (self.place.copy_of_large(rows, name) for name in ("ours", "theirs"))
        short = self.place.fresh("short", rounds)
        crl = ("-gencrl", "-out", "crl/database-ca.crl")
        signed = sorted((short / "newcerts").iterdir())

        def measure(
            what: str, tool: Callable[[int], Cost], raw: Callable[[int], Cost], least: Callable[[int], Cost]
        ) -> Line:
            mine, other, *parts = in_turn(
                rounds,
                tool,
                raw,
                least,
                lambda _: self.typer(),
                lambda _: cost(("cat", INDEX), theirs),
                lambda _: fsyncs(self.place.root, *FSYNCS),
            )
            return ratio(what, mine, other, limit, cpu=True, floor=total(*parts))

        yield measure(
            f"`sign NAME`, {rows:,} rows, against `openssl ca`",
            lambda number: self.tool("sign", host(REAL + number), "--yes", "--ca", ours, *self.secret),
            lambda number: self.raw(theirs, *_of(REAL + number), *SERVER),
            lambda number: self.raw(short, *_of(number), *SERVER),
        )
        signed = sorted(set((short / "newcerts").iterdir()).difference(signed))
        yield measure(
            f"`crl`, {rows:,} rows, against `openssl ca -gencrl`",
            lambda _: self.tool("crl", "--ca", ours, *self.secret),
            lambda _: self.raw(theirs, *crl),
            lambda _: self.raw(short, *crl),
        )
        yield measure(
            f"`revoke NAME`, {rows:,} rows, against `-revoke` and `-gencrl`",
            lambda number: self.tool("revoke", host(number), "--yes", "--ca", ours, *self.secret),
            lambda number: total(
                self.raw(theirs, "-revoke", f"newcerts/{serial(rows - REAL + number)}.pem"), self.raw(theirs, *crl)
            ),
            lambda number: total(self.raw(short, "-revoke", signed[number]), self.raw(short, *crl)),
        )


BENCHES: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "start": Bench.start,
    "one": Bench.one,
    "whole": Bench.whole,
    "batch": Bench.batch,
    "ten_thousand": Bench.ten_thousand,
    "hundred_thousand": Bench.hundred_thousand,
    "fleet": Bench.fleet,
    "large": Bench.large,
    "million": Bench.million,
}


def _of(number: int) -> tuple[str, ...]:
    return ("-in", f"certreqs/{host(number)}.req.pem", "-out", f"certs/{host(number)}.cert.pem")


def _openssl_with_key(path: Path, key: Path) -> Path:
    """An openssl whose `req -new` takes a key that is there: making one takes from half a second to three."""
    path.write_text(f"""#!/bin/sh
case $*:$CN in "req -new -out "*:?*)
    cp {shlex.quote(str(key))} "private/$CN.key.pem"
    set -- "$@" -key "private/$CN.key.pem"
esac
exec openssl "$@"
""")
    path.chmod(0o755)
    return path


def main() -> int:
    """Measure what is asked for; 1 where something is above its limit."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", choices=[*BENCHES, []], metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--quick", action="store_true", help="few rounds, small numbers: not for the table")
    parser.add_argument("--write", action="store_true", help=f"put the table into {COSTS.name}")
    parser.add_argument("--place", type=Path, default=Path(".bench_cache"), help="where it works [%(default)s]")
    options = parser.parse_args()
    if options.write and (options.quick or options.names):
        parser.error("--write needs all of them, and not --quick")
    bench = Bench(Place(options.place.absolute()), options.quick)
    lines: list[Line] = []
    print(machine(), flush=True)
    for name in options.names or BENCHES:
        for line in BENCHES[name](bench):
            floor = "" if line.floor is None else f", {line.floor:.2f} of the floor"
            fits = "ok " if line.fits else "NOT"
            print(f"{fits} {line.what}: {line.figure:.2f} {line.unit}{floor} ({line.details})", flush=True)
            lines.append(line)
    bench.place.empty()
    print(f"\n{table(lines)}")
    if options.write:
        before, heading, _ = COSTS.read_text().partition(TABLE)
        COSTS.write_text(f"{before}{heading}\n{machine()}\n\n{table(lines)}\n")
    return int(not all(line.fits for line in lines))


if __name__ == "__main__":
    sys.exit(main())
