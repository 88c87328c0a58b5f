"""One static page about an authority: a time line of what ends when, the list, revocations, and what `check` finds."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from dbca_openssl import __version__, render, validity
from dbca_openssl.authority import checking, inventory
from dbca_openssl.authority.index import Row
from dbca_openssl.authority.paths import Authority

LEVELS = ("ok", "warning", "critical", "unknown")


def page(authority: Authority) -> str:
    """The page as HTML; it needs no script and nothing from a network. Raises DatabaseCaError without an authority."""
    status = inventory.status(authority)
    checked = checking.check(authority, checking.Limits())
    at = status.at
    current = [row for row in status.rows if row.status(at) == "valid"]
    last = max([status.own.end, *(row.end for row in current)])
    return render.report(
        version=__version__,
        at=validity.shown(at),
        directory=str(authority.directory),
        authority=status.own.common_name,
        authority_end=_moment(status.own.end, at, last),
        list_end=_moment(status.revocation_list.end, at, last) if status.revocation_list else None,
        counts={word: status.count(word) for word in ("valid", "expired", "revoked")},
        level=LEVELS[checked.level],
        findings=[
            {"level": LEVELS[finding.level], "text": finding.text, "mend": finding.mend}
            for finding in sorted(checked.findings, key=lambda finding: -finding.level)
        ],
        certificates=[_certificate(row, at, last) for row in sorted(status.rows, key=lambda row: row.end)],
        reasons=Counter(row.reason or "no reason given" for row in status.rows if row.status(at) == "revoked"),
        years=[_year(year, at, last) for year in range(at.year + 1, last.year + 1)],
    )


def _moment(end: datetime, at: datetime, last: datetime) -> dict[str, object]:
    """An end for the page: its date, the days left, and how far along the time line it is, in per cent."""
    return {
        "date": f"{end:%Y-%m-%d}",
        "days": validity.days_left(end, at),
        "place": round(max(0.0, 100 * (end - at) / (last - at)), 2),
    }


def _certificate(row: Row, at: datetime, last: datetime) -> dict[str, object]:
    return _moment(row.end, at, last) | {
        "name": row.name,
        "serial": row.serial,
        "status": row.status(at),
        "reason": row.reason or "",
    }


def _year(year: int, at: datetime, last: datetime) -> dict[str, object]:
    start = at.replace(year=year, month=1, day=1, hour=0, minute=0, second=0)
    return {"year": year, "place": round(100 * (start - at) / (last - at), 2)}
