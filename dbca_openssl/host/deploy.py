"""The public files that hosts get: the guide's "Copy to Target Systems", and each host's own certificate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import index, revoke
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import CERTIFICATE, CRL, INDEX, Authority, certificate_of, issued
from dbca_openssl.host import scripts
from dbca_openssl.host.scripts import PublicFile
from dbca_openssl.host.ssh import Answer, Ssh

LIST = "database-ca.crl"
"""What the CRL is called on the hosts, as the guide's scp leaves it."""


class Delivered(NamedTuple):
    """What was changed on a host, and what was there already, by names relative to its directory."""

    changed: tuple[str, ...]
    same: tuple[str, ...]


def common_files(authority: Authority) -> tuple[PublicFile, PublicFile]:
    """The files that every host gets: the CA certificate and the CRL.

    Says so where the CRL has expired. Raises DatabaseCaError where either is not as it should be.
    """
    authority.require()
    if revoke.current_list(authority).end <= dates.now():
        authority.tell("the revocation list has expired, and servers refuse every client with it: dbca-openssl crl")
    return (
        scripts.public_file(CERTIFICATE, authority.read(CERTIFICATE)),
        scripts.public_file(LIST, authority.read(CRL)),
    )


def files(authority: Authority, names: Sequence[str]) -> dict[str, list[PublicFile]]:
    """The files of each name: also its certificate, unless that has expired, is revoked or not in the index.

    The CRL comes last, since it may revoke the certificate that is replaced.
    Raises DatabaseCaError as `common_files` does.
    """
    certificate, revocation_list = common_files(authority)
    own = _own_files(authority, names)
    return {name: [certificate, *own[name], revocation_list] for name in names}


def _own_files(authority: Authority, names: Sequence[str]) -> dict[str, list[PublicFile]]:
    at = dates.now()
    valid = {row.name: row for row in index.rows(authority.read(INDEX)) if row.status(at) == "valid"}
    found: dict[str, list[PublicFile]] = {name: [] for name in names}
    for name in names:
        path = certificate_of(name)
        if not authority.path(path).exists():
            continue
        data = authority.read(path)
        if name in valid and authority.read(issued(valid[name].serial)) == data:
            found[name].append(scripts.public_file(f"{name}.cert.pem", data))
        else:
            authority.tell(f"{path} is not the valid certificate of {name}, and is not delivered")
    return found


def deploy(ssh: Ssh, host: KnownHost, files: Sequence[PublicFile]) -> Delivered:
    """Put files on a host, where they are not there yet. Raises DatabaseCaError, and then none of them is changed."""
    return _delivered(ssh.run(host, scripts.deploy(host, files)))


def deploy_here(ssh: Ssh, host: KnownHost, files: Sequence[PublicFile]) -> Delivered:
    """The same on this machine, "Also your own workstation may use them". Raises DatabaseCaError."""
    return _delivered(ssh.run_here(host.name, scripts.deploy(host, files)))


def _delivered(answer: Answer) -> Delivered:
    return Delivered(tuple(answer.all("changed")), tuple(answer.all("same")))
