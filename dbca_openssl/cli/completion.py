"""What may come next on a command line, for a shell that asks: `dbca-openssl __complete SHELL WORD...`.

A shell waits for the answer whenever somebody presses the tabulator, so nothing is imported that takes long, and what
the verbs take is read from `grammar.json`. Nobody is asked, no openssl is run, and no error reaches the terminal.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

TYPE_CHECKING = False  # as in typing, which takes as long to import as all of this
if TYPE_CHECKING:
    from typing import Any

GRAMMAR = os.path.join(os.path.dirname(__file__), "grammar.json")  # noqa: PTH118, PTH120  pathlib is slow to import

Candidates = dict[str, str]
"""Words that may come next, each with a few words on what it is."""

ALLOWED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-")
"""The characters of a name. A file with others in its name is not one of ours; and no shell has to quote these."""


def complete(shell: str = "", *words: str) -> None:
    """Print for `shell` what may stand in place of the last of `words`, the one that is being typed.

    The first line is `words`, and they follow, each with a tab and what it is, other than for bash; or it is `files`
    or `directories`, which the shell completes by itself.
    """
    try:
        kind, found = candidates([_unquoted(word) for word in words] if shell == "bash" else words)
    except Exception:  # there is nobody to tell
        kind, found = "words", {}
    lines = found if shell == "bash" else [f"{word}\t{text}" for word, text in found.items()]
    sys.stdout.write("\n".join((kind, *lines, "")))


def candidates(words: Sequence[str]) -> tuple[str, Candidates]:
    """`files`, `directories`, or `words` and what may stand in place of the last one.

    Where both a name and a file may be meant, it is a file once no name begins like that.
    """
    *before, word = words or [""]
    place = Place(before)
    start, expects = "", place.expects
    if expects is None and word.startswith("--") and "=" in word:
        flag, _, word = word.partition("=")
        start, expects = f"{flag}=", place.options.get(flag, ("", 0))[2:]
    if expects is None and word.startswith("-"):
        found = {flag: text for flag, (text, *_) in place.options.items()}
    elif expects is None and place.below:
        found = {} if place.arguments else place.below
    elif expects is None and place.is_complete:
        found = {flag: text for flag, (text, *_) in place.options.items() if flag.startswith("--")}
    elif expects is None:
        return _values(before, place.argument, "", word, place.arguments)
    else:
        return _values(before, expects, start, word, ())
    return "words", {one: text for one, text in found.items() if one.startswith(word)}


class Place:
    """Where on the command line the next word stands: the verb, its options, and the arguments that it has by now.

    `expects` is what the value of an option may be, where that comes next; `below` are the verbs of a group.
    """

    def __init__(self, before: Sequence[str]) -> None:
        with open(GRAMMAR, encoding="utf-8") as file:
            self._grammar: dict[str, Any] = json.load(file)
        self.verb = ""
        self.arguments: list[str] = []
        self.expects: list[str] | None = None
        self._enter("")
        remaining, only_arguments = iter(before), False
        for word in remaining:
            if word == "--" and not only_arguments:
                only_arguments = True
            elif word.startswith("-") and len(word) > 1 and not only_arguments:
                _, values, *expects = self.options.get(word, ("", 0))
                if [next(remaining, None) for _ in range(values)][-1:] == [None]:
                    self.expects = expects
            elif word in self.below and not self.arguments:
                self._enter(f"{self.verb} {word}".lstrip())
            else:
                self.arguments.append(word)

    def _enter(self, verb: str) -> None:
        self.verb = verb
        start = f"{verb} ".lstrip()
        self.below = {
            words.removeprefix(start): below["summary"]
            for words, below in self._grammar.items()
            if words and words.startswith(start) and " " not in words.removeprefix(start)
        }
        self.options: dict[str, Any] = {
            flag: option for flags, option in self._grammar[verb]["options"].items() for flag in flags.split()
        }
        self._takes = self._grammar[verb]["arguments"]

    @property
    def is_complete(self) -> bool:
        """Whether the verb takes no more arguments."""
        return not self._takes or (len(self.arguments) >= len(self._takes) and self._takes[-1][0] != -1)

    @property
    def argument(self) -> list[str]:
        """What the next argument may be."""
        return [] if self.is_complete else list(self._takes[min(len(self.arguments), len(self._takes) - 1)][1:])


class Names:
    """The names and serials of an authority, or of a directory with copies of its files, read without openssl."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._certificates = _stems(f"{directory}/certs", ".cert.pem") or _stems(directory, ".cert.pem")
        self._requests = _stems(f"{directory}/certreqs", ".req.pem")
        self._rows = [row for row in self._index() if row[5] in self._certificates or row[5] in self._requests]

    def find(self, source: str, word: str) -> Candidates:
        """What of a source of `grammar.json` begins with `word`, with what is known about each."""
        if source in ("serials", "valid serials"):
            rows = (row for row in self._rows if row[3].startswith(word) and (row[0] == "V" or source == "serials"))
            return {row[3]: f"{row[5]}, {_standing(row)}" for row in rows}
        newest = {row[5]: row for row in self._rows}
        names, start = self._certificates, ""
        if source == "valid":
            names = {row[5] for row in self._rows if row[0] == "V"}
        elif source == "waiting":
            names = self._requests - newest.keys()
        elif source == "hosts":  # as ssh calls them, maybe with a user
            names = self._certificates | self._requests
            user, at, _ = word.rpartition("@")
            start = user + at
        found = {}
        for before in dict.fromkeys(("", start)):
            for name in sorted(name for name in names if name.startswith(word.removeprefix(before))):
                row = newest.get(name)
                found[before + name] = f"serial {row[3]}, {_standing(row)}" if row else ""
        return found

    def _index(self) -> list[list[str]]:
        """The rows of the index, with the name in place of the subject."""
        try:
            with open(f"{self.directory}/database-ca.index", encoding="utf-8", errors="replace") as file:
                rows = [line.rstrip("\n").split("\t") for line in file]
        except OSError:
            return []
        return [[*row[:5], row[5].rpartition("/CN=")[2]] for row in rows if len(row) == 6]


