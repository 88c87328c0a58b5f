"""The command line as a whole: its verbs, and the bare command.

Only the module of the verb that is called is imported: starting up is most of what a short command costs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated

import typer

from dbca_openssl import __version__
from dbca_openssl.cli import output
from dbca_openssl.cli.options import Ca, Json, OpenSSLProgram, Verbose

VERBS = {
    "init": "create",
    "request": "host",
    "enroll": "remote",
    "fetch": "remote",
    "sign": "sign",
    "renew": "sign",
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


def build(verb: str | None = None) -> typer.Typer:
    """The command line, with one verb or with all of them."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
    )
    app.callback(invoke_without_command=True)(bare)
    for name in [verb] if verb else VERBS:
        module = import_module(f"dbca_openssl.cli.{VERBS[name]}")
        if name == "server":
            app.add_typer(module.app, name=name)
        else:
            app.command(name=name)(getattr(module, "list_" if name == "list" else name))
    return app


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
