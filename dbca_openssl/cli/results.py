"""What several verbs show in the same way: requests, certificates, a CRL, and what came of many hosts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca.layout import CRL, HOSTS, Authority, request_of
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.main import DONE, FAILED
from dbca_openssl.errors import DatabaseCaError

if TYPE_CHECKING:
    from dbca_openssl.ca.hosts import KnownHost
    from dbca_openssl.ca.sign import Proposal, Signed
    from dbca_openssl.crls import Crl

RELOAD = "have the servers read it: FLUSH SSL (MariaDB), ALTER INSTANCE RELOAD TLS (MySQL)"

CLIENTS_CRL = "each client with a CRL: once that has expired, it refuses every server"

NO_SAN = "none: Go and other TLS libraries refuse it (--profile modern)"
"""What a certificate without a SAN means."""


def require_consent(proposals: Sequence[Proposal], allowed: set[str] | frozenset[str], ask: bool) -> None:
    """Have each SAN allowed, by option or at the prompt: the requester must not choose. Raises DatabaseCaError."""
    for proposal in proposals:
        for name in proposal.request.names_beyond_its_own:
            if name in allowed:
                continue
            if not ask or not terminal.is_there():
                raise DatabaseCaError(
                    f"the request of {proposal.name} asks for the name {name} too, which nobody has allowed",
                    f"if it may have it: --allow-alt-name {shlex.quote(name)}",
                )
            terminal.confirm(f"May {proposal.name} be {name} too?")


def proposal_lines(proposal: Proposal) -> list[str]:
    """What a request asks for, before it is agreed to."""
    request = proposal.request
    names = ", ".join(f"{kind}:{name}" for kind, name in request.alternative_names)
    return [
        f"request {proposal.source or request_of(proposal.name)}",
        *output.fields(
            {
                "subject": f"CN={proposal.name}",
                "SAN": names or NO_SAN,
                "key": request.key,
                "until": dates.shown(proposal.end),
            }
        ),
    ]


def signed_lines(signed: Sequence[Signed]) -> list[str]:
    """Each new certificate: where it is, its serial, until when it is valid."""
    return [f"{one.path}  serial {one.serial}, valid until {dates.shown(one.end)}" for one in signed]


def signed_document(one: Signed) -> dict[str, Any]:
    """A new certificate with --json."""
    return {"name": one.name, "serial": one.serial, "certificate": one.path, "not_after": one.end}


def command(authority: Authority, *words: str) -> str:
    """A command to be typed here for this CA."""
    here = Path.cwd()
    ca = [] if authority.directory in (here, here / "database-ca") else ["--ca", str(authority.directory)]
    return output.command(*words, *ca)


def known_hosts(authority: Authority) -> Mapping[str, KnownHost]:
    """The CA's list by name; empty where it cannot be read, which is said where it is needed."""
    if authority.path(HOSTS).exists():
        from dbca_openssl.ca import hosts

        with suppress(DatabaseCaError):
            return hosts.read(authority).hosts
    return {}


def first_lines(authority: Authority, *, is_saved: bool) -> list[str]:
    """The commands for a CA that has signed nothing yet; a key without a pass phrase is none to keep."""
    with suppress(DatabaseCaError):
        is_saved = is_saved or not authority.key_is_encrypted()
    return [
        *([] if is_saved else [command(authority, "backup", "FILE.tar.gz") + "  # away from this device"]),
        command(authority, "enroll", "root@HOST", "--owner", "mysql") + "  # a host that ssh reaches",
        "dbca-openssl request NAME  # on any other host, or a client; here, with its NAME.req.pem in certreqs/:",
        command(authority, "sign", "NAME"),
    ]


def deploy_lines(authority: Authority, names: Sequence[str] = ()) -> list[str]:
    """The commands that bring their files to hosts and clients; without names, the public files to every host."""
    known = known_hosts(authority)
    servers = {name for name, host in known.items() if not host.is_client}
    clients = [name for name in names if name not in servers and ("@" in name or name in known)]
    reached = [name for name in names if name not in clients]
    commands = [["--local", name] for name in clients]
    if reached or not names:
        commands.insert(0, ["--all"] if servers and servers.issuperset(reached) and len(reached) != 1 else reached)
    return [f"  {command(authority, 'deploy', *(words or ['HOST']))}" for words in commands]


def crl_document(made: Crl | None) -> dict[str, object] | None:
    """A new CRL with --json."""
    if made is None:
        return None
    times = {"last_update": made.start, "next_update": made.end}
    return {"path": CRL, "number": made.number, **times, "left_out": made.left_out}


def crl_lines(authority: Authority, made: Crl) -> list[str]:
    """A new CRL, and what to do with it."""
    left_out = f", without {made.left_out} expired certificates" if made.left_out else ""
    return [f"{CRL}  number {made.number}, valid until {dates.shown(made.end)}{left_out}", *copy_lines(authority)]


def copy_lines(authority: Authority) -> list[str]:
    """What to do next with a public file of the CA that has changed."""
    local = f"  {command(authority, 'deploy', '--local')}  # {CLIENTS_CRL}"
    return ["next, deliver it to every host:", *deploy_lines(authority), local, f"and {RELOAD}"]


class HostOutcome(NamedTuple):
    """What came of one host: its cells in the table, and what --json says besides; without a state it failed."""

    host: KnownHost
    error: DatabaseCaError | None = None
    state: str = "failed"
    cells: Sequence[str] = ()
    more: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """The host with --json."""
        failure: dict[str, Any] = {"error": self.error.message, "hints": self.error.hints} if self.error else {}
        state = {"name": self.host.name, "destination": self.host.destination, "state": self.state}
        return state | failure | (self.more or {})


def hosts(
    heads: Sequence[str],
    outcomes: Sequence[HostOutcome],
    following: Sequence[str] | None = None,
    more: Mapping[str, object] | None = None,
) -> int:
    """Print what came of each host, and the errors; the exit code is 1 where there are any.

    Where files on hosts have changed, the servers are to read them next, unless something else is `following`. `more`
    is what --json has besides.
    """
    documents = [one.document() for one in outcomes]
    if following is None:
        following = [f"on each host, {RELOAD}"] if any(one.get("changed") for one in documents) else []
    rows = ((one.host.name, *(one.cells or [output.coloured(one.state)])) for one in outcomes)
    output.result({"hosts": documents, **(more or {})}, [*output.table(("HOST", *heads), rows), *next_lines(following)])
    errors = [one.error for one in outcomes if one.error]
    host_errors(errors)
    return FAILED if errors else DONE


def host_errors(errors: Sequence[DatabaseCaError]) -> None:
    """Print the errors of single hosts, which with --json are in its one document."""
    if not output.as_json:
        for error in errors:
            output.error(error)


def next_lines(commands: Sequence[str]) -> list[str]:
    """What to do next, if anything."""
    return ["next:", *(f"  {line}" for line in commands)] if commands else []
