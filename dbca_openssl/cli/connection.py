"""The options by which the `server` verbs reach a server, and what is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from dbca_openssl.cli import options
from dbca_openssl.database import trust as trusts
from dbca_openssl.database.client import Client
from dbca_openssl.database.statements import Flavor
from dbca_openssl.database.trust import Trust

FlavorOption = Annotated[
    Literal["mariadb", "mysql"] | None,
    typer.Option("--flavor", help="What the server is [default: as it says itself; without one, mariadb]."),
]
ClientProgram = Annotated[
    str | None,
    typer.Option("--client-program", metavar="PATH", help="The client [default: mariadb, else mysql]."),
]
DefaultsFile = Annotated[
    Path | None, typer.Option("--defaults-file", metavar="FILE", help="The client's option file, with the password.")
]
Socket = Annotated[Path | None, typer.Option("--socket", metavar="FILE", help="The server's local socket.")]
ServerHost = Annotated[str | None, typer.Option("--host", metavar="HOST", help="Where the client connects.")]
Port = Annotated[int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="The port there.")]
User = Annotated[str | None, typer.Option("--user", metavar="USER", help="The account that asks.")]
CaOrCopies = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="DIR",
        envvar="DBCA_CA",
        help="The authority's directory, or one with its copies such as /etc/mysql/ssl "
        "[default: this one if it holds database-ca.cnf, else ./database-ca].",
    ),
]


def client(
    program: str | None,
    flavor: Flavor | None,
    defaults_file: Path | None,
    socket: Path | None,
    host: str | None,
    port: int | None,
    user: str | None,
) -> tuple[Client, Flavor]:
    """The client, and what the server is: as it was given, or as the server says."""
    made = Client(program, flavor, defaults_file, socket, host, port, user)
    return made, flavor or made.server_flavor()


def trust(ca: Path | None, openssl: str) -> Trust:
    """The public files to hold a server against."""
    return trusts.of_authority(options.authority(ca, openssl))
