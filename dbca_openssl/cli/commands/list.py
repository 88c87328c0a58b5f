"""`list`: the certificates in the index."""

from datetime import datetime
from typing import Any

from dbca_openssl import dates
from dbca_openssl.ca import listing
from dbca_openssl.ca.index import Row
from dbca_openssl.cli import output
from dbca_openssl.cli.main import DONE
from dbca_openssl.cli.options import Run, option, verb


@verb("ca")
def list_(
    run: Run,
    valid: bool = option(False, "--valid", "Those that are valid."),
    expired: bool = option(False, "--expired", "Those that have expired."),
    revoked: bool = option(False, "--revoked", "Those that are revoked."),
    expiring: int | None = option(None, "--expiring", "Those that expire within DAYS days.", "DAYS", 0),
) -> int:
    """List the certificates of hosts and clients.

    \b
      dbca-openssl list
      dbca-openssl list --expiring 30
      dbca-openssl list --expired --revoked
      dbca-openssl list --json | jq '.certificates[] | select(.days_left < 30)'

    Several filters add up.
    """
    rows = listing.certificates(run.authority())
    at = dates.now()
    wanted = {word for word, on in (("valid", valid), ("expired", expired), ("revoked", revoked)) if on}
    if wanted or expiring is not None:
        rows = [
            row for row in rows if row.status(at) in wanted or (expiring is not None and row.is_ending(at, expiring))
        ]
    if not rows and not run.json:
        output.tell("no such certificate" if wanted or expiring is not None else "no certificate has been signed yet")
        return DONE
    return output.result(
        {"certificates": [_document(row, at) for row in rows] if run.json else []},
        output.table(("NAME", "SERIAL", "UNTIL", "DAYS", "STATUS"), (_cells(row, at) for row in rows)),
    )


def _cells(row: Row, at: datetime) -> tuple[str, ...]:
    end, status = row.end, row.status(at)
    soon = row.is_ending(at, listing.SOON)
    return (
        row.name,
        row.serial,
        f"{end.year}-{end.month:02}-{end.day:02}",
        output.coloured(str(dates.days_left(end, at)), "warning" if soon else ""),
        output.coloured(status) + (f" ({row.reason})" if row.reason else ""),
    )


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
