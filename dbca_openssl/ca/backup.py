"""A backup: the whole CA in one tar file (tar(5)), and what such a file holds, read without extracting anything.

Its member `database-ca.backup` has the SHA-256 of all others, as sha256sum(1) writes them. The first line of it, which
says when the backup was made and of what, is also kept in the CA's directory, so that the CA knows its last backup.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import IO, NamedTuple

from dbca_openssl import crls, dates, x509
from dbca_openssl.ca import archive, canary, index
from dbca_openssl.ca.certificates import own_certificate
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.key import URI, is_encrypted
from dbca_openssl.ca.layout import CERTIFICATE, CONFIGURATION, CRL, CRL_NUMBER, INDEX, KEY, SERIAL, Authority
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError, of_system, reason
from dbca_openssl.files import PRIVATE_FILE, fsync, open_file, read_file, require_absent
from dbca_openssl.finding import CRITICAL, OK, WARNING, Finding
from dbca_openssl.lock import LOCK
from dbca_openssl.names import shown
from dbca_openssl.transaction import COMMIT, STAGE, Transaction

BACKUP = "database-ca.backup"

KEY_ELSEWHERE = "the CA key is not in it: it is on a token, and lost with that unless there is a second one"

TOP = "database-ca"
"""The directory that `tar -x` makes."""

LARGEST, MOST, KEPT = 1 << 32, 1 << 20, 1 << 28
"""A backup has at most so many bytes, so many files, and so many bytes in the files that are looked into."""

READ = (CONFIGURATION, KEY, URI, CERTIFICATE, INDEX, SERIAL, CRL_NUMBER, CRL)

_HEAD = re.compile(r"# backup (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ) serial ([0-9A-F]+) revoked (\d+)")
_BLOCK, _CHUNK, _LONGEST = 512, 1 << 20, 100
_AGAIN = "dbca-openssl backup FILE makes a new one"


class Made(NamedTuple):
    """When a backup was made, the highest serial in it, and how many certificates are revoked in it."""

    at: datetime
    highest: int
    revoked: int

    def head(self) -> str:
        """The first line of `database-ca.backup`."""
        return f"# backup {dates.iso(self.at)} serial {index.serial_text(self.highest)} revoked {self.revoked}\n"

    def since(self, rows: Iterable[Row]) -> tuple[int, int]:
        """How many certificates were signed and revoked since, the canary's left out: those are worthless."""
        signed = revoked = 0
        for row in rows:
            is_new, is_revoked = int(row.serial, 16) > self.highest, row.state == index.REVOKED
            if (is_new or is_revoked) and row.name != canary.NAME:
                signed, revoked = signed + is_new, revoked + is_revoked
        return signed, max(0, revoked - self.revoked)


class Content(NamedTuple):
    """What a backup holds: the SHA-256 of each file by its name, and the bytes of those in `READ`."""

    made: Made
    sums: dict[str, str]
    files: dict[str, bytes]


def last(authority: Authority) -> Made | None:
    """The last backup, or None where the CA knows of none."""
    try:
        with open(open_file(authority.path(BACKUP)), "rb") as file:
            return _made(file.readline(200))
    except OSError:
        return None


def findings(authority: Authority, rows: Sequence[Row]) -> Iterator[Finding]:
    """What was signed or revoked since the last backup, where one was ever made."""
    if (made := last(authority)) is not None and any(made.since(rows)):
        yield Finding(WARNING, "backup", _since(made, rows), "dbca-openssl backup FILE")


