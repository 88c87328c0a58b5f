"""What `check` wants to know of all rows of the index, read once: there may be a million, of which few are kept."""

from __future__ import annotations

from array import array
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from itertools import pairwise

from dbca_openssl import dates
from dbca_openssl.ca import index
from dbca_openssl.ca.index import Row
from dbca_openssl.names import is_entity_name
from dbca_openssl.x509 import Certificate


class Survey:
    """The rows of an index; those of the CA itself count only for serials and subjects.

    `not_in_index` are the serials of files without a row, `without_copy` the rows without a file, by serial. `chosen`
    are the rows whose files are to be read, by serial, and `newest` those of them that are the newest of their name;
    `newest_listed` are those of the names in the list of hosts.
    `changed` are all that are revoked, or have a serial above that of the last backup. `counts` are how many are
    `valid`, `expired` and `revoked`. Of the valid ones, `ending` expire in fewer than `warn_days` days or after the CA
    certificate, `bad_names` have names that no host can have, and `newest_valid` are the last thousand.
    """

    KEPT = 1000

    def __init__(
        self,
        data: bytes,
        own: Certificate | None,
        files: Collection[str],
        chosen: Collection[str],
        listed: Collection[str],
        later_than: int | None,
        warn_days: int,
        at: datetime,
    ) -> None:
        """Read the index `data` of the CA with the certificate `own`. Raises DatabaseCaError where it is damaged.

        `files` are the serials in `newcerts/`, `chosen` those whose files are to be read, `listed` the names in the
        list of hosts, and `later_than` is the highest serial of the last backup (None: there is none).
        """
        self.highest = max((int(serial, 16) for serial in files), default=-1)
        self.not_in_index = set(files)
        self.without_copy: dict[str, Row] = {}
        self.chosen: dict[str, Row] = {}
        self.newest: dict[str, Row] = {}
        self.newest_listed: dict[str, Row] = {}
        self.changed: list[Row] = []
        self.counts = {"valid": 0, "expired": 0, "revoked": 0}
        self.ending: list[Row] = []
        self.bad_names: list[Row] = []
        self.newest_valid: deque[Row] = deque(maxlen=self.KEPT)
        self._data = data
        self._serials, self._subjects = array("q"), array("q")
        own_left, own_subject = (
            dates.days_left(own.end, at) if own else 0,
            index.subject_of(data, own.serial) if own else None,
        )
        calendar = dates.Calendar(at)
        for row in index.each(data):
            number, is_revoked = int(row.serial, 16), row.state == index.REVOKED
            self.highest = max(self.highest, number)
            self._serials.append(hash(row.serial))
            if row.serial in self.not_in_index:
                self.not_in_index.remove(row.serial)
            else:
                self.without_copy[row.serial] = row
            if row.serial in chosen:
                self.chosen[row.serial] = self.newest[row.name] = row
            elif self.newest:
                self.newest.pop(row.name, None)
            if is_revoked or (later_than is not None and number > later_than):
                self.changed.append(row)
            if row.state == index.VALID:
                self._subjects.append(hash(row.subject))
            if row.subject != own_subject:
                if listed and row.name in listed:
                    self.newest_listed[row.name] = row
                _, left, is_over = calendar(row.until)
                status = "revoked" if is_revoked else "expired" if is_over or row.state == index.EXPIRED else "valid"
                self.counts[status] += 1
                if row.state == index.VALID:
                    self._see_valid(row, left < warn_days or left >= own_left, status == "valid")
        if self.without_copy:
            for serial in self.without_copy.keys() & set(files):  # those that two rows have
                del self.without_copy[serial]

    def _see_valid(self, row: Row, is_ending: bool, is_valid: bool) -> None:
        if is_ending:
            self.ending.append(row)
        if is_valid:
            self.newest_valid.append(row)
        if not is_entity_name(row.name):
            self.bad_names.append(row)

    def serials_twice(self) -> dict[str, int]:
        """The serials that more than one row has, and how many have them."""
        return _twice(self._serials, lambda: (row.serial for row in index.each(self._data)))

    def subjects_twice(self) -> dict[str, int]:
        """The subjects that more than one valid row has, and how many have them."""
        rows = index.each
        return _twice(self._subjects, lambda: (row.subject for row in rows(self._data) if row.state == index.VALID))


def _twice(hashes: array[int], texts: Callable[[], Iterable[str]]) -> dict[str, int]:
    """The texts that are there more than once, whose hashes are these: they take a tenth of the memory."""
    repeated = {one for one, other in pairwise(sorted(hashes)) if one == other}
    counts = Counter(text for text in texts() if hash(text) in repeated) if repeated else {}
    return {text: count for text, count in counts.items() if count > 1}
