"""`make bench`: the tool against the raw openssl, in turn, on the same keys and requests; prints a table in Markdown.

    python tests/benchmarks [--quick] [--place DIR] [NAME...]

NAME is one of the methods of `Bench` below; without a name all of them run. Exits 1 where a figure is above its limit.
Every limit is on a ratio of two commands that were measured in the same run, or on memory: seconds depend on the
machine, and on what else it does.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from easyrsa import EasyRsa
from measuring import Cost, Line, cost, in_turn, machine, ratio, table
from places import CONFIGURATION, PROGRAM, REAL, SERVER, Place, host, quiet, serial

READING = {"list": 18.0, "check": 22.0, "": 11.0}
"""The verbs that read a whole index (the bare command has no name), and their limits."""

STATUS = "openssl ca -status 01 || [ $? = 1 ]"
"""The raw openssl that reads a whole index, and exits 1 when it has done it."""


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

    def start(self) -> Iterator[Line]:
        """`--version` and the bare command, against the interpreter alone."""
        empty = self.place.root / "empty"
        empty.mkdir(exist_ok=True)
        bare, version, python = in_turn(
            self.rounds(40),
            lambda _: cost((PROGRAM,), empty),
            lambda _: cost((PROGRAM, "--version"), empty),
            lambda _: cost((sys.executable, "-c", "pass"), empty),
        )
        yield ratio("`--version`, against `python3 -c pass`", version, python, None, cpu=True)
        yield ratio(
            "the bare command where there is no authority, against `python3 -c pass`", bare, python, None, cpu=True
        )

    def one(self) -> Iterator[Line]:
        """`sign NAME` against `openssl ca`."""
        rounds = self.rounds(40)
        self.place.need_requests(rounds)
        ours, theirs = self.place.fresh("ours", rounds), self.place.fresh("theirs", rounds)
        mine, raw = in_turn(
            rounds,
            lambda number: self.tool("sign", host(number), "--yes", "--ca", ours, *self.secret),
            lambda number: self.raw(theirs, *_of(number), *SERVER),
        )
        yield ratio("`sign NAME`, against `openssl ca`", mine, raw, 7, cpu=True)

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
            return _sum(*(cost((PROGRAM, *verb), work) for verb in verbs))

        def script(_: int) -> Cost:
            empty()
            return _sum(*(cost(("sh", "-c", text), work) for text in scripts))

        mine, raw = in_turn(self.rounds(20), tool, script)
        yield ratio("`init`, `request` and `sign`, against the guide's commands as a shell script", mine, raw, 4.5)

    def batch(self) -> Iterator[Line]:
        """`sign --all` of 1000 against one raw `openssl ca -infiles`, and against easy-rsa."""
        count = 100 if self.quick else 1000
        self.place.need_requests(count)
        mine, raw = in_turn(3, lambda _: self._batch(count), lambda _: self._infiles(count))
        yield ratio(f"`sign --all` of {count}, against one `openssl ca -infiles`", mine, raw, 1.25)
        easyrsa = EasyRsa(self.place)
        few = 20 if self.quick else 100
        each = easyrsa.sign(few)
        one, other = mine.wall / count, each.wall / few
        details = f"{one * 1000:.1f} ms against {other * 1000:.0f} ms a certificate: {other / one:.0f} times faster"
        yield Line(f"the same, against easy-rsa {easyrsa.version}", one / other, 1 / 20, "times", details)

    def ten_thousand(self) -> Iterator[Line]:
        """`sign --all` of 10,000."""
        count = 1000 if self.quick else 10_000
        self.place.need_requests(count)
        mine = self._batch(count)
        raw = self._infiles(count)
        yield ratio(f"`sign --all` of {count:,}, against one `openssl ca -infiles`", mine, raw, None)

    def _batch(self, count: int) -> Cost:
        return self.tool("sign", "--all", "--yes", "--ca", self.place.fresh("ours", count), *self.secret)

    def _infiles(self, count: int) -> Cost:
        names = (f"certreqs/{host(number)}.req.pem" for number in range(count))
        return self.raw(self.place.fresh("theirs", count), *SERVER, "-infiles", *names)

    def large(self) -> Iterator[Line]:
        """The verbs that read an index of 100,000 rows, and those that change it."""
        yield from self._reading(100_000, READING, 150)
        yield from self._changing(100_000, self.rounds(10), 1.5)

    def million(self) -> Iterator[Line]:
        """The same with a million rows, without a limit."""
        yield from self._reading(1_000_000, {}, None)
        yield from self._changing(1_000_000, 3, None)

    def _reading(self, rows: int, limits: Mapping[str, float], megabytes: float | None) -> Iterator[Line]:
        large = self.place.large(rows)
        for verb in READING:
            mine, raw = in_turn(
                self.rounds(5),
                lambda _, verb=verb: self.tool(*filter(None, (verb,)), "--ca", large),  # type: ignore[misc]
                lambda _: cost(("sh", "-c", STATUS), large, CONFIGURATION),
            )
            what = f"{f'`{verb}`' if verb else 'the bare command'}, {rows:,} rows, against `openssl ca -status`"
            yield ratio(what, mine, raw, limits.get(verb), cpu=True, megabytes=megabytes)

    def _changing(self, rows: int, rounds: int, limit: float | None) -> Iterator[Line]:
        ours, theirs = (self.place.copy_of_large(rows, name) for name in ("ours", "theirs"))
        crl = ("-gencrl", "-out", "crl/database-ca.crl")
        mine, raw = in_turn(
            rounds,
            lambda number: self.tool("sign", host(REAL + number), "--yes", "--ca", ours, *self.secret),
            lambda number: self.raw(theirs, *_of(REAL + number), *SERVER),
        )
        yield ratio(f"`sign NAME`, {rows:,} rows, against `openssl ca`", mine, raw, limit, cpu=True)
        mine, raw = in_turn(
            rounds, lambda _: self.tool("crl", "--ca", ours, *self.secret), lambda _: self.raw(theirs, *crl)
        )
        yield ratio(f"`crl`, {rows:,} rows, against `openssl ca -gencrl`", mine, raw, limit, cpu=True)
        mine, raw = in_turn(
            rounds,
            lambda number: self.tool("revoke", host(number), "--yes", "--ca", ours, *self.secret),
            lambda number: _sum(
                self.raw(theirs, "-revoke", f"newcerts/{serial(rows - REAL + number)}.pem"), self.raw(theirs, *crl)
            ),
        )
        yield ratio(f"`revoke NAME`, {rows:,} rows, against `-revoke` and `-gencrl`", mine, raw, limit, cpu=True)


BENCHES: dict[str, Callable[[Bench], Iterator[Line]]] = {
    "start": Bench.start,
    "one": Bench.one,
    "whole": Bench.whole,
    "batch": Bench.batch,
    "ten_thousand": Bench.ten_thousand,
    "large": Bench.large,
    "million": Bench.million,
}


def _of(number: int) -> tuple[str, ...]:
    return ("-in", f"certreqs/{host(number)}.req.pem", "-out", f"certs/{host(number)}.cert.pem")


def _sum(*costs: Cost) -> Cost:
    return Cost(sum(one.cpu for one in costs), sum(one.wall for one in costs), max(one.megabytes for one in costs))


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
    parser.add_argument("--quick", action="store_true", help="few rounds, small numbers: not for the README")
    parser.add_argument("--place", type=Path, default=Path(".bench_cache"), help="where it works [%(default)s]")
    options = parser.parse_args()
    bench = Bench(Place(options.place.absolute()), options.quick)
    lines: list[Line] = []
    print(machine(), flush=True)
    for name in options.names or BENCHES:
        for line in BENCHES[name](bench):
            print(
                f"{'ok ' if line.fits else 'NOT'} {line.what}: {line.figure:.2f} {line.unit} ({line.details})",
                flush=True,
            )
            lines.append(line)
    print(f"\n{table(lines)}")
    return int(not all(line.fits for line in lines))


if __name__ == "__main__":
    sys.exit(main())
