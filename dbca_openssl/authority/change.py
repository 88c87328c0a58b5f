"""One change to the authority: openssl works on staged copies, its result is checked, and only then it counts."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from dbca_openssl import complaints
from dbca_openssl.authority import index
from dbca_openssl.authority.index import Row
from dbca_openssl.authority.paths import ATTRIBUTES, CRL_NUMBER, DATABASE, INDEX, SERIAL, Authority, issued
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import Result
from dbca_openssl.passphrase import Passphrase
from dbca_openssl.steps import Command
from dbca_openssl.transaction import COMMIT, Lock, Tell, Transaction, recover

FEW = 3
"""Up to so many steps are not worth a progress bar."""


class Change(Transaction):
    """A transaction on the authority's directory, with its data files staged where `CA_HOME` points."""

    def __init__(self, authority: Authority, *replaced: str, compared: Iterable[str] = ()) -> None:
        """`replaced` are files besides serial, attributes and index, such as the revocation list.

        `compared` are those that may be replaced, but are not needed in the stage.
        Entering it raises DatabaseCaError where the lock is not had, or the index or the serial is damaged.
        """
        super().__init__(
            authority.directory,
            (*DATABASE, *replaced),
            compared,
            tell=authority.tell,
            timeout=authority.lock_timeout,
        )
        self.authority = authority

    def __enter__(self) -> Change:
        super().__enter__()
        try:
            for folder in ("newcerts", "certs", "certreqs", "crl", "private"):  # private: for RANDFILE
                self.staged(folder).mkdir(exist_ok=True)
            self._index = self._base(INDEX)
            self.rows = index.rows(self._index)
            self.serial = index.next_serial(self._base(SERIAL))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def prepare(self) -> None:
        """Heal what a killed plain openssl left."""
        heal(self.directory, self.authority.tell)

    def run(self, command: Command, passphrase: Passphrase | None, steps: int = 1) -> Result:
        """Run a command whose home is the stage; of several `steps` the user is told how many are done.

        Raises DatabaseCaError where it does not leave what it should.
        """
        watch = partial(self.authority.progress, steps) if steps > FEW else None
        try:
            return command.run(self.authority.openssl, self.directory, passphrase, self.keep_open, watch)
        finally:
            if watch:
                watch(steps)  # however it ended, nothing of the bar stays on the terminal

    def appended(self, result: Result) -> tuple[Row, ...]:
        """The rows that openssl added to the staged index, once everything that was in it has been found again.

        Raises DatabaseCaError where it did anything else to the index.
        """
        self.require_intact(*DATABASE)
        before, after = self._index, self._index_now(result)
        if not before.startswith(b"#") and after.startswith(before):
            new = index.rows(after[len(before) :])
        else:
            rows = index.rows(after)
            if rows[: len(self.rows)] != self.rows:
                known = complaints.said(result.messages, self.directory)
                raise known or index.damaged("openssl changed more of it than it should")
            new = rows[len(self.rows) :]
        self.rows += new
        return new

    def require_changed(self, result: Result, states: Mapping[str, str]) -> None:
        """Raise DatabaseCaError unless exactly the rows of these serials have come to be in these states."""
        rows = index.rows(self._index_now(result))

        def fits(old: Row, new: Row) -> bool:
            if old.serial in states:
                return new.state == states[old.serial] and new._replace(state=old.state, revoked=old.revoked) == old
            return new == old

        if len(rows) != len(self.rows) or not all(map(fits, self.rows, rows)):
            raise complaints.said(result.messages, self.directory) or index.damaged(
                "openssl did not change what it should"
            )
        self.rows = rows

    def set_rows(self, rows: tuple[Row, ...]) -> None:
        """Write other states into the staged index, for what openssl has no command for."""
        lines = self._index.decode("utf-8", "surrogateescape").split("\n")
        states = {row.serial: row.state for row in rows}
        for number, line in enumerate(lines):
            fields = line.split("\t")
            if len(fields) == 6:
                lines[number] = "\t".join((states[fields[3]], *fields[1:]))
        self._index = "\n".join(lines).encode("utf-8", "surrogateescape")
        self.write(INDEX, self._index)
        self.rows = rows

    def next_serials(self, count: int) -> list[str]:
        """The serials that openssl will give, in hex. Raises DatabaseCaError where one of them has been given already.

        A plain openssl writes the certificate first, then the serial file and the index: killed between, it leaves a
        certificate that may be delivered, with a serial that the next one would get again.
        """
        serials = [index.serial_text(self.serial + number) for number in range(count)]
        known = {row.serial for row in self.rows}
        for serial in serials:
            if serial in known:
                raise DatabaseCaError(f"{SERIAL} is damaged: {serial} is taken", complaints.REPAIR)
            if os.path.lexists(self.directory / issued(serial)):
                raise DatabaseCaError(
                    f"{self.directory / issued(serial)} is there, but serial {serial} is not in the index",
                    "an openssl was killed while it signed; dbca-openssl repair enters the certificate into the index",
                )
        return serials

    def require_intact(self, *names: str) -> None:
        """Raise DatabaseCaError where openssl left one of the staged files empty, as it does on a full disk."""
        for name in names:
            path = self.staged(name)
            if not path.is_file() or path.stat().st_size == 0:
                raise complaints.nothing_written(name, self.directory)

    def _index_now(self, result: Result) -> bytes:
        data = self.staged(INDEX).read_bytes()
        if len(data) < len(self._index) and (known := complaints.said(result.messages, self.directory)):
            raise known
        self._index = data
        return data

    def _base(self, name: str) -> bytes:
        data = self.base[name]
        if data is None:
            raise DatabaseCaError(f"{self.directory / name} is missing", complaints.REPAIR)
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


def _moved_away(directory: Path) -> list[tuple[Path, Path]]:
    """The data files that are missing, each with the file that takes its place."""
    missing = [directory / name for name in (SERIAL, INDEX, ATTRIBUTES, CRL_NUMBER)]
    return [
        (path, candidates[0])
        for path in missing
        if not os.path.lexists(path)
        and (candidates := [one for end in ("new", "old") if (one := Path(f"{path}.{end}")).is_file()])
    ]
