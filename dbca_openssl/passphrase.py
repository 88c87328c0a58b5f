"""A pass phrase: as openssl can take it, never shown, given to openssl by a pipe."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from dbca_openssl import ownership
from dbca_openssl.errors import DatabaseCaError, of_system

SHORTEST, LONGEST = 4, 1023
"""Bytes: openssl refuses fewer when it encrypts a key, and silently cuts off more."""

FAIR, STRONG = 12, 20
"""Characters: a guess costs who has the key less than a millisecond, since openssl encrypts it with few rounds."""


class Passphrase:
    """The secret itself. Its text form is a row of stars, so that no message or traceback shows it."""

    __slots__ = ("_secret", "file")

    def __init__(self, secret: bytes, file: Path | None = None) -> None:
        """`file` is where it was read, for a printed script. Raises DatabaseCaError where openssl cannot take it."""
        if (problem := _problem(secret)) is not None:
            del secret  # a traceback with local variables would show it
            raise problem
        self._secret = secret
        self.file = file

    def __repr__(self) -> str:
        return "Passphrase(********)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Passphrase) and self._secret == other._secret

    __hash__ = None  # type: ignore[assignment]

    def strength(self) -> str:
        """`weak`, `fair` or `strong`, by its length alone: whether others can guess the words is not known here."""
        letters = self._secret.decode("utf-8", "replace")
        if len(letters) < FAIR or len(set(letters)) < 6:
            return "weak"
        return "fair" if len(letters) < STRONG else "strong"

    @contextmanager
    def descriptor(self, following: Passphrase | None = None) -> Iterator[int]:
        """The reading end of a pipe with the pass phrase, for `-passin fd:N`; closed afterwards.

        `following` is what `-passout` reads from the same descriptor then (openssl-passphrase-options(1)).
        """
        reading, writing = os.pipe()
        lines = self._secret + b"\n"
        if following:  # of a line as long as its buffer openssl leaves the line end for the next one to read
            lines = lines[:LONGEST] + following._secret + b"\n"
        try:
            os.write(writing, lines)  # at most 2,048 bytes, and a pipe holds 4,096 or more
            os.close(writing)
            yield reading
        finally:
            os.close(reading)


def from_file(path: Path, users: Collection[int | None] | None = None) -> Passphrase:
    """The first line of the file `path`, as `openssl -passin file:` reads it.

    Raises DatabaseCaError, also where somebody other than `users` (None: root and ourselves) chooses the pass phrase.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid not in (ownership.believed() if users is None else users):
                raise DatabaseCaError(f"the pass phrase file {path} belongs to another user", "make one of your own")
            if stat.S_ISREG(status.st_mode) and status.st_mode & 0o022 and not ownership.is_fat(path):
                raise DatabaseCaError(
                    f"others may write the pass phrase file {path}", f"chmod 600 {shlex.quote(str(path))}"
                )
            return Passphrase(file.readline(LONGEST + 3).removesuffix(b"\n"), path.absolute())
    except OSError as error:
        hint = "its first line is the pass phrase"
        raise of_system(f"cannot read the pass phrase file {path}", error, hint) from None


def from_descriptor(number: int) -> Passphrase:
    """The first line from the open file descriptor `number`, which is closed. Raises DatabaseCaError."""
    try:
        with open(number, "rb") as file:
            return Passphrase(file.readline(LONGEST + 3).removesuffix(b"\n"))
    except OSError as error:
        hint = f"open it in the shell: {number}< FILE"
        raise of_system(f"cannot read the pass phrase from descriptor {number}", error, hint) from None


def readable_by_others(path: Path) -> bool:
    """Whether the group of a pass phrase file, or everybody, may read it."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _problem(secret: bytes) -> DatabaseCaError | None:
    again = "choose another one"
    if b"\r" in secret:  # openssl would take it for a part of the pass phrase
        return DatabaseCaError("the pass phrase has a carriage return", "save its file with Unix line ends")
    if b"\n" in secret or b"\0" in secret:
        return DatabaseCaError("a pass phrase cannot have a line end or a NUL", again)
    if not SHORTEST <= len(secret) <= LONGEST:
        return DatabaseCaError(f"a pass phrase has {SHORTEST} to {LONGEST} bytes", again)
    return None
