"""How findings are shown: to people and programs, and to monitoring as metrics of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dbca_openssl import finding
from dbca_openssl.cli import output, terminal
from dbca_openssl.errors import DatabaseCaError, UnreachableError
from dbca_openssl.finding import Finding


def show(title: str, found: Sequence[Finding]) -> finding.Level:
    """Print what a check found, worst first; monitoring shows the first line. Returns the exit code."""
    found, worst = sorted(found, key=lambda one: -one.level), finding.worst(found)
    documents = [{"level": one.level.name, "code": one.code, "text": one.text, "fix": one.fix} for one in found]
    output.result({"status": worst.name, "findings": documents}, lines(title, found))
    return worst


def ask_server(title: str, ask: Callable[[], Sequence[Finding]]) -> finding.Level:
    """Print what `ask` finds of a server; one that does not answer is a finding too. Returns the exit code."""
    try:
        with terminal.busy("asking the server"):
            found = ask()
    except UnreachableError as error:
        found = [finding.Finding(finding.CRITICAL, "server", error.message, "; ".join(error.hints))]
    return show(title, found)


def lines(title: str, found: Sequence[Finding]) -> list[str]:
    """What monitoring shows in one line, then each finding with its fix."""
    bad = [one for one in found if one.level is not finding.OK]
    summary = "; ".join(f"{one.code}: {one.text}" for one in bad[:3])
    count = f"{len(bad)} finding{'' if len(bad) == 1 else 's'}{': ' if bad else ''}{summary}"
    shown = [output.coloured(finding.worst(found).name) + f"{title and f' {title}'}: {count}"]
    for one in found:
        shown.append(output.coloured(f"{one.level.name:<8}", one.level.name) + f"  {one.code}: {one.text}")
        if one.fix:
            shown.append(f"{'':8}  fix: {one.fix}")
    return shown


def metric(name: str, what: str, samples: Mapping[str, float] | None) -> list[str]:
    """The lines of a metric of Prometheus, in its text format, by its labels; none where it is not known.

    Times are in seconds since 1970, as Prometheus's own functions have them.
    """
    if not samples:
        return []
    values = [f"{name}{labels} {value:.0f}" for labels, value in samples.items()]
    return [f"# HELP {name} {what}", f"# TYPE {name} gauge", *values]


def labels(**values: str) -> str:
    """Labels of a sample, such as `{name="aiken.example.net"}`."""
    pairs = ((name, output.printable(text).replace("\\", r"\\").replace('"', r"\"")) for name, text in values.items())
    return "{" + ",".join(f'{name}="{text}"' for name, text in pairs) + "}"


def metrics(status: tuple[str, str], ask: Callable[[], tuple[Sequence[Finding], Sequence[str]]]) -> finding.Level:
    """Print the level of what `ask` finds as the metric `status`, then its samples; returns the exit code.

    Where it raises DatabaseCaError there is only the level, which is UNKNOWN.
    """
    samples: Sequence[str] = ()
    try:
        found, samples = ask()
        level = finding.worst(found)
    except DatabaseCaError as error:
        level = finding.UNKNOWN
        output.error(error)
    output.verbatim({}, "\n".join((*metric(*status, {"": level}), *samples)))
    return level
