"""The verbs that only print a text: render, guide, completion."""

import sys
import textwrap
from pathlib import Path
from typing import Annotated, Literal

import typer

from dbca_openssl import names
from dbca_openssl import render as templates
from dbca_openssl.cli import create, output
from dbca_openssl.cli.options import AltNames, Json, Profile, Verbose
from dbca_openssl.errata import ERRATA
from dbca_openssl.host.request import NewRequest

WIDEST = 98
"""Columns that a text to be read is set in."""

SHARE = Path(__file__).parents[1] / "share"
"""What an installation puts into its `share`, where shells and `man` look."""

SCRIPTS = {
    "bash": "bash-completion/completions/dbca-openssl",
    "zsh": "zsh/site-functions/_dbca-openssl",
    "fish": "fish/vendor_completions.d/dbca-openssl.fish",
}


def render(
    file: Annotated[
        Literal["database-ca.cnf", "openssl.cnf"],
        typer.Argument(metavar="FILE", help="database-ca.cnf or openssl.cnf."),
    ],
    organization: create.Organization = "example.net",
    common_name: create.CommonName = None,
    ssl_dir: create.SslDir = templates.SSL_DIR,
    url: create.Url = None,
    days: create.Days = templates.DAYS,
    crl_days: create.CrlDays = templates.CRL_DAYS,
    bits: Annotated[
        int | None,
        typer.Option("--bits", metavar="N", min=2048, max=16384, help="The size of the key [default: 4096 and 3072]."),
    ] = None,
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Whose openssl.cnf it is.")] = "localhost",
    alt_name: AltNames = None,
    profile: Profile = "guide",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print a configuration file as init or request writes it.

    \b
      dbca-openssl render database-ca.cnf | diff - database-ca/database-ca.cnf
      dbca-openssl render openssl.cnf --profile modern

    Without options, with the guide's values.
    """
    if file == "database-ca.cnf":
        bits = templates.AUTHORITY_BITS if bits is None else bits
        text = templates.authority_configuration(
            create.configured(organization, common_name, ssl_dir, url, days, crl_days, bits)
        )
    else:
        alternative = tuple(names.alternative_name(text) for text in alt_name or ())
        bits = templates.HOST_BITS if bits is None else bits
        text = NewRequest(
            names.entity_name(name), alternative_names=alternative, profile=profile, bits=bits
        ).configuration()
    output.result({"file": file, "text": text}, [text.removesuffix("\n")])


def guide(json: Json = False, verbose: Verbose = False) -> None:
    """Print where the guide does not run, and what is done.

    \b
      dbca-openssl guide
      dbca-openssl guide --json
    """
    lines, columns = [], min(WIDEST, output.columns(sys.stdout)) if sys.stdout.isatty() else WIDEST
    for erratum in ERRATA:
        for word, text in (("guide", erratum.guide), ("happens", erratum.happens), ("fix", erratum.fix)):
            head = f"{erratum.number:>2}  " if word == "guide" else "    "
            lines += textwrap.wrap(
                text, columns, initial_indent=f"{head}{word:<8} ", subsequent_indent=" " * 13, break_on_hyphens=False
            )
        lines.append("")
    output.result({"errata": [erratum._asdict() for erratum in ERRATA]}, lines[:-1])


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(metavar="SHELL", help="bash, zsh or fish.")],
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print the script by which a shell completes command lines.

    \b
      source <(dbca-openssl completion bash)     # in ~/.bashrc
      source <(dbca-openssl completion zsh)      # in ~/.zshrc, after compinit
      dbca-openssl completion fish > ~/.config/fish/completions/dbca-openssl.fish

    It completes verbs, options, names, serials and files. Where the command was installed for all users, the shells
    find the script by themselves.
    """
    text = (SHARE / SCRIPTS[shell]).read_text()
    output.result({"shell": shell, "text": text}, [text.removesuffix("\n")])
