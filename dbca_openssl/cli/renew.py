"""The verb renew."""

from typing import Annotated

import typer

from dbca_openssl.ca import renew as renewal
from dbca_openssl.ca.layout import CRL
from dbca_openssl.ca.sign import Period
from dbca_openssl.cli import issuing, options, output
from dbca_openssl.cli.options import (
    AllowAltNames,
    Ca,
    Cap,
    Days,
    Json,
    LockTimeout,
    NoCrl,
    OpenSSLProgram,
    PassphraseDescriptor,
    PassphraseFile,
    Print,
    UsageError,
    Verbose,
    Yes,
)
from dbca_openssl.cli.progress import busy
from dbca_openssl.cli.revoke import list_document
from dbca_openssl.names import alternative_name
from dbca_openssl.render import SSL_DIR


def renew(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Hosts or clients.")] = None,
    ca: Ca = None,
    expiring: Annotated[
        int | None,
        typer.Option("--expiring", metavar="DAYS", min=0, help="Every one that ends within DAYS days, or has."),
    ] = None,
    days: Days = None,
    cap: Cap = False,
    allow_alt_name: AllowAltNames = None,
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
    """Sign stored requests again, superseding what was before.

    \b
      dbca-openssl renew aiken.example.net
      dbca-openssl renew --expiring 30 --passphrase-file ~/.dbca-passphrase --yes

    Deliver the new certificates first and the new revocation list after them. For a new key make a new request
    on the host, put it into certreqs/ in place of the old one, and renew.
    """
    if bool(names) == (expiring is not None):
        raise UsageError("name hosts or clients, or say --expiring DAYS")
    authority = options.authority(ca, openssl, lock_timeout)
    period = Period(days, cap)
    wanted = list(dict.fromkeys(names)) if names else renewal.expiring(authority, expiring or 0)
    if not wanted:
        output.result({"renewed": [], "crl": None}, [f"no certificate ends within {expiring} days"])
        return
    with busy("vetting"):
        renewals = renewal.propose(authority, wanted, period)
    allowed = {alternative_name(text)[1] for text in allow_alt_name or []}
    for one in renewals:
        if not print_:
            superseded = ", ".join(row.serial for row in one.superseded) or "none that is valid"
            key = "as before" if one.same_key else "a NEW key"
            lost = ", ".join(sorted(one.lost_names))
            more = (("its key", key), ("replaces", superseded), *((("loses", lost),) if lost else ()))
            output.show([*issuing.proposal_lines(one.proposal), *output.fields(more)])
        issuing.consent([one.proposal], allowed | one.names_before, ask=not yes and not print_)
    if print_:
        authority = options.printable(authority, passphrase_file)
        output.script(renewal.plan(authority, renewals, period, not no_crl).script())
        return
    options.confirm("Renew it?" if len(renewals) == 1 else f"Renew these {len(renewals)}?", yes)
    authority = options.unlocked(authority, passphrase_file, passphrase_fd)
    signed, made = renewal.renew(authority, renewals, period, not no_crl)
    output.result(
        {"renewed": [issuing.document(one) for one in signed], "crl": list_document(made) if made else None},
        [
            *issuing.signed_lines(signed),
            "next, deliver the certificates first:",
            *issuing.deliveries(authority, signed, ""),
            f"and when all of them are in place, {'the new' if made else 'make a new'} revocation list:",
            f"  scp {CRL} HOST:{SSL_DIR}/" if made else "  dbca-openssl crl",
        ],
    )