def write(authority: Authority, target: Path, *, unencrypted_key: bool = False) -> Content:
    """Write the CA to the new file `target` under its lock, with mode 600, and read it back.

    Raises DatabaseCaError, with nothing written, where that fails, the index cannot be read, another program changes
    the CA meanwhile, or the CA key is not encrypted, unless `unencrypted_key`.
    """
    authority.require()
    target = target.absolute()
    part = target.with_name(f".{target.name}.part")
    if os.path.lexists(part) and os.path.lexists(target) and os.path.samestat(os.lstat(part), os.lstat(target)):
        part.unlink()  # a backup was killed after it was complete
    require_absent(target)
    if not target.name.endswith((".tar", ".tar.gz", ".tgz")):
        raise DatabaseCaError(f"{target} is not a name for a backup", "name it *.tar, *.tar.gz or *.tgz")
    if os.path.realpath(target).startswith(f"{os.path.realpath(authority.directory)}/"):
        raise DatabaseCaError(f"{target} is in the CA itself", "keep a backup in another place, away from this device")
    with Transaction(
        authority.directory, compared=(BACKUP,), tell=authority.tell, timeout=authority.lock_timeout
    ) as change:
        if not unencrypted_key and not authority.key_is_encrypted():
            raise DatabaseCaError(
                "the CA key is not encrypted, and whoever reads the backup would have it",
                "dbca-openssl passphrase encrypts it",
                "--unencrypted-key if the place of the backup is safe",
            )
        rows = index.rows(authority.read(INDEX))
        made = Made(dates.now(), max(0, archive.highest((), rows)), _revoked(rows))
        names = list(_names(authority.directory))
        try:
            part.unlink(missing_ok=True)  # left by a backup that was killed
            sums = _write(authority, part, names, made)
            content = read(part)
            if content.sums != sums:
                raise DatabaseCaError(f"{target} cannot be read back as it was written", "is the disk damaged?")
            if list(_names(authority.directory)) != names or any(
                authority.read(name) != data for name, data in content.files.items()
            ):
                raise DatabaseCaError("another program changed the CA meanwhile", "run the command again")
            change.write(BACKUP, made.head().encode())
            _put(part, target)
            try:
                part.unlink(missing_ok=True)
                fsync(target.parent)
                change.commit((BACKUP,))
            except BaseException:
                if last(authority) != made:
                    target.unlink()
                raise
        except OSError as error:
            raise of_system(f"cannot write the backup {target}", error) from None
        finally:
            if os.path.lexists(part):
                part.unlink()
    return content


def read(path: Path) -> Content:
    """Read a backup to its end. Raises DatabaseCaError where it is not whole, or is none."""
    import gzip
    import tarfile
    import zlib

    try:
        with open(open_file(path), "rb") as file:
            compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            sums, files, listed = _read(gzip.GzipFile(fileobj=file) if compressed else file)
    except (OSError, EOFError, tarfile.TarError, zlib.error, DatabaseCaError) as error:
        why = reason(error) if isinstance(error, OSError) and error.strerror else str(error)
        raise DatabaseCaError(f"{path} is not a whole backup: {why}", _AGAIN) from None
    head, _, text = listed.decode("utf-8", "surrogateescape").partition("\n")
    made = _made(head.encode("utf-8", "surrogateescape"))
    if made is None:
        raise DatabaseCaError(f"{path} is not a backup: it has no {BACKUP}", _AGAIN)
    if text != _sums(sums):
        raise DatabaseCaError(f"{path} is damaged: its files are not those that were written", _AGAIN)
    return Content(made, sums, files)


def check(path: Path, authority: Authority | None) -> list[Finding]:
    """Whether a backup is whole, a consistent CA, and how far behind `authority` (None: not compared).

    Raises DatabaseCaError where there is no such file, or the CA cannot be read.
    """
    if not os.path.lexists(path):
        raise DatabaseCaError(f"there is no backup {path}", _AGAIN)
    try:
        content = read(path)
        own, rows, problems = _consistent(content)
    except (DatabaseCaError, UnreadableError) as error:
        return [Finding(CRITICAL, "backup", str(error), "use another backup")]
    made, files = content.made, content.files
    numbers = " and ".join(
        f"{what} {files[name].decode('ascii', 'replace').strip()}"
        for what, name in (("serial", SERIAL), ("CRL", CRL_NUMBER))
    )
    text = f"{own.common_name}, {len(content.sums)} files, of {dates.shown(made.at)}, next {numbers}"
    found = [Finding(OK, "backup", text)]
    found += [Finding(CRITICAL, "index", one, "use another backup, or restore it and run repair") for one in problems]
    if KEY not in files:
        found.append(Finding(OK, "key", KEY_ELSEWHERE))
    elif not is_encrypted(files[KEY]):
        found.append(Finding(WARNING, "key", "the CA key in it is not encrypted", "dbca-openssl passphrase, and again"))
    if authority is None:
        return found
    if own_certificate(authority).public_key != own.public_key:
        return [
            *found,
            Finding(CRITICAL, "other", f"it is not of the CA in {authority.directory}", "give another --ca"),
        ]
    now = index.rows(authority.read(INDEX))
    if lost := {row.serial for row in rows} - {row.serial for row in now}:
        text = f"{len(lost)} certificates in it are not in the index of {authority.directory}"
        found.append(Finding(CRITICAL, "ahead", text, "was an older backup restored? docs/disasters.md"))
    if any(made.since(now)):
        found.append(Finding(WARNING, "behind", f"{_since(made, now)}, in {authority.directory}", _AGAIN))
    return found


