"""The command `dbca-openssl`: parse, call, print. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command with the arguments of this process, and exit with its code."""
    if sys.argv[1:] == ["--version"]:  # answered before anything heavy is imported
        from dbca_openssl import __version__

        print(f"dbca-openssl {__version__}")
        return
    if sys.argv[1:2] == ["__complete"]:
        from dbca_openssl.cli.completion import complete

        complete(*sys.argv[2:])
        return
    from dbca_openssl.cli.run import run

    sys.exit(run(sys.argv[1:]))
