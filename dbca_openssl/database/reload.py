"""Make a server read its certificate, key and CRL again; open sessions stay open."""

from __future__ import annotations

from datetime import datetime

from dbca_openssl import dates
from dbca_openssl.ca import index
from dbca_openssl.database import handshake
from dbca_openssl.database.check import require_named, server_files
from dbca_openssl.database.client import Client
from dbca_openssl.database.handshake import Target
from dbca_openssl.database.statements import Flavor
from dbca_openssl.database.trust import Trust, next_update, read_certificate
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.x509 import Certificate

# LOCAL keeps it out of the binary log, where on a replica it would be a transaction of its own
STATEMENTS: dict[Flavor, str] = {"mariadb": "FLUSH LOCAL SSL", "mysql": "ALTER INSTANCE RELOAD TLS"}


def reload(client: Client, flavor: Flavor, trust: Trust, name: str, where: Target, at: datetime) -> Certificate:
    """Make the server read its files again; returns the issued certificate, once a new handshake serves it.

    Raises DatabaseCaError where it is not the server of `name`, or its CRL has expired, before anything is changed;
    where it does not load its files, and keeps the old ones; or where it then serves another certificate.
    """
    issued = trust.issued(name)
    require_named(client, trust.openssl, name)
    _, crl = server_files(client)
    # MariaDB loads an expired CRL, and MySQL does with tls_certificates_enforced_validation off
    if crl is not None and (end := next_update(trust.openssl, crl, "ssl_crl of the server")) <= at:
        raise DatabaseCaError(
            f"the CRL on the server expired on {dates.shown(end)}: after a reload every client that shows a "
            "certificate would be refused",
            "dbca-openssl crl makes a new one; deploy copies it there",
        )
    try:
        client.execute(STATEMENTS[flavor])
    except DatabaseCaError as error:
        raise DatabaseCaError(
            f"the server keeps the files that it had loaded: {error.message}",
            "it must be able to read ssl_ca, ssl_cert, ssl_key and ssl_crl, and key and certificate must match",
            *error.hints,
            detail=error.detail,
        ) from None
    shown = read_certificate(handshake.served(trust.openssl, where).certificate, f"what {where} serves")
    if shown.encoded != issued.encoded:
        raise DatabaseCaError(
            f"{where} was reloaded, but serves serial {index.serial_text(shown.serial)} of "
            f"{shown.common_name or 'nobody'}, not the issued {index.serial_text(issued.serial)}",
            f"copy {trust.path(name)} to the file that the server's ssl_cert names, and reload again",
        )
    return issued