def _consistent(content: Content) -> tuple[x509.Certificate, Sequence[Row], list[str]]:
    """The CA certificate, the rows, and what does not fit together. Raises DatabaseCaError or UnreadableError."""
    files = content.files
    if missing := [
        name for name in READ if name not in files and (name not in (KEY, URI) or not {KEY, URI} & files.keys())
    ]:
        raise DatabaseCaError(f"it is not a whole CA: there is no {missing[0]}")
    own, rows = x509.certificate_in(files[CERTIFICATE]), index.rows(files[INDEX])
    copies = {name[9:-4] for name in content.sums if re.fullmatch(r"newcerts/(?:[0-9A-F]{2})+\.pem", name)}
    serials = {row.serial for row in rows}
    problems = [f"newcerts/{serial}.pem is not in the index" for serial in sorted(copies - serials)[:3]]
    problems += [f"the index has serial {serial}, and newcerts/ does not" for serial in sorted(serials - copies)[:3]]
    index.next_serial(files[CRL_NUMBER], CRL_NUMBER)
    if index.next_serial(files[SERIAL]) <= archive.highest(copies, rows):
        problems.append(f"{SERIAL} has a serial that is taken")
    revoked = {int(row.serial, 16) for row in rows if row.state == index.REVOKED}
    if lost := [serial for serial in crls.crl_in(files[CRL]).revoked if serial not in revoked]:
        problems.append(
            f"the CRL has the serial {index.serial_text(lost[0])}, which the index does not have as revoked"
        )
    return own, rows, problems


def _since(made: Made, rows: Sequence[Row]) -> str:
    signed, revoked = made.since(rows)
    return f"{signed} signed and {revoked} revoked since the backup of {dates.shown(made.at)}"


def _revoked(rows: Sequence[Row]) -> int:
    return sum(row.state == index.REVOKED and row.name != canary.NAME for row in rows)


def _made(line: bytes) -> Made | None:
    match = _HEAD.fullmatch(line.decode("ascii", "replace").strip())
    try:
        return match and Made(dates.asn1_time(re.sub(r"\D", "", match[1]) + "Z"), int(match[2], 16), int(match[3]))
    except ValueError:  # a date that no calendar has
        return None


def _sums(sums: dict[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))


