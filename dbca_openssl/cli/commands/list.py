"""`list`: the certificates in the index."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from dbca_openssl import dates
from dbca_openssl.ca import index, listing
from dbca_openssl.ca.index import Row
from dbca_openssl.cli import output
from dbca_openssl.cli.main import DONE
from dbca_openssl.cli.options import Run, flag, option, verb


@verb("ca")
def list_(
    run: Run,
    valid: bool = flag("--valid", "Those that are valid."),
    expired: bool = flag("--expired", "Those that have expired."),
    revoked: bool = flag("--revoked", "Those that are revoked."),
    expiring: int | None = option("--expiring", "Those that expire within DAYS days.", "DAYS", 0),
) -> int:
    """List the certificates of hosts and clients.

    \b
      dbca-openssl list
      dbca-openssl list --expiring 30
      dbca-openssl list --expired --revoked
      dbca-openssl list --json | jq '.certificates[] | select(.days_left < 30)'

    Several filters add up.
    """
    authority, at = run.authority(), dates.now()
    wanted = {word for word, on in (("valid", valid), ("expired", expired), ("revoked", revoked)) if on}

    def rows() -> Iterator[Row]:
        found = listing.each(authority)
        if not wanted and expiring is None:
            return found
        return (
            row for row in found if row.status(at) in wanted or (expiring is not None and row.is_ending(at, expiring))
        )

    if run.json:
        for _ in rows():  # a damaged line is told before anything is printed
            pass
        return output.result({"certificates": (_document(row, at) for row in rows())}, ())
    found = rows()
    first = next(found, None)
    if first is None:
        filtered = wanted or expiring is not None
        output.tell("no such certificate" if filtered else "no certificate has been signed yet")
        return DONE
    calendar = dates.Calendar(at)
    words = {word: output.coloured(word) for word in ("valid", "expired", "revoked")}  # there may be a million rows
    cells = (_cells(row, calendar, words) for row in chain((first,), found))
    return output.result({}, output.table(("NAME", "SERIAL", "UNTIL", "DAYS", "STATUS"), cells))


def _cells(row: Row, calendar: dates.Calendar, words: Mapping[str, str]) -> tuple[str, ...]:
    day, left, is_over = calendar(row.until)
    days = str(left)
    if row.state == index.REVOKED:
        status = words["revoked"] + (f" ({row.reason})" if row.reason else "")
    elif row.state == index.EXPIRED or is_over:
        status = words["expired"]
    else:
        status = words["valid"]
        if left < listing.SOON:
            days = output.coloured(days, "warning")
    return row.name, row.serial, day, days, status


def _document(row: Row, at: datetime) -> dict[str, Any]:
    return {
        "name": row.name,
        "serial": row.serial,
        "status": row.status(at),
        "not_after": row.end,
        "days_left": dates.days_left(row.end, at),
        "revoked_at": row.revoked_at,
        "reason": row.reason,
        "subject": row.subject,
    }
