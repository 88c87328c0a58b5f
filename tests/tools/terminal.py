"""Somebody at a real terminal who waits for a question and types the answer."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.conversation import INTERRUPT, converse
from tools.support import Finished

__all__ = ["INTERRUPT", "typed"]


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
    waiting = list(answers)

    def answer(shown: str) -> str | bytes | None:
        return waiting.pop(0)[1] if waiting and shown.endswith(waiting[0][0]) else None

    command = (*program, *arguments)
    code, shown = converse(*command, answer=answer, directory=directory, environment=environment, echo=True)
    assert not waiting, f"never asked: {waiting}\n{shown}"
    return Finished(code, shown.replace("\r\n", "\n"), "")
