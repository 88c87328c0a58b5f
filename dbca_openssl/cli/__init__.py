"""The command `dbca-openssl`: parse, call, print. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command with the arguments of this process, and exit with its code.

    A process that lives for a blink collects no garbage and is not taken to pieces at its end: both together are a
    tenth of what a short command costs.
    """
    gc.disable()
    if sys.argv[1:] == ["--version"]:  # answered before anything heavy is imported
        from dbca_openssl import __version__

        print(f"dbca-openssl {__version__}")
        return
    if sys.argv[1:2] == ["__complete"]:
        from dbca_openssl.cli.completion import complete

        complete(*sys.argv[2:])
        return
    from dbca_openssl.cli.run import run

    code = run(sys.argv[1:])
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed by the caller
        try:
            stream.flush()
        except OSError:
            code = code or 1
    os._exit(code)
