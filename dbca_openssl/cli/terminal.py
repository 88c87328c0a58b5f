"""Questions at the terminal, wherever the outputs go, and progress: a line that is rewritten, and removed when done."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING

from dbca_openssl.cli import output
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.passphrase import Passphrase

if TYPE_CHECKING:
    from dbca_openssl.ca.hosts import KnownHost

PATIENCE, TURN = 0.4, 0.1
"""Seconds until progress is shown, and from one position of the wheel to the next."""


def is_there() -> bool:
    """Whether there is a controlling terminal, at which somebody can be asked."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def ask(question: str, hint: str) -> str:
    """What is typed as the answer. Raises DatabaseCaError with the `hint` where nobody can be asked."""
    try:
        with open(os.ctermid(), "r+b", buffering=0) as terminal:
            terminal.write(f"{output.printable(question)} ".encode())
            return terminal.readline().decode("utf-8", "surrogateescape").strip()
    except OSError:
        raise DatabaseCaError("there is no terminal to ask at", hint) from None


def confirm(question: str) -> None:
    """Ask yes or no. Raises DatabaseCaError where the answer is no, or nobody can be asked."""
    if ask(f"{question} [y/N]", "--yes answers yes").lower() not in ("y", "yes"):
        raise DatabaseCaError("the answer was no, and nothing was done")


def ask_secret(prompt: str) -> Passphrase:
    """A pass phrase, typed without an echo. Raises DatabaseCaError where nobody can be asked, or nothing is typed."""
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


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """Show on a terminal, and nowhere else, what is being done, such as `making a key`, once it takes long."""
    done = threading.Event()

    def turn() -> None:
        wheel = cycle("|/-\\")
        pause = PATIENCE
        while not done.wait(pause):
            output.draw(f"{doing} {next(wheel)}")
            pause = TURN

    thread = threading.Thread(target=turn, daemon=True)
    # Ctrl-C is the main thread's, which blocks it at times
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if output.can_draw():
        thread.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield
    finally:
        done.set()
        if thread.is_alive():
            thread.join()
        output.wipe()


@contextmanager
def progress(hosts: Sequence[KnownHost], *done: str) -> Iterator[Callable[[KnownHost, str], None]]:
    """What is being done with each of many hosts, a line for each; elsewhere than on a terminal in plain lines.

    `with progress(hosts, "fetched") as tell:`, then `tell(host, "fetching")` from any thread. A host of which a word of
    `done` was told is done.
    """
    lock, drawn = threading.Lock(), output.can_draw()
    doing = {host.name: "" for host in hosts}
    width = max(map(len, doing), default=0)

    def tell(host: KnownHost, word: str) -> None:
        with lock:
            doing[host.name] = word
            if drawn:
                room = output.size(sys.stderr).lines - 2
                begun = [name for name, word in doing.items() if word]
                running = [name for name in begun if doing[name] not in done]
                shown = running if len(doing) > room else begun
                lines = [f"{name:<{width}}  {doing[name]}" for name in shown[:room]]
                output.draw(*lines, f"[{len(begun) - len(running)}/{len(doing)}]")
            elif not output.as_json:
                output.tell(f"{host.name}: {word}")

    try:
        yield tell
    finally:
        output.wipe()
