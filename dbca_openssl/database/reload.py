"""Making a server read its certificate, key and revocation list again; sessions that are open stay open."""

from __future__ import annotations

from dbca_openssl.authority import index
from dbca_openssl.authority.structures import Certificate
from dbca_openssl.database import handshake
from dbca_openssl.database.client import Client
from dbca_openssl.database.handshake import Target
from dbca_openssl.database.statements import Flavor
from dbca_openssl.database.trust import Trust, read_certificate
from dbca_openssl.errors import DatabaseCaError

# LOCAL keeps it out of the binary log: on a replica it would be a transaction that no other server has
STATEMENTS: dict[Flavor, str] = {"mariadb": "FLUSH LOCAL SSL", "mysql": "ALTER INSTANCE RELOAD TLS"}


def reload(client: Client, flavor: Flavor, trust: Trust, name: str, where: Target) -> Certificate:
    """Have the server read its files again; returns the issued certificate, once a new handshake shows it.

    Raises DatabaseCaError where the server does not take its files, and goes on with the old ones, or where it
    serves another certificate than the one that was issued to `name`.
    """
    issued = trust.issued(name)
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
