"""Which accounts may connect without TLS, and `ALTER USER ... REQUIRE` for one of them: the guide's warning.

"Be aware that this DOES NOT ENFORCE the use of encryption in any way!"
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from dbca_openssl.database import statements
from dbca_openssl.database.client import Client, Row
from dbca_openssl.database.statements import Account, Flavor, Requirement
from dbca_openssl.errors import DatabaseCaError

Kind = Literal["open", "socket", "tls", "locked", "role", "system"]
"""`open`: may connect without TLS. `socket`: without TLS too, but only through the local socket. `tls`: must use TLS.
`locked`, `role` and `system` (the server's own accounts) cannot connect."""

# Names are sent in hex, so that no character set and no quoting can change them.
_MARIADB = """
SELECT HEX(User) AS user, HEX(Host) AS host,
  ELT(1 + COALESCE(JSON_VALUE(Priv, '$.ssl_type'), 0), '', 'ANY', 'X509', 'SPECIFIED') AS requires,
  COALESCE(JSON_VALUE(Priv, '$.x509_subject'), '') <> '' AS subject,
  COALESCE(JSON_VALUE(Priv, '$.x509_issuer'), '') <> '' AS issuer,
  COALESCE(JSON_VALUE(Priv, '$.ssl_cipher'), '') <> '' AS cipher,
  COALESCE(JSON_VALUE(Priv, '$.is_role'), 0) IN ('1', 'true') AS is_role,
  COALESCE(JSON_VALUE(Priv, '$.account_locked'), 0) IN ('1', 'true') AS locked,
  CASE WHEN COALESCE(JSON_VALUE(Priv, '$.plugin'), '') = 'unix_socket'
    AND JSON_EXTRACT(Priv, '$.auth_or') IS NULL THEN 1 ELSE 0 END AS by_socket
FROM mysql.global_priv ORDER BY User, Host"""

# A role of MySQL is an account that is locked and has an expired, empty password.
_MYSQL = """
SELECT HEX(CONVERT(u.User USING utf8mb4)) AS user, HEX(CONVERT(u.Host USING utf8mb4)) AS host,
  u.ssl_type AS requires, u.x509_subject <> '' AS subject, u.x509_issuer <> '' AS issuer, u.ssl_cipher <> '' AS cipher,
  u.account_locked = 'Y' AND u.password_expired = 'Y' AND u.authentication_string = '' AS is_role,
  u.account_locked = 'Y' AS locked, u.plugin = 'auth_socket' AS by_socket
FROM mysql.user u ORDER BY u.User, u.Host"""

_SYSTEM = [Account(user, "localhost") for user in ("mariadb.sys", "mysql.infoschema", "mysql.session", "mysql.sys")]


class Entry(NamedTuple):
    """An account of the server, and how it may connect; `requires` has the words after REQUIRE, such as ssl."""

    account: Account
    kind: Kind
    requires: tuple[str, ...] = ()


def accounts(client: Client, flavor: Flavor) -> list[Entry]:
    """All accounts of the server, by user and host. Raises DatabaseCaError where `client` may not read them.

    MariaDB 10.4 and newer, MySQL 8 and newer.
    """
    return [
        Entry(account := Account(row.text("user"), row.text("host")), _kind(account, row), _requires(row))
        for row in client.query(_MARIADB if flavor == "mariadb" else _MYSQL)
    ]


def secure_transport(client: Client) -> bool:
    """Whether the server refuses TCP without TLS for all accounts. Raises DatabaseCaError where it does not answer."""
    return client.one("SELECT @@GLOBAL.require_secure_transport AS value")["value"] == "1"


def require(client: Client, account: Account, requirement: Requirement) -> None:
    """Execute `ALTER USER ... REQUIRE`, and check the result on the server.

    Raises DatabaseCaError, before anything is changed, where there is no such account, or where the account that
    connects would lock itself out.
    """
    statement = statements.require(account, requirement)
    if not _requirements(client, account):
        raise DatabaseCaError(
            f"the server has no account {account.sql()}", "dbca-openssl server accounts lists its accounts"
        )
    _require_not_locking_out(client, account, requirement)
    client.execute(statement)
    if [found for _, found in _requirements(client, account)] != [requirement]:
        raise DatabaseCaError(f"the server executed the statement, but {account.sql()} does not have that requirement")


def bound_to(client: Client, issuer: str) -> list[tuple[Account, Requirement]]:
    """The accounts that require `issuer`, in the form of X509_NAME_oneline(3). Raises DatabaseCaError.

    Backslashes do not count: not every version of openssl writes them before `/` and `+`.
    """
    plain = issuer.replace("\\", "")
    return [(account, found) for account, found in _requirements(client) if found.issuer.replace("\\", "") == plain]


def _requirements(client: Client, account: Account | None = None) -> list[tuple[Account, Requirement]]:
    """What the server, of either flavor, requires of each of its accounts, or of one, if it has that."""
    found = []
    rows = client.query(
        "SELECT HEX(CONVERT(User USING utf8mb4)) AS user, HEX(CONVERT(Host USING utf8mb4)) AS host, ssl_type, "
        "HEX(x509_subject) AS subject, HEX(x509_issuer) AS issuer, HEX(ssl_cipher) AS cipher FROM mysql.user "
        "ORDER BY User, Host"
    )
    for row in rows:
        kind: Any = {"ANY": "SSL", "X509": "X509", "SPECIFIED": "CERTIFICATE"}.get(row["ssl_type"], "NONE")
        names = (row.text(name) for name in ("subject", "issuer", "cipher"))
        one = Account(row.text("user"), row.text("host"))
        if account is None or _same(one, account):
            found.append((one, Requirement(kind, *names)))
    return found


def _require_not_locking_out(client: Client, account: Account, requirement: Requirement) -> None:
    """The account that connects may only be required to use TLS, and only if this session does."""
    own = client.one("SELECT HEX(CONVERT(CURRENT_USER() USING utf8mb4)) AS own").text("own")
    user, _, host = own.rpartition("@")
    if not _same(Account(user, host), account):
        return
    encrypted = any(row["Value"] for row in client.query("SHOW SESSION STATUS LIKE 'Ssl_cipher'"))
    if requirement.kind == "SSL" and encrypted:
        return
    raise DatabaseCaError(
        f"{account.sql()} is the account that connects, and it could lock itself out",
        "connect with another account (--user, --defaults-file)"
        + ("" if encrypted or requirement.kind != "SSL" else ", or connect with TLS"),
    )


def _same(one: Account, other: Account) -> bool:
    """Whether two accounts are the same to the server, for which the case of hosts does not count."""
    return one.user == other.user and one.host.casefold() == other.host.casefold()


def _requires(row: Row) -> tuple[str, ...]:
    """The words after REQUIRE; an account that must show a certain subject, issuer or cipher may have several."""
    if row["requires"] == "SPECIFIED":
        return tuple(word for word in ("subject", "issuer", "cipher") if row[word] == "1")
    return {"ANY": ("ssl",), "X509": ("x509",)}.get(row["requires"], ())


def _kind(account: Account, row: Row) -> Kind:
    if account in _SYSTEM:
        return "system"
    if row["is_role"] == "1":
        return "role"
    if row["locked"] == "1":
        return "locked"
    if row["requires"]:
        return "tls"
    return "socket" if row["by_socket"] == "1" else "open"
