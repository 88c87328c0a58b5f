"""What configures servers and clients for TLS, from `templates/`: nothing falls back to clear text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from dbca_openssl import names
from dbca_openssl.ca.layout import CERTIFICATE, CRL
from dbca_openssl.database.handshake import PORT, Target
from dbca_openssl.database.statements import Flavor
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import require_absent, write_new
from dbca_openssl.names import shown
from dbca_openssl.render import rendered

Kind = Literal[
    "mariadb", "mysql", "python", "node", "go", "jdbc", "php", "odbc", "dotnet", "haproxy", "proxysql", "maxscale"
]
KINDS: dict[Kind, str] = {
    "mariadb": "~/.my.cnf of mariadb, mariadb-dump and all that uses its C library",
    "mysql": "~/.my.cnf of mysql, mysqldump and all that uses its C library",
    "python": "PyMySQL, aiomysql, asyncmy, mysql-connector-python",
    "node": "Node.js: mariadb, mysql2",
    "go": "go-sql-driver/mysql",
    "jdbc": "Java: MariaDB Connector/J, MySQL Connector/J",
    "php": "mysqli, PDO",
    "odbc": "odbc.ini of MariaDB Connector/ODBC",
    "dotnet": ".NET: MySqlConnector",
    "haproxy": "haproxy.cfg, in front of servers; TLS goes through it",
    "proxysql": "statements for the administration of ProxySQL",
    "maxscale": "maxscale.cnf: a server behind MaxScale",
}
"""What a client can be, each with a template of its name in `templates/client/`, and what that is for."""

LONGEST_LINE = 1000
"""Bytes: MariaDB and MySQL read an option file in pieces of 4096, unixODBC in those of 1000, each of them as a line."""

SECTIONS = ("maxscale", "include", "odbc")
"""What neither a server in maxscale.cnf nor a data source in odbc.ini can be called."""

EXAMPLE = "aiken.example.net"
"""The server in settings of clients, where none is named: the guide's."""


def of_server(name: str, flavor: Flavor, directory: Path, *, galera: bool = False, staged: bool = False) -> str:
    """The option file for the server called `name`, with its files in the absolute `directory`.

    With `galera`, it is also a node of a Galera cluster of MariaDB that uses rsync for state transfers. With `staged`
    it offers TLS, and does not refuse connections without it yet. Raises DatabaseCaError where an option file cannot
    hold a path.
    """
    files = files_of(name, directory)
    options = _provider_options(files["ca"], files["certificate"], files["key"]) if galera else ""
    return _lines("server.cnf.j2", name=name, flavor=flavor, staged=staged, **files, provider_options=options)


def of_client(
    kind: Kind, name: str, directory: Path, host: str | None = None, port: int | None = None, user: str | None = None
) -> str:
    """What makes a client of a `kind` use and verify TLS, with the files of `name` in the absolute `directory`.

    `host`, `port` and `user` say where it connects; without them it is an example. Raises DatabaseCaError where the
    format cannot hold a value.
    """
    if host and not re.fullmatch(r"[A-Za-z0-9.:-]+", host):
        raise DatabaseCaError(f"not a host name or address: {shown(host)}", f"for example {EXAMPLE}")
    if host:
        _, host = names.alternative_name(host)
    account = name.partition("@")[0]
    section = {"maxscale": host or EXAMPLE, "odbc": account}.get(kind, "")
    if section.lower() in SECTIONS:
        raise DatabaseCaError(f"the section [{section}] is for something else in this format", "use another name")
    if kind == "jdbc" and "\\u" in str(directory):
        raise DatabaseCaError(f"{shown(str(directory))} has a \\u, of which Java makes a character even in a comment")
    return _lines(
        f"client/{kind}.j2",
        name=name,
        **files_of(name, directory),
        directory=str(directory),
        key_store=str(directory / f"private/{name}.p12"),
        host=host,
        port=port,
        user=user,
        example=EXAMPLE,
        account=account,
        address=str(Target(host or EXAMPLE, port or PORT)),
    )


def write(texts: Mapping[Path, str], mode: int = 0o644) -> None:
    """Make new files. Raises DatabaseCaError where one exists, and then none is written."""
    for path in texts:
        require_absent(path)
    for path, text in texts.items():
        try:
            write_new(path, text.encode(), mode)
        except OSError as error:
            raise DatabaseCaError(f"cannot write {path}: {error.strerror}") from None


def _lines(template: str, **values: object) -> str:
    """The rendered text. Raises DatabaseCaError as `rendered` does, and where a line of it would be read as two."""
    text = rendered(template, **values)
    if any(len(line.encode()) >= LONGEST_LINE for line in text.split("\n")):
        raise DatabaseCaError(f"a value is too long: a line may have {LONGEST_LINE} bytes", "use a shorter --ssl-dir")
    return text


def files_of(name: str, directory: Path) -> dict[str, str]:
    """The guide's files on the host called `name`. Raises DatabaseCaError where the directory is not absolute."""
    if not directory.is_absolute():
        raise DatabaseCaError(f"not an absolute directory: {shown(str(directory))}")
    return {
        "ca": str(directory / CERTIFICATE),
        "crl": str(directory / Path(CRL).name),
        "certificate": str(directory / f"{name}.cert.pem"),
        "key": str(directory / f"private/{name}.key.pem"),
        "private": str(directory / "private"),
    }


def _provider_options(authority: str, certificate: str, key: str) -> str:
    """The options of Galera's library, which splits at every `;` and knows no quotes."""
    if odd := re.search(r"[;=\s]", key):
        raise DatabaseCaError(f"{shown(key)} has a character that a Galera option cannot hold: {odd.group()!r}")
    return f"socket.ssl=yes;socket.ssl_ca={authority};socket.ssl_cert={certificate};socket.ssl_key={key}"
