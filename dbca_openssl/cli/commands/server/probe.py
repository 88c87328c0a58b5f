"""`server probe`: connect as anybody can, and judge what the server shows."""

from pathlib import Path

from dbca_openssl import dates
from dbca_openssl.cli import results
from dbca_openssl.cli.options import Run, argument, option, verb
from dbca_openssl.database import probe as probes
from dbca_openssl.database.handshake import ClientCertificate
from dbca_openssl.finding import Finding

CANARY = option(None, "--canary", "A revoked client certificate, which must be refused.", "CERT KEY")


@verb("connect", "ca")
def probe(
    run: Run,
    server: str = argument(..., "HOST[:PORT]", "The server, by the name in its certificate."),
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

    It is compared with what was issued, and needs no account. Only --canary shows which CRL the server has loaded.

    The log of the server shows a refused login of the user dbca-openssl. A canary that is refused is a connection error
    to the server; after max_connect_errors of them without a login in between it blocks this host, so run it after a
    change, and not from cron on a host that has nothing else to do with the server.

    Exit codes, as monitoring plugins have them: 0 OK, 1 warning, 2 critical, 3 unknown or wrong usage.
    """

    def found() -> list[Finding]:
        what = probes.Probe(
            run.trust(),
            *run.server(server),
            canary=ClientCertificate(*canary) if canary else None,
            valid_client=ClientCertificate(*client) if client else None,
        )
        return probes.probe(what, dates.now())

    return results.ask_server(server, found)
