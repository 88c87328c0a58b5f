"""A directory changed all at once or not at all, by one process at a time, whenever it is killed.

Work is done in a staging directory. One rename, of `.stage.XXXX` to `.commit`, decides: before it the change never
happened, after it the next process finishes what is missing, by renames alone. No links are used, so that a FAT stick
will do. A plain openssl takes no lock: what it changed meanwhile is seen by comparing the files before the commit and
again before each rename. What it read before and writes after our commit no lock of ours can prevent.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

try:  # as the standard library's own `random` does, for the same reason: hashlib is slow to load
    from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 and newer
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256

from dbca_openssl.errors import DatabaseCaError, of_system, reason
from dbca_openssl.lock import Lock, Tell

STAGE, COMMIT, MANIFEST = ".stage.", ".commit", "manifest"

NEW, DECIDING, BACKUP, FOLLOWING = "new", "deciding", "backup", "following"
"""The kinds of files in a commit: the change has happened when those that are new or deciding are in their places."""


class Transaction:
    """One change to `directory`: `with Transaction(...) as change:`, work in `change.stage`, then `change.commit(...)`.

    `replaced` are the files, relative to the directory, that the work reads and replaces; they are copied into the
    stage. `compared` are files that it may replace without a copy. Leaving the block without a commit, by an exception
    or not, leaves everything as it was.
    Entering it raises DatabaseCaError where the lock is not had or the directory cannot be written.
    """

    def __init__(
        self,
        directory: Path,
        replaced: Iterable[str] = (),
        compared: Iterable[str] = (),
        *,
        tell: Tell,
        timeout: float | None = None,
    ) -> None:
        self.directory = directory
        self._replaced = tuple(replaced)
        self._compared = tuple(compared)
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
            try:
                self.staged("").mkdir(mode=0o700)
            except OSError as error:
                raise of_system(f"cannot write in {self.directory}", error) from None
            self.base = {name: _bytes(f"{self.directory}/{name}") for name in (*self._replaced, *self._compared)}
            for name in self._replaced:
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
        path = f"{self.directory}/{self.stage}/{name}"
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)

    def commit(self, deciding: Iterable[str], following: Iterable[str] = (), backups: Iterable[str] = ()) -> None:
        """Make staged files count: first those that decide, such as the index, then what follows from them.

        The last of `deciding` is the one that makes the others known: the index. `backups` overwrite what was there.
        Every other name must be declared as replaced, or be new or of the same content. What was staged besides is
        dropped.
        Raises DatabaseCaError where another program changed the directory meanwhile, and then nothing is changed; or
        where a file could not be moved to its place after all, and then it says that the change is made.
        """
        names = [
            *((DECIDING if name in self.base else NEW, name) for name in deciding),
            *((BACKUP, name) for name in backups if self.staged(name).exists()),
            *((FOLLOWING, name) for name in following),
        ]
        before, after = f"{self.directory}/", f"{self.directory}/{self.stage}/"
        _fsync_all([after + name for _, name in names])
        entries = [_Entry(kind, _state(before + name), _state(after + name), name) for kind, name in names]
        self._require_installable(entries)
        manifest = self.staged(MANIFEST)
        with manifest.open("w", encoding="utf-8") as file:
            file.writelines(f"{' '.join(entry)}\n" for entry in entries)
            file.flush()
            os.fsync(file.fileno())
        for folder in {os.path.dirname(after + name) for name in (MANIFEST, *(entry.name for entry in entries))}:
            fsync(folder)
        self._require_unchanged(entries)
        with _uninterrupted():
            self.staged("").rename(self.directory / COMMIT)
            self.stage = ""
            try:
                fsync(self.directory)
                finished = _finish(self.directory)
            except OSError as error:
                raise DatabaseCaError(
                    f"the change is made, but could not be brought to its end: {reason(error)}",
                    f"the next command that changes {self.directory} goes on with it",
                ) from None
        if not finished:
            raise _changed_meanwhile(self.directory)

    def _require_installable(self, entries: Iterable[_Entry]) -> None:
        """Refuse before the commit what would stop the renames after it."""
        device = self.directory.stat().st_dev
        for folder in map(Path, {os.path.dirname(f"{self.directory}/{entry.name}") for entry in entries}):
            if not folder.is_dir():
                raise DatabaseCaError(f"there is no directory {folder}", f"mkdir -m 700 {folder}")
            if folder.stat().st_dev != device:
                raise DatabaseCaError(f"{folder} is on another file system", f"it must be on that of {self.directory}")
            if not os.access(folder, os.W_OK | os.X_OK):
                raise DatabaseCaError(f"cannot write in {folder}: {os.strerror(errno.EACCES)}")

    def _require_unchanged(self, entries: Iterable[_Entry]) -> None:
        for name, data in self.base.items():
            if _bytes(f"{self.directory}/{name}") != data:
                raise _changed_meanwhile(self.directory / name)
        for entry in entries:
            if entry.kind != BACKUP and entry.name not in self.base and entry.before not in (ABSENT, entry.after):
                raise DatabaseCaError(f"{self.directory / entry.name} exists already, and nothing is overwritten")
            if not entry.fits(self.directory):
                raise _changed_meanwhile(self.directory / entry.name)


class _Entry(NamedTuple):
    """A line of the manifest: what a file was before and will be after, as `_state` tells it."""

    kind: str
    before: str
    after: str
    name: str

    def fits(self, directory: Path) -> bool:
        """Whether the file in `directory` is still what it was, or already what it will be."""
        return _state(f"{directory}/{self.name}") in (self.before, self.after)


def recover(directory: Path, tell: Tell) -> None:
    """Finish the commit that a killed process left, or take it back where a plain openssl went on without it.

    Only for the holder of the lock. Stages that were never committed are removed.
    Raises DatabaseCaError where the commit can't be finished yet.
    """
    for name in os.listdir(directory):
        if name.startswith(STAGE):
            shutil.rmtree(directory / name, ignore_errors=True)
    try:
        finished = _finish(directory)
    except OSError as error:
        raise DatabaseCaError(
            f"an earlier change is made, but cannot be brought to its end: {reason(error)}",
            f"{directory / COMMIT} has the rest",
        ) from None
    if not finished:
        tell("a change that was cut short is taken back: a plain openssl changed the directory after it")


def _finish(directory: Path) -> bool:
    """Install what is in `.commit` and remove it. False where it was taken back instead."""
    commit = directory / COMMIT
    if not (commit / MANIFEST).is_file():
        shutil.rmtree(commit, ignore_errors=True)  # all was installed, and its removal was cut short
        return True
    lines = (commit / MANIFEST).read_text(encoding="utf-8").split("\n")[:-1]
    entries = [_Entry(*line.split(" ", 3)) for line in lines]
    finished = _install(directory, entries)
    if not finished:
        for entry in entries:
            installed = not (commit / entry.name).exists() and _state(f"{directory}/{entry.name}") == entry.after
            if entry.kind == NEW and entry.before == ABSENT and installed:
                (directory / entry.name).unlink()
    for folder in {os.path.dirname(f"{directory}/{entry.name}") for entry in entries}:
        fsync(folder)
    (commit / MANIFEST).unlink()
    shutil.rmtree(commit, ignore_errors=True)
    fsync(directory)
    return finished


def _install(directory: Path, entries: Sequence[_Entry]) -> bool:
    """Move the files to their places. False as soon as one that decides does not find there what it is to replace."""
    deciding = [entry for entry in entries if entry.kind in (NEW, DECIDING)]
    others = [entry for entry in entries if entry.kind not in (NEW, DECIDING)]
    commit = f"{directory}/{COMMIT}"
    left = [entry for entry in deciding if os.path.exists(f"{commit}/{entry.name}")]
    if left and not all(entry.fits(directory) for entry in deciding):
        return False
    for entry in left:
        # all of them once more before the last: an openssl beside us may have written over a certificate of ours
        if not all(other.fits(directory) for other in (deciding if entry is left[-1] else (entry,))):
            return False
        os.rename(f"{commit}/{entry.name}", f"{directory}/{entry.name}")
    for entry in others:
        if os.path.exists(f"{commit}/{entry.name}") and entry.fits(directory):
            os.rename(f"{commit}/{entry.name}", f"{directory}/{entry.name}")
    return True


def _changed_meanwhile(path: Path) -> DatabaseCaError:
    return DatabaseCaError(
        f"another program changed {path} meanwhile", "a plain openssl takes no lock; run the command again"
    )


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A Ctrl-C comes too late once a change counts: it is dropped, so that the result is told after all."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if signal.SIGINT in signal.sigpending() and signal.SIGINT not in blocked:
            signal.sigwait({signal.SIGINT})
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _bytes(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None


ABSENT, DANGLING = "-", "?"


def _state(path: str) -> str:
    """What is there: the SHA-256 of a file, `-` for nothing, `?` for a link that leads nowhere."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            if identity not in _digests:
                digest = _sha256(file.read())
                # times in whole seconds may be those of a file system that has no finer ones, such as FAT
                patience = SETTLED if status.st_ctime_ns % SECOND else COARSELY_SETTLED
                if time.time_ns() - status.st_ctime_ns < patience:
                    return digest
                _digests[identity] = digest
            return _digests[identity]
    except FileNotFoundError:
        return DANGLING if os.path.islink(path) else ABSENT


def _sha256(data: bytes) -> str:
    if len(data) > 1024 * 1024:
        import hashlib  # loads OpenSSL's library, which is slow to load and fast at work

        return hashlib.sha256(data).hexdigest()
    return str(sha256(data).hexdigest())


SECOND = 1_000_000_000

SETTLED, COARSELY_SETTLED = SECOND // 10, 3 * SECOND
"""Nanoseconds: a file left alone so long shows every later change. Ten times the coarsest clock of a kernel; and more
than the two seconds of FAT."""

_digests: dict[tuple[int, ...], str] = {}
"""Of files that have settled, by what changes with them: an index of megabytes is looked at several times."""


def _fsync_all(paths: Sequence[str]) -> None:
    """Have many files on the disk: side by side, since a file system brings those that wait there at once."""
    if len(paths) < MANY:
        for path in paths:
            fsync(path)
    else:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(MANY) as pool:
            list(pool.map(fsync, paths))


MANY = 16


def fsync(path: str | Path) -> None:
    """Have a file's content, or a directory's entries, on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some network file systems can't do it for directories
        if error.errno != errno.EINVAL or not os.path.isdir(path):
            raise
    finally:
        os.close(descriptor)
