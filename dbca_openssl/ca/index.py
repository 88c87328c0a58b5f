"""The index, `database-ca.index`: openssl's list of what was issued, six fields a line (ca(1), "FILES")."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from dbca_openssl.ca.layout import SERIAL
from dbca_openssl.dates import asn1_time, days_after
from dbca_openssl.diagnosis import REPAIR
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import comparable

VALID, REVOKED, EXPIRED = "V", "R", "E"

_DATE = r"(?:\d\d)?\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:[01]\d|2[0-3])[0-5]\d[0-5]\dZ"
_LINE = re.compile(
    r"^([VE](?=\t\w+\t\t)|R(?=\t\w+\t\d))"  # only what is revoked has a date of it
    rf"\t({_DATE})\t((?:{_DATE}(?:,[^\t\n]*)?)?)\t((?:[0-9A-F][0-9A-F])+)\t[^\t\n]*\t([^\t\n]+)$",
    re.MULTILINE,
)

_HEX_DIGITS = set("0123456789ABCDEFabcdef")

_REASONS = {"keyTime": "keyCompromise", "CAkeyTime": "CACompromise", "holdInstruction": "certificateHold"}
"""What `openssl ca` writes for `-crl_compromise`, `-crl_CA_compromise` and `-crl_hold`, and the reason it means."""


class Row(NamedTuple):
    """One certificate: state, expiry, date and reason of revocation, serial in hex, subject as openssl prints it."""

    state: str
    until: str
    revoked: str
    serial: str
    subject: str

    @property
    def name(self) -> str:
        """The common name in the subject."""
        return common_name(self.subject)

    @property
    def end(self) -> datetime:
        """When the certificate expires."""
        return asn1_time(self.until)

    @property
    def revoked_at(self) -> datetime | None:
        """When it was revoked."""
        return asn1_time(self.revoked.split(",")[0]) if self.revoked else None

    @property
    def reason(self) -> str | None:
        """Why it was revoked, in the words of RFC 5280, or None."""
        parts = self.revoked.split(",")
        return _REASONS.get(parts[1], parts[1]) if len(parts) > 1 else None

    def status(self, at: datetime) -> str:
        """`valid`, `expired` or `revoked` at a time; openssl itself notices an expiry only at `-updatedb`."""
        if self.state == REVOKED:
            return "revoked"
        return "expired" if self.state == EXPIRED or self.end <= at else "valid"

    def is_ending(self, at: datetime, days: int) -> bool:
        """Whether it is valid at a time, but not for longer than `days` days from then on."""
        return self.status(at) == "valid" and self.end <= days_after(at, days)


@lru_cache(maxsize=2)  # most verbs read the same index before and after they take the lock
def rows(data: bytes) -> tuple[Row, ...]:
    """The rows of an index. Raises DatabaseCaError where openssl would misread it or lose a line."""
    return tuple(each(data))


def each(data: bytes) -> Iterator[Row]:
    """The same one after the other, for a million rows. Raises DatabaseCaError when it comes to the wrong line."""
    if data and not data.endswith(b"\n"):
        raise damaged("its last line has no line end, and openssl would drop it")
    begin = number = 0
    known: set[str] = set()
    while begin < len(data):
        end = data.find(b"\n", begin + _PIECE) + 1 or len(data)
        text = data[begin:end].decode("utf-8", "replace")
        found, count = _LINE.findall(text), text.count("\n")
        if len(found) != count:
            for line_number, line in enumerate(text.split("\n")[:-1], number + 1):
                if not line.startswith("#") and not _LINE.match(line):
                    raise damaged(f"line {line_number} is not one of its rows")
        days = {dates[:-7] for row in found for dates in (row[1], row[2].partition(",")[0]) if dates}
        for day in days - known:
            try:
                asn1_time(f"{day}000000Z")
            except ValueError:
                raise damaged(f"it has the date {day}, which no calendar has") from None
        begin, number, known = end, number + count, known | days
        yield from map(Row._make, found)


_PIECE = 1024 * 1024
"""Bytes of an index that are read at once."""

LARGE = 1024 * 1024
"""Bytes, about 12,000 rows: to read all rows of a larger index takes longer than to sign."""

_FEW = 20
"""Up to so many names and serials are searched one by one in a large index; for more all rows are read."""


def is_plain(data: bytes) -> bool:
    """Whether there are no comments. openssl drops them; without any it only appends to the bytes that are there."""
    return b"#" not in data or not (data.startswith(b"#") or b"\n#" in data)


def is_large(data: bytes) -> bool:
    """Whether single lines are searched in it (see `change.py`), instead of reading all rows."""
    return len(data) > LARGE and is_plain(data)


def some(
    data: bytes, *, names: Collection[str] = (), serials: Collection[str] = (), revoked: bool = False
) -> tuple[Row, ...]:
    """The rows of these names, in any spelling that is the same to a client, and with these serials in hex.

    With `revoked` also all that are revoked. Raises DatabaseCaError as `rows` does, of a large index only for the lines
    that it reads.
    """
    if is_large(data) and len(names) + len(serials) <= _FEW:
        data = b"".join(lines(data, names=names, serials=serials, revoked=revoked))
    wanted, numbers = set(map(comparable, names)), set(serials)
    return tuple(
        row
        for row in (each(data) if is_large(data) else rows(data))  # those of a large one are not kept
        if (wanted and comparable(row.name) in wanted) or row.serial in numbers or (revoked and row.state == REVOKED)
    )


def subject_of(data: bytes, serial: int) -> str | None:
    """The subject of the row with this serial, such as the CA's; None where there is none."""
    return next((row.subject for row in some(data, serials={serial_text(serial)})), None)


