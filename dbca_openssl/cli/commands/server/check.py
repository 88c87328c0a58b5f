"""`server check`: ask a server about its TLS."""

from pathlib import Path

from dbca_openssl import dates
from dbca_openssl.cli import findings, servers
from dbca_openssl.cli.commands.server.probe import CANARY
from dbca_openssl.cli.options import Run, UsageError, argument, verb
from dbca_openssl.database import check as inspection
from dbca_openssl.database import probe as probes
from dbca_openssl.database.client import Reached
from dbca_openssl.database.trust import Trust
from dbca_openssl.finding import Finding


@verb("all", "connect", "ca", "server")
def check(
    run: Run,
    server: str | None = argument(
        "[HOST[:PORT]]", "The server, by the name in its certificate, which is probed too.", default=None
    ),
    canary: tuple[Path, Path] | None = CANARY,
) -> int:
    """Ask a server about its TLS, and whether it is enforced.

    \b
      dbca-openssl server check --socket /run/mysqld/mysqld.sock
      dbca-openssl server check aiken.example.net
      dbca-openssl server check --all

    Is it there, with which files, until when. The client connects to HOST, unless --socket or --host says otherwise.
    A server whose certificate has another name is not checked. Of the CRL only the file is judged, unless a canary
    shows that it is loaded.

    With --all, each host in database-ca.hosts is reached over ssh, and its server asked by the host's own client.

    Exit codes, as monitoring plugins have them: 0 OK, 1 warning, 2 critical, 3 unknown or wrong usage.

    The guide: "Compatibility".
    """

    if server is not None and run.all_:
        raise UsageError("name a HOST, or give --all")
    if canary and server is None and not run.all_:
        raise UsageError("--canary needs HOST, the server that must refuse it")
    shown = servers.canary(run, canary)

    def whole(reached: Reached, trust: Trust) -> list[Finding]:
        name, where, client = reached
        inspection.require_named(client, trust.openssl, name, inspection.server_files(client, trust)[0])
        what = probes.Probe(trust, name, where or inspection.listens(client), shown, there=client.there)
        at = dates.now()
        return [*inspection.inspect(client, client.server_flavor(), trust, at), *probes.probe(what, at)]

    def found() -> list[Finding]:
        if run.all_:
            trust = run.trust()
            return servers.with_names(servers.findings(run, lambda reached: whole(reached, trust)))
        if server is not None:
            return whole(servers.reached(run, server), run.trust())
        client, compared = servers.client(run), run.trust() if run.ca else None
        return inspection.inspect(client, client.server_flavor(), compared, dates.now())

    return findings.ask_server("servers" if run.all_ else server or run.host or "server", found)
