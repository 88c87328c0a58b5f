"""A program at a terminal of its own, and somebody there who answers it."""

from __future__ import annotations

import codecs
import os
import select
import subprocess
import termios
from collections.abc import Callable, Mapping
from pathlib import Path

INTERRUPT = "\x03"

_LONGEST = 500
"""No question has more characters."""

_AT_TERMINAL = 'exec <>"$0" >&0 2>&0; exec "$@"'
"""Run by the first process of a session: the terminal that it opens becomes the one that Ctrl-C reaches it by."""


def converse(
    *command: str | Path,
    answer: Callable[[str], str | bytes | None],
    directory: Path,
    environment: Mapping[str, str] | None = None,
    columns: int = 80,
    echo: bool = False,
) -> tuple[int, str]:
    """Run a command in an environment that has only what is given, PATH and a home of its own.

    After each character `answer` gets the end of what was shown since the last answer, and gives what is typed now, or
    None. The result is the exit code and all that was shown, with the terminal's line ends.
    """
    ours, theirs = os.openpty()
    try:
        attributes = termios.tcgetattr(theirs)
        if not echo:
            attributes[3] &= ~termios.ECHO
        termios.tcsetattr(theirs, termios.TCSANOW, attributes)
        termios.tcsetwinsize(theirs, (24, columns))
        with subprocess.Popen(
            ["/bin/sh", "-c", _AT_TERMINAL, os.ttyname(theirs), *map(str, command)],
            cwd=directory,
            env={"PATH": os.environ["PATH"], "HOME": str(directory)} | dict(environment or {}),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        ) as process:
            os.close(theirs)
            theirs = -1
            try:
                shown = _talk(ours, answer)
            except BaseException:
                process.kill()
                raise
            return process.wait(), shown
    finally:
        for descriptor in {ours, theirs} - {-1}:
            os.close(descriptor)


def _talk(terminal: int, answer: Callable[[str], str | bytes | None]) -> str:
    """Read until nobody has the terminal any more."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    shown: list[str] = []
    unanswered = ""
    interrupted = False
    while True:
        if not select.select([terminal], [], [], 5 if interrupted else 300)[0]:
            assert interrupted, f"nothing more is shown, and no end: {''.join(shown)}"
            os.write(terminal, INTERRUPT.encode())  # Python may see a Ctrl-C only with the next key
            continue
        try:
            read = os.read(terminal, 1 << 16)
        except OSError:  # EIO: every process that had it has ended
            return "".join(shown)
        if not read:
            return "".join(shown)
        text = decoder.decode(read)
        shown.append(text)
        for character in text:  # a shell may print escapes behind its prompt
            unanswered = unanswered[-_LONGEST:] + character
            typed = answer(unanswered)
            if typed is not None:
                unanswered = ""
                interrupted = str(typed).endswith(INTERRUPT)
                os.write(terminal, typed if isinstance(typed, bytes) else typed.encode())
