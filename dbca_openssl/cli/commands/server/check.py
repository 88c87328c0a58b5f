"""`server check`: ask a server about its TLS."""

from pathlib import Path

from dbca_openssl import dates
from dbca_openssl.cli import results
from dbca_openssl.cli.commands.server.probe import CANARY
from dbca_openssl.cli.options import Run, UsageError, argument, verb
from dbca_openssl.database import check as inspection
from dbca_openssl.database import probe as probes
from dbca_openssl.database.handshake import ClientCertificate
from dbca_openssl.finding import Finding


@verb("connect", "ca", "server")
def check(
    run: Run,
    server: str | None = argument(
        None, "[HOST[:PORT]]", "The server, by the name in its certificate, which is probed too."
    ),
    canary: tuple[Path, Path] | None = CANARY,
) -> int:
    """Ask a server about its TLS, and whether it is enforced.

    \b
      dbca-openssl server check --socket /run/mysqld/mysqld.sock
      dbca-openssl server check aiken.example.net

    Is it there, with which files, until when. The client connects to HOST, unless --socket or --host says otherwise.
    A server whose certificate has another name is not checked. Of the CRL only the file is judged, unless --canary
    shows that it is loaded.

    Exit codes, as monitoring plugins have them: 0 OK, 1 warning, 2 critical, 3 unknown or wrong usage.

    The guide: "Compatibility".
    """

    if canary and server is None:
        raise UsageError("--canary needs HOST, the server that must refuse it")

    def found() -> list[Finding]:
        at = dates.now()
        trust = run.trust() if run.ca is not None or server is not None else None
        if server is None or trust is None:
            client, kind = run.client()
            return inspection.inspect(client, kind, run.program(), trust, at)
        name, where, client, kind = run.server_and_client(server)
        inspection.require_named(client, trust.openssl, name)
        what = probes.Probe(trust, name, where, ClientCertificate(*canary) if canary else None)
        return [*inspection.inspect(client, kind, run.program(), trust, at), *probes.probe(what, at)]

    return results.ask_server(server or run.host or "server", found)
