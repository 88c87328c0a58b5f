"""One static page about a CA: a time line of what expires when, the CRL, revocations, and what `check` finds."""

from __future__ import annotations

from collections import Counter
from datetime import MAXYEAR, UTC, datetime, timedelta

from dbca_openssl import __version__, dates, render
from dbca_openssl.ca import check as checking
from dbca_openssl.ca import listing
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import Authority

MOST_TICKS, RIGHTMOST_TICK = 6, 92
"""How many dates fit beside each other on a telephone, and how far to the right the last may be, in per cent."""

_STEPS = (1, 3, 6, 12, 24, 60, 120, 240, 600, 1200, 12_000, 24_000)
"""Months from one of them to the next; the last is for the year 9999, which means never (RFC 5280, 4.1.2.5)."""


def page(authority: Authority) -> str:
    """The page as HTML; it needs no script and nothing from a network. Raises DatabaseCaError where there is no CA."""
    status = listing.status(authority)
    checked = checking.check(authority, checking.Limits())
    at = status.at
    current = [row for row in status.rows if row.status(at) == "valid"]
    # the line ends with the last certificate: the CA is valid for years more, which would crowd them at its beginning
    ends = [row.end for row in current] or [status.own.end]
    if status.revocation_list:
        ends.append(status.revocation_list.end)
    last = max([at + timedelta(days=1), *ends])
    return render.rendered(
        "report.html.j2",
        version=__version__,
        at=dates.shown(at),
        directory=str(authority.directory),
        authority=status.own.common_name,
        authority_end=_moment(status.own.end, at, last),
        list_end=_moment(status.revocation_list.end, at, last) if status.revocation_list else None,
        counts=status.counts(),
        level=checked.level.name.lower(),
        findings=[
            {"level": finding.level.name.lower(), "text": finding.text, "fix": finding.fix}
            for finding in sorted(checked.findings, key=lambda finding: -finding.level)
        ],
        certificates=[_certificate(row, at, last) for row in sorted(status.rows, key=lambda row: row.end)],
        reasons=Counter(row.reason or "no reason given" for row in status.rows if row.status(at) == "revoked"),
        ticks=_ticks(at, last),
    )


def _moment(end: datetime, at: datetime, last: datetime) -> dict[str, object]:
    """When something expires: the date, the days left, and how far along the time line it is, in per cent."""
    return {
        "date": f"{end:%Y-%m-%d}",
        "days": dates.days_left(end, at),
        "place": round(min(100.0, max(0.0, 100 * (end - at) / (last - at))), 2),
        "beyond": end > last,
    }


def _certificate(row: Row, at: datetime, last: datetime) -> dict[str, object]:
    return _moment(row.end, at, last) | {
        "name": row.name,
        "serial": row.serial,
        "status": row.status(at),
        "reason": row.reason or "",
    }


def _ticks(at: datetime, last: datetime) -> list[dict[str, object]]:
    """The first of a few months or years on the time line, and how far along it they are, in per cent."""
    months = (last.year - at.year) * 12 + last.month - at.month
    step = next(step for step in _STEPS if months // step <= MOST_TICKS)
    first = (at.year * 12 + at.month - 1) // step * step
    whole = (divmod(first + number * step, 12) for number in range(1, MOST_TICKS + 2))
    moments = [datetime(year, month + 1, 1, tzinfo=UTC) for year, month in whole if year <= MAXYEAR]
    moments = [moment for moment in moments if 100 * (moment - at) <= RIGHTMOST_TICK * (last - at)]
    form = "%Y" if step % 12 == 0 else "%b %Y"
    return [{"text": f"{moment:{form}}", "place": round(100 * (moment - at) / (last - at), 2)} for moment in moments]
