"""Option files for servers and clients, from `templates/`: absolute paths, and nothing that fails open."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dbca_openssl.authority.paths import CERTIFICATE, CRL
from dbca_openssl.database.statements import Flavor
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import shown
from dbca_openssl.render import SSL_DIR, option_file
from dbca_openssl.steps import write_new

TEMPLATES = {"server": "server.cnf.j2", "client": "client.cnf.j2"}


@dataclass(frozen=True)
class Settings:
    """The option file of a server, or of a client, called `name`, with its files in `directory`."""

    name: str
    flavor: Flavor = "mariadb"
    side: str = "server"
    directory: Path = Path(SSL_DIR)

    def text(self) -> str:
        """The option file. Raises DatabaseCaError where a path cannot be in one."""
        if not self.directory.is_absolute():
            raise DatabaseCaError(f"not an absolute directory: {shown(str(self.directory))}")
        return option_file(
            TEMPLATES[self.side],
            name=self.name,
            flavor=self.flavor,
            ca=str(self.directory / CERTIFICATE),
            crl=str(self.directory / Path(CRL).name),
            certificate=str(self.directory / f"{self.name}.cert.pem"),
            key=str(self.directory / f"private/{self.name}.key.pem"),
            private=str(self.directory / "private"),
        )


def write(text: str, path: Path) -> None:
    """A new option file that everybody may read. Raises DatabaseCaError where there is one already."""
    try:
        write_new(path, text.encode(), 0o644)
    except OSError as error:
        raise DatabaseCaError(f"cannot write {path}: {error.strerror}") from None
