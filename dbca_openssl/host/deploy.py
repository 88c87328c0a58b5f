"""The public files that hosts get: the guide's "Copy to Target Systems", and each host's own certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dbca_openssl import dates
from dbca_openssl.ca import hosts, index, revoke, rollover
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import HOSTS, INDEX, Authority, certificate_of, issued
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import scripts, server
from dbca_openssl.host.server import Canary
from dbca_openssl.transaction import Transaction

LIST = "database-ca.crl"
"""What the CRL is called on the hosts, as the guide's scp leaves it."""


def trusted(authority: Authority) -> tuple[Authority, ...]:
    """The CAs that the hosts of a CA trust: it alone, or in a rollover the new one and the old one.

    Raises DatabaseCaError where there is no CA, the other one of a rollover is not there, or the hosts have left it.
    """
    authority.require()
    rollover.require_current(authority)
    both = rollover.under_way(authority)
    return (both.new, both.old) if both else (authority,)


def common_files(*authorities: Authority) -> dict[str, bytes]:
    """The files that every host gets, by name: the CA certificate and the CRL, of one or of several CAs.

    Says so where a CRL has expired. Raises DatabaseCaError where either is not as it should be.
    """
    for one in authorities:
        one.require()
        if revoke.current_list(one).end <= dates.now():
            whose = "" if len(authorities) == 1 else f" of {one.directory}"
            one.tell(f"the CRL{whose} has expired, and servers refuse every client with it: dbca-openssl crl")
    files = rollover.bundle(authorities)
    for name, data in files.items():
        require_public(name, data)
    return files


def files(authority: Authority, names: Sequence[str]) -> dict[str, dict[str, bytes]]:
    """The files of each name: also its certificate, unless that has expired, is revoked or not in the index.

    In a rollover they are those of both CAs, and a certificate is that of the new one, where it has signed one.
    Raises DatabaseCaError as `common_files` does.
    """
    return files_of(trusted(authority), names)


def files_of(
    authorities: Sequence[Authority], names: Sequence[str], own: Authority | None = None
) -> dict[str, dict[str, bytes]]:
    """The files of several CAs for each name, with its certificate of the first that has signed one, or of `own`.

    The CRL comes last, since it may revoke the certificate that is replaced. Raises DatabaseCaError as `common_files`.
    """
    common = common_files(*authorities)
    crl = common.pop(LIST)
    found: dict[str, dict[str, bytes]] = {}
    for one in [own] if own else authorities:
        valid = {row.name: row for row in valid_rows(one)}
        for name in names:
            path = certificate_of(name)
            if name in found or not one.path(path).exists():
                continue
            data = one.read(path)
            if name in valid and one.read(issued(valid[name].serial)) == data:
                require_public(f"{name}.cert.pem", data)
                found[name] = {f"{name}.cert.pem": data}
            else:
                one.tell(f"{path} is not the valid certificate of {name}, and is not delivered")
    return {name: {**common, **found.get(name, {}), LIST: crl} for name in names}


def valid_rows(authority: Authority) -> list[Row]:
    """The rows of all valid certificates. Raises DatabaseCaError where the index cannot be read."""
    at = dates.now()
    return [row for row in index.rows(authority.read(INDEX)) if row.status(at) == "valid"]


def require_public(name: str, data: bytes) -> None:
    """Raise DatabaseCaError where there is a private key in what is to be sent, or no PEM text."""
    if b"PRIVATE KEY" in data:
        raise DatabaseCaError(f"there is a private key in what should be {name}", "no private key is ever sent")
    if not data.endswith(b"\n") or b"\0" in data or b"-----BEGIN " not in data:
        raise DatabaseCaError(f"what should be {name} is not a file in PEM form")


def script(
    host: KnownHost, files: Mapping[str, bytes], canaries: Sequence[Canary] | None = None, *, alone: bool = False
) -> str:
    """The script that puts files, by their names, into their place, all of them or none, each by a rename.

    A certificate for a new pair that `enroll` with `rekey` has made puts this pair into the place of the older one.
    Only `alone` do files of one CA replace those of two. With `canaries`, perhaps none, the server reads its files
    again, and is looked at as by `server.look`.
    """
    return scripts.script(
        "deploy",
        f"Certificates and CRL for {host.name}",
        host.name,
        host.directory,
        owner=host.owner,
        files=[(name, server.digest(data), data.decode("utf-8", "surrogateescape")) for name, data in files.items()],
        server=None if canaries is None else server.asked(host, canaries),
        alone=alone,
    )


def record(authority: Authority, reached: Sequence[KnownHost]) -> None:
    """Enter the hosts that were `reached` in the list, where nothing else is changed.

    Says so where it cannot be written, such as on a read-only medium: what was done on the hosts is done.
    """
    known = hosts.read(authority)
    if known.with_hosts(*reached) is known:
        return
    try:
        with Transaction(
            authority.directory, compared=[HOSTS], tell=authority.tell, timeout=authority.lock_timeout
        ) as change:
            if names := hosts.stage(change, reached):
                change.commit(names)
    except DatabaseCaError as error:
        authority.tell(f"{HOSTS} is not kept: {error.message}")
