"""Replication over TLS: the statements for both servers, and a check of a replica.

The guide: "For replicated data to be encrypted, both the master and slave servers require secure connections".
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from dbca_openssl.database import statements
from dbca_openssl.database.client import Client
from dbca_openssl.database.handshake import Target
from dbca_openssl.database.settings import files_of
from dbca_openssl.database.statements import Account, Flavor, Requirement, string
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.finding import CRITICAL, OK, Finding

LONGEST_PASSWORD = 32
"""Characters that MySQL allows in `SOURCE_PASSWORD`."""


def statements_for(
    flavor: Flavor,
    source: Target,
    replica: str,
    account: Account,
    requirement: Requirement,
    password: str | None,
    directory: Path,
    *,
    by_gtid: bool,
) -> tuple[str, str]:
    """The statements for the source, and those for the replica that is called `replica` in its certificate.

    `requirement` is what the source requires of the account: the names in the replica's certificate. Without a password
    a running replication gets TLS, and keeps its account's password, and its position, which a host would reset.
    Otherwise they fail where the new account exists already, with another password.
    Raises DatabaseCaError for what a statement cannot hold.
    """
    files = files_of(replica, directory)
    is_mariadb = flavor == "mariadb"
    head, word = ("CHANGE MASTER TO", "MASTER") if is_mariadb else ("CHANGE REPLICATION SOURCE TO", "SOURCE")
    values = []
    if password is None:
        on_source = [statements.require(account, requirement)]
    else:
        on_source = [
            f"CREATE USER {account.sql()} IDENTIFIED BY {string(password)} REQUIRE {requirement.sql()}",
            f"GRANT REPLICATION SLAVE ON *.* TO {account.sql()}",
        ]
        values += [("HOST", string(source.host)), ("PORT", str(source.port))]
        values += [("USER", string(account.user)), ("PASSWORD", string(password))]
        if by_gtid:
            values.append(("USE_GTID", "slave_pos") if is_mariadb else ("AUTO_POSITION", "1"))
    values += [
        ("SSL", "1"),
        ("SSL_CA", string(files["ca"])),
        ("SSL_CERT", string(files["certificate"])),
        ("SSL_KEY", string(files["key"])),
        ("SSL_CRL", string(files["crl"])),
        ("SSL_VERIFY_SERVER_CERT", "1"),
    ]
    change = f"{head}\n  " + ",\n  ".join(f"{word}_{name} = {value}" for name, value in values)
    stopped = ["STOP REPLICA"] if password is None else []
    return statements.script(*on_source), statements.script(*stopped, change, "START REPLICA")


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
    rows = client.query("SHOW ALL SLAVES STATUS" if flavor == "mariadb" else "SHOW REPLICA STATUS")
    if not rows:
        raise DatabaseCaError(
            "the server is not a replica", "server replication prints the statements that make it one"
        )
    return [finding for row in rows for finding in _findings(row)]


_SWITCHES = {
    "Source_SSL_Allowed": "not encrypted",
    "Source_SSL_Verify_Server_Cert": "source not verified",
}
_FILES = {
    "Source_SSL_CA_File": "any CA would be accepted",
    "Source_SSL_Cert": "the replica shows no certificate",
    "Source_SSL_Crl": "a revoked source would be accepted",
}


def _findings(row: Mapping[str, str]) -> Iterator[Finding]:
    # under the names that MySQL has now; MariaDB still has the old ones
    status = {name.replace("Slave_", "Replica_").replace("Master_", "Source_"): row[name] for name in row}
    channel = status.get("Connection_name") or status.get("Channel_Name") or ""
    prefix = f"{channel}: " if channel else ""
    errors = {
        f"Replica_{thread}_Running": " ".join(status.get(f"Last_{thread}_Error", "").split()) or "no error is known"
        for thread in ("IO", "SQL")
    }
    for name, problem in (errors | _SWITCHES).items():
        value = status.get(name, "No")
        fine = value == "Yes"
        yield Finding(OK if fine else CRITICAL, name, prefix + (value if fine else f"{value}: {problem}"))
    for name, problem in _FILES.items():
        value = status.get(name, "")
        yield Finding(OK if value else CRITICAL, name, prefix + (value or f"none: {problem}"))
