"""Everything that is printed: results to stdout; errors, questions and progress to stderr; with --json one document.

An error is one line `dbca-openssl: what is wrong`, then lines `hint: how to fix it`. Whatever is printed goes through
`printable`, so that no escape sequence from outside (in a name, a file, a host's answer) reaches the terminal.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, islice
from typing import IO, Any

from dbca_openssl import dates, names
from dbca_openssl.cli.main import DONE
from dbca_openssl.errors import DatabaseCaError, reason
from dbca_openssl.finding import Level

as_json = False
verbose = False

COLOURS = {
    **dict.fromkeys(("valid", "ok"), "32"),  # green
    **dict.fromkeys(("expired", "warning"), "33"),  # yellow
    **dict.fromkeys(("revoked", "critical", "unknown", "failed", "error"), "31"),  # red
}
"""The words that have a colour on a terminal, and its number in ECMA-48."""

_screen = threading.RLock()
"""Held while something is written to the terminal, since progress is drawn by a thread of its own."""

_drawn = 0

_begun: tuple[float, int] | None = None
"""When progress was first shown, and how many steps were done then."""

_NO_WIDTH = ("Mn", "Me", "Cf", "Cc")

BAR, LEAST = 40, 20
"""Columns: the width of the bar of progress, and the least width of the first column of a table."""


class Printable(str):
    """Text without escape sequences but our own colours. What is added to it is made printable too."""

    __slots__ = ()

    def __add__(self, other: str) -> Printable:
        return Printable(str.__add__(self, printable(other)))

    def __radd__(self, other: str) -> Printable:
        return Printable(str.__add__(printable(other), self))


def printable(text: str) -> str:
    """`text` in one line, where characters that are not printable, also those without a width, are escaped."""
    return text if text.isprintable() or isinstance(text, Printable) else Printable(names.printable(text))


def command(*words: str) -> str:
    """A command of ours to be typed, its words quoted for a shell."""
    return shlex.join(("dbca-openssl", *words))


def result(document: Mapping[str, Any], lines: Iterable[str]) -> int:
    """The result of a verb: `document` with --json, otherwise `lines`. Returns the exit code of success.

    The document may have datetimes and paths; an iterator as its only value is printed item by item.
    """
    return _to_stdout(_json_lines(document) if as_json else map(printable, lines))


def verbatim(document: Mapping[str, Any], text: str) -> int:
    """A result that programs read, such as a script: unchanged, but printable on a terminal. Returns as `result`."""
    lines: Iterable[str] = text.removesuffix("\n").split("\n")
    if sys.stdout.isatty():
        lines = ("\t".join(map(printable, line.split("\t"))) for line in lines)
    return _to_stdout([_json(document)] if as_json else lines)


def script(text: str) -> int:
    """The script of --print. Returns as `result`."""
    return verbatim({"script": text}, text)


def _to_stdout(lines: Iterable[str]) -> int:
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
        return DONE
    except BrokenPipeError:
        raise
    except OSError as problem:
        drop_output()
        raise DatabaseCaError(
            f"the result cannot be written to standard output: {reason(problem)}", "the work itself is done"
        ) from None


def drop_output() -> None:
    """Discard what else goes to standard output, or the interpreter complains on exit that it cannot write it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def begin() -> None:
    """Make the outputs ready: standard output takes any path, escaped where its encoding lacks a letter.

    What is written to an output that was closed (`>&-`) is discarded.
    """
    global as_json, verbose
    as_json = verbose = False
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        unicode = sys.stdout.encoding.lower() in ("utf-8", "utf8")
        sys.stdout.reconfigure(errors="surrogateescape" if unicode else "backslashreplace")


def tell(line: str) -> None:
    """Something to know while work goes on, or beside its result."""
    with _screen:
        wipe()
        print(f"dbca-openssl: {printable(line)}", file=sys.stderr, flush=True)


def show(lines: Iterable[str]) -> None:
    """Print to stderr what a question is about."""
    for line in lines:
        print(printable(line), file=sys.stderr)


def coloured(text: str, word: str = "", stream: IO[str] | None = None) -> str:
    """`text` in the colour of `word`, or of the word that it is, where `stream` (standard output) is a terminal.

    It is plain where NO_COLOR is set, and where the terminal is called dumb.
    """
    number = COLOURS.get((word or text).lower())
    dumb = os.environ.get("TERM", "dumb") == "dumb" or os.environ.get("NO_COLOR")
    if number is None or dumb or not (stream or sys.stdout).isatty():
        return text
    return Printable(f"\033[{number}m{printable(text)}\033[0m")


def can_draw() -> bool:
    """Whether there is a terminal on which a line can be drawn and removed."""
    return not as_json and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def draw(*lines: str) -> None:
    """Replace what was drawn before by `lines`, each cut to the width of the terminal; without one, do nothing."""
    global _drawn
    if not can_draw():
        return
    room = size(sys.stderr).columns - 1
    shown = (line if len(line) <= room else f"{line[: max(0, room - 3)]}..." for line in map(printable, lines))
    with _screen:
        erase = "\r\033[K" if _drawn < 2 else f"\r\033[{_drawn - 1}A\033[J"
        print(erase + "\n".join(shown), end="", file=sys.stderr, flush=True)
        _drawn = len(lines)


