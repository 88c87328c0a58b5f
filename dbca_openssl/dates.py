"""Dates in the forms that openssl reads and writes. All are aware and in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def now() -> datetime:
    """This second, in UTC; the one place that reads the clock."""
    return datetime.now(UTC).replace(microsecond=0)


def authority_period(at: datetime, years: int) -> tuple[datetime, datetime]:
    """From yesterday to today in `years` years and a day, 00:00:00Z, as the guide types it with GNU date.

    29 February is 1 March in other years, as it is there.
    """
    midnight = _midnight(at)
    try:
        end = midnight.replace(year=midnight.year + years)
    except ValueError:
        end = midnight.replace(year=midnight.year + years, month=3, day=1)
    return midnight - timedelta(days=1), end + timedelta(days=1)


def openssl_time(at: datetime) -> str:
    """`YYYYMMDDHHMMSSZ`, which every openssl reads, and which has a century, unlike the guide's two digits."""
    return f"{at:%Y%m%d%H%M%S}Z"


def asn1_time(text: str) -> datetime:
    """A UTCTime (`YYMMDDHHMMSSZ`, 1950 to 2049) or a GeneralizedTime (`YYYYMMDDHHMMSSZ`), as the index has them.

    Raises ValueError for anything else.
    """
    digits = text.removesuffix("Z")
    if text == digits or not (digits.isascii() and digits.isdigit()) or len(digits) not in (12, 14):
        raise ValueError(f"not a time: {text}")
    if len(digits) == 12:
        digits = ("19" if digits >= "50" else "20") + digits
    return datetime.fromisoformat(f"{digits[:8]}T{digits[8:]}Z")


class Calendar:
    """The times of an index as seen from `at`; what those of one day have in common is worked out once."""

    def __init__(self, at: datetime) -> None:
        self._at, self._clock = at, f"{at:%H%M%S}Z"
        self._days: dict[str, tuple[str, int]] = {}

    def __call__(self, text: str) -> tuple[str, int, bool]:
        """The day as `2027-11-27`, the whole days left, and whether it is over; as `asn1_time` and `days_left` do."""
        day, clock = text[:-7], text[-7:]
        known = self._days.get(day)
        if known is None:
            midnight = asn1_time(f"{day}000000Z")
            known = self._days[day] = midnight.date().isoformat(), days_left(midnight, _midnight(self._at))
        shown, days = known
        return shown, days - (clock < self._clock), (days, clock) <= (0, self._clock)


def index_time(at: datetime) -> str:
    """As the index has it: two digits of the year until 2049, as X.509 wants it, four from then on."""
    return openssl_time(at) if at.year >= 2050 else openssl_time(at)[2:]


def printed_time(text: str) -> datetime:
    """`Jan 23 03:12:55 2027 GMT`, as `openssl crl -nextupdate` prints it in every locale. Raises ValueError."""
    month, day, clock, year, _ = text.split()
    hour, minute, second = clock.split(":")
    return datetime(int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=UTC)


def unix_time(seconds: int) -> datetime:
    """The time that many seconds after the beginning of 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def days_after(at: datetime, days: int) -> datetime:
    """`days` days after `at`, or the last second of the year 9999, behind which there are no dates."""
    try:
        return at + timedelta(days=days)
    except OverflowError:
        return datetime.max.replace(microsecond=0, tzinfo=UTC)


def days_left(until: datetime, at: datetime) -> int:
    """Whole days from `at` to `until`; negative after it."""
    return (until - at).days


def shown(at: datetime) -> str:
    """`2027-11-27 03:12:55Z`, for people."""
    return f"{at:%Y-%m-%d %H:%M:%S}Z"


def iso(at: datetime) -> str:
    """`2027-11-27T03:12:55Z`, for programs (RFC 3339)."""
    return f"{at:%Y-%m-%dT%H:%M:%S}Z"


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)
