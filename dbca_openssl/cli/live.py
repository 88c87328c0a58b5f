"""The verbs that look at a server that runs: server check, probe, reload."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dbca_openssl import dates, names
from dbca_openssl.ca import index
from dbca_openssl.cli import connection, output
from dbca_openssl.cli.connection import (
    CaOrCopies,
    ClientProgram,
    DefaultsFile,
    FlavorOption,
    Port,
    ServerHost,
    Socket,
    User,
)
from dbca_openssl.cli.options import Json, OpenSSLProgram, Verbose
from dbca_openssl.cli.progress import busy
from dbca_openssl.database import check as inspection
from dbca_openssl.database import handshake
from dbca_openssl.database import probe as probes
from dbca_openssl.database import reload as reloading
from dbca_openssl.database.findings import Finding, Level, UnreachableError, worst
from dbca_openssl.database.handshake import ClientCertificate, Target
from dbca_openssl.database.probe import Probe
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import OpenSSL

Connect = Annotated[
    str | None,
    typer.Option("--connect", metavar="ADDRESS[:PORT]", help="Where the server is [default: the host itself]."),
]


def check(
    server: Annotated[
        str | None, typer.Argument(metavar="[HOST[:PORT]]", help="Probe it too, under this name of its certificate.")
    ] = None,
    connect: Connect = None,
    ca: CaOrCopies = None,
    openssl: OpenSSLProgram = "openssl",
    flavor: FlavorOption = None,
    defaults_file: DefaultsFile = None,
    socket: Socket = None,
    host: ServerHost = None,
    port: Port = None,
    user: User = None,
    client_program: ClientProgram = None,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Ask a server about its TLS, and whether it is enforced.

    \b
      dbca-openssl server check --socket /run/mysqld/mysqld.sock
      dbca-openssl server check aiken.example.net --host aiken.example.net

    Is it there, with which files, until when.

    Exit codes, as monitoring plugins have them: 0 fine, 1 warning, 2 critical, 3 unknown.

    The guide: "Compatibility".
    """

    def look() -> list[Finding]:
        program = OpenSSL(openssl)
        at = dates.now()
        trust = connection.trust(ca, openssl) if ca is not None or server is not None else None
        client, kind = connection.client(client_program, flavor, defaults_file, socket, host, port, user)
        found = inspection.inspect(client, kind, program, trust, at)
        if server is not None and trust is not None:
            name, where = _named(server, connect)
            found += probes.probe(Probe(trust, name, where), at)
        return found

    return _report(server or host or "server", look)


def probe(
    server: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The server, by the name in its certificate.")],
    connect: Connect = None,
    canary: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--canary", metavar="CERT KEY", help="A revoked client certificate, which must be refused."),
    ] = None,
    client: Annotated[
        tuple[Path, Path] | None,
        typer.Option("--client", metavar="CERT KEY", help="A valid client certificate, which must be let in."),
    ] = None,
    ca: CaOrCopies = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Connect as anybody can, and judge what the server shows.

    \b
      dbca-openssl server probe aiken.example.net
      dbca-openssl server probe aiken.example.net:3307 --connect 192.0.2.7:3307
      dbca-openssl server probe aiken.example.net --ca /etc/mysql/ssl \\
          --canary revoked.cert.pem revoked.key.pem

    It is held against what was issued, and needs no account. The log of the server shows a refused login of the user
    dbca-openssl. A canary that is refused is a connection error to the server; after max_connect_errors of them without
    a login in between it blocks this host, so run it after a change, and not from cron on a host that has nothing else
    to do with the server.

    Exit codes, as monitoring plugins have them: 0 fine, 1 warning, 2 critical, 3 unknown.
    """

    def look() -> list[Finding]:
        name, where = _named(server, connect)
        what = Probe(
            connection.trust(ca, openssl),
            name,
            where,
            canary=ClientCertificate(*canary) if canary else None,
            valid_client=ClientCertificate(*client) if client else None,
        )
        return probes.probe(what, dates.now())

    return _report(server, look)


def reload(
    server: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The server, by the name in its certificate.")],
    connect: Connect = None,
    ca: CaOrCopies = None,
    openssl: OpenSSLProgram = "openssl",
    flavor: FlavorOption = None,
    defaults_file: DefaultsFile = None,
    socket: Socket = None,
    host: ServerHost = None,
    port: Port = None,
    user: User = None,
    client_program: ClientProgram = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Have a server read new files, and see that it serves them.

    \b
      dbca-openssl server reload aiken.example.net --socket /tmp/mysql.sock
      dbca-openssl server reload aiken.example.net --host aiken.example.net

    Certificate, key and revocation list are read again. Nothing is interrupted: sessions that are open stay open, those
    of a revoked client too.
    """
    name, where = _named(server, connect)
    trust = connection.trust(ca, openssl)
    trust.issued(name)
    with busy("asking the server"):
        client, kind = connection.client(client_program, flavor, defaults_file, socket, host, port, user)
        issued = reloading.reload(client, kind, trust, name, where, dates.now())
    serial = index.serial_text(issued.serial)
    output.result(
        {"host": name, "serial": serial, "not_after": dates.iso(issued.end)},
        [f"{where}  has reloaded, and serves serial {serial}, until {dates.shown(issued.end)}"],
    )


def lines(title: str, found: Sequence[Finding]) -> list[str]:
    """The findings for people: the worst level first, as monitoring shows the first line only."""
    level = worst(found)
    bad = [finding for finding in found if finding.level is not Level.OK]
    summary = "; ".join(f"{finding.subject}: {finding.text}" for finding in bad[:3]) or "all is well"
    rows = output.table(
        ("LEVEL", "WHAT", ""),
        ((output.coloured(finding.level.name.lower()), finding.subject, finding.text) for finding in found),
    )
    return [f"{output.coloured(level.name)} {title}: {summary}", *(f"  {row}".rstrip() for row in rows[1:])]


def document(found: Sequence[Finding]) -> dict[str, Any]:
    """The findings for programs."""
    return {
        "level": worst(found).name.lower(),
        "findings": [
            {"subject": finding.subject, "level": finding.level.name.lower(), "text": finding.text} for finding in found
        ],
    }


def _report(title: str, look: Any) -> int:
    """Print what `look` finds, and return its level; what keeps it from looking is critical, or else unknown."""
    try:
        with busy("asking the server"):
            found = look()
    except UnreachableError as error:
        output.error(error)
        return Level.CRITICAL
    except (DatabaseCaError, OSError) as problem:
        output.error(problem if isinstance(problem, DatabaseCaError) else DatabaseCaError(str(problem)))
        return Level.UNKNOWN
    output.result(document(found), lines(title, found))
    return worst(found)


def _named(server: str, connect: str | None) -> tuple[str, Target]:
    """The name in the certificate of a server, and where the server is."""
    named = handshake.target(server)
    where = handshake.target(connect) if connect else named
    return names.entity_name(named.host), where
