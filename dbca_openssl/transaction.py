"""A directory changed all at once or not at all, by one process at a time, whenever it is killed.

Work is done in a staging directory. One rename, of `.stage.XXXX` to `.commit`, decides: before it the change never
happened, after it the next process finishes what is missing, by renames alone. On FAT, where a rename between two
directories can lose the file in a power cut, it is copied instead; links are not used, since FAT has none.
A plain openssl takes no lock: what it changed meanwhile is seen by comparing the files before the commit and again
before each rename. What it read before and writes after our commit no lock of ours can prevent.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from dbca_openssl.errors import DatabaseCaError, of_system, reason
from dbca_openssl.files import (
    ABSENT,
    PUBLIC_FILE,
    beside,
    fsync,
    fsync_all,
    mode_of,
    move_by_copy,
    read_file,
    set_mode,
    state,
)
from dbca_openssl.lock import Lock, Tell
from dbca_openssl.ownership import believed, is_fat

STAGE, COMMIT, MANIFEST = ".stage.", ".commit", "manifest"

NEW, DECIDING, BACKUP, FOLLOWING = "new", "deciding", "backup", "following"
"""The kinds of files in a commit: the change has happened when those that are new or deciding are in their places."""

_LINE = rf"({NEW}|{DECIDING}|{BACKUP}|{FOLLOWING}) ([0-9a-f]{{64}}|[-?]) ([0-9a-f]{{64}}) ([^\0]+)"
_NAME = (
    r"database-ca\.(hosts|backup|rollover|index|index\.attr|serial|crlnum|cert\.pem|req\.pem)(\.old)?|crl/database-ca\.crl"
    r"|(certs|newcerts|certreqs)/[^/]+\.pem(\.old)?|private/[^/]+\.(key\.pem|bundle\.pem|p12)|[^/]+\.req\.pem|([^/]+\.)?openssl\.cnf"
)
"""What a commit may put into a CA directory, or into the ssl directory of a host."""


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
        """Stage a public file; the commit has it on the disk."""
        path = f"{self.directory}/{self.stage}/{name}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, PUBLIC_FILE)
        except FileNotFoundError:
            os.makedirs(os.path.dirname(path))
            descriptor = os.open(path, flags, PUBLIC_FILE)
        with open(descriptor, "wb", buffering=0) as file:
            file.write(data)

    def commit(self, deciding: Iterable[str], following: Iterable[str] = (), backups: Iterable[str] = ()) -> None:
        """Make staged files count: first those that decide, such as the index, then what follows from them.

        The last of `deciding` is the one that makes the others known: the index. `backups` overwrite what was there.
        Every other name must be declared as replaced, or be new or of the same content. What was staged besides is
        dropped. A public file keeps the mode of the one that it replaces, or that it is the `.old` copy of.
        Raises DatabaseCaError where another program changed the directory meanwhile, and then nothing is changed; or
        where a file could not be moved to its place after all, and then it says that the change is made. Raises
        ValueError for a name that recovery does not know.
        """
        names = [
            *((DECIDING if name in self.base else NEW, name) for name in deciding),
            *((BACKUP, name) for name in backups if self.staged(name).exists()),
            *((FOLLOWING, name) for name in following),
        ]
        before, after = f"{self.directory}/", f"{self.directory}/{self.stage}/"
        for _, name in names:
            if not name.startswith("private/"):
                set_mode(after + name, mode_of(before + name.removesuffix(".old")))
        fsync_all([after + name for _, name in names])
        entries = [_Entry(kind, state(before + name), state(after + name), name) for kind, name in names]
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
                finished = _finish(self.directory, entries)
            except OSError as error:
                raise DatabaseCaError(
                    f"the change is made, but not all of its files are in place yet: {reason(error)}",
                    f"the next command in {self.directory} goes on with it",
                ) from None
        if not finished:
            raise _changed_meanwhile(self.directory)

    def _require_installable(self, entries: Sequence[_Entry]) -> None:
        """Refuse before the commit what would stop the renames after it, or their recovery."""
        for entry in entries:
            if not re.fullmatch(_NAME, entry.name):
                raise ValueError(f"a commit of {entry.name} would not be recovered: it is not among _NAME")
        device = self.directory.stat().st_dev
        for folder in map(Path, {os.path.dirname(f"{self.directory}/{entry.name}") for entry in entries}):
            if not folder.is_dir():
                raise DatabaseCaError(f"there is no directory {folder}", f"mkdir {folder}")
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
    """A line of the manifest: what a file was before and will be after, as `files.state` tells it."""

    kind: str
    before: str
    after: str
    name: str

    def fits(self, directory: Path) -> bool:
        """Whether the file in `directory` is still what it was, or already what it will be."""
        return state(f"{directory}/{self.name}") in (self.before, self.after)


def is_interrupted(directory: Path) -> bool:
    """Whether a change has been decided there that is not finished yet."""
    try:
        os.lstat(directory / COMMIT / MANIFEST)
    except PermissionError:  # another user's
        return True
    except OSError:
        return False
    return True


def recover(directory: Path, tell: Tell) -> None:
    """Finish the commit that a killed process left, or roll it back where a plain openssl went on without it.

    Only for the holder of the lock. Stages that were never committed are removed.
    Raises DatabaseCaError, with nothing changed, where another user may have made the commit; and where it can't be
    finished yet.
    """
    try:
        entries = _entries(directory)
        for name in os.listdir(directory):
            if name.startswith(STAGE):
                shutil.rmtree(directory / name, ignore_errors=True)
        if entries is None:
            return
        fsync(directory)  # a power cut must not take the decision back once anything follows from it
        finished = _finish(directory, entries)
    except OSError as error:
        raise DatabaseCaError(
            f"an interrupted change cannot be finished: {reason(error)}", f"{directory / COMMIT} has the rest of it"
        ) from None
    if not finished:
        tell("an interrupted change is rolled back: a plain openssl changed the directory after it")


def _entries(directory: Path) -> list[_Entry] | None:
    """What the manifest of a `.commit` says, or None where there is no commit.

    Raises DatabaseCaError where it is not certain that we, or root, made it: it says what is moved and removed.
    """
    commit = directory / COMMIT
    if not os.path.lexists(commit):
        return None
    on_fat = is_fat(directory)  # where all files belong to whoever mounted it

    private = not os.lstat(commit).st_mode & 0o077

    def require(fact: bool, why: str) -> None:
        if not fact:
            raise DatabaseCaError(
                f"{commit} may not be ours: {why}",
                f"if it is, give it the owner and mode that it had: chmod 700 {commit}",
                f"if none of your changes was interrupted, remove it: rm -r {commit}",
            )

    def require_ours(path: str | Path) -> None:
        status = os.lstat(path)
        require(stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode), f"{path} is neither file nor directory")
        require(on_fat or status.st_uid in believed(), f"{path} belongs to another user")
        require(on_fat or private or not status.st_mode & 0o022, f"other users may change {path}")

    require_ours(commit)
    require(commit.is_dir(), "it is not a directory")
    for folder, folders, files in os.walk(commit):
        for name in (*folders, *files):
            require_ours(f"{folder}/{name}")
    if not os.path.lexists(commit / MANIFEST):  # all was installed, and its removal was interrupted
        return []
    text = read_file(commit / MANIFEST).decode("utf-8", "surrogateescape")
    lines = [re.fullmatch(_LINE, line) for line in text.split("\n")[:-1]]
    entries = [_Entry(*line.groups()) for line in lines if line]
    require(len(entries) == len(lines), f"{MANIFEST} is damaged")
    for entry in entries:
        require(bool(re.fullmatch(_NAME, entry.name)), f"no change has a file called {entry.name!r}")
        folder = os.path.dirname(f"{directory}/{entry.name}")
        followed = not os.path.islink(folder) or os.lstat(folder).st_uid in believed()
        require(followed, f"{folder} is a symbolic link of another user")
    return entries


def _finish(directory: Path, entries: Sequence[_Entry]) -> bool:
    """Install what is in `.commit` and remove it. False where it was rolled back instead."""
    commit = directory / COMMIT
    finished = _install(directory, entries)
    if not finished:
        for entry in entries:
            installed = not (commit / entry.name).exists() and state(f"{directory}/{entry.name}") == entry.after
            if entry.kind == NEW and entry.before == ABSENT and installed:
                (directory / entry.name).unlink()
            beside(directory / entry.name).unlink(missing_ok=True)
    for folder in {os.path.dirname(f"{directory}/{entry.name}") for entry in entries}:
        fsync(folder)
    (commit / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(commit, ignore_errors=True)
    fsync(directory)
    return finished


def _install(directory: Path, entries: Sequence[_Entry]) -> bool:
    """Move the files to their places. False as soon as one that decides does not find there what it is to replace."""
    deciding = [entry for entry in entries if entry.kind in (NEW, DECIDING)]
    others = [entry for entry in entries if entry.kind not in (NEW, DECIDING)]
    commit = f"{directory}/{COMMIT}"
    move = move_by_copy if is_fat(directory) else os.rename
    left = [entry for entry in deciding if os.path.exists(f"{commit}/{entry.name}")]
    if left and not all(entry.fits(directory) for entry in deciding):
        return False
    for entry in left:
        # all of them once more before the last: an openssl beside us may have written over a certificate of ours
        if not all(other.fits(directory) for other in (deciding if entry is left[-1] else (entry,))):
            return False
        move(f"{commit}/{entry.name}", f"{directory}/{entry.name}")
    for entry in others:
        if os.path.exists(f"{commit}/{entry.name}") and entry.fits(directory):
            move(f"{commit}/{entry.name}", f"{directory}/{entry.name}")
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
        return read_file(path)
    except FileNotFoundError:
        return None
