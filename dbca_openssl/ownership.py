"""Whether somebody else decides what is in a CA's directory: by owners and modes, as git's `safe.directory` does.

A configuration can have openssl load code (config(5), "Engine Configuration"), so it is judged before anything is read.
Completion uses this too, so nothing slow is imported.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping

FAT = frozenset({"vfat", "msdos", "exfat", "fuseblk"})
"""File systems without a journal and with one owner for everything; fuseblk may be one of them."""

_MOUNTS = "/proc/self/mountinfo"

FOREIGN, OPEN = "belongs to another user", "may be written by everyone"

JUDGED = (
    *("", "certreqs", "certs", "crl", "newcerts", "private"),
    *("database-ca.cnf", "database_ca.cnf", "private/database-ca.key.pem", "database-ca.cert.pem"),
    *("database-ca.index", "database-ca.index.attr", "database-ca.serial", "database-ca.crlnum"),
)
"""What decides in a CA's directory, relative to it. What else is in it can only be put there by whoever owns these."""


def sudo_user(environment: Mapping[str, str]) -> int | None:
    """The user who became root by sudo, by its variable; None where it was not so."""
    uid = environment.get("SUDO_UID", "")
    return int(uid) if os.geteuid() == 0 and uid.isascii() and uid.isdecimal() else None


def believed(*others: int | None) -> set[int | None]:
    """The users whose files decide: root, whoever runs us, and `others`, such as whoever became root by sudo."""
    return {0, os.geteuid(), *others} - {None}


def is_fat(directory: str | os.PathLike[str]) -> bool:
    """Whether a directory is on FAT or exFAT, by the table of mounts (proc_pid_mountinfo(5))."""
    device = os.stat(directory).st_dev  # noqa: PTH116  pathlib is slow to import
    try:
        with open(_MOUNTS, encoding="utf-8", errors="replace") as lines:
            for fields, _, kind in (line.partition(" - ") for line in lines):
                if fields.split()[2:3] == [f"{os.major(device)}:{os.minor(device)}"]:
                    return kind.split()[0] in FAT
    except OSError:
        pass
    return False


def is_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to the same directory."""
    return os.path.realpath(one) == os.path.realpath(other)


def distrust(directory: str, sudo: int | None, *, by_mode: bool = True) -> tuple[str, str] | None:
    """The first path by which somebody else decides, with FOREIGN or OPEN; None where there is none.

    What is judged is the directory, all that is above it, and JUDGED in it. A group may write: it is one of
    administrators. In a directory with the setgid bit that it may write, its members' files are as good as ours.
    On FAT modes mean nothing. `by_mode` False: only owners are judged.
    """
    users = believed(sudo)
    try:
        top = os.stat(directory)  # noqa: PTH116
    except OSError:
        top = None
    is_shared = top is not None and top.st_mode & (stat.S_ISGID | stat.S_IWGRP) == stat.S_ISGID | stat.S_IWGRP

    def is_open(path: str, mode: int) -> bool:
        return bool(mode & stat.S_IWOTH) and by_mode and not is_fat(path)

    root = os.stat("/").st_uid  # noqa: PTH116  in a user namespace it is nobody's
    for path in _above(directory):
        for status in _statuses(path):
            sticky = status.st_mode & stat.S_ISVTX
            if status.st_uid not in (*users, root):
                return path, FOREIGN
            if stat.S_ISDIR(status.st_mode) and not sticky and is_open(path, status.st_mode):
                return path, OPEN
    for name in JUDGED:
        path = os.path.join(directory, name) if name else directory  # noqa: PTH118
        for status in _statuses(path):
            is_members = name and is_shared and top is not None and status.st_gid == top.st_gid
            if status.st_uid not in users and not is_members:
                return path, FOREIGN
            is_read = stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)  # nothing else is, later
            if is_read and is_open(path, status.st_mode):
                return path, OPEN
    return None


def _above(directory: str) -> Iterator[str]:
    """All that is above a directory, on the way that its path names and on the one that links lead to."""
    for path in dict.fromkeys((os.path.abspath(directory), os.path.realpath(directory))):  # noqa: PTH100
        while path != (above := os.path.dirname(path)):  # noqa: PTH120
            yield above
            path = above


def _statuses(path: str) -> Iterator[os.stat_result]:
    """The status of what is there, and where that is a link also of what it leads to."""
    try:
        status = os.lstat(path)
        yield status
        if stat.S_ISLNK(status.st_mode):
            yield os.stat(path)  # noqa: PTH116
    except OSError:
        return
