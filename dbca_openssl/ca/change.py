"""One change to the CA: openssl works on staged copies, its result is checked, and only then it counts.

Two things make it fast without a difference in the files that it leaves:

- Large index: openssl needs seconds to load 100,000 rows, and a command needs few of them. Of an index above a megabyte
  openssl sees only these lines, and what it makes of them is put into the whole index.
- Batch: one openssl uses one processor. Several requests are signed in parallel, see `parallel.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping
from functools import partial

from dbca_openssl import diagnosis
from dbca_openssl.ca import index
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import ATTRIBUTES, CRL_NUMBER, DATA_FILES, DATABASE, INDEX, SERIAL, Authority, issued
from dbca_openssl.ca.recovery import restore
from dbca_openssl.command import Command
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.transaction import Transaction

FEW = 3
"""For up to so many requests no progress is shown."""

FOLDERS = ("newcerts", "certs", "certreqs", "crl", "private")
"""What openssl expects in its home; the last one is for RANDFILE."""


class Change(Transaction):
    """A transaction on the CA's directory, with its data files staged where `CA_HOME` points.

    `index` is the whole index as the change will leave it, `visible` the part of it that openssl sees, and `messages`
    what the last openssl said.
    """

    def __init__(self, authority: Authority, *replaced: str, compared: Iterable[str] = ()) -> None:
        """`replaced` are files besides serial, attributes and index, such as the CRL.

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
        self.index = self.visible = self._before = b""
        self._is_staged = False
        self.messages = ""

    def __enter__(self) -> Change:
        super().__enter__()
        try:
            for folder in FOLDERS:
                self.staged(folder).mkdir(exist_ok=True)
            self._set_index(self._base(INDEX))
            self._is_large = index.is_large(self.index)
            if self._is_large:
                index.require_lines(self.index)
            else:
                index.rows(self.index)
            self.serial = index.next_serial(self._base(SERIAL))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def prepare(self) -> None:
        """Restore what a killed plain openssl left half replaced."""
        restore(self.directory, DATA_FILES, self.authority.tell)

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows of the index. Raises DatabaseCaError."""
        return index.rows(self.index)

    def narrow(self) -> None:
        """Take the index for a large one, since each of many commands would load all of it and need a line."""
        self._is_large = index.is_plain(self.index)

    def show(self, *, serials: Collection[str] = (), revoked: bool = False, without: Collection[str] = ()) -> None:
        """Until the index is changed, let openssl see of a large one only these serials, or what is revoked.

        Of a small one too where it must not see the serials `without`; the caller writes the whole one again.
        """
        if self._is_large or without:
            lines = index.lines(self.index, serials=serials, revoked=revoked)
            self.visible = b"".join(line for line in lines if line.split(b"\t")[3].decode() not in without)
            self._is_staged = False

    def run(self, *commands: Command, requests: int = 1) -> None:
        """Run commands whose home is the stage, several in parallel; for many `requests` progress is shown.

        Raises DatabaseCaError where openssl fails, or does not leave the files that it should.
        """
        self._stage_index()
        watch = partial(self.authority.progress, requests) if requests > FEW else None
        given = self.authority.key.given_to(*commands)
        try:
            results = self.authority.openssl.make(given, self.directory, keep_open=self.keep_open, watch=watch)
        finally:
            if watch:
                watch(requests)  # however it ended, no progress bar may stay on the terminal
        self.messages = "".join(result.messages for result in results)

    def appended(self) -> tuple[Row, ...]:
        """The rows that openssl added to the staged index. Raises DatabaseCaError where it changed others."""
        self.require_intact(*DATABASE)
        before, after = self.visible, self._staged_index()
        if index.is_plain(before) and after.startswith(before):
            new = index.rows(after[len(before) :])
        else:
            old, rows = index.rows(before), index.rows(after)
            if self._is_large or rows[: len(old)] != old:
                known = diagnosis.said(self.messages, self.directory)
                raise known or index.damaged("openssl changed more of it than it should")
            new = rows[len(old) :]
        self._set_index(self.index + after[len(before) :] if self._is_large else after)
        return new

    def require_changed(self, states: Mapping[str, str]) -> None:
        """Raise DatabaseCaError unless openssl put exactly the rows of these serials into these states."""
        before, after = self.visible, self._staged_index()
        old_rows, new_rows = index.rows(before), index.rows(after)

        def fits(old: Row, new: Row) -> bool:
            if old.serial in states:
                return new.state == states[old.serial] and new._replace(state=old.state, revoked=old.revoked) == old
            return new == old

        if len(new_rows) != len(old_rows) or not all(map(fits, old_rows, new_rows)):
            raise diagnosis.said(self.messages, self.directory) or index.damaged(
                "openssl did not change what it should"
            )
        if self._is_large:
            whole = self.index
            for old, new in zip(before.split(b"\n"), after.split(b"\n"), strict=True):
                if new != old:
                    whole = whole.replace(old + b"\n", new + b"\n", 1)  # unique, since the serial is in it
            after = whole
        self._set_index(after)

    def expire(self, serial: str) -> None:
        """Mark a valid row as expired in the staged index, where openssl has no command for it."""
        state = rf"^{index.VALID}(?=\t\w+\t\t{serial}\t)".encode()
        self._set_index(re.sub(state, index.EXPIRED.encode(), self.index, flags=re.MULTILINE))

    def commit(self, deciding: Iterable[str], following: Iterable[str] = (), backups: Iterable[str] = ()) -> None:
        """Make it count, as `Transaction.commit` does."""
        if self._is_large and self.index is not self.base[INDEX]:
            self.write(INDEX, self.index)
            self.write(f"{INDEX}.old", self._before)  # openssl's has only what it saw
        else:
            self._stage_index()
        super().commit(deciding, following, backups)

    def next_serials(self, count: int) -> list[str]:
        """The serials that openssl will give, in hex. Raises DatabaseCaError where one of them is used already.

        A plain openssl writes the certificate first, then the serial file and the index: killed between, it leaves a
        certificate that may have been delivered, with a serial that the next one would get again.
        """
        serials = [index.serial_text(self.serial + number) for number in range(count)]
        known = {row.serial for row in index.some(self.index, serials=serials)}
        for serial in serials:
            if serial in known:
                raise DatabaseCaError(f"{SERIAL} is damaged: {serial} is used already", diagnosis.REPAIR)
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

    def _staged_index(self) -> bytes:
        data = self.staged(INDEX).read_bytes()
        if len(data) < len(self.visible) and (known := diagnosis.said(self.messages, self.directory)):
            raise known
        return data

    def _set_index(self, data: bytes) -> None:
        """Take over an index, which openssl sees as a whole then, and keep the one before for its `.old` file."""
        self._before, self.index, self.visible = self.index, data, data
        self._is_staged = False

    def _stage_index(self) -> None:
        """Write what openssl sees into the stage, once it needs it: a large index takes long to write."""
        if not self._is_staged:
            self.write(INDEX, self.visible)
            self._is_staged = True

    def _base(self, name: str) -> bytes:
        data = self.base[name]
        if data is None:
            raise DatabaseCaError(f"{self.directory / name} is missing", diagnosis.REPAIR)
        return data


BACKUPS = tuple(f"{name}.old" for name in (*DATABASE, CRL_NUMBER))
"""The copies of the state before, which openssl makes at each change."""
