"""The command line as a whole: its verbs, and the bare command.

Only the module of the verb that is called is imported: starting up is most of what a short command costs.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer

from dbca_openssl import __version__
from dbca_openssl.cli import output
from dbca_openssl.cli.options import CONTEXT_SETTINGS, Ca, Json, OpenSSLProgram, Verbose, empty_app

VERBS = {
    "init": "create",
    "request": "host",
    "enroll": "remote",
    "fetch": "remote",
    "sign": "sign",
    "renew": "renew",
    "revoke": "revoke",
    "crl": "revoke",
    "deploy": "remote",
    "list": "look",
    "show": "look",
    "verify": "look",
    "check": "care",
    "repair": "care",
    "report": "care",
    "rollover": "care",
    "server": "server",
    "playbook": "remote",
    "render": "texts",
    "guide": "texts",
    "completion": "texts",
}
"""The verbs, in the order of the help, and the module of each."""


def build() -> typer.Typer:
    """The command line with all of its verbs."""
    app = empty_app()
    app.callback(invoke_without_command=True)(bare)
    for verb in VERBS:
        if verb == "server":
            app.add_typer(_module(verb).app, name=verb)
        else:
            app.command(verb)(_function(verb))
    return app


def build_one(verb: str) -> typer.Typer:
    """One verb, as a command line of its own: what it takes to know the others is left out."""
    if verb == "server":
        server: typer.Typer = _module(verb).app
        return server
    app = empty_app()
    app.command(context_settings=CONTEXT_SETTINGS)(_function(verb))
    return app


def _module(verb: str) -> Any:
    return import_module(f"dbca_openssl.cli.{VERBS[verb]}")


def _function(verb: str) -> Callable[..., None]:
    function: Callable[..., None] = getattr(_module(verb), "list_" if verb == "list" else verb)
    return function


def bare(
    context: typer.Context,
    ca: Ca = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A private certificate authority for MariaDB and MySQL.

    \b
      dbca-openssl init --organization example.net
      dbca-openssl request aiken.example.net   # on the host aiken
      dbca-openssl sign aiken.example.net
      dbca-openssl verify aiken.example.net
      dbca-openssl                             # what there is, what is next

    It drives the real openssl req and openssl ca, and follows one guide step by step.

    Exit codes: 0 done; 1 refused or failed, nothing changed; 2 wrong usage; 130 interrupted.
    """
    if context.invoked_subcommand is not None:
        for name in ("ca", "openssl"):
            if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE":
                context.fail(f"--{name} stands before the verb; options stand after it")
    if version:
        output.result({"version": __version__}, [f"dbca-openssl {__version__}"])
    elif context.invoked_subcommand is None:
        from dbca_openssl.cli import look

        look.glance(ca, openssl)
