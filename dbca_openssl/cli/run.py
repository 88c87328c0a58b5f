"""The one place where errors are caught and become messages and exit codes.

0 done; 1 refused or failed, nothing changed; 2 wrong usage; 130 interrupted.
"""

from __future__ import annotations

import os
import sys

import typer

from dbca_openssl.cli import output
from dbca_openssl.cli.app import app
from dbca_openssl.errors import FULL, DatabaseCaError, reason

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

# typer's own base of everything that is wrong with a command line, without naming the library below typer
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def run(arguments: list[str]) -> int:
    """Run the command with `arguments` and return its exit code; no exception leaves it."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    output.as_json, output.verbose = "--json" in options, "--verbose" in options
    output.show_any_path()
    try:
        code = app(args=arguments, prog_name="dbca-openssl", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except DatabaseCaError as error:
        output.error(error)
    except _UsageError as error:
        output.usage_error(error)
        return USAGE
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        output.drop_output()
    except OSError as error:
        output.error(_failure(error))
    except Exception as error:
        if os.environ.get("DBCA_TRACEBACK"):
            raise
        output.error(
            DatabaseCaError(
                f"this should not happen: {type(error).__name__}: {error}",
                "please report it with the output of the same command under DBCA_TRACEBACK=1",
            )
        )
    return FAILED


def _failure(error: OSError) -> DatabaseCaError:
    why = reason(error)
    if why == FULL:
        return DatabaseCaError(why, "make room, then run it again")
    return DatabaseCaError(f"{error.filename or 'a file'}: {why}")
