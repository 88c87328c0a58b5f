"""One change to the authority: openssl works on staged copies, its result is checked, and only then it counts."""

from __future__ import annotations

import os
import time
from pathlib import Path

from dbca_openssl import complaints
from dbca_openssl.authority import index
from dbca_openssl.authority.paths import ATTRIBUTES, CRL_NUMBER, DATABASE, INDEX, SERIAL, Authority, issued
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import Result
from dbca_openssl.passphrase import Passphrase
from dbca_openssl.steps import Command
from dbca_openssl.transaction import COMMIT, Lock, Tell, Transaction, recover


class Change(Transaction):
    """A transaction on the authority's directory, with its data files staged where `CA_HOME` points."""

    def __init__(self, authority: Authority, *replaced: str) -> None:
        """`replaced` are files that are written besides serial, attributes and index, such as the revocation list."""
        super().__init__(
            authority.directory, (*DATABASE, *replaced), tell=authority.tell, timeout=authority.lock_timeout
        )
        self.authority = authority

    def __enter__(self) -> Change:
        super().__enter__()
        try:
            for folder in ("newcerts", "certs", "certreqs", "crl", "private"):  # private: for RANDFILE
                self.staged(folder).mkdir(exist_ok=True)
            self.rows = index.rows(self._base(INDEX))
            self.serial = index.next_serial(self._base(SERIAL))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def prepare(self) -> None:
        """Heal what a killed plain openssl left."""
        heal(self.directory, self.authority.tell)

    def run(self, command: Command, passphrase: Passphrase | None) -> Result:
        """Run a command whose home is the stage. Raises DatabaseCaError where it does not leave what it should."""
        return command.run(self.authority.openssl, self.directory, passphrase, self.keep_open)

    def new_rows(self, result: Result) -> list[index.Row]:
        """The rows that openssl added to the staged index, after everything that was there has been found in it.

        Raises DatabaseCaError where it did anything else to the index.
        """
        self.require_intact(*DATABASE)
        base, after = self._base(INDEX), self.staged(INDEX).read_bytes()
        if not base.startswith(b"#") and after.startswith(base):
            return index.rows(after[len(base) :])
        rows = index.rows(after)
        if rows[: len(self.rows)] != self.rows:
            raise complaints.said(result.messages, self.directory) or index.damaged(
                "openssl changed more of it than it should"
            )
        return rows[len(self.rows) :]

    def next_serials(self, count: int) -> list[str]:
        """The serials that openssl will give, in hex. Raises DatabaseCaError where one of them has been given already.

        A plain openssl writes the certificate first, then the serial file and the index: killed between, it leaves a
        certificate that may be delivered, with a serial that the next one would get again.
        """
        serials = [index.serial_text(self.serial + number) for number in range(count)]
        known = {row.serial for row in self.rows}
        for serial in serials:
            if serial in known:
                raise index.damaged(f"{SERIAL} has {serials[0]} as the next serial, which is in the index already")
            if os.path.lexists(self.directory / issued(serial)):
                raise self._unknown_certificate(serial)
        return serials

    def require_intact(self, *names: str) -> None:
        """Raise DatabaseCaError where openssl left one of the staged files empty, as it does on a full disk."""
        for name in names:
            path = self.staged(name)
            if not path.is_file() or path.stat().st_size == 0:
                raise complaints.nothing_written(name, self.directory)

    def _unknown_certificate(self, serial: str) -> DatabaseCaError:
        hints = ["an openssl was killed while it signed; look whether its certificate was delivered"]
        new = _bytes(self.directory / f"{INDEX}.new")
        if new.startswith(self._base(INDEX)) and f"\t{serial}\tunknown\t".encode() in new:
            files = " ".join((SERIAL, INDEX, ATTRIBUTES))
            hints.append(f'to keep it, in {self.directory}: for file in {files}; do mv "$file.new" "$file"; done')
        hints.append(f"to drop it: move {issued(serial)} away")
        return DatabaseCaError(
            f"{self.directory / issued(serial)} is there, but serial {serial} is not in the index", *hints
        )

    def _base(self, name: str) -> bytes:
        data = self.base[name]
        if data is None:
            raise DatabaseCaError(
                f"{self.directory / name} is missing", f"{name}.old is its state before the last change, if it is there"
            )
        return data


BACKUPS = tuple(f"{name}.old" for name in (*DATABASE, CRL_NUMBER))
"""The copies of the state before, which openssl makes at each change."""


def settle(authority: Authority) -> None:
    """Finish, or take back, what a killed process left, where there is anything; for before the authority is read.

    A verb that refuses by what it reads would otherwise never come to the transaction that does it.
    Raises DatabaseCaError as a transaction does.
    """
    directory = authority.directory
    if os.path.lexists(directory / COMMIT) or _moved_away(directory):
        lock = Lock(directory, authority.tell, authority.lock_timeout)
        try:
            recover(directory, authority.tell)
            heal(directory, authority.tell)
        finally:
            lock.release()


PATIENCE = 1.0
"""Seconds: how long a file may be away before the openssl that moved it is taken for dead; it takes microseconds."""


def heal(directory: Path, tell: Tell) -> None:
    """Put back the data files that a plain openssl was killed between moving away and replacing.

    It renames X to X.old and then X.new to X; the second rename is made up for, or else the first taken back. An
    openssl that is alive between the two is given time to end: it takes no lock, and would fail at its second rename.
    """
    deadline = time.monotonic() + PATIENCE
    while (lost := _moved_away(directory)) and time.monotonic() < deadline:
        time.sleep(PATIENCE / 20)
    for path, candidate in lost:
        tell(f"{path.name} was moved away by an openssl that was cut short, and is put back from {candidate.name}")
        candidate.rename(path)


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _moved_away(directory: Path) -> list[tuple[Path, Path]]:
    """The data files that are missing, each with the file that takes its place."""
    missing = [directory / name for name in (SERIAL, INDEX, ATTRIBUTES, CRL_NUMBER)]
    return [
        (path, candidates[0])
        for path in missing
        if not os.path.lexists(path)
        and (candidates := [one for end in ("new", "old") if (one := Path(f"{path}.{end}")).is_file()])
    ]
