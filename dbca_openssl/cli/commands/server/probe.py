"""`server probe`: connect as anybody can, and judge what the server shows."""

from pathlib import Path

from dbca_openssl import dates
from dbca_openssl.cli import results, servers
from dbca_openssl.cli.options import Run, UsageError, argument, option, verb
from dbca_openssl.database import probe as probes
from dbca_openssl.database.client import Reached
from dbca_openssl.database.handshake import ClientCertificate, Target
from dbca_openssl.database.trust import Trust
from dbca_openssl.finding import Finding

CANARY = option(
    None, "--canary", "A revoked client certificate, which must be refused [default: that of crl --canary].", "CERT KEY"
)


@verb("all", "connect", "ca")
def probe(
    run: Run,
    server: str | None = argument(None, "[HOST[:PORT]]", "The server, by the name in its certificate."),
    canary: tuple[Path, Path] | None = CANARY,
    client: tuple[Path, Path] | None = option(
        None, "--client", "A valid client certificate, which must be let in.", "CERT KEY"
    ),
) -> int:
    """Connect as anybody can, and judge what the server shows.

    \b
      dbca-openssl server probe aiken.example.net
      dbca-openssl server probe aiken.example.net:3307 --connect 192.0.2.7:3307
      dbca-openssl server probe aiken.example.net --ca /etc/mysql/ssl \\
          --canary revoked.cert.pem revoked.key.pem
      dbca-openssl server probe --all

    It is compared with what was issued, and needs no account. Only a canary shows which CRL the server has loaded.

    With --all, each host in database-ca.hosts is reached over ssh, and its own openssl connects to its server.

    The log of the server shows a refused login of the user dbca-openssl. A canary that is refused is a connection error
    to the server; after max_connect_errors of them without a login in between it blocks this host, so run it after a
    change, and not from cron on a host that has nothing else to do with the server.

    Exit codes, as monitoring plugins have them: 0 OK, 1 warning, 2 critical, 3 unknown or wrong usage.
    """

    if (server is None) != run.all_:
        raise UsageError("name a HOST, or give --all")
    if run.all_ and client:
        raise UsageError("--client needs a HOST: with --all, its key would be sent to every host")
    refused = servers.canary(run, canary)

    def found() -> list[Finding]:
        trust = run.trust()
        if server is None:
            return servers.of_hosts(servers.each(run, lambda reached, _: on_host(trust, reached)))
        accepted = ClientCertificate(*client) if client else None
        return probes.probe(probes.Probe(trust, *run.server(server), refused, accepted), dates.now())

    def on_host(trust: Trust, reached: Reached) -> list[Finding]:
        where = reached.where or Target("127.0.0.1")
        return probes.probe(probes.Probe(trust, reached.name, where, refused, there=reached.client.there), dates.now())

    return results.ask_server(server or "servers", found)
