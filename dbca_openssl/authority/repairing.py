"""Mending what can be mended without the key and without a guess; everything else is left to people, with `check`.

Each repair is found again under the lock before it is done, and a data file is kept as it was, as `NAME.damaged`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from dbca_openssl import validity
from dbca_openssl.authority import checking, index, revocation
from dbca_openssl.authority.certificates import own_certificate, read_certificate
from dbca_openssl.authority.change import heal
from dbca_openssl.authority.paths import (
    ATTRIBUTES,
    CERTIFICATE,
    CRL_NUMBER,
    DIRECTORIES,
    INDEX,
    KEY,
    SERIAL,
    Authority,
    issued,
)
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.steps import PRIVATE_DIRECTORY, PRIVATE_FILE, set_mode, write_new
from dbca_openssl.transaction import COMMIT, STAGE, Lock, fsync, recover


@dataclass(frozen=True)
class Repair:
    """One thing that can be mended, and how it is done."""

    text: str
    do: Callable[[], object]


def repair(authority: Authority, agreed: Callable[[list[str]], None]) -> list[str]:
    """Mend round by round what can be mended; returns what was done.

    Before each round `agreed` gets the list of what would be done, and raises where it shall not be. Later rounds
    are for what only shows once the earlier things are mended.
    """
    done: list[str] = []
    seen: set[str] = set()
    lock = Lock(authority.directory, authority.tell, authority.lock_timeout)
    try:
        while True:
            repairs = [one for one in find(authority) if one.text not in seen]
            if not repairs:
                return done
            agreed([one.text for one in repairs])
            for one in repairs:
                one.do()
                seen.add(one.text)
                done.append(one.text)
            fsync(authority.directory)
    finally:
        lock.release()


def find(authority: Authority) -> list[Repair]:
    """What can be mended now: the first group that has anything, since the later ones build on it."""
    for group in (_names, _leftovers, _index, _attributes, _unindexed, _numbers, _modes):
        if repairs := list(group(authority)):
            return repairs
    return []


def _names(authority: Authority) -> Iterator[Repair]:
    for wrong, right in checking.MISNAMED.items():
        source, target = authority.path(wrong), authority.path(right)
        if source.is_file() and not os.path.lexists(target):
            yield Repair(f"rename {wrong} to {right}", partial(source.rename, target))
    for name in DIRECTORIES:
        path = authority.path(name)
        if not os.path.lexists(path):
            yield Repair(f"make the directory {name}", partial(path.mkdir, PRIVATE_DIRECTORY))


def _leftovers(authority: Authority) -> Iterator[Repair]:
    directory = authority.directory
    if (directory / COMMIT).exists() or any(directory.glob(f"{STAGE}*")):
        yield Repair("finish, or take back, the change that was cut short", partial(recover, directory, authority.tell))
        return
    for name in (SERIAL, INDEX, ATTRIBUTES, CRL_NUMBER):
        new, old = directory / f"{name}.new", directory / f"{name}.old"
        if (directory / name).exists():
            if new.is_file():
                yield Repair(f"remove {new.name}, which never came into force", new.unlink)
        elif new.is_file() or old.is_file():
            source = new if new.is_file() else old
            yield Repair(f"put {source.name} back in the place of {name}", partial(heal, directory, authority.tell))
    empty, before = directory / INDEX, directory / f"{INDEX}.old"
    if empty.is_file() and empty.stat().st_size == 0 and before.is_file() and before.stat().st_size:
        yield Repair(
            f"{INDEX} is empty: put the state before the last change in its place; look for a lost revocation",
            partial(_replace, authority, INDEX, before.read_bytes()),
        )


def _index(authority: Authority) -> Iterator[Repair]:
    data = _data(authority, INDEX)
    if data is None:
        return
    lines = [line for line in data.split(b"\n") if line.strip()]
    mended = b"".join(line + b"\n" for line in lines)
    if mended == data:
        return
    try:
        index.rows(mended)
    except DatabaseCaError:
        return  # a line is damaged beyond that, and nobody can know what it said
    what = "without its blank lines" if mended.count(b"\n") < data.count(b"\n") else "with the final line end"
    yield Repair(f"write {INDEX} again {what}", partial(_replace, authority, INDEX, mended))


def _attributes(authority: Authority) -> Iterator[Repair]:
    if not authority.path(ATTRIBUTES).exists():
        text = b"unique_subject = yes\n"
        yield Repair(f"write {ATTRIBUTES} as openssl does", partial(_replace, authority, ATTRIBUTES, text))


def _unindexed(authority: Authority) -> Iterator[Repair]:
    """Certificates in `newcerts/` that an openssl had signed and was killed before it wrote the index."""
    try:
        rows = index.rows(authority.read(INDEX))
        own = own_certificate(authority)
    except DatabaseCaError:
        return
    known = {row.serial for row in rows}
    valid = {row.name for row in rows if row.state == index.VALID}
    for number in sorted(checking.issued_serials(authority)):
        serial = index.serial_text(number)
        if serial in known:
            continue
        try:
            certificate = read_certificate(authority, issued(serial))
        except DatabaseCaError:
            continue
        name = certificate.common_name
        ours = certificate.issuer == own.subject and certificate.serial == number and _is_signed(authority, serial)
        if not ours or len(certificate.subject_parts) != 1 or not name.isascii() or name in valid:
            continue
        valid.add(name)
        state = index.VALID if certificate.end > validity.now() else index.EXPIRED
        line = f"{state}\t{validity.index_time(certificate.end)}\t\t{serial}\tunknown\t/CN={name}\n"
        yield Repair(
            f"enter {issued(serial)} ({name}) into the index",
            partial(_append, authority, line),
        )


def _numbers(authority: Authority) -> Iterator[Repair]:
    try:
        rows = index.rows(authority.read(INDEX))
    except DatabaseCaError:
        return
    highest = max([int(row.serial, 16) for row in rows] + checking.issued_serials(authority), default=-1)
    if highest >= 0:
        yield from _number(authority, SERIAL, highest + 1)
    try:
        yield from _number(authority, CRL_NUMBER, revocation.current_list(authority).number + 1)
    except DatabaseCaError:
        return


def _number(authority: Authority, name: str, least: int) -> Iterator[Repair]:
    data = _data(authority, name) or b""
    try:
        number = max(index.next_serial(data, name), least)
    except DatabaseCaError:
        number = least
    text = f"{index.serial_text(number)}\n".encode()
    if data.strip().upper() != text.strip() or not data.endswith(b"\n"):
        yield Repair(f"write {index.serial_text(number)} into {name}", partial(_replace, authority, name, text))


def _modes(authority: Authority) -> Iterator[Repair]:
    for name, mode in (("private", PRIVATE_DIRECTORY), (KEY, PRIVATE_FILE)):
        path = authority.path(name)
        if path.exists() and path.stat().st_mode & 0o077:
            yield Repair(f"chmod {mode:o} {name}", partial(set_mode, path, mode))


def _is_signed(authority: Authority, serial: str) -> bool:
    command = ("verify", "-no_check_time", "-CAfile", CERTIFICATE, issued(serial))
    return authority.openssl.run(command, directory=authority.directory).code == 0


def _data(authority: Authority, name: str) -> bytes | None:
    path = authority.path(name)
    return path.read_bytes() if path.is_file() else None


def _replace(authority: Authority, name: str, data: bytes) -> None:
    """Put new content in the place of a data file by a rename, and keep the old one under a name of its own."""
    if old := _data(authority, name):
        write_new(next(path for path in _kept(authority, name) if not os.path.lexists(path)), old)
    _put(authority, name, data)


def _put(authority: Authority, name: str, data: bytes) -> None:
    staged = authority.path(f".{name}.{os.urandom(4).hex()}")
    write_new(staged, data)
    staged.rename(authority.path(name))


def _append(authority: Authority, line: str) -> None:
    _put(authority, INDEX, authority.read(INDEX) + line.encode())


def _kept(authority: Authority, name: str) -> Iterator[Path]:
    return (authority.path(f"{name}.damaged{number or ''}") for number in count())
