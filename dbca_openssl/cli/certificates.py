"""The verbs that work on an authority that is there: sign, crl, verify, list, show, and the bare command."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from dbca_openssl import validity
from dbca_openssl.authority import index, inventory, revocation, signing, verification
from dbca_openssl.authority.inventory import Status
from dbca_openssl.authority.paths import CERTIFICATE, CRL, Authority, request_of
from dbca_openssl.authority.signing import Period, Proposal
from dbca_openssl.cli import options, output
from dbca_openssl.cli.options import (
    Ca,
    Json,
    LockTimeout,
    OpenSSLProgram,
    PassphraseDescriptor,
    PassphraseFile,
    Print,
    Verbose,
    Yes,
)
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import alternative_name
from dbca_openssl.passphrase import Passphrase
from dbca_openssl.render import SSL_DIR


def sign(
    what: Annotated[list[str], typer.Argument(metavar="NAME|FILE...", help="A name in certreqs/, or a request file.")],
    ca: Ca = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=36500, help="[default: default_days of the configuration]")
    ] = None,
    cap: Annotated[bool, typer.Option("--cap", help="Shorten what would outlive the authority's certificate.")] = False,
    allow_alt_name: Annotated[
        list[str] | None,
        typer.Option("--allow-alt-name", metavar="NAME", help="An alternative name that requests may ask for."),
    ] = None,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseDescriptor = None,
    lock_timeout: LockTimeout = None,
    print_: Print = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Sign requests, after each was vetted, shown and confirmed. All of them are signed, or none.

    \b
      scp aiken.example.net:/etc/mysql/ssl/aiken.example.net.req.pem certreqs/
      dbca-openssl sign aiken.example.net
      dbca-openssl sign ~/Downloads/margaret.example.net.req.pem
      dbca-openssl sign --allow-alt-name db.example.net --yes gannibal.example.net

    The guide: "Sign Certificates".
    """
    authority = options.authority(ca, openssl, lock_timeout)
    period = Period(days, cap)
    proposals = signing.propose(authority, list(dict.fromkeys(what)), period)
    if not print_:
        output.show(line for proposal in proposals for line in _proposed(proposal))
    _consent(proposals, allow_alt_name or [], ask=not yes and not print_)
    if print_:
        output.script(signing.plan(authority, proposals, period).script(options.given_passphrase(passphrase_file)))
        return
    options.confirm("Sign it?" if len(proposals) == 1 else f"Sign these {len(proposals)}?", yes)
    signed = signing.sign(authority, proposals, period, _secret(authority, passphrase_file, passphrase_fd))
    output.result(
        {
            "signed": [
                {
                    "name": one.name,
                    "serial": one.serial,
                    "certificate": one.path,
                    "not_after": validity.iso(one.end),
                }
                for one in signed
            ]
        },
        [
            *(f"{one.path}  serial {one.serial}, until {validity.shown(one.end)}" for one in signed),
            "next, deliver it with the authority's certificate and revocation list:",
            f"  cd {shlex.quote(str(authority.directory))}",
            *(f"  scp {CERTIFICATE} {CRL} {one.path} {one.name}:{SSL_DIR}/" for one in signed[:3]),
        ],
    )


def crl(
    ca: Ca = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=3650, help="[default: default_crl_days of the configuration]")
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseDescriptor = None,
    lock_timeout: LockTimeout = None,
    print_: Print = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make a new revocation list. Servers refuse every client once the one they have is over.

    \b
      dbca-openssl crl
      dbca-openssl crl --days 90 --passphrase-file ~/.dbca-passphrase

    The guide: "Revocation List (CRL)".
    """
    authority = options.authority(ca, openssl, lock_timeout)
    authority.require()
    if print_:
        output.script(revocation.plan(authority, days).script(options.given_passphrase(passphrase_file)))
        return
    made = revocation.renew_list(authority, days, _secret(authority, passphrase_file, passphrase_fd))
    output.result(
        {
            "crl": CRL,
            "number": made.number,
            "last_update": validity.iso(made.start),
            "next_update": validity.iso(made.end),
        },
        [
            f"{CRL}  number {made.number}, until {validity.shown(made.end)}",
            "next, copy it to every host, and have the servers read it (FLUSH SSL, or ALTER INSTANCE RELOAD TLS):",
            f"  scp {shlex.quote(str(authority.path(CRL)))} HOST:{SSL_DIR}/",
        ],
    )


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
    """Check a certificate as a server or client would: by openssl, strictly, against the revocation list.

    \b
      dbca-openssl verify aiken.example.net --host aiken.example.net
      dbca-openssl verify /etc/mysql/ssl/aiken.example.net.cert.pem
    """
    path = verification.verify(options.authority(ca, openssl), what, host)
    output.result({"certificate": str(path), "accepted": True}, [f"{path}: OK"])


def list_(
    ca: Ca = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List the certificates of hosts and clients: name, serial, until when, days left.

    \b
      dbca-openssl list
      dbca-openssl list --json | jq '.certificates[] | select(.days_left < 30).name'
    """
    rows = inventory.certificates(options.authority(ca, openssl))
    at = validity.now()
    if not rows and not output.as_json:
        output.tell("no certificate has been signed yet")
        return
    output.result(
        {"certificates": [_row_document(row, at) for row in rows]},
        output.table(
            ("NAME", "SERIAL", "UNTIL", "DAYS", "STATUS"),
            (
                (
                    row.name,
                    row.serial,
                    f"{row.end:%Y-%m-%d}",
                    str(validity.days_left(row.end, at)),
                    row.status(at) + (f" ({row.reason})" if row.reason else ""),
                )
                for row in rows
            ),
        ),
    )


