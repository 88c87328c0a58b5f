"""Files on the disk: read without trusting whoever put them there, compared, and made durable (open(2), fsync(2))."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path

from dbca_openssl.errors import DatabaseCaError

try:  # as the standard library's own `random` does, for the same reason: hashlib is slow to load
    from _sha2 import sha256  # type: ignore[import-not-found]  # Python 3.12 and newer
except ImportError:
    try:
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256
from dbca_openssl.ownership import believed

LARGEST = 1 << 30
"""Bytes: an index with millions of rows is smaller, and all of it is held in memory."""

PRIVATE_FILE, PRIVATE_DIRECTORY = 0o600, 0o700
PUBLIC_FILE, PUBLIC_DIRECTORY = 0o644, 0o755


def open_file(path: str | Path) -> int:
    """A descriptor to read a regular file: no FIFO blocks us, no device is touched, no foreign link is followed.

    Raises OSError (IsADirectoryError for a directory), with a reason that can be shown, for anything else.
    """
    status = os.lstat(path)
    no_follow = os.O_NOFOLLOW
    if stat.S_ISLNK(status.st_mode):
        if status.st_uid not in believed():
            raise OSError(errno.ELOOP, "it is a symbolic link of another user", str(path))
        no_follow, status = 0, os.stat(path)
    _require_regular(path, status)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | no_follow)
    try:
        _require_regular(path, os.fstat(descriptor))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def read_file(path: str | Path, limit: int = LARGEST) -> bytes:
    """The bytes of a regular file of at most `limit` bytes, opened as by `open_file`. Raises OSError as it does."""
    with open(open_file(path), "rb") as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit // 1024} KiB", str(path))
        return file.read()


def _require_regular(path: str | Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def require_absent(path: Path) -> None:
    """Raise DatabaseCaError where there is a file, a directory or a link of that name, also a dangling one."""
    if os.path.lexists(path):
        raise DatabaseCaError(f"{path} exists already, and nothing is overwritten", "move it away first")


def write_new(path: Path, data: bytes, mode: int = PUBLIC_FILE) -> None:
    """Write and fsync a new file. Raises DatabaseCaError as `require_absent`, and OSError."""
    require_absent(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            set_mode(path, mode)
            os.fsync(descriptor)
    except BaseException:
        path.unlink()  # a part of a file would be in the way of the next attempt
        raise


def replace(path: Path, data: bytes, mode: int | None = None) -> None:
    """Replace a file by a rename, or make it; it keeps its mode. Raises OSError."""
    new = beside(path)
    new.unlink(missing_ok=True)
    write_new(new, data, mode_of(path) if mode is None else mode)
    new.rename(path)


def beside(path: Path) -> Path:
    """Where `replace` keeps the new file until it is whole."""
    return path.with_name(f".commit.{path.name}")


def move_by_copy(source: str, target: str) -> None:
    """Move a file so that it is durable in its new place before it leaves the old one. Raises OSError.

    On FAT a rename between two directories is two changes, and a power cut may keep the removal alone.
    """
    replace(Path(target), read_file(source), mode_of(source))
    fsync(os.path.dirname(target))
    os.unlink(source)


def set_mode(path: str | Path, mode: int) -> None:
    """chmod a file, unless it has that mode. Raises OSError, but not where the file system has no modes, as FAT."""
    try:
        if os.stat(path).st_mode & 0o777 != mode:
            os.chmod(path, mode)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EOPNOTSUPP):
            raise


def mode_of(path: str | Path) -> int:
    """The mode of a file that is to be replaced, which the new one keeps; 644 where there is none yet."""
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        return PUBLIC_FILE


def fsync(path: str | Path) -> None:
    """Make a file's content, or a directory's entries, durable. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # some network file systems can't do it for directories
        if error.errno != errno.EINVAL or not os.path.isdir(path):
            raise
    finally:
        os.close(descriptor)


def fsync_all(paths: Sequence[str]) -> None:
    """Make many files durable, in parallel: a file system writes those that wait together at once. Raises OSError."""
    if len(paths) < MANY:
        for path in paths:
            fsync(path)
    else:
        from concurrent.futures import ThreadPoolExecutor

        def some(first: int) -> None:
            for path in paths[first::MANY]:
                fsync(path)

        with ThreadPoolExecutor(MANY) as pool:
            list(pool.map(some, range(MANY)))


MANY = 16
"""From so many files on, as many threads make them durable."""


ABSENT, DANGLING = "-", "?"


def state(path: str) -> str:
    """What is there: the SHA-256 of a file, `-` for nothing, `?` for a link that leads nowhere."""
    try:
        data = read_file(path)
    except FileNotFoundError:
        return DANGLING if os.path.islink(path) else ABSENT
    if len(data) > 1024 * 1024:
        import hashlib  # loads OpenSSL's library, which is slow to load and fast at work

        return hashlib.sha256(data).hexdigest()
    return str(sha256(data).hexdigest())