def wipe() -> None:
    """Remove what was drawn."""
    with _screen:
        if _drawn:
            draw()


def progress(steps: int, done: int) -> None:
    """How many of the steps of long work are done, and how long the others take at that pace.

    It is a bar on a terminal, removed when all are done; nothing elsewhere.
    """
    global _begun
    if done >= steps:
        _begun = None
        wipe()
        return
    now = time.monotonic()
    begin, before = _begun = _begun or (now, done)
    filled = BAR * done // steps
    left = ""
    if done > before:
        seconds = (now - begin) * (steps - done) / (done - before)
        left = f", about {seconds / 60:.0f} min left" if seconds >= 100 else f", about {seconds:.0f} s left"
    draw(f"{'#' * filled}{'.' * (BAR - filled)} {done}/{steps}{left}")


def error(problem: DatabaseCaError, of_plugin: bool = False) -> None:
    """What was refused or failed; a plugin of monitoring says in one line on standard output why it has no answer."""
    wipe()
    if as_json:
        document = {"error": problem.message, "hints": list(problem.hints)}
        if verbose and problem.detail:
            document["openssl"] = problem.detail
        print(_json(document))
        return
    if of_plugin:
        print(coloured(Level.UNKNOWN.name) + f": {printable(problem.message)}")
    else:
        print(coloured("dbca-openssl:", "error", sys.stderr) + f" {printable(problem.message)}", file=sys.stderr)
    show(f"hint: {hint}" for hint in problem.hints)
    if verbose:
        show(problem.detail.rstrip().splitlines())


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Rows under heads, each column as wide as its widest cell; the last one is not padded. Many lines in each text.

    Where a terminal is too narrow, the longest words of the first column stand on lines of their own. There may be a
    million rows: they are packed until the widths are known.
    """
    remaining: Iterator[Sequence[str]] = chain((heads,), rows)
    packed: list[tuple[bool, str]] = []
    widths = [0] * len(heads)
    while cells := list(islice(remaining, 10_000)):
        text = "".join(map("".join, cells))
        is_plain = text.isascii() and text.isprintable()
        if not is_plain:
            cells = [tuple(map(printable, row)) for row in cells]
        columns_of_cells = zip(widths, zip(*cells, strict=True), strict=True)
        widths = [max(widest, *map(len if is_plain else width, column)) for widest, column in columns_of_cells]
        packed.append((is_plain, "\n".join(map("\t".join, cells))))
    widest_first = widths[0]
    if sys.stdout.isatty():
        room = size(sys.stdout).columns - sum(widths[1:]) - 2 * len(widths[1:])
        widths[0] = min(widest_first, max(room, len(heads[0]), LEAST))
    widths[-1] = 0
    for is_plain, text in packed:
        padded = str.ljust if is_plain else _padded
        lines = []
        for line in text.split("\n"):
            first, *others = line.split("\t")
            if widths[0] < widest_first and width(first) > widths[0]:
                lines.append(first)
                first = ""
            lines.append("  ".join(map(padded, (first, *others), widths)))
        yield Printable("\n".join(lines))


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - width(text))


def width(text: str) -> int:
    """How many columns of a terminal `text` takes: a Chinese letter two, an accent by itself and a colour none."""
    if text.isascii() and text.isprintable():
        return len(text)
    import re
    import unicodedata

    plain = [letter for letter in re.sub(r"\033\[\d+m", "", text) if unicodedata.category(letter) not in _NO_WIDTH]
    return len(plain) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in plain)


def fields(values: Mapping[str, str | None]) -> list[str]:
    """Lines of a word and its value, indented under a headline; a word without a value has no line."""
    return [f"  {word:<9} " + value for word, value in values.items() if value is not None]


def _json(document: Mapping[str, Any]) -> str:
    import json

    def plain(value: object) -> str:
        return dates.iso(value) if isinstance(value, datetime) else str(value)

    text = json.dumps(document, indent=2, ensure_ascii=False, default=plain)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text)


def _json_lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The document, or where its only value is an iterator its parts, which are the same text without the memory."""
    name, items = next(iter(document.items()), ("", None))
    if not isinstance(items, Iterator):
        yield _json(document)
        return
    last = ""
    for item in items:
        yield f"{last}," if last else f'{{\n  "{name}": ['
        last = "    " + _json(item).replace("\n", "\n    ")
    yield f"{last}\n  ]\n}}" if last else _json({name: []})


def size(stream: IO[str]) -> os.terminal_size:
    """Columns and lines of the terminal; 80 and 24 where it does not know."""
    columns, lines = os.get_terminal_size(stream.fileno())
    return os.terminal_size((columns or 80, lines or 24))
