"""Which accounts may connect without TLS, and making one of them use it: the guide's warning.

"Be aware that this DOES NOT ENFORCE the use of encryption in any way!"
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from dbca_openssl.database import statements
from dbca_openssl.database.client import Client, Row
from dbca_openssl.database.statements import Account, Flavor, Requirement
from dbca_openssl.errors import DatabaseCaError

Kind = Literal["open", "socket", "tls", "locked", "role", "system"]
"""`open`: may connect without TLS. `socket`: without TLS too, but by a local socket only. `tls`: must use TLS.
`locked` and `role` cannot connect, nor can the server's own accounts, `system`."""

# Names come in hex, so that no character set, no quoting and no terminal stands between the server and us.
_MARIADB = """
SELECT HEX(User) AS user, HEX(Host) AS host,
  CASE WHEN COALESCE(JSON_VALUE(Priv, '$.ssl_type'), 0) = 0 THEN 'none' ELSE 'tls' END AS tls,
  COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) IN ('1', 'true') AS is_role,
  COALESCE(JSON_VALUE(Priv, '$.account_locked'), 0) IN ('1', 'true') AS locked,
  CASE WHEN COALESCE(JSON_VALUE(Priv, '$.plugin'), '') = 'unix_socket'
    AND JSON_EXTRACT(Priv, '$.auth_or') IS NULL THEN 1 ELSE 0 END AS by_socket
FROM mysql.global_priv ORDER BY User, Host"""

# A role of MySQL is an account that is locked, has an expired and empty password, and has been granted.
_MYSQL = """
SELECT HEX(CONVERT(u.User USING utf8mb4)) AS user, HEX(CONVERT(u.Host USING utf8mb4)) AS host,
  CASE WHEN u.ssl_type = '' THEN 'none' ELSE 'tls' END AS tls,
  u.account_locked = 'Y' AND u.password_expired = 'Y' AND u.authentication_string = '' AS is_role,
  u.account_locked = 'Y' AS locked, u.plugin = 'auth_socket' AS by_socket
FROM mysql.user u ORDER BY u.User, u.Host"""

_SYSTEM = (
    ("mariadb.sys", "localhost"),
    ("mysql.infoschema", "localhost"),
    ("mysql.session", "localhost"),
    ("mysql.sys", "localhost"),
)


class Entry(NamedTuple):
    """An account of the server, and how it may connect."""

    account: Account
    kind: Kind


def accounts(client: Client, flavor: Flavor) -> list[Entry]:
    """All accounts of the server, by user and host. Raises DatabaseCaError where the asking account may not see them.

    MariaDB 10.4 and newer, MySQL 8 and newer.
    """
    return [
        Entry(account := Account(row.text("user"), row.text("host")), _kind(account, row))
        for row in client.query(_MARIADB if flavor == "mariadb" else _MYSQL)
    ]


def secure_transport(client: Client) -> bool:
    """Whether the server refuses every TCP connection without TLS, whatever the account says.

    Raises DatabaseCaError where it does not answer.
    """
    return client.one("SELECT @@GLOBAL.require_secure_transport AS value")["value"] == "1"


def require(client: Client, account: Account, requirement: Requirement) -> None:
    """Execute `ALTER USER ... REQUIRE`, and see that the server has it.

    Raises DatabaseCaError before anything is changed where there is no such account, or where the account that asks
    would lock itself out.
    """
    statement = statements.require(account, requirement)
    if _requirement(client, account) is None:
        raise DatabaseCaError(
            f"the server has no account {account.sql()}", "dbca-openssl server accounts lists those that there are"
        )
    _require_not_locking_out(client, account, requirement)
    client.execute(statement)
    if _requirement(client, account) != requirement:
        raise DatabaseCaError(f"the server took the statement, and {account.sql()} still has not what was asked for")


def _requirement(client: Client, account: Account) -> Requirement | None:
    """What the server has for an account; None where it has no such account."""
    rows = client.query(
        "SELECT HEX(CONVERT(User USING utf8mb4)) AS user, HEX(CONVERT(Host USING utf8mb4)) AS host, ssl_type, "
        "HEX(x509_subject) AS subject, HEX(x509_issuer) AS issuer FROM mysql.user"
    )
    for row in rows:
        if _same(Account(row.text("user"), row.text("host")), account):
            kind: Any = {"ANY": "SSL", "X509": "X509", "SPECIFIED": "CERTIFICATE"}.get(row["ssl_type"], "NONE")
            return Requirement(kind, row.text("subject"), row.text("issuer"))
    return None


def _require_not_locking_out(client: Client, account: Account, requirement: Requirement) -> None:
    """The account that asks may only be held to what this very session is known to have: TLS, but no certificate."""
    own = client.one("SELECT HEX(CONVERT(CURRENT_USER() USING utf8mb4)) AS own").text("own")
    user, _, host = own.rpartition("@")
    if not _same(Account(user, host), account):
        return
    encrypted = any(row["Value"] for row in client.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'"))
    if requirement.kind == "SSL" and encrypted:
        return
    raise DatabaseCaError(
        f"{account.sql()} is the account that asks, and it could lock itself out",
        "ask with another account (--user, --defaults-file)"
        + ("" if encrypted or requirement.kind != "SSL" else ", or connect with TLS"),
    )


def _same(one: Account, other: Account) -> bool:
    """Whether two accounts are one to the server, which compares hosts without regard to case."""
    return one.user == other.user and one.host.casefold() == other.host.casefold()


def _kind(account: Account, row: Row) -> Kind:
    if account in _SYSTEM:
        return "system"
    if row["is_role"] == "1":
        return "role"
    if row["locked"] == "1":
        return "locked"
    if row["tls"] == "tls":
        return "tls"
    return "socket" if row["by_socket"] == "1" else "open"
