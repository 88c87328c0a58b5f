"""Option files for servers and clients, from `templates/`; without their files no connection is made in clear text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.ca.layout import CERTIFICATE, CRL
from dbca_openssl.database.statements import Flavor
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import shown
from dbca_openssl.plan import write_new
from dbca_openssl.render import SSL_DIR, rendered

TEMPLATES = {"server": "server.cnf.j2", "client": "client.cnf.j2"}


class Settings(NamedTuple):
    """The option file for the server or client (`side`) called `name`, with its files in the absolute `directory`.

    The files are those of the guide: `database-ca.cert.pem`, `NAME.cert.pem`, `private/NAME.key.pem`. With `galera`, a
    server is also a node of a Galera cluster of MariaDB that uses rsync for state transfers.
    """

    name: str
    flavor: Flavor = "mariadb"
    side: str = "server"
    directory: Path = Path(SSL_DIR)
    galera: bool = False

    def text(self) -> str:
        """The option file. Raises DatabaseCaError where an option file cannot hold a path."""
        if not self.directory.is_absolute():
            raise DatabaseCaError(f"not an absolute directory: {shown(str(self.directory))}")
        authority = str(self.directory / CERTIFICATE)
        certificate = str(self.directory / f"{self.name}.cert.pem")
        key = str(self.directory / f"private/{self.name}.key.pem")
        return rendered(
            TEMPLATES[self.side],
            name=self.name,
            flavor=self.flavor,
            ca=authority,
            crl=str(self.directory / Path(CRL).name),
            certificate=certificate,
            key=key,
            private=str(self.directory / "private"),
            provider_options=_provider_options(authority, certificate, key) if self.galera else "",
        )


def write(text: str, path: Path) -> None:
    """Make a new option file `path` of mode 644. Raises DatabaseCaError where the file exists."""
    try:
        write_new(path, text.encode())
    except OSError as error:
        raise DatabaseCaError(f"cannot write {path}: {error.strerror}") from None


def _provider_options(authority: str, certificate: str, key: str) -> str:
    """The options of Galera's library, which splits at every `;` and knows no quotes."""
    if odd := re.search(r"[;=\s]", key):
        raise DatabaseCaError(f"{shown(key)} has a character that a Galera option cannot hold: {odd.group()!r}")
    return f"socket.ssl=yes;socket.ssl_ca={authority};socket.ssl_cert={certificate};socket.ssl_key={key}"
