"""A pass phrase: held to what openssl can take, never shown, handed over by a pipe."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dbca_openssl.errors import DatabaseCaError, of_system

SHORTEST, LONGEST = 4, 1023
"""Bytes: openssl refuses fewer when it encrypts a key, and silently cuts off more."""


class Passphrase:
    """The secret itself. Its text form is a row of stars, so that no message or traceback can hold it."""

    __slots__ = ("_secret", "file")

    def __init__(self, secret: bytes, file: Path | None = None) -> None:
        """`file` is where it was read, for a printed script. Raises DatabaseCaError for what openssl would cut off."""
        if problem := _problem(secret):
            del secret  # or a traceback that shows local variables would show it
            raise problem
        self._secret = secret
        self.file = file

    def __repr__(self) -> str:
        return "Passphrase(********)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Passphrase) and self._secret == other._secret

    __hash__ = None  # type: ignore[assignment]  # a secret is no key of a dictionary

    @contextmanager
    def descriptor(self) -> Iterator[int]:
        """The reading end of a pipe that holds the pass phrase, for `-passin fd:N`; closed afterwards."""
        reading, writing = os.pipe()
        try:
            os.write(writing, self._secret + b"\n")  # 1,024 bytes at the most, and a pipe holds 4,096 or more
            os.close(writing)
            yield reading
        finally:
            os.close(reading)


def from_file(path: Path) -> Passphrase:
    """The first line of the file `path`, as `openssl -passin file:` reads it. Raises DatabaseCaError."""
    try:
        with path.open("rb") as file:
            return Passphrase(_first_line(file.readline(LONGEST + 3)), path.absolute())
    except OSError as error:
        raise of_system(
            f"cannot read the pass phrase file {path}", error, "its first line is the pass phrase"
        ) from None


def from_descriptor(number: int) -> Passphrase:
    """The first line that comes out of the open file descriptor `number`, which is read to its end and closed.

    Raises DatabaseCaError.
    """
    try:
        with open(number, "rb") as file:
            return Passphrase(_first_line(file.read(LONGEST + 3)))
    except OSError as error:
        raise of_system(
            f"cannot read the pass phrase from descriptor {number}", error, f"open it in the shell: {number}< FILE"
        ) from None


def readable_by_others(path: Path) -> bool:
    """Whether the mode of a pass phrase file lets its group or everybody read it."""
    return bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _first_line(data: bytes) -> bytes:
    return data.split(b"\n", 1)[0]


def _problem(secret: bytes) -> DatabaseCaError | None:
    if b"\r" in secret:  # which openssl would take for a part of it
        return DatabaseCaError(
            "there is a carriage return in the pass phrase", "write its file again with the line ends of Unix"
        )
    if b"\n" in secret or b"\0" in secret:
        return DatabaseCaError("a pass phrase has no line end and no NUL in it", "choose another one")
    if not SHORTEST <= len(secret) <= LONGEST:
        return DatabaseCaError(f"a pass phrase has {SHORTEST} to {LONGEST} bytes", "choose another one")
    return None
