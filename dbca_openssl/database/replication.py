"""Replication over TLS: the statements for both servers, and a check of a replica.

The guide: "For replicated data to be encrypted, both the master and slave servers require secure connections".
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.ca.layout import CERTIFICATE, CRL
from dbca_openssl.database import statements
from dbca_openssl.database.client import Client
from dbca_openssl.database.handshake import Target
from dbca_openssl.database.statements import Account, Flavor, Requirement, string
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.finding import Finding, Level
from dbca_openssl.render import SSL_DIR

LONGEST_PASSWORD = 32
"""Characters that MySQL allows in `SOURCE_PASSWORD`."""


class Replication(NamedTuple):
    """A replica, by the name in its certificate, and the source that it follows.

    `requirement` is what the source requires of the account: the names in the replica's certificate. With `existing` a
    running replication gets TLS, and keeps its position and its account's password.
    """

    flavor: Flavor
    source: Target
    replica: str
    account: Account
    requirement: Requirement
    password: str = ""
    directory: Path = Path(SSL_DIR)
    by_gtid: bool = False
    existing: bool = False

    def on_source(self) -> list[str]:
        """The statements for the source. They fail where a new account exists already, with another password.

        Raises DatabaseCaError, as `on_replica` does, for what a statement cannot hold.
        """
        if self.existing:
            return [statements.require(self.account, self.requirement)]
        return [
            f"CREATE USER {self.account.sql()} IDENTIFIED BY {string(self.password)} REQUIRE {self.requirement.sql()}",
            f"GRANT REPLICATION SLAVE ON *.* TO {self.account.sql()}",
        ]

    def on_replica(self) -> list[str]:
        """The statements for the replica. With `existing` they leave out the host, which would reset the position."""
        word = "MASTER" if self.flavor == "mariadb" else "SOURCE"
        values = []
        if not self.existing:
            values += [("HOST", string(self.source.host)), ("PORT", str(self.source.port))]
            values += [("USER", string(self.account.user)), ("PASSWORD", string(self.password))]
            if self.by_gtid:
                values.append(("USE_GTID", "slave_pos") if self.flavor == "mariadb" else ("AUTO_POSITION", "1"))
        values += [
            ("SSL", "1"),
            ("SSL_CA", string(str(self.directory / CERTIFICATE))),
            ("SSL_CERT", string(str(self.directory / f"{self.replica}.cert.pem"))),
            ("SSL_KEY", string(str(self.directory / f"private/{self.replica}.key.pem"))),
            ("SSL_CRL", string(str(self.directory / Path(CRL).name))),
            ("SSL_VERIFY_SERVER_CERT", "1"),
        ]
        head = "CHANGE MASTER TO" if self.flavor == "mariadb" else "CHANGE REPLICATION SOURCE TO"
        change = f"{head}\n  " + ",\n  ".join(f"{word}_{name} = {value}" for name, value in values)
        return [*(("STOP REPLICA",) if self.existing else ()), change, "START REPLICA"]


def new_password() -> str:
    """A password of random characters, as long as both servers allow, none of which needs quoting."""
    return secrets.token_urlsafe(LONGEST_PASSWORD * 3 // 4)


def password_from(path: Path) -> str:
    """The first line of a file in UTF-8. Raises DatabaseCaError where it is empty, or longer than MySQL allows."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DatabaseCaError(f"cannot read the password file {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise DatabaseCaError(f"the password in {path} is not UTF-8") from None
    if not lines or not 0 < len(lines[0]) <= LONGEST_PASSWORD:
        raise DatabaseCaError(f"the password in {path} does not have 1 to {LONGEST_PASSWORD} characters")
    return lines[0]


def check(client: Client, flavor: Flavor) -> list[Finding]:
    """Whether the replica's replication runs over TLS, with the source's certificate verified and a CRL.

    Raises DatabaseCaError where the server is no replica.
    """
    rows = list(client.query("SHOW ALL SLAVES STATUS" if flavor == "mariadb" else "SHOW REPLICA STATUS"))
    if not rows:
        raise DatabaseCaError(
            "the server is not a replica", "server replication prints the statements that make it one"
        )
    return [finding for row in rows for finding in _findings(_modern(row))]


_SWITCHES = {
    "Source_SSL_Allowed": "not encrypted",
    "Source_SSL_Verify_Server_Cert": "source not verified",
}
_FILES = {
    "Source_SSL_CA_File": "any CA would be accepted",
    "Source_SSL_Cert": "the replica shows no certificate",
    "Source_SSL_Crl": "a revoked source would be accepted",
}


def _findings(status: Mapping[str, str]) -> Iterator[Finding]:
    channel = status.get("Connection_name") or status.get("Channel_Name") or ""
    prefix = f"{channel}: " if channel else ""
    errors = {
        f"Replica_{thread}_Running": " ".join(status.get(f"Last_{thread}_Error", "").split()) or "no error is known"
        for thread in ("IO", "SQL")
    }
    for name, problem in (errors | _SWITCHES).items():
        value = status.get(name, "No")
        fine = value == "Yes"
        yield Finding(Level.OK if fine else Level.CRITICAL, name, prefix + (value if fine else f"{value}: {problem}"))
    for name, problem in _FILES.items():
        value = status.get(name, "")
        yield Finding(Level.OK if value else Level.CRITICAL, name, prefix + (value or f"none: {problem}"))


def _modern(row: Mapping[str, str]) -> dict[str, str]:
    """A row under the names that MySQL has now; MariaDB still has the old ones."""
    return {name.replace("Slave_", "Replica_").replace("Master_", "Source_"): value for name, value in row.items()}
