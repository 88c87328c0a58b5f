"""The command line as a whole: its verbs, the one place where errors are caught, and the exit codes.

What is heavy is imported where it is needed: starting up is most of what a short command costs.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in typing, which costs as much to import as a completion takes
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    import typer

    from dbca_openssl.errors import DatabaseCaError

DONE, FAILED, USAGE, BUG, INTERRUPTED = 0, 1, 2, 3, 130
"""The exit codes. What monitoring calls ends with a `finding.Level`, where wrong usage and bugs are UNKNOWN: 3 too."""

VERBS = (
    *("init", "request", "enroll", "fetch", "sign", "renew", "revoke", "crl", "deploy", "rotate"),
    *("hosts", "list", "show", "verify", "check", "repair", "backup", "passphrase", "report", "export", "rollover"),
    *("server settings", "server accounts", "server require", "server replication"),
    *("server check", "server probe", "server reload", "client settings"),
    *("playbook", "render", "guide", "completion"),
)
"""The verbs, in the order of the help."""

MONITORING = {"check": "", "server check": "", "server probe": "", "server replication": "check", "backup": "check"}
"""The verbs that monitoring calls, and the option without which it does not mean a verb."""


def main() -> None:
    """Run the command with the arguments of this process, and exit with its code.

    A short process collects no garbage, and exits without the interpreter's own clean-up: a tenth of what a short
    command costs.
    """
    import gc

    gc.disable()
    if sys.argv[1:] == ["--version"]:
        print(_version())
        return
    if sys.argv[1:2] == ["__complete"]:
        from dbca_openssl.cli.completion import complete

        complete(*sys.argv[2:])
        return
    os.umask(0o022)  # the guide's: what is private is made so, whatever the caller's umask
    code = run(sys.argv[1:])
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None: closed by the caller
        try:
            stream.flush()
        except OSError:
            code = code or FAILED
    os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run the command with `arguments` and return its exit code; no exception leaves it."""
    import typer

    from dbca_openssl.cli import output
    from dbca_openssl.cli.options import UsageError
    from dbca_openssl.errors import DatabaseCaError, of_system

    output.begin()
    words = 2 if arguments and arguments[0] in GROUPS else 1
    verb = " ".join(arguments[:words])
    if verb not in VERBS:
        words, verb = 0, ""
    rest = list(arguments[words:])
    command: Any = typer.main.get_command(build_one(verb) if verb else build(VERBS if arguments else ()))

    def failed(error: DatabaseCaError, code: int) -> int:
        option = MONITORING.get(verb)
        of_plugin = option is not None and (not option or bool(_understood(command, rest).get(option)))
        output.error(error, of_plugin)
        return BUG if of_plugin else code

    try:
        code = command(rest, prog_name=" ".join(("dbca-openssl", *arguments[:words])), standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else DONE
    except DatabaseCaError as error:
        return failed(error, FAILED)
    except UsageError as problem:
        from dbca_openssl.cli import usage

        given = _understood(command, rest)
        output.as_json, output.verbose = bool(given.get("json")), bool(given.get("verbose"))
        return failed(usage.explained(problem), USAGE)
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print(file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        output.drop_output()
        return BUG if verb in MONITORING else FAILED
    except OSError as error:
        return failed(of_system(str(error.filename or "the operating system refused a call"), error), FAILED)
    except Exception as error:
        if os.environ.get("DBCA_TRACEBACK"):
            raise
        return failed(
            DatabaseCaError(
                f"this should not happen: {type(error).__name__}: {error}",
                "please report it with the output of the same command under DBCA_TRACEBACK=1",
            ),
            BUG,
        )


def _version() -> str:
    """The version; and run from the one file dbca-openssl.pyz that file's SHA-256, as sha256sum shows it."""
    from dbca_openssl import __version__

    archive = getattr(globals()["__loader__"], "archive", None)  # of a module in a zip file
    if archive is None:
        return f"dbca-openssl {__version__}"
    import hashlib

    with open(archive, "rb") as file:
        return f"dbca-openssl {__version__}\n{hashlib.file_digest(file, 'sha256').hexdigest()}  {archive}"


def build(verbs: Sequence[str] = VERBS) -> typer.Typer:
    """The command line with `verbs`; without any it is the bare command."""
    from dbca_openssl.cli.commands.status import status

    app = _app()
    app.callback(invoke_without_command=True)(status)
    groups = {group: _app(help=text) for group, text in GROUPS.items()}
    for verb in verbs:
        group, _, name = verb.rpartition(" ")
        groups.get(group, app).command(name)(_function(verb))
    for group in groups if verbs else ():
        app.add_typer(groups[group], name=group)
    return app


def build_one(verb: str) -> typer.Typer:
    """One verb, as a command line of its own, so that no other one is imported."""
    app = _app()
    app.command(context_settings=CONTEXT_SETTINGS)(_function(verb))
    return app


def _app(**settings: Any) -> typer.Typer:
    import typer

    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT_SETTINGS,
        **settings,
    )


CONTEXT_SETTINGS = {"help_option_names": ["--help", "-h"], "max_content_width": 100}

GROUPS = {
    "server": """Configure database servers, and check what they really do.

    \b
      dbca-openssl server settings aiken.example.net > 99-tls.cnf
      dbca-openssl server probe aiken.example.net
      dbca-openssl server accounts --host aiken.example.net
    """,
    "client": """Configure the clients of database servers.

    \b
      dbca-openssl client settings app.example.net --for python
    """,
}
"""The verbs of two words by their first one, each with its help."""


def _function(verb: str) -> Callable[..., int]:
    from importlib import import_module

    module = import_module(f"dbca_openssl.cli.commands.{verb.replace(' ', '.')}")
    function: Callable[..., int] = getattr(module, "list_" if verb == "list" else verb.rpartition(" ")[2])
    return function


def _understood(command: Any, arguments: list[str]) -> dict[str, Any]:
    """The options that a command line gives, as far as the command understands them: what is wrong is left out."""
    lenient = {"allow_extra_args": True, "allow_interspersed_args": True, "ignore_unknown_options": True}
    context = command.make_context("", list(arguments), resilient_parsing=True, **lenient)
    return dict(context.params)
