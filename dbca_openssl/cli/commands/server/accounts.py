"""`server accounts`: who may connect without TLS, and what the others must show."""

import shlex
from collections.abc import Sequence

from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.cli import output, results, servers, terminal
from dbca_openssl.cli.main import DONE, FAILED
from dbca_openssl.cli.options import Run, verb
from dbca_openssl.database import accounts as accounts_
from dbca_openssl.database.accounts import Entry
from dbca_openssl.database.client import Client, Reached
from dbca_openssl.errors import DatabaseCaError


@verb("all", "ca", "server")
def accounts(run: Run) -> int:
    """List the accounts, and the TLS that each requires.

    \b
      dbca-openssl server accounts
      dbca-openssl server accounts --host aiken.example.net
      dbca-openssl server accounts --all
      dbca-openssl server accounts --defaults-file ~/.my.cnf --json | jq .accounts

    Kinds: open, may connect without TLS; socket, without TLS too, but only by the local socket; tls, must use TLS.
    REQUIRES says what is required: ssl, any certificate of the CA (x509), or one with a certain subject or issuer.
    Those that cannot connect are counted: locked, role and system.

    With --all, each host in database-ca.hosts is reached over ssh, and its server asked by the host's own client.

    The guide: its warning that TLS is not enforced.
    """
    if not run.all_:
        with terminal.busy("asking the server"):
            document, lines = _asked(servers.client(run))
        return output.result(document, lines)

    def ask(reached: Reached, host: KnownHost) -> tuple[dict[str, object], list[str]]:
        there = (
            ["sudo"] * host.sudo + [reached.client.server_flavor()] + [f"--socket={host.socket}"] * bool(host.socket)
        )
        return _asked(reached.client, f" | ssh {host.destination} {shlex.join(there)}")

    with terminal.busy("asking the servers"):
        outcomes = servers.each(run, ask)
    documents, lines, errors = list[dict[str, object]](), list[str](), list[DatabaseCaError]()
    for host, outcome in outcomes.items():
        if isinstance(outcome, DatabaseCaError):
            errors.append(outcome)
            documents.append({"name": host.name, "error": outcome.message, "hints": outcome.hints})
        else:
            documents.append({"name": host.name, **outcome[0]})
            lines += [f"{host.name}:", *(f"  {line}" for text in outcome[1] for line in text.split("\n"))]
    output.result({"hosts": documents}, lines)
    results.host_errors(errors)
    return FAILED if errors else DONE


def _asked(client: Client, there: str = "") -> tuple[dict[str, object], list[str]]:
    """The accounts of a server, for --json and in lines."""
    found, closed = accounts_.accounts(client, client.server_flavor()), accounts_.secure_transport(client)
    documents = [
        {"account": one.account.shown(), **one.account._asdict(), "kind": one.kind, "requires": one.requires}
        for one in found
    ]
    return {"require_secure_transport": closed, "accounts": documents}, _lines(found, closed, there)


def _lines(found: Sequence[Entry], closed: bool, there: str = "") -> list[str]:
    shown = [entry for kind in ("open", "socket", "tls") for entry in found if entry.kind == kind]
    free = [entry for entry in shown if entry.kind != "tls"]
    others = {kind: sum(entry.kind == kind for entry in found) for kind in ("tls", "locked", "role", "system")}
    rows = ((entry.account.shown(), entry.kind, ", ".join(entry.requires) or "-") for entry in shown)
    return [
        *(output.table(("ACCOUNT", "KIND", "REQUIRES"), rows) if shown else ()),
        f"{len(free)} of {len(found)} accounts may connect without TLS; of the others, "
        + ", ".join(f"{count} {kind}" for kind, count in others.items()),
        "the server refuses all of them over TCP: require_secure_transport is on"
        if closed
        else "the server itself refuses none of them: require_secure_transport is off",
        *(("next:", f"  dbca-openssl server require {free[0].account.argument()} --ssl{there}") if free else ()),
    ]
