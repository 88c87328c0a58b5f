"""The verbs that end a certificate: revoke, crl."""

import shlex
from typing import Annotated, get_args

import typer

from dbca_openssl import dates
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.ca.layout import CRL, Authority, issued
from dbca_openssl.ca.revoke import Reason, RevocationList
from dbca_openssl.cli import options, output
from dbca_openssl.cli.options import (
    Ca,
    Json,
    LockTimeout,
    NoCrl,
    OpenSSLProgram,
    PassphraseDescriptor,
    PassphraseFile,
    Print,
    Verbose,
    Yes,
)
from dbca_openssl.render import SSL_DIR


def revoke(
    what: Annotated[str, typer.Argument(metavar="NAME|SERIAL|FILE", help="Of a name every valid certificate.")],
    ca: Ca = None,
    reason: Annotated[
        Reason | None, typer.Option("--reason", metavar="REASON", help=f"Why: {', '.join(get_args(Reason))}.")
    ] = None,
    no_crl: NoCrl = False,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseDescriptor = None,
    lock_timeout: LockTimeout = None,
    print_: Print = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Revoke certificates, and make a new revocation list.

    \b
      dbca-openssl revoke aiken.example.net --reason keyCompromise
      dbca-openssl revoke 0A --reason cessationOfOperation --yes
      dbca-openssl revoke certs/margaret.example.net.cert.pem --no-crl

    Of a name every valid certificate is revoked. Certificates and list change together, or not at all.
    It counts for a server once the new list is there and read: see the commands that are printed.
    """
    authority = options.authority(ca, openssl, lock_timeout)
    rows = revocation.propose(authority, what)
    if print_:
        authority = options.printable(authority, passphrase_file)
        output.script(revocation.plan_revocation(authority, rows, reason, not no_crl).script())
        return
    output.show(f"revoke {row.name}, serial {row.serial}, until {dates.shown(row.end)}" for row in rows)
    options.confirm("Revoke it, for good?" if len(rows) == 1 else f"Revoke these {len(rows)}, for good?", yes)
    authority = options.unlocked(authority, passphrase_file, passphrase_fd)
    made = revocation.revoke(authority, rows, reason, not no_crl)
    output.result(
        {
            "revoked": [{"name": row.name, "serial": row.serial, "reason": reason} for row in rows],
            "crl": list_document(made) if made else None,
        },
        [
            *(f"{issued(row.serial)}  {row.name} is revoked" for row in rows),
            *(
                list_lines(authority, made)
                if made
                else ["next, when the new certificate is in place:", "  dbca-openssl crl"]
            ),
        ],
    )


def crl(
    ca: Ca = None,
    days: Annotated[
        int | None,
        typer.Option(
            "--days",
            metavar="N",
            min=1,
            max=3650,
            help="How long it is good for [default: the configuration's default_crl_days].",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseDescriptor = None,
    lock_timeout: LockTimeout = None,
    print_: Print = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make a new revocation list.

    \b
      dbca-openssl crl
      dbca-openssl crl --days 90 --passphrase-file ~/.dbca-passphrase

    Servers refuse every client once the one they have has ended.

    The guide: "Revocation List (CRL)".
    """
    authority = options.authority(ca, openssl, lock_timeout)
    authority.require()
    if print_:
        output.script(revocation.plan(options.printable(authority, passphrase_file), days).script())
        return
    made = revocation.renew_list(options.unlocked(authority, passphrase_file, passphrase_fd), days)
    output.result({"crl": list_document(made)}, list_lines(authority, made))


def list_document(made: RevocationList) -> dict[str, object]:
    """A new list for --json."""
    return {
        "path": CRL,
        "number": made.number,
        "last_update": dates.iso(made.start),
        "next_update": dates.iso(made.end),
    }


def list_lines(authority: Authority, made: RevocationList) -> list[str]:
    """What to say of a new list."""
    return [
        f"{CRL}  number {made.number}, until {dates.shown(made.end)}",
        "next, copy it to every host, and have the servers read it (FLUSH SSL, or ALTER INSTANCE RELOAD TLS):",
        f"  scp {shlex.quote(str(authority.path(CRL)))} HOST:{SSL_DIR}/",
    ]
