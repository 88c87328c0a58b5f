"""`hosts`: the list of hosts as a table."""

from typing import Any

from dbca_openssl import dates
from dbca_openssl.ca import hosts as known_hosts
from dbca_openssl.ca import listing
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import HOSTS
from dbca_openssl.cli import output
from dbca_openssl.cli.main import DONE
from dbca_openssl.cli.options import Run, verb


@verb("ca")
def hosts(run: Run) -> int:
    """List the hosts and clients that the CA knows.

    \b
      dbca-openssl hosts
      dbca-openssl hosts --json | jq -r '.hosts[].name'
      ansible-inventory -i database-ca.hosts --list

    enroll, fetch and deploy enter what they reach into database-ca.hosts, with the options that it needed, and take
    them from there. Edit it by hand, for example to say where a server listens: comments and order are kept.
    """
    authority = run.existing_authority()
    known = known_hosts.read(authority).hosts.values()
    newest = {row.name: row for row in listing.certificates(authority)}
    if not known and not run.json:
        output.tell(f"no host in {HOSTS} yet; enroll, fetch and deploy enter those that they reach")
        return DONE
    return output.result(
        {"hosts": [_document(host, newest.get(host.name)) for host in known]},
        output.table(
            ("NAME", "SSH", "OWNER", "DIRECTORY", "FLAVOR", "LISTENS", "RELOAD", "PROFILE", "SERIAL", "UNTIL"),
            (_cells(host, newest.get(host.name)) for host in known),
        ),
    )


def _cells(host: KnownHost, row: Row | None) -> tuple[str, ...]:
    certificate: tuple[str, str] = ("-", "-")
    if row:
        status = row.status(dates.now())
        certificate = row.serial, f"{row.end:%Y-%m-%d}" if status == "valid" else output.coloured(status)
    if host.is_client:
        return host.name, "client", "-", "-", "-", "-", "-", host.profile, *certificate
    ssh = f"{host.destination}{f' port {host.port}' if host.port else ''}{' sudo' if host.sudo else ''}"
    server = host.owner or "-", host.directory, host.flavor or "-", host.connect or host.socket or "-", host.reload
    return host.name, ssh, *server, host.profile, *certificate


def _document(host: KnownHost, row: Row | None) -> dict[str, Any]:
    return host._asdict() | {
        "destination": host.destination,
        "alternative_names": [f"{kind}:{name}" for kind, name in host.alternative_names],
        "serial": row.serial if row else None,
        "status": row.status(dates.now()) if row else None,
        "not_after": row.end if row else None,
    }
