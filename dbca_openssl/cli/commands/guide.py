"""`guide`: the errata of the guide."""

import sys
import textwrap

from dbca_openssl.cli import output
from dbca_openssl.cli.options import Run, verb
from dbca_openssl.errata import ERRATA

WIDEST = 98
"""Columns that a text to be read is set in."""


@verb()
def guide(run: Run) -> int:
    """Print where the guide does not run, and what is done.

    \b
      dbca-openssl guide
      dbca-openssl guide --json
    """
    lines, columns = [], min(WIDEST, output.size(sys.stdout).columns) if sys.stdout.isatty() else WIDEST
    for erratum in ERRATA:
        for word, text in (("guide", erratum.guide), ("happens", erratum.happens), ("fix", erratum.fix)):
            head = f"{erratum.number:>2}  " if word == "guide" else "    "
            lines += textwrap.wrap(
                text, columns, initial_indent=f"{head}{word:<8} ", subsequent_indent=" " * 13, break_on_hyphens=False
            )
        lines.append("")
    return output.result({"errata": [erratum._asdict() for erratum in ERRATA]}, lines[:-1])
