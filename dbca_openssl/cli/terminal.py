"""Questions to whoever sits at the terminal, wherever the outputs go."""

from __future__ import annotations

import os

from dbca_openssl.cli import output
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.passphrase import Passphrase


def is_there() -> bool:
    """Whether there is a controlling terminal, at which somebody can be asked."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def confirm(question: str) -> None:
    """Ask yes or no. Raises DatabaseCaError where the answer is no, or nobody can be asked."""
    try:
        with open(os.ctermid(), "r+b", buffering=0) as terminal:
            terminal.write(f"{output.printable(question)} [y/N] ".encode())
            answer = terminal.readline().decode("utf-8", "replace").strip().lower()
    except OSError:
        raise DatabaseCaError("there is no terminal to ask at", "--yes answers yes") from None
    if answer not in ("y", "yes"):
        raise DatabaseCaError("the answer was no, and nothing was done")


def ask_secret(prompt: str) -> Passphrase:
    """What is typed without an echo. Raises DatabaseCaError where nobody can be asked, or nothing is typed."""
    if not is_there():
        raise DatabaseCaError(
            "the key needs its pass phrase, and there is no terminal to ask at",
            "--passphrase-file FILE, --passphrase-fd N or DBCA_PASSPHRASE_FILE gives it",
        )
    import getpass
    import locale

    problem = "no pass phrase was given"
    try:
        # back into the bytes that were typed, by the encoding that getpass decoded them with
        return Passphrase(getpass.getpass(prompt).encode(locale.getpreferredencoding(False)))
    except EOFError:
        pass
    except UnicodeError:
        problem = "what was typed is no text in the terminal's encoding"
    raise DatabaseCaError(problem)  # here, since the error that was caught holds what was typed
