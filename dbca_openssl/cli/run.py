"""The one place where errors are caught and become messages and exit codes.

0 done; 1 refused or failed, nothing changed; 2 wrong usage; 130 interrupted. `check` has the codes of monitoring
plugins, where 1 and 2 say something of the authority: what is wrong with the command itself is 3.
"""

from __future__ import annotations

import os
import sys

import typer

from dbca_openssl.authority.findings import UNKNOWN
from dbca_openssl.cli import output
from dbca_openssl.cli.app import app
from dbca_openssl.errors import DatabaseCaError

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

# typer's own base of everything that is wrong with a command line, without naming the library below typer
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(arguments: list[str]) -> int:
    """Run the command with `arguments` and return its exit code; no exception leaves it."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    output.as_json, output.verbose = "--json" in options, "--verbose" in options
    failed, usage = (UNKNOWN, UNKNOWN) if options[:1] == ["check"] else (FAILED, USAGE)
    try:
        code = app(args=arguments, prog_name="dbca-openssl", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except DatabaseCaError as error:
        output.error(error)
    except _UsageError as error:
        output.usage_error(error)
        return usage
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
    except OSError as error:
        output.error(DatabaseCaError(f"{error.filename or 'a file'}: {error.strerror or error}"))
    except Exception as error:
        if os.environ.get("DBCA_TRACEBACK"):
            raise
        output.error(
            DatabaseCaError(
                f"this should not happen: {type(error).__name__}: {error}",
                "please report it with the output of the same command under DBCA_TRACEBACK=1",
            )
        )
    return failed
