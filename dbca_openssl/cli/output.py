"""How everything is said. Results to stdout; errors, questions and progress to stderr; with --json one document.

An error is one line `dbca-openssl: what is wrong`, then lines `hint: what mends it`.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dbca_openssl.errors import DatabaseCaError, reason

as_json = False
verbose = False


def result(document: Mapping[str, Any], lines: Iterable[str]) -> None:
    """The result of a verb: `document` with --json, otherwise `lines`."""
    try:
        if as_json:
            print(json.dumps(document, indent=2, ensure_ascii=False))
        else:
            for line in lines:
                print(line)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        drop_output()
        raise DatabaseCaError(
            f"the result cannot be written to standard output: {reason(problem)}", "the work itself is done"
        ) from None


def drop_output() -> None:
    """Give up standard output, or the interpreter complains at its end of what it cannot write there."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_any_path() -> None:
    """Have standard output take every path: the bytes as they are, or escaped where the encoding lacks a letter."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        unicode = sys.stdout.encoding.lower() in ("utf-8", "utf8")
        sys.stdout.reconfigure(errors="surrogateescape" if unicode else "backslashreplace")


def script(text: str) -> None:
    """The script of --print."""
    result({"script": text}, [text.removesuffix("\n")])


def tell(line: str) -> None:
    """Something to know while work goes on, or beside its result."""
    print(f"dbca-openssl: {line}", file=sys.stderr, flush=True)


def show(lines: Iterable[str]) -> None:
    """What a question is about."""
    for line in lines:
        print(line, file=sys.stderr)


def progress(steps: int, done: int) -> None:
    """How far long work is, as a bar on a terminal, wiped out once all is done; nothing anywhere else."""
    if as_json or not sys.stderr.isatty():
        return
    width = 40
    filled = width * done // steps
    bar = f"{'#' * filled}{'.' * (width - filled)} {done}/{steps}" if done < steps else "\033[K"
    print(f"\r{bar}", end="", file=sys.stderr, flush=True)


def error(problem: DatabaseCaError) -> None:
    """What was refused or failed."""
    if as_json:
        document = {"error": problem.message, "hints": list(problem.hints)}
        if verbose and problem.detail:
            document["openssl"] = problem.detail
        print(json.dumps(document, indent=2, ensure_ascii=False))
        return
    print(f"dbca-openssl: {problem.message}", file=sys.stderr)
    for hint in problem.hints:
        print(f"hint: {hint}", file=sys.stderr)
    if verbose and problem.detail:
        print(problem.detail.rstrip(), file=sys.stderr)


def usage_error(problem: Any, verb: str | None) -> None:
    """What is wrong with the command line; `problem` is typer's exception."""
    from dbca_openssl.cli.usage import explained

    error(explained(problem, verb))


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows under heads, each column as wide as its widest cell; the last one is not padded."""
    cells = [tuple(heads), *(tuple(row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)) + f"  {row[-1]}"
        for row in cells
    ]


def fields(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of a word and its value, indented under a headline."""
    return [f"  {word:<9} {value}" for word, value in pairs]
