"""What a check found, in the language of monitoring plugins: fine, a warning, critical, unknown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.errors import DatabaseCaError

CERTIFICATE_DAYS, LIST_DAYS = 30, 15
"""A warning is due when a certificate, or a revocation list, ends within so many days."""


class UnreachableError(DatabaseCaError):
    """There is no server, it does not answer, or it does not speak TLS: what a check calls critical."""


class Level(IntEnum):
    """How bad it is; the values are the exit codes that Nagios and its heirs read."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class Finding(NamedTuple):
    """One thing that was looked at: what, how bad, and a line about it."""

    subject: str
    level: Level
    text: str


def worst(findings: Iterable[Finding]) -> Level:
    """The level of the whole: what is known to be critical counts more than what is not known."""
    levels = {finding.level for finding in findings}
    return next((level for level in (Level.CRITICAL, Level.UNKNOWN, Level.WARNING) if level in levels), Level.OK)


def until(subject: str, end: datetime, at: datetime, days: int, before: str = "") -> Finding:
    """Whether `end` is more than `days` days after `at`; `before` is said before the date."""
    left = dates.days_left(end, at)
    lead = f"{before}, " if before else ""
    if end <= at:
        return Finding(subject, Level.CRITICAL, f"{lead}expired on {dates.shown(end)}")
    level = Level.OK if left >= days else Level.WARNING
    return Finding(subject, level, f"{lead}valid until {dates.shown(end)} ({left} days)")
