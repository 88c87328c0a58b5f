"""What a check finds, in the language of monitoring plugins: OK, warning, critical, unknown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from dbca_openssl import dates

REPAIR = "dbca-openssl repair"

FROM_A_BACKUP = "bring it back from a backup"

CERTIFICATE_DAYS, CRL_DAYS = 30, 15
"""A server's certificate, or CRL, that is valid for fewer days is a warning."""


class Level(IntEnum):
    """How bad it is; the values are the exit codes that Nagios and its successors read."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


OK, WARNING, CRITICAL, UNKNOWN = Level


class Finding(NamedTuple):
    """One thing that was checked: how bad it is, a word for programs, a line about it, and how to fix it.

    Where it is about something that expires, `end` is when.
    """

    level: Level
    code: str
    text: str
    fix: str = ""
    end: datetime | None = None


def worst(findings: Iterable[Finding]) -> Level:
    """The level of the whole: what is known to be critical counts more than what is not known."""
    levels = {finding.level for finding in findings}
    return next((level for level in (CRITICAL, UNKNOWN, WARNING) if level in levels), OK)


def until(code: str, end: datetime, at: datetime, days: int, what: str = "") -> Finding:
    """Whether `end` is at least `days` days after `at`; `what` is said before the date."""
    left = dates.days_left(end, at)
    lead = f"{what}, " if what else ""
    if end <= at:
        return Finding(CRITICAL, code, f"{lead}expired on {dates.shown(end)}", end=end)
    level = OK if left >= days else WARNING
    return Finding(level, code, f"{lead}valid until {dates.shown(end)} ({left} days)", end=end)
