"""The verbs that issue certificates: sign, renew."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Annotated

import typer

from dbca_openssl import validity
from dbca_openssl.authority import renewal, signing
from dbca_openssl.authority.change import settle
from dbca_openssl.authority.paths import CERTIFICATE, CRL, Authority, request_of
from dbca_openssl.authority.signing import Period, Proposal, Signed
from dbca_openssl.cli import options, output
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
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import alternative_name
from dbca_openssl.render import SSL_DIR


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
    if not print_:
        settle(authority)
    wanted = signing.waiting(authority) if every else list(dict.fromkeys(what or []))
    if not wanted:
        output.result({"signed": []}, ["no request in certreqs/ is waiting"])
        return
    with busy("vetting"):
        proposals = signing.propose(authority, wanted, period)
    allowed = {alternative_name(text)[1] for text in allow_alt_name or []}
    if print_:
        _consent(proposals, allowed, ask=False)
        output.script(signing.plan(authority, proposals, period).script(options.given_passphrase(passphrase_file)))
        return
    output.show(line for proposal in proposals for line in _proposed(proposal))
    _consent(proposals, allowed, ask=not yes)
    options.confirm("Sign it?" if len(proposals) == 1 else f"Sign these {len(proposals)}?", yes)
    secret = options.secret_of(authority, passphrase_file, passphrase_fd)
    signed = signing.sign(authority, proposals, period, secret)
    output.result(
        {"signed": [_document(one) for one in signed]},
        [
            *_signed(signed),
            "next, deliver it with the authority's certificate and revocation list:",
            *_deliveries(authority, signed, f"{CERTIFICATE} {CRL} "),
        ],
    )


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
    if not print_:
        settle(authority)
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
            output.show([*_proposed(one.proposal), *output.fields((("its key", key), ("replaces", superseded)))])
        _consent([one.proposal], allowed | one.names_before, ask=not yes and not print_)
    if print_:
        plan = renewal.plan(authority, renewals, period, not no_crl)
        output.script(plan.script(options.given_passphrase(passphrase_file)))
        return
    options.confirm("Renew it?" if len(renewals) == 1 else f"Renew these {len(renewals)}?", yes)
    secret = options.secret_of(authority, passphrase_file, passphrase_fd)
    signed, made = renewal.renew(authority, renewals, period, not no_crl, secret)
    output.result(
        {"renewed": [_document(one) for one in signed], "crl": list_document(made) if made else None},
        [
            *_signed(signed),
            "next, deliver the certificates first:",
            *_deliveries(authority, signed, ""),
            f"and when all of them are in place, {'the new' if made else 'make a new'} revocation list:",
            f"  scp {CRL} HOST:{SSL_DIR}/" if made else "  dbca-openssl crl",
        ],
    )


def _consent(proposals: Sequence[Proposal], allowed: set[str] | frozenset[str], ask: bool) -> None:
    """Every alternative name needs the signer's consent, by option or at the prompt; the requester must not choose."""
    for proposal in proposals:
        for name in proposal.request.names_beyond_its_own:
            if name in allowed:
                continue
            if not ask or not options.terminal_is_there():
                raise DatabaseCaError(
                    f"the request of {proposal.name} asks for the name {name} too, which nobody has allowed",
                    f"if it may have it: --allow-alt-name {name}",
                )
            options.confirm(f"May {proposal.name} be {name} too?", yes=False)


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


def _signed(signed: Sequence[Signed]) -> list[str]:
    return [f"{one.path}  serial {one.serial}, until {validity.shown(one.end)}" for one in signed]


def _deliveries(authority: Authority, signed: Sequence[Signed], with_them: str) -> list[str]:
    shown = [f"  scp {with_them}{one.path} {one.name}:{SSL_DIR}/" for one in signed[:3]]
    more = [f"  ... and so on for {len(signed) - 3} more"] if len(signed) > 3 else []
    return [f"  cd {shlex.quote(str(authority.directory))}", *shown, *more]


def _document(one: Signed) -> dict[str, str]:
    return {"name": one.name, "serial": one.serial, "certificate": one.path, "not_after": validity.iso(one.end)}