def show(
    what: Annotated[str, typer.Argument(metavar="NAME|SERIAL|FILE", help="A name in certs/, a serial, or a file.")],
    ca: Ca = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Show one certificate: subject, names, validity, state, fingerprint.

    \b
      dbca-openssl show aiken.example.net
      dbca-openssl show 01
    """
    found = inventory.details(options.authority(ca, openssl), what)
    certificate, at = found.certificate, validity.now()
    status = found.row.status(at) if found.row else "not in the index"
    serial = index.serial_text(certificate.serial)
    document: dict[str, Any] = {
        "name": certificate.common_name,
        "serial": serial,
        "status": status,
        "alternative_names": [f"{kind}:{name}" for kind, name in found.alternative_names],
        "not_before": validity.iso(certificate.start),
        "not_after": validity.iso(certificate.end),
        "days_left": validity.days_left(certificate.end, at),
        "sha256": found.fingerprint,
        "path": found.path,
    }
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
                    ("from", validity.shown(certificate.start)),
                    ("until", f"{validity.shown(certificate.end)} ({document['days_left']} days)"),
                    ("sha256", found.fingerprint),
                    ("file", found.path),
                )
            ),
        ],
    )


def glance(ca: Any, openssl: str) -> None:
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
    status = inventory.status(authority)
    counts = {word: status.count(word) for word in ("valid", "expired", "revoked")}
    current = status.revocation_list
    following = _next(status)
    left = validity.days_left(status.own.end, status.at)
    output.result(
        {
            "directory": str(authority.directory),
            "common_name": status.own.common_name,
            "not_after": validity.iso(status.own.end),
            "days_left": left,
            "crl_next_update": validity.iso(current.end) if current else None,
            "crl_days_left": validity.days_left(current.end, status.at) if current else None,
            "certificates": counts,
            "waiting": status.waiting,
            "next": following,
        },
        [
            f"{status.own.common_name} in {authority.directory}",
            *output.fields(
                (
                    ("authority", f"until {validity.shown(status.own.end)} ({left} days)"),
                    (
                        "crl",
                        f"until {validity.shown(current.end)} ({validity.days_left(current.end, status.at)} days)"
                        if current
                        else "none",
                    ),
                    ("signed", ", ".join(f"{count} {word}" for word, count in counts.items())),
                    *((("waiting", ", ".join(status.waiting[:5])),) if status.waiting else ()),
                )
            ),
            "next:",
            *(f"  {line}" for line in following),
        ],
    )


def _next(status: Status) -> list[str]:
    """The commands that the state of the authority asks for."""
    lines = []
    if (
        status.revocation_list is None
        or validity.days_left(status.revocation_list.end, status.at) < inventory.SOON // 2
    ):
        lines.append("dbca-openssl crl")
    lines += [f"dbca-openssl sign {name}" for name in status.waiting[:5]]
    return lines or ["dbca-openssl list" if status.rows else "dbca-openssl request NAME  # on each host"]


def _secret(authority: Authority, file: Any, descriptor: int | None) -> Passphrase | None:
    return options.passphrase(file, descriptor) if authority.key_is_encrypted() else None


def _proposed(proposal: Proposal) -> list[str]:
    request = proposal.request
    names = ", ".join(f"{kind}:{name}" for kind, name in request.alternative_names)
    return [
        f"request {proposal.source or request_of(proposal.name)}",
        *output.fields(
            (
                ("subject", f"CN={proposal.name}"),
                ("names", names or "none beside it"),
                ("key", request.key),
                ("until", validity.shown(proposal.end)),
            )
        ),
    ]


def _consent(proposals: Sequence[Proposal], allowed: Sequence[str], ask: bool) -> None:
    """Every alternative name needs the signer's consent, by option or at the prompt; the requester must not choose."""
    known = {alternative_name(text)[1] for text in allowed}
    for proposal in proposals:
        for name in proposal.request.names_beyond_its_own:
            if name in known:
                continue
            if not ask or not options.terminal_is_there():
                raise DatabaseCaError(
                    f"the request of {proposal.name} asks for the name {name} too, which nobody has allowed",
                    f"if it may have it: --allow-alt-name {name}",
                )
            options.confirm(f"May {proposal.name} be {name} too?", yes=False)


def _row_document(row: index.Row, at: Any) -> dict[str, Any]:
    return {
        "name": row.name,
        "serial": row.serial,
        "status": row.status(at),
        "not_after": validity.iso(row.end),
        "days_left": validity.days_left(row.end, at),
        "revoked_at": validity.iso(row.revoked_at) if row.revoked_at else None,
        "reason": row.reason,
        "subject": row.subject,
    }
