"""The verbs that look after an authority: check, repair, report, rollover."""

import shlex
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from dbca_openssl import finding
from dbca_openssl.ca import check as checking
from dbca_openssl.ca import repair as repairing
from dbca_openssl.ca import report as reporting
from dbca_openssl.ca import rollover as succession
from dbca_openssl.ca.check import Checked, Limits
from dbca_openssl.cli import options, output
from dbca_openssl.cli.options import Ca, Json, LockTimeout, OpenSSLProgram, Verbose, Yes
from dbca_openssl.cli.progress import busy
from dbca_openssl.command import require_absent
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.plan import write_new

_STATUS = ("dbca_check_status", "0 fine, 1 warning, 2 critical, 3 unknown")

WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")

WarnDays = Annotated[
    int, typer.Option("--warn-days", metavar="N", min=0, help="Fewer days left than this are a warning.")
]
CriticalDays = Annotated[
    int, typer.Option("--critical-days", metavar="N", min=0, help="Fewer days left than this are critical.")
]
Deep = Annotated[bool, typer.Option("--deep", help="Read every certificate file, not just the newest thousand.")]


def check(
    ca: Ca = None,
    warn_days: WarnDays = checking.WARN_DAYS,
    critical_days: CriticalDays = checking.CRITICAL_DAYS,
    deep: Deep = False,
    format_: Annotated[
        Literal["text", "prometheus"], typer.Option("--format", help="For people, or for node_exporter's textfiles.")
    ] = "text",
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Find what is wrong or will be soon, for cron and monitoring.

    \b
      dbca-openssl check
      dbca-openssl check --warn-days 60 --json
      dbca-openssl check --format prometheus > database-ca.prom

    No pass phrase is needed.

    Exit codes, as monitoring plugins have them: 0 fine, 1 warning, 2 critical, 3 unknown, since there is no
    authority, it cannot be read, or the command line is wrong. A revocation list lives
    for weeks only: for it the limits are at most a quarter and an eighth of its life.
    """
    prometheus = format_ == "prometheus" and not output.as_json
    try:
        with busy("checking"):
            checked = checking.check(options.authority(ca, openssl), Limits(warn_days, critical_days, deep))
    except DatabaseCaError as error:
        if prometheus:
            output.result({}, _metric(*_STATUS, [("", finding.UNKNOWN)]))
        output.error(error)
        raise typer.Exit(finding.UNKNOWN) from None
    if prometheus:
        output.result({}, _prometheus(checked))
    else:
        output.result(
            {
                "status": WORDS[checked.level],
                "findings": [
                    {"level": WORDS[one.level], "code": one.code, "text": one.text, "mend": one.mend}
                    for one in checked.findings
                ],
            },
            _findings(checked),
        )
    raise typer.Exit(checked.level)


def repair(
    ca: Ca = None,
    yes: Yes = False,
    lock_timeout: LockTimeout = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Mend what can be mended without the key and without a guess.

    \b
      dbca-openssl repair
      dbca-openssl repair --yes --json

    Each step is shown first. A data file that is written again is kept as NAME.damaged.
    """
    authority = options.authority(ca, openssl, lock_timeout)

    def agreed(texts: list[str]) -> None:
        output.show(f"  {text}" for text in texts)
        options.confirm("Do that?", yes)

    done = repairing.repair(authority, agreed)
    with busy("checking"):
        checked = checking.check(authority, Limits())
    output.result(
        {"repaired": done, "status": WORDS[checked.level], "left": [one.text for one in checked.findings]},
        [*(done or ["nothing to mend"]), *(_findings(checked) if checked.findings else [])],
    )


def report(
    file: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.html", help="A new file.")],
    ca: Ca = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Write one static page about all of it.

    \b
      dbca-openssl report -o database-ca.html

    When what ends, the revocation list, revocations by reason, and what check finds.
    """
    with busy("checking"):
        text = reporting.page(options.authority(ca, openssl))
    write_new(file, text.encode(), 0o644)
    output.result({"report": str(file.absolute())}, [f"{file}  a page for a browser"])


def rollover(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The directory of the authority that goes.")],
    ca: Ca = None,
    bundle: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Write the files of both for the hosts there.")
    ] = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Move the hosts from an old authority to a new one.

    \b
      dbca-openssl init -o example.net --common-name 'Database CA 2' --ca new-ca
      dbca-openssl rollover database-ca --ca new-ca --output both

    It says how far they are, and what to do next. Stage 1: deliver the certificates and lists of both. Stage 2: sign
    each host's request by the new one. Stage 3: all have moved; deliver the new one's files alone.
    """
    leaving, coming = options.authority(old, openssl), options.authority(ca, openssl)
    leaving.require()
    coming.require()
    with busy("comparing the two"):
        state = succession.rollover(leaving, coming)
    written = []
    if bundle is not None:
        files = succession.bundle((coming, leaving))
        for name in files:
            require_absent(bundle / name)
        bundle.mkdir(exist_ok=True)
        for name, data in files.items():
            write_new(bundle / name, data, 0o644)
            written.append(str(bundle / name))
    new = shlex.quote(str(coming.directory))
    following = {
        1: [f"dbca-openssl rollover {shlex.quote(str(old))} --ca {new} --output both", "copy both/* to every host"],
        2: [],
        3: [f"copy database-ca.cert.pem and crl/database-ca.crl of {new} alone to every host", "put the old one away"],
    }[state.stage]
    moves = [
        f"dbca-openssl sign {shlex.quote(str(leaving.path(f'certreqs/{name}.req.pem')))} --ca {new}"
        for name in state.waiting[:5]
    ]
    output.result(
        {
            "stage": state.stage,
            "moved": list(state.moved),
            "waiting": list(state.waiting),
            "bundle": written,
        },
        [
            *(f"{path}  of both authorities" for path in written),
            f"stage {state.stage} of 3: {len(state.moved)} moved, {len(state.waiting)} waiting",
            "next:",
            *(f"  {line}" for line in following + moves),
        ],
    )


def _findings(checked: Checked) -> list[str]:
    worst = sorted(checked.findings, key=lambda one: -one.level)
    lines = [
        line
        for one in worst
        for line in (f"{_level(one.level, 8)}  {one.text}", *([f"{'':8}  mend: {one.mend}"] if one.mend else []))
    ]
    count = len(checked.findings)
    return [f"{_level(checked.level)}: {f'{count} findings' if count != 1 else '1 finding'}", *lines]


def _level(level: int, width: int = 0) -> str:
    return output.coloured(f"{WORDS[level]:<{width}}", WORDS[level])


def _prometheus(checked: Checked) -> list[str]:
    """In the text format of Prometheus; times in seconds since 1970, as its own functions have them."""
    counts = Counter(row.status(checked.at) for row in checked.rows)
    by_status = [(f'{{status="{word}"}}', float(counts[word])) for word in ("valid", "expired", "revoked")]
    figures: list[tuple[str, str, list[tuple[str, float]]]] = [
        (*_STATUS, [("", checked.level)]),
        ("dbca_certificates", "Certificates in the index by status", by_status),
    ]
    for name, what, end in (
        ("dbca_authority_not_after_seconds", "When the authority ends", checked.authority_end),
        ("dbca_crl_next_update_seconds", "When the revocation list ends", checked.list_end),
    ):
        if end:
            figures.append((name, what, [("", end.timestamp())]))
    ends = {  # no labels twice, or Prometheus drops everything
        f'{{name="{_label(row.name)}",serial="{row.serial}"}}': row.end.timestamp()
        for row in checked.rows
        if row.state == "V"
    }
    figures.append(("dbca_certificate_not_after_seconds", "When a certificate ends", list(ends.items())))
    return [line for name, what, samples in figures for line in _metric(name, what, samples)]


def _metric(name: str, what: str, samples: Iterable[tuple[str, float]]) -> list[str]:
    values = [f"{name}{labels} {value:.0f}" for labels, value in samples]
    return [f"# HELP {name} {what}", f"# TYPE {name} gauge", *values]


def _label(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
