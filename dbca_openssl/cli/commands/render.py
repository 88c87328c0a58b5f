"""`render`: print a configuration file."""

from typing import Literal

from dbca_openssl import names
from dbca_openssl import render as templates
from dbca_openssl.cli import output
from dbca_openssl.cli.options import Run, argument, option, verb
from dbca_openssl.host.request import NewRequest


@verb("configuration", "alt_name", "profile")
def render(
    run: Run,
    file: Literal["database-ca.cnf", "openssl.cnf"] = argument("FILE", "database-ca.cnf or openssl.cnf."),
    bits: int | None = option("--bits", "The size of the key [default: 4096 and 3072].", "N", 2048, 16384),
    name: str = option("--name", "Whose openssl.cnf it is.", "NAME", default="localhost"),
) -> int:
    """Print a configuration file as init or request writes it.

    \b
      dbca-openssl render database-ca.cnf | diff - database-ca/database-ca.cnf
      dbca-openssl render openssl.cnf --profile modern

    Without options, with the guide's values.
    """
    if file == "database-ca.cnf":
        organization = "example.net" if run.organization is None else run.organization
        text = templates.authority_configuration(run.settings(organization, bits or templates.AUTHORITY_BITS))
    else:
        text = NewRequest(
            names.entity_name(name),
            alternative_names=run.names_to_add(),
            profile=run.profile or "guide",
            bits=bits or templates.HOST_BITS,
        ).configuration()
    return output.verbatim({"file": file, "text": text}, text)
