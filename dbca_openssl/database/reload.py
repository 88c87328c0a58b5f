"""Making a server read its certificate, key and revocation list again; sessions that are open stay open."""

from __future__ import annotations

from datetime import datetime

from dbca_openssl import dates
from dbca_openssl.ca import index
from dbca_openssl.database import handshake
from dbca_openssl.database.check import server_files
from dbca_openssl.database.client import Client
from dbca_openssl.database.handshake import Target
from dbca_openssl.database.statements import Flavor
from dbca_openssl.database.trust import Trust, next_update, read_certificate
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.x509 import Certificate

# LOCAL keeps it out of the binary log: on a replica it would be a transaction that no other server has
STATEMENTS: dict[Flavor, str] = {"mariadb": "FLUSH LOCAL SSL", "mysql": "ALTER INSTANCE RELOAD TLS"}


def reload(client: Client, flavor: Flavor, trust: Trust, name: str, where: Target, at: datetime) -> Certificate:
    """Have the server read its files again; returns the issued certificate, once a new handshake shows it.

    Raises DatabaseCaError before anything is changed where its revocation list is over, and so every client with a
    certificate would be locked out; where the server does not take its files, and goes on with the old ones; or
    where it serves another certificate than the one that was issued to `name`.
    """
    issued = trust.issued(name)
    _require_a_list_that_is_good(client, trust, at)
    try:
        client.execute(STATEMENTS[flavor])
    except DatabaseCaError as error:
        raise DatabaseCaError(
            f"the server goes on with what it had: {error.message}",
            "it must be able to read ssl_ca, ssl_cert, ssl_key and ssl_crl, and key and certificate must be a pair",
            *error.hints,
            detail=error.detail,
        ) from None
    shown = read_certificate(trust.openssl, handshake.served(trust.openssl, where).certificate, f"what {where} serves")
    if shown.encoded != issued.encoded:
        raise DatabaseCaError(
            f"{where} has reloaded, and serves serial {index.serial_text(shown.serial)} of "
            f"{shown.common_name or 'nobody'}, not the issued {index.serial_text(issued.serial)}",
            f"copy {trust.path(name)} to the place that ssl_cert of the server names, and reload again",
        )
    return issued


def _require_a_list_that_is_good(client: Client, trust: Trust, at: datetime) -> None:
    """MariaDB takes a list that is over, and MySQL does where tls_certificates_enforced_validation is off."""
    _, data = server_files(client)
    if data is not None and (end := next_update(trust.openssl, data, "ssl_crl of the server")) <= at:
        raise DatabaseCaError(
            f"the revocation list on the server is over since {dates.shown(end)}, "
            "and with it every client that shows a certificate would be refused",
            "dbca-openssl crl makes a new one; deploy copies it there",
        )
