"""What may come next on a command line, for a shell that asks: `dbca-openssl __complete SHELL WORD...`.

A shell waits for the answer at every press of the Tab key. So nothing slow is imported, above all not typer, and what
the verbs take is read from `grammar.json`. The CA's files are only read, openssl is not run, and no error is shown.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence

from dbca_openssl import ownership

TYPE_CHECKING = False  # as in typing, which takes as long to import as all of this
if TYPE_CHECKING:
    from typing import Any

GRAMMAR = os.path.join(os.path.dirname(__file__), "grammar.json")  # noqa: PTH118, PTH120  pathlib is slow to import

ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-")
"""The characters of a name. No shell has to quote them, and a word with others is not offered."""

FEW = 20
"""Up to so many names are searched one by one in the index."""


def complete(shell: str = "", *words: str) -> None:
    """Print for `shell` what may stand in place of the last of `words`, the one that is being typed.

    The first line is `words`, and they follow, for zsh and fish each with a tab and its description. Or it is `files`
    or `directories`, which the shell completes by itself.
    """
    try:
        kind, found = candidates([_unquoted(word) for word in words] if shell == "bash" else words)
    except Exception:  # a message would end up in the middle of the command line
        kind, found = "words", {}
    lines = found if shell == "bash" else [f"{word}\t{text}" for word, text in found.items()]
    sys.stdout.write("\n".join((kind, *lines, "")))


def candidates(words: Sequence[str]) -> tuple[str, dict[str, str]]:
    """`files`, `directories`, or `words` and what may stand in place of the last one, each with a description.

    Where both a name and a file may be meant, it is a file once no name begins with the word.
    """
    *before, word = words or [""]
    line = Line(before)
    flag, equals, value = word.partition("=")
    takes, given = line.verb["arguments"], line.arguments
    if line.expects is not None:
        return line.values(line.expects, word)
    if equals and flag.startswith("--"):
        return line.values(line.verb["values"].get(flag, [0])[1:], value, f"{flag}=")
    if word.startswith("-"):
        found = line.verb["options"]
    elif line.verb["below"]:
        found = {} if given else line.verb["below"]
    elif (expects := takes[min(len(given), len(takes) - 1)]) is not None:
        return line.values(expects, word, leave_out=given)
    else:
        found = {flag: text for flag, text in line.verb["options"].items() if flag.startswith("--")}
    return "words", {one: text for one, text in found.items() if one.startswith(word)}


class Line:
    """The words before the one that is being typed: the verb (by `as_data` in docs/manual) and its arguments.

    `expects` says what the value of an option may be, where that comes next; `given` are the values of the others.
    """

    def __init__(self, before: Sequence[str]) -> None:
        grammar: dict[str, Any] = json.loads(globals()["__loader__"].get_data(GRAMMAR))  # also from a zip file
        name, options_end, remaining = "", False, iter(before)
        self.verb = grammar[name]
        self.arguments: list[str] = []
        self.expects: list[str] | None = None
        self.given: dict[str, str | None] = {
            "--ca": os.environ.get("DBCA_CA"),
            "--trust-directory": os.environ.get("DBCA_TRUST_DIRECTORY"),
        }
        for word in remaining:
            if word == "--" and not options_end:
                options_end = True
            elif word.startswith("-") and len(word) > 1 and not options_end:
                flag, equals, value = word.partition("=")
                count, *expects = self.verb["values"].get(flag, [0])
                values = [value] if equals else [next(remaining, None) for _ in range(count)]
                if values[-1:] == [None]:
                    self.expects = expects
                elif values:
                    self.given[flag] = values[0]
            elif word in self.verb["below"] and not self.arguments:
                name = f"{name} {word}".lstrip()
                self.verb = grammar[name]
            else:
                self.arguments.append(word)

    def values(
        self, expects: Sequence[str], word: str, start: str = "", leave_out: Sequence[str] = ()
    ) -> tuple[str, dict[str, str]]:
        """What of `expects` begins with `word`; `start` stands before it in the same word."""
        found, others, names = {}, [], None
        for source in expects:
            if source.startswith("="):
                found[source[1:]] = ""
            elif source in ("files", "directories"):
                others.append(source)
            else:
                names = names or Names(self.directory())
                found |= names.find(source, word)
        found = {start + one: text for one, text in found.items() if one.startswith(word) and one not in leave_out}
        return (others[0], {}) if others and not found else ("words", found)

    def directory(self) -> str:
        """The CA that is meant, as `options.Run.authority` finds it; where it refuses that, no directory."""
        found = _expanded(self.given["--ca"]) or ("." if os.path.isfile("database-ca.cnf") else "database-ca")  # noqa: PTH113
        trusted = _expanded(self.given["--trust-directory"])
        if trusted and ownership.is_same(trusted, found):
            return found
        return os.devnull if ownership.distrust(found, ownership.sudo_user(os.environ)) else found


class Names:
    """The names and serials of a CA, or of a directory with its public files, by its file names and its index.

    An interrupted change is not recovered first: the words are only offered, and every verb judges what it is given.
    """

    def __init__(self, directory: str) -> None:
        self.certificates = _names(f"{directory}/certs", ".cert.pem") or _names(directory, ".cert.pem")
        self.requests = _names(f"{directory}/certreqs", ".req.pem")
        lines = _content(f"{directory}/database-ca.hosts").decode("utf-8", "replace").split("\n")
        listed = {line.split()[0] for line in lines if line[:1].isalnum()}
        self.listed = {name for name in listed if ALLOWED.issuperset(name)}
        self.known = self.certificates | self.requests
        self.index = _content(f"{directory}/database-ca.index")

    def find(self, source: str, word: str) -> dict[str, str]:
        """What begins with `word` of a source of `EXPECTED` in docs/manual, each with a description."""
        if source.endswith("serials"):
            rows = self.rows([f"\t{word}"] if len(word) > 1 else [])
            wanted = (row for row in rows if row[3].startswith(word) and (row[0] == "V" or source == "serials"))
            return {row[3]: f"{row[5]}, {_state(row)}" for row in wanted}
        user, at, _ = word.rpartition("@") if source == "hosts" else ("", "", "")
        starts = dict.fromkeys(("", user + at))  # a name may have an @ of its own
        meant = [name for name in self.known if any((start + name).startswith(word) for start in starts)]
        found = list(self.rows([f"/CN={name}" for name in meant] if len(meant) <= FEW else []))
        newest = {row[5]: row for row in found}
        names = {
            "certificates": self.certificates,
            "hosts": self.known | self.listed,
            "valid": {row[5] for row in found if row[0] == "V"},
            "waiting": self.requests - newest.keys(),
        }[source]
        return {
            start + name: f"serial {newest[name][3]}, {_state(newest[name])}" if name in newest else ""
            for start in starts
            for name in sorted(names)
            if (start + name).startswith(word)
        }

    def rows(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """The rows of the index that can be offered and have one of the texts, or all, with the name as subject."""
        for line in _lines_with(self.index, texts) if texts else self.index.split(b"\n"):
            name = line.rpartition(b"/CN=")[2].decode("utf-8", "replace")
            row = line.decode("utf-8", "replace").split("\t") if name in self.known else []
            if len(row) == 6 and row[1][:-1].isdecimal() and row[3] and ALLOWED.issuperset(row[3]):
                yield [*row[:5], name]


def _lines_with(data: bytes, texts: Sequence[str]) -> Iterator[bytes]:
    """The lines with one of the texts, which are searched: there may be a million lines."""
    found = set()
    for text in texts:
        needle, end = text.encode("utf-8", "surrogateescape"), 0
        while (place := data.find(needle, end)) >= 0:
            end = data.find(b"\n", place) % (len(data) + 1)  # the last line may have no end
            found.add((data.rfind(b"\n", 0, place) + 1, end))
    for begin, end in sorted(found):
        yield data[begin:end]


def _names(directory: str, ending: str) -> set[str]:
    """The names in front of `ending` of the files in a directory; none where it cannot be read."""
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except OSError:
        return set()
    found = (name[: -len(ending)] for name in names if name.endswith(ending))
    return {name for name in found if ALLOWED.issuperset(name) and name[:1].isalnum() and name != "database-ca"}


def _content(path: str) -> bytes:
    """The bytes of a regular file, or nothing."""
    if not os.path.isfile(path):  # noqa: PTH113  reading a FIFO in its place would never end
        return b""
    with open(path, "rb") as file:
        return file.read()


def _state(row: Sequence[str]) -> str:
    """The state of a certificate by its row in the index, where the year has two digits or four."""
    day = f"20{row[1]}"[-15:-7]
    return "revoked" if row[0] == "R" else f"valid until {day[:4]}-{day[4:6]}-{day[6:]}"


def _expanded(path: str | None) -> str:
    """A path as the shell would give it."""
    return os.path.expandvars(os.path.expanduser(path or ""))  # noqa: PTH111


def _unquoted(word: str) -> str:
    """A word as bash has it, without its quotes and backslashes; the last quote may still be open."""
    for end in ("", "'", '"', "\\"):
        try:
            return "".join(shlex.split(word + end))
        except ValueError:
            pass
    return word
