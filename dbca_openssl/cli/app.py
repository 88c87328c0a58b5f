"""The command line as a whole: its verbs, and the bare command."""

from __future__ import annotations

from typing import Annotated

import typer

from dbca_openssl import __version__
from dbca_openssl.cli import certificates, create, host, output, server, texts
from dbca_openssl.cli.options import Ca, Json, OpenSSLProgram, Verbose

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def bare(
    context: typer.Context,
    ca: Ca = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A private certificate authority for MariaDB and MySQL, by the real openssl.

    Without a verb: what there is, and what to do next.

    \b
      dbca-openssl init --organization example.net
      dbca-openssl request aiken.example.net          # on the host aiken
      dbca-openssl sign aiken.example.net
      dbca-openssl verify aiken.example.net

    Exit codes: 0 done; 1 refused or failed, nothing changed; 2 wrong usage; 130 interrupted.
    """
    if version:
        output.result({"version": __version__}, [f"dbca-openssl {__version__}"])
    elif context.invoked_subcommand is None:
        certificates.glance(ca, openssl)


for verb in (
    create.init,
    host.request,
    certificates.sign,
    certificates.crl,
    certificates.verify,
    certificates.list_,
    certificates.show,
    texts.render,
    texts.guide,
):
    app.command(name=verb.__name__.rstrip("_"))(verb)
app.add_typer(server.app, name="server")
