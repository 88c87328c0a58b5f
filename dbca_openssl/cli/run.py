"""The one place where errors are caught and become messages and exit codes.

0 done; 1 refused or failed, nothing changed; 2 wrong usage; 130 interrupted. `check` has the codes of monitoring
plugins, where 1 and 2 say something of the authority: what is wrong with the command itself is 3.
"""

from __future__ import annotations

import os
import sys

import typer

from dbca_openssl.cli import output
from dbca_openssl.cli.app import VERBS, build, build_one
from dbca_openssl.cli.options import UsageError
from dbca_openssl.errors import DatabaseCaError, of_system
from dbca_openssl.names import shown

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def run(arguments: list[str]) -> int:
    """Run the command with `arguments` and return its exit code; no exception leaves it."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    output.as_json, output.verbose = "--json" in options, "--verbose" in options
    output.show_any_path()
    verb = arguments[0] if arguments and arguments[0] in VERBS else None
    if arguments and verb is None and not arguments[0].startswith("-"):
        output.error(_unknown(arguments[0]))
        return USAGE
    failed, usage = FAILED, USAGE
    if options[:1] == ["check"]:
        from dbca_openssl.finding import UNKNOWN

        failed = usage = UNKNOWN
    try:
        if verb:
            code = build_one(verb)(arguments[1:], prog_name=f"dbca-openssl {verb}", standalone_mode=False)
        else:
            code = build()(arguments, prog_name="dbca-openssl", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except DatabaseCaError as error:
        output.error(error)
    except UsageError as error:
        output.usage_error(error, verb)
        return usage
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        output.drop_output()
    except OSError as error:
        output.error(of_system(str(error.filename or "a file"), error))
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


def _unknown(word: str) -> DatabaseCaError:
    from difflib import get_close_matches

    similar = get_close_matches(word, VERBS, n=1)
    hints = [f"did you mean: dbca-openssl {similar[0]}"] if similar else []
    return DatabaseCaError(f"there is no verb {shown(word)}", *hints, "dbca-openssl --help lists them")
