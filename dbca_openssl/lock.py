"""One process at a time in a directory, by a lock that the kernel gives back however a process ends."""

from __future__ import annotations

import fcntl
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from dbca_openssl.errors import DatabaseCaError, of_system

LOCK = ".lock"

Tell = Callable[[str], None]
"""Says a line to the user at once, such as that a lock is waited for."""


class Lock:
    """An flock(2) on `DIRECTORY/.lock`: gone when the last process that holds it ends, however that ends."""

    def __init__(self, directory: Path, tell: Tell, timeout: float | None = None, *, itself: bool = False) -> None:
        """Wait for the lock, `timeout` seconds at the most (None: as long as it takes).

        `itself` locks the directory instead of a file in it, for a directory that is not ours to write into.
        Raises DatabaseCaError where it isn't had in time or the directory can't be written.
        """
        self._path = directory if itself else directory / LOCK
        how = os.O_RDONLY | os.O_DIRECTORY if itself else os.O_RDWR | os.O_CREAT
        while True:
            try:
                self.descriptor = _open(self._path, how, 0o600)
            except OSError as error:
                raise of_system(f"cannot write in {directory}", error) from None
            try:
                if not itself and not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
                    raise DatabaseCaError(f"{self._path} is not a regular file", f"rm {self._path}")
                self._wait(directory, tell, timeout)
                if self._is_there():
                    return
            except BaseException:
                os.close(self.descriptor)
                raise
            os.close(self.descriptor)

    def _wait(self, directory: Path, tell: Tell, timeout: float | None) -> None:
        if self._taken(fcntl.LOCK_EX | fcntl.LOCK_NB):
            return
        if timeout is None or timeout > 0:
            tell(f"waiting for another process that is changing {directory}")
        if timeout is None:
            self._taken(fcntl.LOCK_EX)
            return
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            time.sleep(0.05)
            if self._taken(fcntl.LOCK_EX | fcntl.LOCK_NB):
                return
        raise DatabaseCaError(
            f"another process is changing {directory}" + (f", for {timeout:g} seconds by now" if timeout else ""),
            f"fuser {self._path} tells which; a longer --lock-timeout waits for it",
        )

    def _taken(self, how: int) -> bool:
        try:
            fcntl.flock(self.descriptor, how)
        except BlockingIOError:
            return False
        return True

    def _is_there(self) -> bool:
        """Whether what was locked still has its name: who waited may have got a file that was removed meanwhile."""
        try:
            return os.path.samestat(os.fstat(self.descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give it up; a child that inherited the descriptor still holds it."""
        os.close(self.descriptor)


def _open(path: Path, flags: int, mode: int = 0) -> int:
    """Open what another user may have put there instead, such as a FIFO, which must not block us or lead elsewhere."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)


def is_locked(directory: Path) -> bool:
    """Whether another process is changing the directory at the moment; for those who only read."""
    try:
        descriptor = _open(directory / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
