"""The one error that the user is meant to read: what is wrong, and how to fix it."""

from __future__ import annotations

import errno


class DatabaseCaError(Exception):
    """Something was refused or failed, and nothing was changed.

    `message` is one line without a full stop; `hints` are lines that say how to fix it, in a traceback too; `detail` is
    what openssl itself said, shown only with `--verbose`. None of them ever holds a secret.
    """

    def __init__(self, message: str, *hints: str, detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hints = hints
        self.detail = detail
        for hint in hints:
            self.add_note(f"hint: {hint}")


class UnreachableError(DatabaseCaError):
    """There is no server, it does not answer, or it does not speak TLS: what a check calls critical."""


FULL, ROOM = "the disk is full", "make room, then run it again"


def reason(error: OSError) -> str:
    """What the system says, in the same words as everywhere else where the disk is full."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FULL
    return error.strerror or str(error)


def of_system(doing: str, error: OSError, *hints: str) -> DatabaseCaError:
    """The error for what the operating system refused: `doing` and its reason; `hints` where it has none."""
    fix = _FIXES.get(error.errno or 0)
    return DatabaseCaError(f"{doing}: {reason(error)}", *((fix,) if fix else hints))


_OWNER = "look at owner and mode of the files, or do it as their owner"
_FIXES = {
    errno.EACCES: _OWNER,
    errno.EPERM: _OWNER,
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EROFS: "remount it for writing: mount -o remount,rw ...",
}
