"""Before a CA directory is read: finish or roll back an interrupted change, and restore what a killed openssl left.

`Authority.require` does it, so that no verb acts on a state that is half of a change. `check` reports it instead, and
completion, which only offers names, does without.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from dbca_openssl import transaction
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.lock import Lock, Tell, is_locked

WHILE_FINISHED, WHILE_FINISHED_BY_OTHERS = 60.0, 3.0
"""Seconds: how long to wait for a process that is finishing a change at the moment, which takes it milliseconds; and
how long where we may not write, and could not do it ourselves."""

WHILE_REPLACED = 1.0
"""Seconds: how long a file may be missing before the openssl that moved it is taken for dead; it takes microseconds."""


def recover(directory: Path, data_files: Sequence[str], tell: Tell, timeout: float | None) -> None:
    """Finish, or roll back, an interrupted change and restore `data_files`, where there is anything to do.

    Otherwise it neither waits for the lock nor needs leave to write. Raises DatabaseCaError where it can't be done, or
    another process has not done it within `timeout` seconds (None: a minute).
    """
    if timeout is None:
        timeout = WHILE_FINISHED if os.access(directory, os.W_OK) else WHILE_FINISHED_BY_OTHERS
    deadline = time.monotonic() + timeout

    while transaction.is_interrupted(directory) or _moved_away(directory, data_files):
        is_busy = is_locked(directory) or not os.access(directory, os.W_OK)
        if not is_busy or time.monotonic() >= deadline:
            break
        time.sleep(0.02)
    else:
        return
    try:
        lock = Lock(directory, tell, max(0, round(deadline - time.monotonic())))
    except DatabaseCaError as error:
        raise DatabaseCaError(
            f"an interrupted change must be finished before {directory} is read: {error.message}", *error.hints
        ) from None
    try:
        transaction.recover(directory, tell)
        restore(directory, data_files, tell)
    finally:
        lock.release()


def restore(directory: Path, data_files: Sequence[str], tell: Tell) -> None:
    """Put back the data files that a plain openssl was killed between moving away and replacing.

    It renames X to X.old and then X.new to X; where the second rename is missing it is done, or else the first is
    undone. An openssl that is running between the two is given time: it takes no lock, and would fail.
    """
    deadline = time.monotonic() + WHILE_REPLACED
    while (lost := _moved_away(directory, data_files)) and time.monotonic() < deadline:
        time.sleep(WHILE_REPLACED / 20)
    for path, candidate in lost:
        tell(f"{path.name} was moved away by an openssl that was killed, and is restored from {candidate.name}")
        candidate.rename(path)


def _moved_away(directory: Path, data_files: Sequence[str]) -> list[tuple[Path, Path]]:
    """The data files that are missing, each with the file that takes its place."""
    return [
        (path, candidates[0])
        for path in (directory / name for name in data_files)
        if not os.path.lexists(path)
        and (candidates := [one for end in ("new", "old") if (one := Path(f"{path}.{end}")).is_file()])
    ]
