"""What can be repaired without the key and without a guess; the fix of everything else, `check` says, is for people.

Each repair is found again under the lock before it is done, and a data file is kept as it was, as `NAME.damaged`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import archive, index
from dbca_openssl.ca import check as checking
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.ca.certificates import own_certificate
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import (
    ATTRIBUTES,
    CRL_NUMBER,
    DATA_FILES,
    DIRECTORIES,
    INDEX,
    KEY,
    SERIAL,
    Authority,
    certificate_of,
    issued,
)
from dbca_openssl.ca.recovery import restore
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import PRIVATE_DIRECTORY, PRIVATE_FILE, fsync, mode_of, replace, set_mode, write_new
from dbca_openssl.lock import Lock
from dbca_openssl.names import is_entity_name
from dbca_openssl.plan import MakeDirectories
from dbca_openssl.transaction import COMMIT, STAGE, recover
from dbca_openssl.x509 import Certificate


class Repair(NamedTuple):
    """One thing that can be repaired, and how it is done: `do` raises OSError or DatabaseCaError."""

    text: str
    do: Callable[[], object]


def repair(authority: Authority, agreed: Callable[[list[str]], None]) -> list[str]:
    """Repair in rounds what can be repaired; returns what was done.

    Before each round `agreed` gets the list of what would be done, and raises DatabaseCaError where it must not be;
    then nothing more is done. Later rounds repair what can only be seen after the earlier ones.
    Raises DatabaseCaError where there is no CA, or where `agreed` raised before anything was done; OSError where a
    file cannot be written, and then what was repaired before it stays so.
    """
    checking.require_something(authority)
    if authority.is_public():
        raise DatabaseCaError(
            f"{authority.directory} is a public copy", "repair the CA, then: dbca-openssl export --public"
        )
    if not find(authority):  # a directory in order does not even get a lock file
        return []
    done: list[str] = []
    lock = Lock(authority.directory, authority.tell, authority.lock_timeout)
    try:
        while repairs := [one for one in find(authority) if one.text not in done]:
            try:
                agreed([one.text for one in repairs])
            except DatabaseCaError:
                if done:
                    break
                raise
            for one in repairs:
                one.do()
                done.append(one.text)
            fsync(authority.directory)
        return done
    finally:
        lock.release()


def find(authority: Authority) -> list[Repair]:
    """What can be repaired now: the first group that has anything, since the later ones build on it."""
    for group in (_names, _leftovers, _index, _attributes, _unindexed, _undelivered, _numbers, _modes):
        if repairs := list(group(authority)):
            return repairs
    return []


def _names(authority: Authority) -> Iterator[Repair]:
    for wrong, right in checking.MISNAMED.items():
        source, target = authority.path(wrong), authority.path(right)
        if source.is_file() and not os.path.lexists(target):
            yield Repair(f"rename {wrong} to {right}", partial(_rename, source, target))
    for name in DIRECTORIES:
        path = authority.path(name)
        if not os.path.lexists(path):
            yield Repair(f"make the directory {name}", partial(_make_directory, authority, name))


def _leftovers(authority: Authority) -> Iterator[Repair]:
    directory = authority.directory
    if (directory / COMMIT).exists() or any(directory.glob(f"{STAGE}*")):
        yield Repair("finish or roll back the interrupted change", partial(recover, directory, authority.tell))
        return
    for name in DATA_FILES:
        new, old = directory / f"{name}.new", directory / f"{name}.old"
        if (directory / name).exists():
            if new.is_file():
                yield Repair(f"remove {new.name}, which an openssl that was killed left", new.unlink)
        elif new.is_file() or old.is_file():
            source = new if new.is_file() else old
            put_back = partial(restore, directory, DATA_FILES, authority.tell)
            yield Repair(f"restore {name} from {source.name}", put_back)
    empty, before = directory / INDEX, directory / f"{INDEX}.old"
    if empty.is_file() and empty.stat().st_size == 0 and before.is_file() and before.stat().st_size:
        yield Repair(
            f"restore {INDEX}, which is empty, from {INDEX}.old; then see whether a revocation is lost",
            partial(_replace, authority, INDEX, before.read_bytes()),
        )


def _index(authority: Authority) -> Iterator[Repair]:
    data = _data(authority, INDEX)
    if not data:
        if text := _rebuilt(authority):
            what = f"rebuild {INDEX}, {text.count(archive.REBUILT)} rows, from newcerts/ and the CRL"
            yield Repair(f"{what}; then see what is missing", partial(_replace, authority, INDEX, text))
        return
    repaired = archive.repaired_index(authority, data)
    if repaired is None or repaired == data:
        return
    what = "without its blank lines" if repaired.count(b"\n") < data.count(b"\n") else "with the final line end"
    yield Repair(f"write {INDEX} again {what}", partial(_replace, authority, INDEX, repaired))


def _rebuilt(authority: Authority) -> bytes:
    """An index of what is in `newcerts/` and of what the CRL revokes, each row marked; empty where that is not known.

    Without a CRL that this CA has signed, revoked certificates would become valid. Of two certificates of one name the
    older was revoked before the newer was signed, unless the CA allows both.
    """
    try:
        own = own_certificate(authority)
        revoked = dict(revocation.current_list(authority).revoked)
    except DatabaseCaError:
        return b""
    files = sorted(archive.serials(authority), key=lambda serial: int(serial, 16), reverse=True)
    signed, at, newer = archive.signed_by(authority, files), dates.now(), dict[str, Certificate]()
    rows = {}
    for serial, one in archive.read(authority, files):
        is_own = one is not None and (one.subject, one.public_key) == (own.subject, own.public_key)
        if one is None or not (is_own or serial in signed) or not archive.is_issued(one, serial, own):
            continue  # check says so
        subject, state, since = _subject(authority, serial, one), index.VALID, ""
        if one.serial in revoked:
            date, reason = revoked.pop(one.serial)
            state, since = index.REVOKED, f"{date},{reason}".rstrip(",")
        elif one.end <= at or (is_own and one.encoded != own.encoded):
            state = index.EXPIRED
        elif subject in newer and not checking.allows_duplicates(authority):
            state, since = index.REVOKED, f"{dates.index_time(newer[subject].start)},{revocation.SUPERSEDED}"
        newer.setdefault(subject, one)
        rows[one.serial] = f"{state}\t{dates.index_time(one.end)}\t{since}\t{serial}\trebuilt\t{subject}\n"
    for number, (date, reason) in revoked.items() if rows else ():  # or the next CRL would take it back
        end, since = dates.index_time(own.end), f"{date},{reason}".rstrip(",")
        rows[number] = f"{index.REVOKED}\t{end}\t{since}\t{index.serial_text(number)}\trebuilt\t/CN=unknown\n"
    return "".join(rows[number] for number in sorted(rows)).encode()


def _subject(authority: Authority, serial: str, certificate: Certificate) -> str:
    """The subject as the index has it, which only openssl knows where it is more than a common name (x509(1))."""
    if len(certificate.subject_parts) == 1 and is_entity_name(certificate.common_name):
        return f"/CN={certificate.common_name}"
    command = ("x509", "-in", issued(serial), "-noout", "-subject", "-nameopt", "compat")
    output = authority.openssl.run(command, directory=authority.directory).output.decode("utf-8", "replace")
    return output.strip().removeprefix("subject=").strip()


def _attributes(authority: Authority) -> Iterator[Repair]:
    if not _data(authority, ATTRIBUTES):
        text = b"unique_subject = yes\n"
        yield Repair(f"write {ATTRIBUTES} as openssl does", partial(_replace, authority, ATTRIBUTES, text))


def _unindexed(authority: Authority) -> Iterator[Repair]:
    """Certificates in `newcerts/` that an openssl had signed and was killed before it wrote the index."""
    for one in archive.unindexed(authority, archive.serials(authority), *known) if (known := _known(authority)) else ():
        if one.certificate is None or one.why:
            continue
        name, end = one.certificate.common_name, one.certificate.end
        state = index.VALID if end > dates.now() else index.EXPIRED
        line = f"{state}\t{dates.index_time(end)}\t\t{one.serial}\tunknown\t/CN={name}\n"
        yield Repair(f"enter {issued(one.serial)} ({name}) into the index", partial(_append, authority, line))


def _undelivered(authority: Authority) -> Iterator[Repair]:
    for row in archive.undelivered(authority, *known) if (known := _known(authority)) else ():
        source, target = issued(row.serial), certificate_of(row.name)
        yield Repair(f"copy {source} to {target}", partial(_put, authority, target, authority.read(source)))


def _numbers(authority: Authority) -> Iterator[Repair]:
    try:
        rows = index.rows(authority.read(INDEX))
    except DatabaseCaError:
        return
    yield from _number(authority, SERIAL, archive.highest(archive.serials(authority), rows) + 1)
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


def _known(authority: Authority) -> tuple[Sequence[Row], Certificate] | None:
    """The rows and the CA certificate, or None where one of them can't be read."""
    try:
        return index.rows(authority.read(INDEX)), own_certificate(authority)
    except DatabaseCaError:
        return None


def _data(authority: Authority, name: str) -> bytes | None:
    path = authority.path(name)
    return path.read_bytes() if path.is_file() else None


def _replace(authority: Authority, name: str, data: bytes) -> None:
    """Replace a data file by a rename, and keep the old one under a name of its own."""
    if old := _data(authority, name):
        kept = (authority.path(f"{name}.damaged{number or ''}") for number in count())
        write_new(next(path for path in kept if not os.path.lexists(path)), old, mode_of(authority.path(name)))
        fsync(authority.directory)  # before the only other copy is replaced
    _put(authority, name, data)


def _put(authority: Authority, name: str, data: bytes) -> None:
    replace(authority.path(name), data)
    fsync(authority.path(name).parent)


def _rename(source: Path, target: Path) -> None:
    """Rename a file, and make that durable."""
    source.rename(target)
    for folder in {source.parent, target.parent}:
        fsync(folder)


def _make_directory(authority: Authority, name: str) -> None:
    MakeDirectories((name,)).run(authority.directory)
    fsync(authority.directory)


def _append(authority: Authority, line: str) -> None:
    _put(authority, INDEX, authority.read(INDEX) + line.encode())