def _names(directory: Path, folder: str = "") -> Iterator[str]:
    """All files and, with a `/` at the end, directories of the CA, without what belongs to locks and changes."""
    with os.scandir(directory / folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = folder + entry.name
        if entry.name == LOCK or entry.name.startswith((STAGE, COMMIT)) or name == BACKUP:
            continue
        if entry.is_dir(follow_symlinks=False):
            yield f"{name}/"
            yield from _names(directory, f"{name}/")
        else:
            yield name


def _write(authority: Authority, part: Path, names: Sequence[str], made: Made) -> dict[str, str]:
    """Write the tar file and make it durable; returns the SHA-256 of its files. Raises OSError or DatabaseCaError."""
    import gzip
    import hashlib
    import tarfile

    sums: dict[str, str] = {}
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(part, flags, PRIVATE_FILE), "wb") as file:
        packed: AbstractContextManager[IO[bytes] | BufferedIOBase] = nullcontext(file)
        if not part.name.endswith(".tar.part"):
            packed = gzip.GzipFile("", "wb", 6, file)
        with (
            packed as stream,
            tarfile.open(fileobj=stream, mode="w", format=tarfile.GNU_FORMAT, dereference=True) as tar,
        ):
            for name in ("", *names):
                path = authority.path(name)
                if len(os.fsencode(f"{TOP}/{name}")) > _LONGEST or not name.isprintable():
                    raise DatabaseCaError(f"a backup cannot hold the name {shown(name)}", "move the file elsewhere")
                info = tar.gettarinfo(path, f"{TOP}/{name}".rstrip("/"))
                if name and not name.endswith("/"):
                    data = read_file(path)
                    info.type, info.linkname, info.size = tarfile.REGTYPE, "", len(data)  # also of a second hard link
                    sums[name] = hashlib.sha256(data).hexdigest()
                    tar.addfile(info, BytesIO(data))
                else:
                    tar.addfile(info)
            text = (made.head() + _sums(sums)).encode("utf-8", "surrogateescape")
            info = tarfile.TarInfo(f"{TOP}/{BACKUP}")
            info.size, info.mtime = len(text), int(made.at.timestamp())
            info.uid, info.gid = authority.directory.stat()[4:6]
            tar.addfile(info, BytesIO(text))
        file.flush()
        os.fsync(file.fileno())
    return sums


def _read(stream: BufferedIOBase) -> tuple[dict[str, str], dict[str, bytes], bytes]:
    """The sums of the files in a tar file, the bytes of those that are looked into, and of `database-ca.backup`.

    tarfile itself believes what a header says of its size, so it only parses the single headers here.
    Raises DatabaseCaError, OSError or tarfile.TarError for anything that `write` does not write.
    """
    import hashlib
    import tarfile

    sums: dict[str, str] = {}
    kept: dict[str, bytes] = {}
    seen, total = set(), 0

    def take(size: int) -> bytes:
        data: bytes = stream.read(size)
        if len(data) != size:
            raise DatabaseCaError("it is cut off")
        return data

    while (block := take(_BLOCK)).strip(b"\0"):
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        top, _, name = info.name.partition("/")
        if info.type not in (tarfile.REGTYPE, tarfile.DIRTYPE):
            raise DatabaseCaError(f"{shown(info.name)} in it is neither a file nor a directory")
        if not top or ".." in info.name.split("/") or name.startswith("/") or info.name in seen:
            raise DatabaseCaError(f"it has the name {shown(info.name)}")
        seen.add(info.name)
        total += _BLOCK + info.size
        if info.size < 0 or total > LARGEST or len(seen) > MOST:
            raise DatabaseCaError("it is too large for a backup")
        is_kept = name in READ or name == BACKUP
        if is_kept and info.size + sum(map(len, kept.values())) > KEPT:
            raise DatabaseCaError(f"{name} in it is too large")
        digest, chunks, left = hashlib.sha256(), [], info.size
        while left:
            chunk = take(min(left, _CHUNK))
            digest.update(chunk)
            chunks += [chunk] if is_kept else []
            left -= len(chunk)
        take(-info.size % _BLOCK)
        if info.type == tarfile.REGTYPE:
            sums[name] = digest.hexdigest()
            kept |= {name: b"".join(chunks)} if is_kept else {}
    while rest := stream.read(_CHUNK):  # to its end, where gzip has its own sum
        total += len(rest)
        if rest.strip(b"\0") or total > LARGEST:
            raise DatabaseCaError("something follows it")
    sums.pop(BACKUP, None)
    return sums, kept, kept.pop(BACKUP, b"")


def _put(part: Path, target: Path) -> None:
    """Give the file its name, and never that of another file. Raises DatabaseCaError or OSError."""
    try:
        os.link(part, target)
    except OSError:  # a file of that name, or a file system without links, as FAT
        require_absent(target)
        part.rename(target)