def _values(
    before: Sequence[str], expects: Sequence[str], start: str, word: str, given: Sequence[str]
) -> tuple[str, Candidates]:
    """What the values of a parameter may be, apart from those `given`; `start` stands before them in the same word."""
    found = {source[1:]: "" for source in expects if source.startswith("=")}
    others = [source for source in expects if source in ("files", "directories")]
    if len(found) + len(others) < len(expects):
        names = Names(_directory(before))
        for source in expects:
            if not source.startswith("=") and source not in others:
                found |= names.find(source, word)
    found = {start + one: text for one, text in found.items() if one.startswith(word) and one not in given}
    return (others[0], {}) if others and not found else ("words", found)


def _directory(before: Sequence[str]) -> str:
    """The authority that a command line means, as `options.authority` finds it."""
    given = os.environ.get("DBCA_CA", "")
    for number, word in enumerate(before):
        if word.startswith("--ca="):
            given = word.removeprefix("--ca=")
        elif word == "--ca" and number + 1 < len(before):
            given = before[number + 1]
    if given:
        return os.path.expandvars(os.path.expanduser(given))  # noqa: PTH111
    return "." if os.path.isfile("database-ca.cnf") else "database-ca"  # noqa: PTH113


def _stems(directory: str, ending: str) -> set[str]:
    """The names in front of `ending` of the files in a directory; none where it cannot be read."""
    try:
        names = os.listdir(directory)  # noqa: PTH208
    except OSError:
        return set()
    found = (name[: -len(ending)] for name in names if name.endswith(ending))
    return {name for name in found if ALLOWED.issuperset(name) and name[:1].isalnum() and name != "database-ca"}


def _standing(row: Sequence[str]) -> str:
    """How it stands with a certificate by its row in the index, of which the year has two digits or four."""
    day = row[1][:-7] if len(row[1]) == 15 else f"20{row[1][:-7]}"
    return "revoked" if row[0] == "R" else f"until {day[:4]}-{day[4:6]}-{day[6:]}"


def _unquoted(word: str) -> str:
    """A word without the quotes and backslashes of bash, which may be open still."""
    plain, quote, characters = "", "", iter(word)
    for character in characters:
        if character == "\\" and quote != "'":
            plain += next(characters, "")
        elif quote and character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        else:
            plain += character
    return plain
