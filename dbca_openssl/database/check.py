"""Checks of what a server reports about its TLS: the guide's "Compatibility", and its successors in MySQL 8.4."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

from dbca_openssl import dates, finding
from dbca_openssl.database import accounts, handshake
from dbca_openssl.database.client import Client
from dbca_openssl.database.handshake import Target
from dbca_openssl.database.statements import Flavor
from dbca_openssl.database.trust import Trust, next_updates, read_certificate, read_crls
from dbca_openssl.errors import DatabaseCaError, UnreachableError
from dbca_openssl.finding import CRITICAL, OK, UNKNOWN, WARNING, Finding
from dbca_openssl.names import shown
from dbca_openssl.openssl import OpenSSL

_VARIABLES = (
    *("have_ssl", "have_openssl", "ssl_ca", "ssl_cert", "ssl_key", "ssl_crl", "ssl_crlpath", "tls_version"),
    *("require_secure_transport", "tls_certificates_enforced_validation", "performance_schema"),
)
LARGEST_CRL, LARGEST_CRL_OVER_SSH = 1 << 20, 64 << 10
"""Bytes, which in hex are far from what a server, or a host, may send at all."""

_OLD = ("TLSv1", "TLSv1.0", "TLSv1.1")


def inspect(client: Client, flavor: Flavor, trust: Trust | None, at: datetime) -> list[Finding]:
    """All findings. Raises DatabaseCaError where the server does not answer.

    With `trust`, the server's CRL is also compared with that of the CA. No server says which CRL it has loaded: only
    its file is judged.
    """
    names = ", ".join(f"'{name}'" for name in _VARIABLES)
    rows = client.query(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
    variables = {row["Variable_name"]: row["Value"] for row in rows}
    end = _loaded_end(client)
    if not end and flavor == "mariadb" and variables.get("have_ssl") == "YES":
        with suppress(DatabaseCaError):  # such as a certificate that the client does not accept
            end = _loaded_end(client._replace(tls=True))
    certificate, crl = server_files(client, trust)
    return [
        *_availability(client, variables),
        *_certificate(certificate, variables, end, at),
        _crl(crl, variables, trust, at),
        _protocols(variables),
        *_start(variables),
        _enforcement(client, flavor, variables),
    ]


def _loaded_end(client: Client) -> str:
    """The end date of the loaded certificate as the server prints it, which MariaDB does only over TLS."""
    return next((row["Value"] for row in client.query("SHOW STATUS LIKE 'Ssl_server_not_after'")), "")


def _availability(client: Client, variables: dict[str, str]) -> list[Finding]:
    if "have_ssl" in variables:
        values = {name: variables.get(name, "NO") for name in ("have_ssl", "have_openssl")}
        return [Finding(OK if value == "YES" else CRITICAL, name, value) for name, value in values.items()]
    rows = client.query(
        "SELECT VALUE FROM performance_schema.tls_channel_status WHERE CHANNEL = 'mysql_main' AND PROPERTY = 'Enabled'"
    )
    enabled = any(row["VALUE"] == "Yes" for row in rows)
    return [Finding(OK if enabled else CRITICAL, "tls", "enabled" if enabled else "not enabled")]


def _certificate(data: bytes | None, variables: dict[str, str], end: str, at: datetime) -> list[Finding]:
    path = variables.get("ssl_cert", "")
    if not path or not variables.get("ssl_ca"):
        return [Finding(CRITICAL, "loaded", "no ssl_ca and ssl_cert: its certificate is self-signed, or there is none")]
    if not end:
        return [Finding(UNKNOWN, "loaded", f"{path}; the server shows its end date only over TLS")]
    try:
        loaded = dates.printed_time(end)
    except ValueError:
        return [Finding(UNKNOWN, "loaded", f"{path}; the server sent an end date that cannot be read")]
    found = [finding.until("loaded", loaded, at, finding.CERTIFICATE_DAYS, path)]
    if data is not None and read_certificate(data, path).end != loaded:
        found.append(Finding(WARNING, "file", f"{path} is not the loaded certificate: server reload"))
    return found


def _crl(data: bytes | None, variables: dict[str, str], trust: Trust | None, at: datetime) -> Finding:
    path, directory = variables.get("ssl_crl", ""), variables.get("ssl_crlpath", "")
    if not path and directory:
        return Finding(UNKNOWN, "ssl_crl", f"the CRLs are in the directory {directory}")
    if not path:
        return Finding(CRITICAL, "ssl_crl", "none, so revoked clients are accepted")
    if data is None:
        why = "cannot be read through the server (FILE privilege, mode 644, secure_file_priv)"
        return Finding(UNKNOWN, "ssl_crl", f"{path} {why}")
    if not data:
        why = "is too large to be read through the server, and is not the CRL of the CA: deploy it"
        return Finding(UNKNOWN, "ssl_crl", f"{path} {why}" if trust else f"{path} is compared by --ca only")
    try:
        ends = next_updates(read_crls(data, path))
        newest = trust.crl_ends() if trust else {}
    except DatabaseCaError as error:
        return Finding(CRITICAL, "ssl_crl", error.message)
    if any(issuer not in ends or ends[issuer] < end for issuer, end in newest.items()):
        # with `deploy` the CRL of the other CA would be lost
        how = "deploy it" if len(ends) == 1 else "bring the CRLs of both CAs, which rollover --output writes"
        return Finding(CRITICAL, "ssl_crl", f"{path} is older than the CRL of the CA: {how}")
    return finding.until("ssl_crl", min(ends.values()), at, finding.CRL_DAYS, f"{path} (only the file was looked at)")


def _protocols(variables: dict[str, str]) -> Finding:
    versions = [version for version in variables.get("tls_version", "").split(",") if version]
    old = [version for version in versions if version in _OLD]
    if not versions or old:
        return Finding(CRITICAL, "protocol", f"{', '.join(old) or 'none'} allowed")
    return Finding(OK, "protocol", ", ".join(versions))


def _start(variables: dict[str, str]) -> Iterator[Finding]:
    if "tls_certificates_enforced_validation" in variables:
        closed = variables["tls_certificates_enforced_validation"] == "ON"
        text = "only with valid files" if closed else "also without TLS: tls_certificates_enforced_validation is off"
        yield Finding(OK if closed else WARNING, "start", text)


def _enforcement(client: Client, flavor: Flavor, variables: dict[str, str]) -> Finding:
    if variables.get("require_secure_transport") == "ON":
        return Finding(OK, "enforced", "for all accounts over TCP: require_secure_transport")
    free = [entry for entry in accounts.accounts(client, flavor) if entry.kind == "open"]
    plain = _plain_sessions(client, variables)
    now = "" if plain is None else f"; {plain or 'no'} TCP session{'' if plain == 1 else 's'} without TLS now"
    if not free:
        text = f"by every account that can connect{now}"
        return Finding(OK, "enforced", text if plain else f"{text}: it is time for require_secure_transport")
    count = f"{len(free)} account{'s' if len(free) > 1 else ''}"
    return Finding(WARNING, "enforced", f"not for {count}, which server accounts lists{now}")


def _plain_sessions(client: Client, variables: dict[str, str]) -> int | None:
    """How many sessions over TCP are not encrypted; None where performance_schema is off or not readable."""
    if variables.get("performance_schema") == "ON":
        with suppress(DatabaseCaError):
            plain = "SELECT 1 FROM performance_schema.threads WHERE CONNECTION_TYPE = 'TCP/IP'"
            return len(client.query(plain))
    return None


def server_files(client: Client, trust: Trust | None) -> tuple[bytes | None, bytes | None]:
    """Certificate and CRL as the server's files have them now; None for a file that it may not read for this account.

    A CRL that is the same as the CA's is not sent, since it may have megabytes; another one of that size is empty here.
    Raises DatabaseCaError where the server does not answer.
    """
    crl = "LOAD_FILE(@@GLOBAL.ssl_crl)"
    digest = f"LENGTH({crl}) AS size, SHA2({crl}, 256) AS digest"
    row = client.one(f"SELECT HEX(LOAD_FILE(@@GLOBAL.ssl_cert)) AS certificate, {digest}")
    certificate = None if row["certificate"] in ("NULL", "") else row.unhex("certificate")
    if not row["size"].isdecimal() or row["size"] == "0":
        return certificate, None
    with suppress(DatabaseCaError):  # where it cannot be read, `_crl` says so
        if trust and hashlib.sha256(newest := trust.crl_data()).hexdigest() == row["digest"]:
            return certificate, newest
    if int(row["size"]) > (LARGEST_CRL_OVER_SSH if client.there else LARGEST_CRL):
        return certificate, b""
    return certificate, client.one(f"SELECT HEX({crl}) AS crl").unhex("crl")


def listens(client: Client) -> Target:
    """Where the server that `client` reaches listens, as this machine sees it. Raises DatabaseCaError."""
    row = client.one("SELECT @@GLOBAL.port AS port, @@GLOBAL.bind_address AS address")
    host, port = row["address"].partition(",")[0].partition("/")[0], row["port"]
    if not host.strip("*0.:") or host == "NULL":  # any address
        host = "127.0.0.1"
    if client.socket is None and client.host not in (None, "localhost"):
        host, port = str(client.host), str(client.port or port)
    return handshake.target(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def require_named(client: Client, openssl: OpenSSL, name: str, file: bytes | None) -> None:
    """Refuse a server that is not the one of `name`. Raises DatabaseCaError.

    Its certificate says whose it is: that in its `file`, or where the account may not read this (FILE), the one that it
    serves. In the latter case its hostname counts too, so that a server with a wrong certificate can get the right one.
    """
    where, names = listens(client), set()
    try:
        served = file or handshake.served(openssl, where, client.there).certificate
        found = read_certificate(served, f"what {where} serves")
        names |= {found.common_name, *(value for _, value in found.alternative_names)}
        whose = shown(found.common_name or "nobody")
    except UnreachableError as error:
        whose = f"not known ({error.message})"
    if file is None:
        hostname = client.one("SELECT HEX(CONVERT(@@GLOBAL.hostname USING utf8mb4)) AS name").text("name")
        names.add(hostname)
        whose += f", and its hostname is {shown(hostname)}"
    if name.casefold() not in {one.casefold() for one in names}:
        raise DatabaseCaError(
            f"{where} is not the server of {name}: its certificate is that of {whose}",
            "--socket, --host, --port or --connect led to it; nothing was changed",
        )
