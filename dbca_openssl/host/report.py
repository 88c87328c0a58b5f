"""What `report --probe` shows of a host: which certificate its server serves, and which CRL it has and has loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dbca_openssl import x509
from dbca_openssl.ca import archive, listing
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import Authority
from dbca_openssl.ca.report import Seen
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import deploy, rotate, server
from dbca_openssl.host.deploy import LIST
from dbca_openssl.host.server import View
from dbca_openssl.host.ssh import Progress, Ssh


def look(
    authority: Authority, ssh: Ssh, hosts: Sequence[KnownHost], progress: Progress
) -> dict[KnownHost, Seen | DatabaseCaError]:
    """What each host serves and has, or why it cannot be asked; nothing is changed there.

    Raises DatabaseCaError where the CA cannot be read.
    """
    wanted = {host.name for host in hosts}
    files = deploy.files(authority._replace(tell=lambda line: None), sorted(wanted))
    serials = dict[str, str]()
    for one in reversed(deploy.trusted(authority)):
        of_hosts = [row.serial for row in listing.certificates(one) if row.name in wanted]
        serials |= {
            server.digest(certificate.encoded): serial
            for serial, certificate in archive.read(one, of_hosts)
            if certificate
        }
    return {
        host: view if isinstance(view, DatabaseCaError) else _seen(host, view, files[host.name], serials)
        for host, view in rotate.look(authority, ssh, hosts, progress).items()
    }


def _seen(host: KnownHost, view: View, files: Mapping[str, bytes], serials: Mapping[str, str]) -> Seen:
    """What a host said, compared with the `files` that it should have, and the `serials` of its certificates."""
    has_crl = view.files.get(LIST) == server.digest(files[LIST])
    crl, level = ("the newest", "") if has_crl else ("another one" if LIST in view.files else "none", "critical")
    if not server.has_server(host):
        return Seen("not asked", crl, "", level)
    if wrong := rotate.refusal(server.require_loaded, host, view):
        return Seen(wrong, crl, crl_level=level)
    own = files.get(f"{host.name}.cert.pem")
    serves = f"serial {serials[view.served]}" if view.served in serials else "no certificate that it got from this CA"
    is_valid = own is not None and view.served == server.digest(x509.certificate_in(own).encoded)
    if not is_valid and view.served in serials:
        serves += ", which is not the valid one"
    if wrong := rotate.refusal(server.require_crl, host, view):
        crl, level = f"{crl}; {wrong}", "critical"
    elif view.canaries:
        crl, level = f"{crl}, loaded", level or "ok"
    else:
        crl += ", not proven to be loaded"
    return Seen(serves, crl, "ok" if is_valid else "critical", level)
