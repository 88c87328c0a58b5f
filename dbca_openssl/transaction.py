"""A directory changed all at once or not at all, by one process at a time, whenever it is killed.

Work is done in a staging directory. One rename, of `.stage.XXXX` to `.commit`, decides: before it the change never
happened, after it the next process finishes what is missing, by renames alone. No links are used, so that a FAT stick
will do. A plain openssl takes no lock: what it changed meanwhile is seen by comparing the files before the commit.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from dbca_openssl.errors import DatabaseCaError

STAGE, COMMIT, MANIFEST, LOCK = ".stage.", ".commit", "manifest", ".lock"

Tell = Callable[[str], None]
"""Says a line to the user at once, such as that a lock is waited for."""


class Lock:
    """An flock(2) on `DIRECTORY/.lock`: gone when the last process that holds it ends, however that ends."""

    def __init__(self, directory: Path, tell: Tell, timeout: float | None = None) -> None:
        """Wait for the lock, `timeout` seconds at the most (None: as long as it takes).

        Raises DatabaseCaError where it isn't had in time or the directory can't be written.
        """
        path = directory / LOCK
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise DatabaseCaError(f"cannot write in {directory}: {error.strerror}") from None
        try:
            self._wait(directory, tell, timeout)
        except BaseException:
            os.close(self.descriptor)
            raise

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
            f"another process has been changing {directory} for {timeout:g} seconds",
            f"fuser {directory / LOCK} tells which; a longer --lock-timeout waits for it",
        )

    def _taken(self, how: int) -> bool:
        try:
            fcntl.flock(self.descriptor, how)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Give it up; a child that inherited the descriptor still holds it."""
        os.close(self.descriptor)


class Transaction:
    """One change to `directory`: `with Transaction(...) as change:`, work in `change.stage`, then `change.commit(...)`.

    `replaced` are the files, relative to the directory, that the work reads and replaces; they are copied into the
    stage. Leaving the block without a commit, by an exception or not, leaves everything as it was.
    """

    def __init__(
        self, directory: Path, replaced: Iterable[str] = (), *, tell: Tell, timeout: float | None = None
    ) -> None:
        self.directory = directory
        self._replaced = tuple(replaced)
        self._tell = tell
        self._timeout = timeout
        self.stage = ""
        self.base: dict[str, bytes | None] = {}

    def __enter__(self) -> Transaction:
        self._lock = Lock(self.directory, self._tell, self._timeout)
        try:
            recover(self.directory, self._tell)
            self.prepare()
            self.stage = f"{STAGE}{os.urandom(4).hex()}"
            self.staged("").mkdir(mode=0o700)
            for name in self._replaced:
                self.base[name] = _bytes(self.directory / name)
                if (data := self.base[name]) is not None:
                    self.write(name, data)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.stage:
            shutil.rmtree(self.staged(""), ignore_errors=True)
        self._lock.release()

    def prepare(self) -> None:
        """Put the directory in order, under the lock and before anything is staged; nothing to do in general."""

    @property
    def keep_open(self) -> tuple[int, ...]:
        """The lock's descriptor, for children: an orphaned openssl goes on holding it."""
        return (self._lock.descriptor,)

    def staged(self, name: str) -> Path:
        """Where the file called `name` in the directory lies while it is staged."""
        return self.directory / self.stage / name

    def write(self, name: str, data: bytes) -> None:
        """Stage a file, for the owner alone; the commit has it on the disk."""
        path = self.staged(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)

    def commit(self, deciding: Iterable[str], following: Iterable[str] = (), backups: Iterable[str] = ()) -> None:
        """Make staged files count: first those that decide, such as the index, then what follows from them.

        `backups` overwrite what was there. Every other name must be declared as replaced, or be new or of the same
        content. What was staged besides is dropped.
        Raises DatabaseCaError where another program changed the directory meanwhile, and then nothing is changed.
        """
        entries = [
            *(self._entry("deciding", name) for name in deciding),
            *(self._entry("backup", name) for name in backups if self.staged(name).exists()),
            *(self._entry("following", name) for name in following),
        ]
        manifest = self.staged(MANIFEST)
        with manifest.open("w") as file:
            file.writelines(f"{' '.join(entry)}\n" for entry in entries)
            file.flush()
            os.fsync(file.fileno())
        for folder in {self.staged(name).parent for name in (MANIFEST, *(entry.name for entry in entries))}:
            fsync(folder)
        self._require_unchanged(entries)
        self.staged("").rename(self.directory / COMMIT)
        self.stage = ""
        fsync(self.directory)
        try:
            recover(self.directory, self._tell)
        except OSError as error:
            raise DatabaseCaError(
                f"the change is made, but not all of it is in its place: {error.strerror}",
                "the next command that changes the authority goes on with it",
            ) from None

    def _entry(self, kind: str, name: str) -> _Entry:
        fsync(self.staged(name))
        return _Entry(kind, _digest(self.base.get(name)), _digest(_bytes(self.staged(name))), name)

    def _require_unchanged(self, entries: Iterable[_Entry]) -> None:
        for name, data in self.base.items():
            if _bytes(self.directory / name) != data:
                raise DatabaseCaError(
                    f"another program changed {self.directory / name} meanwhile",
                    "a plain openssl takes no lock; run the command again",
                )
        for entry in entries:
            if entry.kind != "backup" and entry.name not in self.base and not entry.fits(self.directory):
                raise DatabaseCaError(f"{self.directory / entry.name} exists already, and nothing is overwritten")


class _Entry(NamedTuple):
    """A line of the manifest: what a file was before and will be after (SHA-256, `-` where there is none)."""

    kind: str
    before: str
    after: str
    name: str

    def fits(self, directory: Path) -> bool:
        """Whether the file in `directory` is still what it was, or already what it will be."""
        return self.kind == "backup" or _digest(_bytes(directory / self.name)) in (self.before, self.after)


def recover(directory: Path, tell: Tell) -> None:
    """Finish the commit that a killed process left, or take it back where a plain openssl went on without it.

    Only for the holder of the lock. Stages that were never committed are removed.
    """
    for path in directory.glob(f"{STAGE}*"):
        shutil.rmtree(path, ignore_errors=True)
    commit = directory / COMMIT
    if not (commit / MANIFEST).is_file():
        shutil.rmtree(commit, ignore_errors=True)  # all was installed, and its removal was cut short
        return
    entries = [_Entry(*line.split(" ", 3)) for line in (commit / MANIFEST).read_text().splitlines()]
    pending = [entry for entry in entries if (commit / entry.name).exists()]
    if all(entry.fits(directory) for entry in pending if entry.kind == "deciding"):
        for entry in pending:
            if entry.fits(directory):
                (commit / entry.name).rename(directory / entry.name)
    else:
        for entry in entries:
            if entry not in pending and entry.before == "-" and entry.fits(directory):
                (directory / entry.name).unlink(missing_ok=True)
        tell("a change that was cut short is taken back: a plain openssl changed the directory after it")
    for folder in {(directory / entry.name).parent for entry in entries}:
        fsync(folder)
    (commit / MANIFEST).unlink()
    shutil.rmtree(commit)
    fsync(directory)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _digest(data: bytes | None) -> str:
    return "-" if data is None else hashlib.sha256(data).hexdigest()


def fsync(path: Path) -> None:
    """Have a file's content, or a directory's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_locked(directory: Path) -> bool:
    """Whether another process is changing the directory at the moment; for those who only look."""
    try:
        descriptor = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
