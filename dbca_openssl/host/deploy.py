"""The public files that hosts get: the guide's "Copy to Target Systems", and each host's own certificate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import hosts, index, revoke, rollover
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import CERTIFICATE, HOSTS, INDEX, Authority, certificate_of, issued
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import scripts
from dbca_openssl.host.scripts import PublicFile
from dbca_openssl.host.ssh import Answer, Ssh
from dbca_openssl.transaction import Transaction

LIST = "database-ca.crl"
"""What the CRL is called on the hosts, as the guide's scp leaves it."""


class Delivered(NamedTuple):
    """What was changed on a host, and what was there already, by names relative to its directory."""

    changed: tuple[str, ...]
    same: tuple[str, ...]


def trusted(authority: Authority) -> tuple[Authority, ...]:
    """The CAs that the hosts of a CA trust: it alone, or in a rollover the new one and the old one.

    Raises DatabaseCaError where there is no CA, the other one of a rollover is not there, or the hosts have left it.
    """
    authority.require()
    rollover.require_current(authority)
    both = rollover.under_way(authority)
    return (both.new, both.old) if both else (authority,)


def common_files(*authorities: Authority) -> tuple[PublicFile, PublicFile]:
    """The files that every host gets: the CA certificate and the CRL, of one or of several CAs.

    Says so where a CRL has expired. Raises DatabaseCaError where either is not as it should be.
    """
    for one in authorities:
        one.require()
        if revoke.current_list(one).end <= dates.now():
            whose = "" if len(authorities) == 1 else f" of {one.directory}"
            one.tell(f"the CRL{whose} has expired, and servers refuse every client with it: dbca-openssl crl")
    files = rollover.bundle(authorities)
    return scripts.public_file(CERTIFICATE, files[CERTIFICATE]), scripts.public_file(LIST, files[LIST])


def files(authority: Authority, names: Sequence[str]) -> dict[str, list[PublicFile]]:
    """The files of each name: also its certificate, unless that has expired, is revoked or not in the index.

    In a rollover they are those of both CAs, and a certificate is that of the new one, where it has signed one.
    Raises DatabaseCaError as `common_files` does.
    """
    return files_of(trusted(authority), names)


def files_of(
    authorities: Sequence[Authority], names: Sequence[str], own: Authority | None = None
) -> dict[str, list[PublicFile]]:
    """The files of several CAs for each name, with its certificate of the first that has signed one, or of `own`.

    The CRL comes last, since it may revoke the certificate that is replaced. Raises DatabaseCaError as `common_files`.
    """
    certificate, crl = common_files(*authorities)
    found: dict[str, list[PublicFile]] = {}
    for one in [own] if own else authorities:
        found |= _own_files(one, [name for name in names if name not in found])
    return {name: [certificate, *found.get(name, ()), crl] for name in names}


def _own_files(authority: Authority, names: Sequence[str]) -> dict[str, list[PublicFile]]:
    at = dates.now()
    valid = {row.name: row for row in index.rows(authority.read(INDEX)) if row.status(at) == "valid"}
    found: dict[str, list[PublicFile]] = {}
    for name in names:
        path = certificate_of(name)
        if not authority.path(path).exists():
            continue
        data = authority.read(path)
        if name in valid and authority.read(issued(valid[name].serial)) == data:
            found[name] = [scripts.public_file(f"{name}.cert.pem", data)]
        else:
            authority.tell(f"{path} is not the valid certificate of {name}, and is not delivered")
    return found


def deploy(
    ssh: Ssh,
    host: KnownHost,
    files: Sequence[PublicFile],
    server: Mapping[str, object] | None = None,
    *,
    alone: bool = False,
) -> tuple[Delivered, Answer]:
    """Put files on a host, where they are not there yet, and have its `server` load them (`scripts.deploy`).

    Raises DatabaseCaError, and then none of them is changed.
    """
    answer = ssh.run(host, scripts.deploy(host, files, server, alone=alone))
    return _delivered(answer), answer


def deploy_here(ssh: Ssh, host: KnownHost, files: Sequence[PublicFile]) -> Delivered:
    """Put files on this machine, "Also your own workstation may use them". Raises DatabaseCaError."""
    return _delivered(ssh.run_here(host.name, scripts.deploy(host, files)))


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


def _delivered(answer: Answer) -> Delivered:
    return Delivered(tuple(answer.all("changed")), tuple(answer.all("same")))
