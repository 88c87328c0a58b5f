"""One change to the authority: openssl works on staged copies, its result is checked, and only then it counts."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from dbca_openssl import diagnosis
from dbca_openssl.ca import index
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import ATTRIBUTES, CRL_NUMBER, DATABASE, INDEX, SERIAL, Authority, issued
from dbca_openssl.command import Command
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.lock import Lock, Tell
from dbca_openssl.openssl import Result
from dbca_openssl.passphrase import Passphrase
from dbca_openssl.transaction import COMMIT, Transaction, recover

FEW = 3
"""Up to so many steps are not worth a progress bar."""

FOLDERS = ("newcerts", "certs", "certreqs", "crl", "private")
"""What openssl expects in its home; the last one is for RANDFILE."""


class Change(Transaction):
    """A transaction on the authority's directory, with its data files staged where `CA_HOME` points.

    `index` is the index as the change will leave it. Of a large one openssl is given only the lines that a command
    needs, since loading it all is most of what a command costs; what openssl makes of them is put into the whole.
    """

    def __init__(self, authority: Authority, *replaced: str, compared: Iterable[str] = ()) -> None:
        """`replaced` are files besides serial, attributes and index, such as the revocation list.

        `compared` are those that may be replaced, but are not needed in the stage.
        Entering it raises DatabaseCaError where the lock is not had, or the index or the serial is damaged.
        """
        super().__init__(
            authority.directory,
            (SERIAL, ATTRIBUTES, *replaced),
            (INDEX, *compared),
            tell=authority.tell,
            timeout=authority.lock_timeout,
        )
        self.authority = authority

    def __enter__(self) -> Change:
        super().__enter__()
        try:
            for folder in FOLDERS:
                self.staged(folder).mkdir(exist_ok=True)
            self.index = self.given = self._before = self._base(INDEX)
            self._is_large = index.is_large(self.index)
            if self._is_large:
                index.require_lines(self.index)
            else:
                index.rows(self.index)
                self.write(INDEX, self.index)
            self.serial = index.next_serial(self._base(SERIAL))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def prepare(self) -> None:
        """Heal what a killed plain openssl left."""
        heal(self.directory, self.authority.tell)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows of the index. Raises DatabaseCaError."""
        return index.rows(self.index)

    def give(self, needed: Iterable[bytes] | None) -> None:
        """Let openssl see of a large index just the lines that are `needed` (None: all); of another one all."""
        self.given = self.index
        if self._is_large:
            self.given = self.index if needed is None else b"".join(needed)
            self.write(INDEX, self.given)

    def lines(self, *, serials: Collection[str] = (), revoked: bool = False) -> list[bytes]:
        """The lines of a large index with these serials, or of all that is revoked, for `run`; none of another one."""
        return index.lines(self.index, serials=serials, revoked=revoked) if self._is_large else []

    def run(
        self,
        command: Command,
        passphrase: Passphrase | None,
        *,
        steps: int = 1,
        needed: Iterable[bytes] | None = None,
    ) -> Result:
        """Run a command whose home is the stage; of several `steps` the user is told how many are done.

        `needed` is as for `give`. Raises DatabaseCaError where it does not leave what it should.
        """
        self.give(needed)
        if steps <= FEW:
            return command.run(self.authority.openssl, self.directory, passphrase, self.keep_open)
        return self.run_together([command], passphrase, steps)[0]

    def run_together(self, commands: Sequence[Command], passphrase: Passphrase | None, steps: int) -> list[Result]:
        """Run commands side by side, each with a home of its own. Raises DatabaseCaError as `run` does."""
        watch = partial(self.authority.progress, steps)
        calls = [command.call(self.directory, passphrase, self.keep_open) for command in commands]
        try:
            results = self.authority.openssl.run_together(calls, watch)
        finally:
            watch(steps)  # however it ended, nothing of the bar stays on the terminal
        return [command.done(result, self.directory) for command, result in zip(commands, results, strict=True)]

    def appended(self, result: Result) -> tuple[Row, ...]:
        """The rows that openssl added to the staged index, once everything that was in it has been found again.

        Raises DatabaseCaError where it did anything else to the index.
        """
        self.require_intact(*DATABASE)
        before, after = self.given, self._staged_index(result)
        if index.is_plain(before) and after.startswith(before):
            new = index.rows(after[len(before) :])
        else:
            old, rows = index.rows(before), index.rows(after)
            if self._is_large or rows[: len(old)] != old:
                known = diagnosis.said(result.messages, self.directory)
                raise known or index.damaged("openssl changed more of it than it should")
            new = rows[len(old) :]
        self._set_index(self.index + after[len(before) :] if self._is_large else after)
        return new

    def require_changed(self, result: Result, states: Mapping[str, str]) -> None:
        """Raise DatabaseCaError unless exactly the rows of these serials have come to be in these states."""
        before, after = self.given, self._staged_index(result)
        old_rows, new_rows = index.rows(before), index.rows(after)

        def fits(old: Row, new: Row) -> bool:
            if old.serial in states:
                return new.state == states[old.serial] and new._replace(state=old.state, revoked=old.revoked) == old
            return new == old

        if len(new_rows) != len(old_rows) or not all(map(fits, old_rows, new_rows)):
            raise diagnosis.said(result.messages, self.directory) or index.damaged(
                "openssl did not change what it should"
            )
        if self._is_large:
            whole = self.index
            for old, new in zip(before.split(b"\n"), after.split(b"\n"), strict=True):
                if new != old:
                    whole = whole.replace(old + b"\n", new + b"\n", 1)  # with its serial it is nowhere else
            after = whole
        self._set_index(after)

    def set_rows(self, rows: tuple[Row, ...]) -> None:
        """Write other states into the staged index, for what openssl has no command for."""
        lines = self.index.decode("utf-8", "surrogateescape").split("\n")
        states = {row.serial: row.state for row in rows}
        for number, line in enumerate(lines):
            fields = line.split("\t")
            if len(fields) == 6:
                lines[number] = "\t".join((states[fields[3]], *fields[1:]))
        self.index = "\n".join(lines).encode("utf-8", "surrogateescape")
        self.write(INDEX, self.index)

    def commit(self, deciding: Iterable[str], following: Iterable[str] = (), backups: Iterable[str] = ()) -> None:
        """Make it count, as `Transaction.commit` does."""
        if self._is_large and self.index is not self.base[INDEX]:
            self.write(INDEX, self.index)
            self.write(f"{INDEX}.old", self._before)
        super().commit(deciding, following, backups)

    def next_serials(self, count: int) -> list[str]:
        """The serials that openssl will give, in hex. Raises DatabaseCaError where one of them has been given already.

        A plain openssl writes the certificate first, then the serial file and the index: killed between, it leaves a
        certificate that may be delivered, with a serial that the next one would get again.
        """
        serials = [index.serial_text(self.serial + number) for number in range(count)]
        known = {row.serial for row in index.some(self.index, serials=serials)}
        for serial in serials:
            if serial in known:
                raise DatabaseCaError(f"{SERIAL} is damaged: {serial} is taken", diagnosis.REPAIR)
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
                raise diagnosis.nothing_written(name, self.directory)

    def _staged_index(self, result: Result) -> bytes:
        data = self.staged(INDEX).read_bytes()
        if len(data) < len(self.given) and (known := diagnosis.said(result.messages, self.directory)):
            raise known
        return data

    def _set_index(self, data: bytes) -> None:
        """What openssl has made of it, and what it was before: openssl keeps that as well."""
        self._before, self.index = self.index, data

    def _base(self, name: str) -> bytes:
        data = self.base[name]
        if data is None:
            raise DatabaseCaError(f"{self.directory / name} is missing", diagnosis.REPAIR)
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
