"""Somebody at a real terminal who waits for a question and types the answer."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import sh

from tools.support import Finished

INTERRUPT = "\x03"

_READY = "ready? "
"""Asked and answered before the program starts: by then sh has set up the terminal, without an echo."""


def typed(
    *arguments: str | Path,
    answers: Sequence[tuple[str, str | bytes]],
    directory: Path,
    environment: Mapping[str, str] | None = None,
    program: Sequence[str] = (sys.executable, "-m", "dbca_openssl"),
) -> Finished:
    """Run dbca-openssl at a terminal of its own; each of `answers` is the end of a question, and what is typed then.

    What the terminal shows, echo included, is the output. Every question must come, in its order.
    """
    shown: list[str] = []
    waiting = [(_READY, "\n"), *answers]
    seen = 0
    ended = threading.Event()

    def read(text: str, keyboard: Any) -> None:
        nonlocal seen
        shown.append(text)
        screen = "".join(shown)
        if waiting and screen[seen:].endswith(waiting[0][0]):
            seen = len(screen)
            answer = waiting.pop(0)[1]
            keyboard.put(answer)
            if str(answer).endswith(INTERRUPT):
                threading.Thread(target=insist, args=(keyboard,), daemon=True).start()

    def insist(keyboard: Any) -> None:
        # Python sees a Ctrl-C that comes just before it waits for the keyboard only with the next key
        while not ended.wait(5):
            keyboard.put(INTERRUPT)

    try:
        done = sh.Command("/bin/sh")(
            *("-c", f'printf "{_READY}"; read -r _; stty echo; exec "$0" "$@"', *program, *map(str, arguments)),
            _cwd=str(directory),
            _env={"PATH": os.environ["PATH"], "HOME": str(directory)} | dict(environment or {}),
            _tty_in=True,
            _unify_ttys=True,
            _out=read,
            _out_bufsize=0,
            _ok_code=list(range(256)),
            _return_cmd=True,
            _new_session=True,
            _timeout=60,
        )
    finally:
        ended.set()
    assert not waiting, f"never asked: {waiting}\n{''.join(shown)}"
    return Finished(done.exit_code, "".join(shown).partition(_READY)[2].replace("\r\n", "\n"), "")
