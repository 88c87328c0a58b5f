"""The verb sign."""

from typing import Annotated

import typer

from dbca_openssl.ca import sign as signing
from dbca_openssl.ca.layout import CERTIFICATE, CRL
from dbca_openssl.ca.sign import Period
from dbca_openssl.cli import issuing, options, output
from dbca_openssl.cli.options import (
    AllowAltNames,
    Ca,
    Cap,
    Days,
    Json,
    LockTimeout,
    OpenSSLProgram,
    PassphraseDescriptor,
    PassphraseFile,
    Print,
    UsageError,
    Verbose,
    Yes,
)
from dbca_openssl.cli.progress import busy
from dbca_openssl.names import alternative_name


def sign(
    what: Annotated[
        list[str] | None, typer.Argument(metavar="NAME|FILE...", help="A name in certreqs/, or a request file.")
    ] = None,
    ca: Ca = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every request in certreqs/ that has no certificate yet.")
    ] = False,
    days: Days = None,
    cap: Cap = False,
    allow_alt_name: AllowAltNames = None,
    yes: Yes = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseDescriptor = None,
    lock_timeout: LockTimeout = None,
    print_: Print = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Vet, show and sign requests: all of them, or none.

    \b
      scp aiken.example.net:/etc/mysql/ssl/aiken.example.net.req.pem certreqs/
      dbca-openssl sign aiken.example.net
      dbca-openssl sign ~/Downloads/margaret.example.net.req.pem
      dbca-openssl sign --allow-alt-name db.example.net --yes gannibal.example.net
      dbca-openssl sign --all --passphrase-file ~/.dbca-passphrase --yes

    The guide: "Sign Certificates".
    """
    if bool(what) == every:
        raise UsageError("name requests, or say --all for every one that waits")
    authority = options.authority(ca, openssl, lock_timeout)
    period = Period(days, cap)
    wanted = signing.waiting(authority) if every else list(dict.fromkeys(what or []))
    if not wanted:
        output.result({"signed": []}, ["no request in certreqs/ is waiting"])
        return
    with busy("vetting"):
        proposals = signing.propose(authority, wanted, period)
    allowed = {alternative_name(text)[1] for text in allow_alt_name or []}
    if print_:
        issuing.consent(proposals, allowed, ask=False)
        output.script(signing.plan(options.printable(authority, passphrase_file), proposals, period).script())
        return
    output.show(line for proposal in proposals for line in issuing.proposal_lines(proposal))
    issuing.consent(proposals, allowed, ask=not yes)
    options.confirm("Sign it?" if len(proposals) == 1 else f"Sign these {len(proposals)}?", yes)
    authority = options.unlocked(authority, passphrase_file, passphrase_fd)
    signed = signing.sign(authority, proposals, period)
    output.result(
        {"signed": [issuing.document(one) for one in signed]},
        [
            *issuing.signed_lines(signed),
            "next, deliver it with the authority's certificate and revocation list:",
            *issuing.deliveries(authority, signed, f"{CERTIFICATE} {CRL} "),
        ],
    )
