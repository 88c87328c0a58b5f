"""What sign and renew have in common: what they show, the consent that they ask for, and what comes next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from dbca_openssl import dates
from dbca_openssl.ca.layout import Authority, request_of
from dbca_openssl.ca.sign import Proposal, Signed
from dbca_openssl.cli import options, output
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.render import SSL_DIR


def consent(proposals: Sequence[Proposal], allowed: set[str] | frozenset[str], ask: bool) -> None:
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


def proposal_lines(proposal: Proposal) -> list[str]:
    """What a request asks for, before it is agreed to."""
    request = proposal.request
    names = ", ".join(f"{kind}:{name}" for kind, name in request.alternative_names)
    return [
        f"request {proposal.source or request_of(proposal.name)}",
        *output.fields(
            (
                ("subject", f"CN={proposal.name}"),
                ("names", names or "none beside it"),
                ("key", request.key),
                ("until", dates.shown(proposal.end)),
            )
        ),
    ]


def signed_lines(signed: Sequence[Signed]) -> list[str]:
    """Each new certificate: where it is, its serial, until when."""
    return [f"{one.path}  serial {one.serial}, until {dates.shown(one.end)}" for one in signed]


def deliveries(authority: Authority, signed: Sequence[Signed], with_them: str) -> list[str]:
    """The commands that bring certificates, and the files `with_them`, to their hosts."""
    shown = [f"  scp {with_them}{one.path} {one.name}:{SSL_DIR}/" for one in signed[:3]]
    more = [f"  ... and so on for {len(signed) - 3} more"] if len(signed) > 3 else []
    return [f"  cd {shlex.quote(str(authority.directory))}", *shown, *more]


def document(one: Signed) -> dict[str, str]:
    """A new certificate with --json."""
    return {"name": one.name, "serial": one.serial, "certificate": one.path, "not_after": dates.iso(one.end)}
