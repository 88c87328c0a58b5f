"""`server reload`: have a server read new files, and see that it serves them."""

from dbca_openssl import dates
from dbca_openssl.ca import index
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.options import Run, argument, verb
from dbca_openssl.database import reload as reloading


@verb("connect", "ca", "server", "yes")
def reload(
    run: Run,
    server: str = argument(..., "HOST[:PORT]", "The server, by the name in its certificate."),
) -> int:
    """Have a server read new files, and see that it serves them.

    \b
      dbca-openssl server reload aiken.example.net
      dbca-openssl server reload aiken.example.net --socket /tmp/mysql.sock

    The client connects to HOST, unless --socket or --host says otherwise. A server whose certificate has another name
    is refused before it reloads.

    Certificate, key and CRL are read again. Nothing is interrupted: open sessions stay open, also those of a revoked
    client.
    """
    trust = run.trust()
    trust.issued(run.server(server)[0])
    with terminal.busy("asking the server"):
        name, where, client, kind = run.server_and_client(server)
        issued = reloading.reload(client, kind, trust, name, where, dates.now())
    serial = index.serial_text(issued.serial)
    return output.result(
        {"host": name, "serial": serial, "not_after": issued.end},
        [f"{where}  has reloaded, and serves serial {serial}, valid until {dates.shown(issued.end)}"],
    )
