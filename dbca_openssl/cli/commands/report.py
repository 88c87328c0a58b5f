"""`report`: one page about the CA for a browser."""

from pathlib import Path

from dbca_openssl.ca import report as reporting
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.options import Run, option, verb
from dbca_openssl.plan import write_new


@verb("ca", "yes")
def report(
    run: Run,
    file: Path = option(..., "--output -o", "A new file.", "FILE.html"),
) -> int:
    """Write one static page about the CA.

    \b
      dbca-openssl report -o database-ca.html

    When certificates expire, the CRL, revocations by reason, and what check finds.
    """
    with terminal.busy("checking"):
        text = reporting.page(run.authority())
    write_new(file, text.encode())
    return output.result({"report": str(file.absolute())}, [f"{file}  a page for a browser"])
