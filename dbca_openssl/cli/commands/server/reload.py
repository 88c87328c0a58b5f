"""`server reload`: have a server read new files, and see that it serves them."""

from dbca_openssl import dates
from dbca_openssl.ca import index
from dbca_openssl.ca.host_variables import BY_STATEMENT
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.cli import output, results, servers, terminal
from dbca_openssl.cli.options import Run, argument, verb
from dbca_openssl.database import reload as reloading
from dbca_openssl.database.client import Reached
from dbca_openssl.database.trust import Trust
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.x509 import Certificate


@verb("all", "connect", "ca", "server", "yes")
def reload(
    run: Run,
    server: str | None = argument("[HOST[:PORT]]", "The server, by the name in its certificate.", default=None),
) -> int:
    """Have a server read new files, and see that it serves them.

    \b
      dbca-openssl server reload aiken.example.net
      dbca-openssl server reload aiken.example.net --socket /tmp/mysql.sock
      dbca-openssl server reload --all

    The client connects to HOST, unless --socket or --host says otherwise. A server whose certificate has another name
    is refused before it reloads.

    With --all, each host in database-ca.hosts is reached over ssh, and its server reloaded by the host's own client, or
    by the command in dbca_reload.

    Certificate, key and CRL are read again. Nothing is interrupted: open sessions stay open, also those of a revoked
    client.
    """
    run.require_host_or_all(server)
    trust = run.trust()
    if server is None:
        return _reload_all(run, trust)
    trust.issued(servers.named(run, server)[0])
    with terminal.busy("asking the server"):
        reached = servers.reached(run, server)
        where, issued = reloading.reload(reached, trust, dates.now())
    return output.result(
        {"host": reached.name, **_document(issued)}, [f"{where}  has reloaded, and serves {_shown(issued)}"]
    )


def _reload_all(run: Run, trust: Trust) -> int:
    def reload_one(reached: Reached, host: KnownHost) -> Certificate:
        command = None if host.reload == BY_STATEMENT else host.reload
        return reloading.reload(reached, trust, dates.now(), command)[1]

    with terminal.busy("asking the servers"):
        outcomes = servers.each(run, reload_one)
    shown = [
        results.HostOutcome(host, outcome)
        if isinstance(outcome, DatabaseCaError)
        else results.HostOutcome(host, None, "reloaded", [f"reloaded, serves {_shown(outcome)}"], _document(outcome))
        for host, outcome in outcomes.items()
    ]
    return results.hosts(["SERVER"], shown)


def _shown(issued: Certificate) -> str:
    return f"serial {index.serial_text(issued.serial)}, valid until {dates.shown(issued.end)}"


def _document(issued: Certificate) -> dict[str, object]:
    return {"serial": index.serial_text(issued.serial), "not_after": issued.end}
