"""`repair`: fix what needs neither the key nor a guess."""

from dbca_openssl import finding
from dbca_openssl.ca import check as checking
from dbca_openssl.ca import repair as repairing
from dbca_openssl.cli import findings, output, terminal
from dbca_openssl.cli.options import Run, verb


@verb("ca", "yes", "lock_timeout")
def repair(run: Run) -> int:
    """Fix what can be fixed without the key and without a guess.

    \b
      dbca-openssl repair
      dbca-openssl repair --yes --json

    Each step is shown first. A data file that is written again is kept as NAME.damaged.
    """
    authority = run.authority()

    def agreed(steps: list[str]) -> None:
        output.show(f"  {step}" for step in steps)
        run.confirm("Do that?")

    done = repairing.repair(authority, agreed)
    with terminal.busy("checking"):
        left = checking.check(authority, checking.Limits()).findings
    return output.result(
        {"repaired": done, "status": finding.worst(left).name, "left": [one.text for one in left]},
        [*(done or ["nothing to fix"]), *(findings.lines("", left) if left else [])],
    )
