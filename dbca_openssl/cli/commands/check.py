"""`check`: what is wrong with the CA's directory, or with the files of a host, or will be soon."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from dbca_openssl.ca import check as checking
from dbca_openssl.ca import listing
from dbca_openssl.ca.index import VALID
from dbca_openssl.ca.layout import CONFIGURATION, Authority
from dbca_openssl.cli import findings, output, terminal
from dbca_openssl.cli.options import Run, flag, option, verb
from dbca_openssl.finding import Finding
from dbca_openssl.render import SSL_DIR

FORMAT = option("--format", "For people, or for node_exporter's textfiles.", default="text")


@verb("ca", "ssl_dir", "print_")
def check(
    run: Run,
    warn_days: int = option(
        "--warn-days", "Fewer days left than this are a warning.", "N", 0, default=checking.WARN_DAYS
    ),
    critical_days: int = option(
        "--critical-days", "Fewer days left than this are critical.", "N", 0, default=checking.CRITICAL_DAYS
    ),
    deep: bool = flag("--deep", "Read every certificate file, not just the newest thousand."),
    format_: Literal["text", "prometheus"] = FORMAT,
) -> int:
    """Find what is wrong or will be soon, for cron and monitoring.

    \b
      dbca-openssl check
      dbca-openssl check --warn-days 60 --json
      dbca-openssl check --format prometheus > database-ca.prom
      sudo dbca-openssl check --ssl-dir /etc/mysql/ssl
      dbca-openssl check --print > check.sh

    No pass phrase is needed, and a copy that export --public has made is enough.

    With --ssl-dir the files of this host are checked: CA, CRLs, certificates, and whether the keys fit. --print prints
    a script that finds the same with openssl alone; it takes another directory as its argument.

    Exit codes, as monitoring plugins have them: 0 OK, 1 warning, 2 critical, 3 unknown: there is no CA, it cannot be
    read, or the command line is wrong. A CRL is valid for weeks only: its limits are at most a quarter and an eighth
    of its validity.
    """
    limits = checking.Limits(warn_days, critical_days, deep)
    if run.print_:
        from dbca_openssl.host import check as on_host

        return output.script(on_host.script(run.ssl_dir or SSL_DIR, limits, "openssl", people=True))

    def found(with_metrics: bool) -> tuple[Sequence[Finding], list[str]]:
        with terminal.busy("checking"):
            if (directory := _of_host(run)) is not None:
                return _on_host(run, directory, limits)
            authority = run.authority(by_mode=False)
            checked = checking.check(authority, limits)
        return checked.findings, _prometheus(authority, checked) if with_metrics else []

    if format_ == "prometheus" and not run.json:
        return findings.metrics(_STATUS, lambda: found(True))
    return findings.show("", found(False)[0])


_STATUS = ("dbca_check_status", "0 OK, 1 warning, 2 critical, 3 unknown")


def _of_host(run: Run) -> Path | None:
    """The directory of a host that --ssl-dir or --ca names; None where it is that of a CA."""
    if run.ssl_dir:
        return Path(run.ssl_dir).absolute()
    if run.ca and not (run.ca / CONFIGURATION).exists():
        from dbca_openssl.host import check as on_host

        return run.ca.absolute() if on_host.is_hosts(run.ca) else None
    return None


def _on_host(run: Run, directory: Path, limits: checking.Limits) -> tuple[Sequence[Finding], list[str]]:
    from dbca_openssl.host import check as on_host

    found, ends = on_host.check(directory, limits, run.program())
    first = {kind: min(one.end for one in ends if one.kind == kind) for kind in {one.kind for one in ends}}
    certificates = [(one.name, one.serial, one.end) for one in ends if one.name]
    return found, _expiry(first.get("authority"), first.get("crl"), certificates)


def _prometheus(authority: Authority, checked: checking.Checked) -> list[str]:
    by_status = {findings.labels(status=word): checked.counts.get(word, 0) for word in ("valid", "expired", "revoked")}
    rows = listing.each(authority) if checked.counts else ()
    valid = ((row.name, row.serial, row.end) for row in rows if row.state == VALID)
    return [
        *findings.metric("dbca_certificates", "Certificates in the index by status", by_status),
        *_expiry(checked.authority_end, checked.list_end, valid),
    ]


def _expiry(
    authority: datetime | None, crl: datetime | None, certificates: Iterable[tuple[str, str, datetime]]
) -> list[str]:
    """When everything expires, each certificate once: with the same labels twice, Prometheus drops everything."""
    ends = {findings.labels(name=name, serial=serial): end.timestamp() for name, serial, end in certificates}
    own, of_crl = ({"": end.timestamp()} if end else None for end in (authority, crl))
    return [
        *findings.metric("dbca_authority_not_after_seconds", "When the CA certificate expires", own),
        *findings.metric("dbca_crl_next_update_seconds", "When the CRL expires", of_crl),
        *findings.metric("dbca_certificate_not_after_seconds", "When a certificate expires", ends),
    ]
