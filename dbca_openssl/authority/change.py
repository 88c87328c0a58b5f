"""One change to the authority: openssl works on staged copies, its result is checked, and only then it counts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from dbca_openssl import complaints
from dbca_openssl.authority import index
from dbca_openssl.authority.index import Row
from dbca_openssl.authority.paths import ATTRIBUTES, CRL_NUMBER, DATABASE, INDEX, SERIAL, Authority
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import Result
from dbca_openssl.passphrase import Passphrase
from dbca_openssl.steps import Command
from dbca_openssl.transaction import Transaction

FEW = 3
"""Up to so many steps are not worth a progress bar."""


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
            self._index = self._base(INDEX)
            self.rows = index.rows(self._index)
            self.serial = index.next_serial(self._base(SERIAL))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def prepare(self) -> None:
        """Heal what a killed plain openssl left."""
        heal(self.directory)

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

    def appended(self, result: Result) -> list[Row]:
        """The rows that openssl added to the staged index, once everything that was in it has been found again.

        Raises DatabaseCaError where it did anything else to the index.
        """
        before, after = self._index, self._index_now(result)
        if not before.startswith(b"#") and after.startswith(before):
            new = index.rows(after[len(before) :])
        else:
            rows = index.rows(after)
            if rows[: len(self.rows)] != self.rows:
                raise index.damaged("openssl changed more of it than it should")
            new = rows[len(self.rows) :]
        self.rows += new
        return new

    def require_changed(self, result: Result, states: Mapping[str, str]) -> None:
        """Raise DatabaseCaError unless exactly the rows of these serials have come to be in these states."""
        rows = index.rows(self._index_now(result))

        def fits(old: Row, new: Row) -> bool:
            if old.serial in states:
                return new.state == states[old.serial] and replace(new, state=old.state, revoked=old.revoked) == old
            return new == old

        if len(rows) != len(self.rows) or not all(map(fits, self.rows, rows)):
            raise complaints.said(result.messages) or index.damaged("openssl did not change what it should")
        self.rows = rows

    def set_rows(self, rows: list[Row]) -> None:
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

    def require_intact(self, *names: str) -> None:
        """Raise DatabaseCaError where openssl left one of the staged files empty, as it does on a full disk."""
        for name in names:
            path = self.staged(name)
            if not path.is_file() or path.stat().st_size == 0:
                raise DatabaseCaError(f"openssl wrote nothing into {name}", "is the disk full?")

    def _index_now(self, result: Result) -> bytes:
        data = self.staged(INDEX).read_bytes()
        if len(data) < len(self._index) and (known := complaints.said(result.messages)):
            raise known
        self._index = data
        return data

    def _base(self, name: str) -> bytes:
        data = self.base[name]
        if data is None:
            raise DatabaseCaError(
                f"{self.directory / name} is missing", f"{name}.old is its state before the last change, if it is there"
            )
        return data


BACKUPS = tuple(f"{name}.old" for name in (*DATABASE, CRL_NUMBER))
"""The copies of the state before, which openssl makes at each change."""


def heal(directory: Path) -> None:
    """Put back the data files that a plain openssl was killed between moving away and replacing.

    It renames X to X.old and then X.new to X; the second rename is made up for, or else the first taken back.
    """
    for name in (SERIAL, INDEX, ATTRIBUTES, CRL_NUMBER):
        path = directory / name
        for candidate in (directory / f"{name}.new", directory / f"{name}.old"):
            if not os.path.lexists(path) and candidate.is_file():
                candidate.rename(path)
