"""`server probe`: connect as anybody can, and judge what the server shows."""

from pathlib import Path
from typing import Literal

from dbca_openssl import dates
from dbca_openssl.cli import findings, servers
from dbca_openssl.cli.commands.check import FORMAT
from dbca_openssl.cli.options import Run, UsageError, argument, option, verb
from dbca_openssl.database import probe as probes
from dbca_openssl.database.client import Reached
from dbca_openssl.database.handshake import ClientCertificate, Target
from dbca_openssl.database.trust import Trust
from dbca_openssl.finding import OK, Finding

CANARY = option(
    "--canary", "A revoked client certificate, which must be refused [default: that of crl --canary].", "CERT KEY"
)


@verb("all", "connect", "ca")
def probe(
    run: Run,
    server: str | None = argument("[HOST[:PORT]]", "The server, by the name in its certificate.", default=None),
    canary: tuple[Path, Path] | None = CANARY,
    client: tuple[Path, Path] | None = option(
        "--client", "A valid client certificate, which must be let in.", "CERT KEY"
    ),
    format_: Literal["text", "prometheus"] = FORMAT,
) -> int:
    """Connect as anybody can, and judge what the server shows.

    \b
      dbca-openssl server probe aiken.example.net
      dbca-openssl server probe aiken.example.net:3307 --connect 192.0.2.7:3307
      dbca-openssl server probe aiken.example.net --ca /etc/mysql/ssl \\
          --canary revoked.cert.pem revoked.key.pem
      dbca-openssl server probe --all
      dbca-openssl server probe --all --format prometheus > servers.prom

    It is compared with what was issued, and needs no account. Only a canary shows which CRL the server has loaded.

    With --all, each host in database-ca.hosts is reached over ssh, and its own openssl connects to its server.

    The log of the server shows a refused login of the user dbca-openssl. A canary that is refused is a connection error
    to the server; after max_connect_errors of them without a login in between it blocks this host, so run it after a
    change, and not from cron on a host that has nothing else to do with the server.

    Exit codes, as monitoring plugins have them: 0 OK, 1 warning, 2 critical, 3 unknown or wrong usage.
    """

    run.require_host_or_all(server)
    if run.all_ and client:
        raise UsageError("--client needs a HOST: with --all, its key would be sent to every host")
    refused = servers.canary(run, canary)

    def on_host(trust: Trust, reached: Reached) -> list[Finding]:
        where = reached.where or Target("127.0.0.1")
        return probes.probe(probes.Probe(trust, reached.name, where, refused, there=reached.client.there), dates.now())

    def found() -> tuple[list[Finding], list[str]]:
        trust = run.trust()
        if server is None:
            by_server = servers.findings(run, lambda reached: on_host(trust, reached))
            return servers.with_names(by_server), _prometheus(by_server)
        accepted = ClientCertificate(*client) if client else None
        name, where = servers.named(run, server)
        of_one = probes.probe(probes.Probe(trust, name, where, refused, accepted), dates.now())
        return of_one, _prometheus({name: of_one})

    if format_ == "prometheus" and not run.json:
        return findings.metrics(_STATUS, found)
    return findings.ask_server(server or "servers", lambda: found()[0])


_STATUS = ("dbca_probe_status", "All servers together: 0 OK, 1 warning, 2 critical, 3 unknown")

_FACTS = {
    "server": "Whether the server answers",
    "protocol": "Whether the TLS version is new enough",
    "certificate": "Whether it serves the certificate that was issued",
    "chain": "Whether its certificate is of the CA, and for its name",
    "revocation": "Whether its certificate is not revoked",
    "validity": "Whether its certificate is valid today, and for long enough",
    "crl": "Whether the CRL of the CA is valid for long enough",
    "client": "Whether a valid client certificate is accepted",
    "canary": "Whether a revoked client certificate is refused, by the CRL that the server has loaded",
}
_ENDS = {
    "validity": ("dbca_probe_certificate_not_after_seconds", "When the certificate that it serves expires"),
    "crl": ("dbca_probe_crl_next_update_seconds", "When the CRL of the CA expires"),
}


def _prometheus(by_server: dict[str, list[Finding]]) -> list[str]:
    """A family for each fact, with a sample for each server, and when things expire."""
    levels: dict[str, dict[str, float]] = {code: {} for code in _FACTS}
    ends: dict[str, dict[str, float]] = {code: {} for code in _ENDS}
    for name, found in by_server.items():
        label = findings.labels(server=name)
        levels["server"][label] = OK
        for one in found:
            levels[one.code][label] = max(one.level, levels[one.code].get(label, OK))
            if one.end and one.code in ends:
                ends[one.code][label] = one.end.timestamp()
    words = "0 OK, 1 warning, 2 critical, 3 unknown"
    facts = (findings.metric(f"dbca_probe_{code}", f"{_FACTS[code]}: {words}", levels[code]) for code in _FACTS)
    return [
        line for lines in (*facts, *(findings.metric(*_ENDS[code], ends[code]) for code in _ENDS)) for line in lines
    ]
