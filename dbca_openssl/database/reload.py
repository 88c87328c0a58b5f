"""Make a server read its certificate, key and CRL again; open sessions stay open."""

from __future__ import annotations

from datetime import datetime

from dbca_openssl import dates
from dbca_openssl.ca import index
from dbca_openssl.database import handshake
from dbca_openssl.database.check import listens, require_named, server_files
from dbca_openssl.database.client import Reached
from dbca_openssl.database.handshake import Target
from dbca_openssl.database.statements import Flavor
from dbca_openssl.database.trust import Trust, next_updates, read_certificate, read_crls
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.x509 import Certificate

# LOCAL keeps it out of the binary log, where on a replica it would be a transaction of its own
STATEMENTS: dict[Flavor, str] = {"mariadb": "FLUSH LOCAL SSL", "mysql": "ALTER INSTANCE RELOAD TLS"}


def reload(server: Reached, trust: Trust, at: datetime, command: str | None = None) -> tuple[Target, Certificate]:
    """Make the server read its files again; returns where a new handshake serves the issued certificate, and that.

    `command` is what the shell of the server's host runs for it, in place of the statement.

    Raises DatabaseCaError where it is not the server of `name`, or its CRL has expired, before anything is changed;
    where it does not load its files, and keeps the old ones; or where it then serves another certificate.
    """
    name, where, client = server
    issued = trust.issued(name)
    certificate, crl = server_files(client, trust)
    require_named(client, trust.openssl, name, certificate)
    where = where or listens(client)
    # MariaDB loads an expired CRL, and MySQL does with tls_certificates_enforced_validation off
    if crl and (end := min(next_updates(read_crls(crl, "ssl_crl of the server")).values())) <= at:
        raise DatabaseCaError(
            f"the CRL on the server expired on {dates.shown(end)}: after a reload every client that shows a "
            "certificate would be refused",
            "dbca-openssl crl makes a new one; deploy copies it there",
        )
    try:
        if client.there is None or command is None:
            client.execute(STATEMENTS[client.server_flavor()])
        elif (result := client.there.run(("sh",), ("-c", command))).code:
            raise DatabaseCaError(f"exit code {result.code} of: {command}", detail=result.messages)
    except DatabaseCaError as error:
        raise DatabaseCaError(
            f"the server keeps the files that it had loaded: {error.message}",
            "it must be able to read ssl_ca, ssl_cert, ssl_key and ssl_crl, and key and certificate must match",
            *error.hints,
            detail=error.detail,
        ) from None
    shown = read_certificate(handshake.served(trust.openssl, where, client.there).certificate, f"what {where} serves")
    if shown.encoded != issued.encoded:
        raise DatabaseCaError(
            f"{where} was reloaded, but serves serial {index.serial_text(shown.serial)} of "
            f"{shown.common_name or 'nobody'}, not the issued {index.serial_text(issued.serial)}",
            f"copy {trust.path(name)} to the file that the server's ssl_cert names, and reload again",
        )
    return where, issued
