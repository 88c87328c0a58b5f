"""The requests of hosts, copied into `certreqs/` over ssh: the guide's "Sign Certificates"."""

from __future__ import annotations

from collections.abc import Sequence

from dbca_openssl.ca import hosts as known_hosts
from dbca_openssl.ca import vetting
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import HOSTS, Authority, request_of
from dbca_openssl.ca.vetting import LARGEST_FILE, Vetted
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import scripts
from dbca_openssl.host.ssh import Answer, Progress, Ssh
from dbca_openssl.transaction import Transaction


def fetch(
    authority: Authority, ssh: Ssh, hosts: Sequence[KnownHost], progress: Progress
) -> dict[KnownHost, bool | DatabaseCaError]:
    """Copy the requests of hosts into `certreqs/`, once they are found to be theirs.

    Hosts that were reached are entered in the list. For each whether its request is new, or why there is none. One that
    was there before is kept as `NAME.req.pem.old`.
    Raises DatabaseCaError where there is no CA, or its directory cannot be written.
    """
    authority.require()

    def work(host: KnownHost) -> bytes:
        progress(host, "fetching")
        answer = ssh.run(host, scripts.fetch(host))
        vetted_request(authority, host, answer)
        return answer.text.encode()

    outcomes = ssh.each(hosts, work, progress)
    fetched = {host: outcome for host, outcome in outcomes.items() if isinstance(outcome, bytes)}
    new: list[KnownHost] = []
    with Transaction(
        authority.directory,
        compared=[HOSTS, *(request_of(host.name) for host in hosts)],
        tell=authority.tell,
        timeout=authority.lock_timeout,
    ) as change:
        for host, request in fetched.items():
            name = request_of(host.name)
            if change.base[name] != request:
                change.write(name, request)
                if (old := change.base[name]) is not None:
                    change.write(f"{name}.old", old)
                new.append(host)
        names = [request_of(host.name) for host in new]
        kept = known_hosts.stage(change, list(fetched))
        if names or kept:
            change.commit((), (*names, *kept), [f"{name}.old" for name in names])
    return {host: host in new if isinstance(one, bytes) else one for host, one in outcomes.items()}


def vetted_request(authority: Authority, host: KnownHost, answer: Answer) -> Vetted:
    """The request in an answer. Raises DatabaseCaError where `sign` would refuse it, or it is not the host's own."""
    label = f"{host.name}: its request"
    if len(answer.text) > LARGEST_FILE:
        raise DatabaseCaError(f"{label} has more than {LARGEST_FILE // 1024} KiB")
    vetted = vetting.vet(authority.openssl, label, answer.text.encode())
    if vetted.name != host.name:
        raise DatabaseCaError(f"{label} asks for the name {vetted.name}", "it must be its own")
    # openssl ca would find this out as well, but then none of the requests would be signed
    verified = authority.openssl.run(("req", "-verify", "-noout"), directory=authority.directory, data=vetted.pem)
    said = verified.messages + verified.output.decode("ascii", "replace")  # on stdout since 3.5
    if verified.code != 0 or "verify OK" not in said:  # 1.1.1 and 3.0 exit 0 either way
        raise DatabaseCaError(f"{label} has a signature that does not match its key", detail=verified.messages)
    return vetted
