"""The requests of hosts, copied into `certreqs/` over ssh: the guide's "Sign Certificates"."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dbca_openssl.ca import vetting
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import Authority, request_of
from dbca_openssl.ca.vetting import LARGEST_FILE, Vetted
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import scripts
from dbca_openssl.host.ssh import Answer, Ssh
from dbca_openssl.transaction import Transaction

Progress = Callable[[KnownHost, str], None]
"""Is called with a host and the state of the work on it, in a word or two."""


def fetch(
    authority: Authority, ssh: Ssh, hosts: Sequence[KnownHost], jobs: int, progress: Progress
) -> list[tuple[KnownHost, bool | DatabaseCaError]]:
    """Copy the requests of hosts into `certreqs/`, once they are found to be theirs.

    For each whether it is new, or why there is none. A request that was there before is kept as `NAME.req.pem.old`.
    Raises DatabaseCaError where there is no CA, or its directory cannot be written.
    """
    authority.require()

    def work(host: KnownHost) -> bytes:
        progress(host, "fetching")
        answer = ssh.run(host, scripts.fetch(host))
        vetted_request(authority, host, answer)
        return answer.text.encode()

    outcomes = ssh.each(hosts, work, jobs)
    new: dict[str, bytes] = {}
    with Transaction(
        authority.directory,
        compared=[request_of(host.name) for host in hosts],
        tell=authority.tell,
        timeout=authority.lock_timeout,
    ) as change:
        for host, outcome in zip(hosts, outcomes, strict=True):
            name = request_of(host.name)
            if isinstance(outcome, bytes) and change.base[name] != outcome:
                change.write(name, outcome)
                if (old := change.base[name]) is not None:
                    change.write(f"{name}.old", old)
                new[host.name] = outcome
        names = [request_of(name) for name in new]
        if names:
            change.commit((), names, [f"{name}.old" for name in names])
    return [
        (host, outcome if isinstance(outcome, DatabaseCaError) else host.name in new)
        for host, outcome in zip(hosts, outcomes, strict=True)
    ]


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