def lines(
    data: bytes, *, names: Collection[str] = (), serials: Collection[str] = (), revoked: bool = False
) -> list[bytes]:
    """The lines of the same rows, and perhaps of a few others, in their order."""
    needles = [(data, f"\t{serial}\t".encode()) for serial in serials]
    needles += [(data, f"\n{REVOKED}\t".encode())] if revoked else []
    if names:
        lowered = data.lower()
        needles += [(lowered, f"/cn={comparable(name)}".encode("utf-8", "surrogateescape")) for name in names]
    begins = set()
    for text, needle in needles:
        place = text.find(needle)
        while place >= 0:
            begins.add(data.rfind(b"\n", 0, place + 1) + 1)
            place = text.find(needle, place + 1)
    if revoked and data.startswith(REVOKED.encode()):
        begins.add(0)
    return [data[begin : data.find(b"\n", begin) + 1 or None] for begin in sorted(begins)]


def require_lines(data: bytes) -> None:
    """Raise DatabaseCaError where not every line has the fields of a row; their content is not checked."""
    if not data.endswith(b"\n") or data.count(b"\t") != 5 * data.count(b"\n"):
        raise damaged("one of its lines is not a whole row")


def damaged(why: str) -> DatabaseCaError:
    """The error for an index that is not as openssl writes it."""
    return DatabaseCaError(f"the index of the CA is damaged: {why}", REPAIR)


def common_name(subject: str) -> str:
    """The last CN of a subject such as `/O=example.net/CN=aiken.example.net`; openssl 3 escapes a `/` in it."""
    before, found, name = subject.rpartition("/CN=")
    if found and "/" not in name and not before.endswith("\\"):  # the usual case, and there may be 100,000
        return name
    parts = re.split(r"(?<!\\)/(?=[A-Za-z0-9.]+=)", subject)
    names = [part[3:] for part in parts if part.startswith("CN=")]
    return names[-1].replace("\\/", "/") if names else subject


def serial_text(serial: int) -> str:
    """A serial as openssl writes it in the index, the serial file and `newcerts/`: hex, an even number of digits."""
    digits = f"{serial:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"


def next_serial(data: bytes, name: str = SERIAL) -> int:
    """The serial of the next certificate, or the number of the next CRL, in the file `name`.

    Raises DatabaseCaError for content that openssl refuses.
    """
    text = data.decode("ascii", "replace").strip()
    if not text or len(text) % 2 or not set(text) <= _HEX_DIGITS:
        raise DatabaseCaError(f"{name} is damaged: {text[:40]!r} is not a number in hex", REPAIR)
    return int(text, 16)
