"""`check`: what is wrong with the CA's directory, or will be soon."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from dbca_openssl import finding
from dbca_openssl.ca import check as checking
from dbca_openssl.ca.check import Checked, Limits
from dbca_openssl.cli import output, results
from dbca_openssl.cli.options import Run, option, verb
from dbca_openssl.cli.progress import busy
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
        with busy("checking"):
            checked = checking.check(run.authority(by_mode=False), Limits(warn_days, critical_days, deep))
    except DatabaseCaError as error:
        if not prometheus:
            raise
        output.verbatim({}, "\n".join(_metric(*_STATUS, [("", finding.UNKNOWN)])))
        output.error(error)
        return finding.UNKNOWN
    if not prometheus:
        return results.findings("", checked.findings)
    output.verbatim({}, "\n".join(_prometheus(checked)))
    return checked.level


_STATUS = ("dbca_check_status", "0 OK, 1 warning, 2 critical, 3 unknown")


def _prometheus(checked: Checked) -> list[str]:
    """In the text format of Prometheus; times in seconds since 1970, as its own functions have them."""
    counts = Counter(row.status(checked.at) for row in checked.rows)
    by_status = [(f'{{status="{word}"}}', float(counts[word])) for word in ("valid", "expired", "revoked")]
    figures: list[tuple[str, str, list[tuple[str, float]]]] = [
        (*_STATUS, [("", checked.level)]),
        ("dbca_certificates", "Certificates in the index by status", by_status),
    ]
    for name, what, end in (
        ("dbca_authority_not_after_seconds", "When the CA certificate expires", checked.authority_end),
        ("dbca_crl_next_update_seconds", "When the CRL expires", checked.list_end),
    ):
        if end:
            figures.append((name, what, [("", end.timestamp())]))
    ends = {  # no labels twice, or Prometheus drops everything
        f'{{name="{_label(row.name)}",serial="{row.serial}"}}': row.end.timestamp()
        for row in checked.rows
        if row.state == "V"
    }
    figures.append(("dbca_certificate_not_after_seconds", "When a certificate expires", list(ends.items())))
    return [line for name, what, samples in figures for line in _metric(name, what, samples)]


def _metric(name: str, what: str, samples: Iterable[tuple[str, float]]) -> list[str]:
    values = [f"{name}{labels} {value:.0f}" for labels, value in samples]
    return [f"# HELP {name} {what}", f"# TYPE {name} gauge", *values]


def _label(text: str) -> str:
    return output.printable(text).replace("\\", r"\\").replace('"', r"\"")
