"""The verbs that only look: verify, list, show, and the bare command."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from dbca_openssl import dates
from dbca_openssl.ca import index, listing
from dbca_openssl.ca import verify as verification
from dbca_openssl.ca.listing import Status
from dbca_openssl.cli import options, output
from dbca_openssl.cli.options import Ca, Json, OpenSSLProgram, Verbose
from dbca_openssl.errors import DatabaseCaError


def verify(
    what: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A name in certs/, or a certificate file.")],
    ca: Ca = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="It must be good for this host name or address.")
    ] = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Ask openssl whether a server or client would accept it.

    \b
      dbca-openssl verify aiken.example.net --host aiken.example.net
      dbca-openssl verify /etc/mysql/ssl/aiken.example.net.cert.pem

    It is checked strictly, and against the revocation list.
    """
    path = verification.verify(options.authority(ca, openssl), what, host)
    output.result({"certificate": str(path), "accepted": True}, [f"{path}: {output.coloured('OK')}"])


def list_(
    ca: Ca = None,
    valid: Annotated[bool, typer.Option("--valid", help="Those that are valid.")] = False,
    expired: Annotated[bool, typer.Option("--expired", help="Those that have ended.")] = False,
    revoked: Annotated[bool, typer.Option("--revoked", help="Those that are revoked.")] = False,
    expiring: Annotated[
        int | None,
        typer.Option("--expiring", metavar="DAYS", min=0, help="Those that end within DAYS days."),
    ] = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List the certificates of hosts and clients.

    \b
      dbca-openssl list
      dbca-openssl list --expiring 30
      dbca-openssl list --expired --revoked
      dbca-openssl list --json | jq '.certificates[] | select(.days_left < 30)'

    Several filters add up.
    """
    rows = listing.certificates(options.authority(ca, openssl))
    at = dates.now()
    wanted = {word for word, on in (("valid", valid), ("expired", expired), ("revoked", revoked)) if on}
    if wanted or expiring is not None:
        rows = [
            row for row in rows if row.status(at) in wanted or (expiring is not None and row.is_ending(at, expiring))
        ]
    if not rows and not output.as_json:
        output.tell("no such certificate" if wanted or expiring is not None else "no certificate has been signed yet")
        return
    output.result(
        {"certificates": [_row_document(row, at) for row in rows] if output.as_json else []},
        output.table(
            ("NAME", "SERIAL", "UNTIL", "DAYS", "STATUS"),
            (_cells(row, at) for row in rows),
        ),
    )


def show(
    what: Annotated[str, typer.Argument(metavar="NAME|SERIAL|FILE", help="A name in certs/, a serial, or a file.")],
    ca: Ca = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show one certificate in full.

    \b
      dbca-openssl show aiken.example.net
      dbca-openssl show 01
    """
    found = listing.details(options.authority(ca, openssl), what)
    certificate, at = found.certificate, dates.now()
    status = found.row.status(at) if found.row else "not in the index"
    serial = index.serial_text(certificate.serial)
    document: dict[str, Any] = {
        "name": certificate.common_name,
        "serial": serial,
        "status": status,
        "revoked_at": dates.iso(found.row.revoked_at) if found.row and found.row.revoked_at else None,
        "reason": found.row.reason if found.row else None,
        "alternative_names": [f"{kind}:{name}" for kind, name in found.alternative_names],
        "not_before": dates.iso(certificate.start),
        "not_after": dates.iso(certificate.end),
        "days_left": dates.days_left(certificate.end, at),
        "sha256": found.fingerprint,
        "path": found.path,
    }
    status = output.coloured(status)
    if found.row and found.row.revoked_at:
        status += f" on {dates.shown(found.row.revoked_at)}" + (f", {found.row.reason}" if found.row.reason else "")
    names = ", ".join(document["alternative_names"]) or "none: clients compare the common name"
    output.result(
        document,
        [
            certificate.common_name,
            *output.fields(
                (
                    ("serial", serial),
                    ("status", status),
                    ("names", names),
                    ("from", dates.shown(certificate.start)),
                    ("until", f"{dates.shown(certificate.end)} ({document['days_left']} days)"),
                    ("sha256", found.fingerprint),
                    ("file", found.path),
                )
            ),
        ],
    )


def glance(ca: Path | None, openssl: str) -> None:
    """The bare command: the authority at a glance, and what to do next."""
    authority = options.authority(ca, openssl)
    try:
        authority.require()
    except DatabaseCaError:
        if ca is not None:
            raise
        output.result(
            {"directory": None, "next": ["dbca-openssl init --organization NAME"]},
            ["no authority here yet", "next:", "  dbca-openssl init --organization NAME", "  dbca-openssl --help"],
        )
        return
    status = listing.status(authority)
    counts = status.counts()
    current = status.revocation_list
    soon = status.ending_soon()
    following = _next(status, soon)
    left = dates.days_left(status.own.end, status.at)
    output.result(
        {
            "directory": str(authority.directory),
            "common_name": status.own.common_name,
            "not_after": dates.iso(status.own.end),
            "days_left": left,
            "crl_next_update": dates.iso(current.end) if current else None,
            "crl_days_left": dates.days_left(current.end, status.at) if current else None,
            "certificates": counts,
            "ending_soon": [row.name for row in soon],
            "waiting": status.waiting,
            "next": following,
        },
        [
            f"{status.own.common_name} in {authority.directory}",
            *output.fields(
                (
                    ("authority", _until(status.own.end, status.at, listing.SOON)),
                    (
                        "crl",
                        _until(current.end, status.at, listing.SOON // 2)
                        if current
                        else output.coloured("none", "critical"),
                    ),
                    ("signed", ", ".join(f"{count} {word}" for word, count in counts.items())),
                    *((("ending", output.coloured(_some([row.name for row in soon]), "warning")),) if soon else ()),
                    *((("waiting", _some(status.waiting)),) if status.waiting else ()),
                )
            ),
            "next:",
            *(f"  {line}" for line in following),
        ],
    )


def _until(end: datetime, at: datetime, soon: int) -> str:
    """When something ends, coloured where that is within `soon` days or past."""
    left = dates.days_left(end, at)
    word = "critical" if left < 0 else "warning" if left < soon else ""
    return f"until {dates.shown(end)} ({output.coloured(f'{left} days', word)})"


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _next(status: Status, soon: list[index.Row]) -> list[str]:
    """The commands that the state of the authority asks for."""
    lines = []
    if dates.days_left(status.own.end, status.at) < listing.SOON:
        lines.append("dbca-openssl init --renew")
    if status.revocation_list is None or dates.days_left(status.revocation_list.end, status.at) < listing.SOON // 2:
        lines.append("dbca-openssl crl")
    if len(status.waiting) > 3:
        lines.append("dbca-openssl sign --all")
    else:
        lines += [f"dbca-openssl sign {name}" for name in status.waiting]
    if soon:
        lines.append(f"dbca-openssl renew --expiring {listing.SOON}")
    return lines or ["dbca-openssl list" if status.rows else "dbca-openssl request NAME  # on each host"]


def _cells(row: index.Row, at: datetime) -> tuple[str, ...]:
    """A row of the list; one that ends soon in colour."""
    end, status = row.end, row.status(at)
    left = dates.days_left(end, at)
    ends_soon = status == "valid" and end <= at + timedelta(days=listing.SOON)
    return (
        row.name,
        row.serial,
        f"{end.year}-{end.month:02}-{end.day:02}",
        output.coloured(str(left), "warning" if ends_soon else ""),
        output.coloured(status) + (f" ({row.reason})" if row.reason else ""),
    )


def _row_document(row: index.Row, at: datetime) -> dict[str, Any]:
    return {
        "name": row.name,
        "serial": row.serial,
        "status": row.status(at),
        "not_after": dates.iso(row.end),
        "days_left": dates.days_left(row.end, at),
        "revoked_at": dates.iso(row.revoked_at) if row.revoked_at else None,
        "reason": row.reason,
        "subject": row.subject,
    }
