"""`check`: what is wrong with the CA's directory, or will be soon."""

from collections import Counter
from collections.abc import Mapping
from typing import Literal

from dbca_openssl import finding
from dbca_openssl.ca import check as checking
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.options import Run, option, verb
from dbca_openssl.errors import DatabaseCaError


@verb("ca")
def check(
    run: Run,
    warn_days: int = option(checking.WARN_DAYS, "--warn-days", "Fewer days left than this are a warning.", "N", 0),
    critical_days: int = option(
        checking.CRITICAL_DAYS, "--critical-days", "Fewer days left than this are critical.", "N", 0
    ),
    deep: bool = option(False, "--deep", "Read every certificate file, not just the newest thousand."),
    format_: Literal["text", "prometheus"] = option(
        "text", "--format", "For people, or for node_exporter's textfiles."
    ),
) -> int:
    """Find what is wrong or will be soon, for cron and monitoring.

    \b
      dbca-openssl check
      dbca-openssl check --warn-days 60 --json
      dbca-openssl check --format prometheus > database-ca.prom

    No pass phrase is needed.

    Exit codes, as monitoring plugins have them: 0 OK, 1 warning, 2 critical, 3 unknown: there is no CA, it cannot be
    read, or the command line is wrong. A CRL is valid for weeks only: its limits are at most a quarter and an eighth
    of its validity.
    """
    prometheus = format_ == "prometheus" and not run.json
    try:
        with terminal.busy("checking"):
            checked = checking.check(run.authority(by_mode=False), checking.Limits(warn_days, critical_days, deep))
    except DatabaseCaError as error:
        if not prometheus:
            raise
        output.verbatim({}, "\n".join(_metric(*_STATUS, {"": finding.UNKNOWN})))
        output.error(error)
        return finding.UNKNOWN
    if not prometheus:
        return results.findings("", checked.findings)
    output.verbatim({}, "\n".join(_prometheus(checked)))
    return checked.level


_STATUS = ("dbca_check_status", "0 OK, 1 warning, 2 critical, 3 unknown")


def _prometheus(checked: checking.Checked) -> list[str]:
    """In the text format of Prometheus; times in seconds since 1970, as its own functions have them."""
    counts = Counter(row.status(checked.at) for row in checked.rows)
    by_status = {f'{{status="{word}"}}': counts[word] for word in ("valid", "expired", "revoked")}
    expiry = {  # no labels twice, or Prometheus drops everything
        f'{{name="{_label(row.name)}",serial="{row.serial}"}}': row.end.timestamp()
        for row in checked.rows
        if row.state == "V"
    }
    own, crl = ({"": end.timestamp()} if end else None for end in (checked.authority_end, checked.list_end))
    return [
        *_metric(*_STATUS, {"": checked.level}),
        *_metric("dbca_certificates", "Certificates in the index by status", by_status),
        *_metric("dbca_authority_not_after_seconds", "When the CA certificate expires", own),
        *_metric("dbca_crl_next_update_seconds", "When the CRL expires", crl),
        *_metric("dbca_certificate_not_after_seconds", "When a certificate expires", expiry),
    ]


def _metric(name: str, what: str, samples: Mapping[str, float] | None) -> list[str]:
    """The lines of a metric by its labels; none where it is not known."""
    if samples is None:
        return []
    values = [f"{name}{labels} {value:.0f}" for labels, value in samples.items()]
    return [f"# HELP {name} {what}", f"# TYPE {name} gauge", *values]


def _label(text: str) -> str:
    return output.printable(text).replace("\\", r"\\").replace('"', r"\"")
