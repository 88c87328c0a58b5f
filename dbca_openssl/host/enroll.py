"""Hosts that get key and certificate over ssh: requests made there, signed here in one transaction, delivered.

What a host answers is a claim: whether it has a valid certificate, and for which key, is read in the CA's own files.
Whatever interrupted an earlier run, the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import dates, x509
from dbca_openssl.algorithm import Algorithm
from dbca_openssl.ca import certificates, index, renew
from dbca_openssl.ca import sign as signing
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import INDEX, Authority, certificate_of, issued
from dbca_openssl.ca.renew import Renewal
from dbca_openssl.ca.revoke import SUPERSEDED, Reason
from dbca_openssl.ca.sign import Period, Proposal
from dbca_openssl.ca.vetting import Vetted
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import deploy, scripts
from dbca_openssl.host.fetch import vetted_request
from dbca_openssl.host.request import NewRequest
from dbca_openssl.host.ssh import FAILED, Answer, Progress, Ssh
from dbca_openssl.render import HOST_BITS

LEFT_ALONE, ENROLLED, REKEYED = "left alone", "enrolled", "rekeyed"
STATES = (LEFT_ALONE, ENROLLED, REKEYED, FAILED)
"""The states of a host at the end."""


class Enrolment(NamedTuple):
    """How hosts are enrolled: kind of key and validity; what differs between them is in each `KnownHost`.

    With `rekey` a host gets a new key whatever it has, and its certificate is superseded; if it is `compromised`, it is
    revoked as keyCompromise, so that its key is refused for ever.
    """

    algorithm: Algorithm = Algorithm(HOST_BITS)
    period: Period = Period()
    rekey: bool = False
    compromised: bool = False

    def request(self, host: KnownHost) -> NewRequest:
        """The request to be made on a host."""
        return NewRequest(host.name, Path(host.directory), host.alternative_names, host.profile, *self.algorithm)


class HostResult(NamedTuple):
    """A host, one of STATES, and what is to be signed for it, or which certificate is valid, or the error."""

    host: KnownHost
    state: str = ENROLLED
    proposal: Proposal | None = None
    serial: str | None = None
    end: datetime | None = None
    changed: tuple[str, ...] = ()
    error: DatabaseCaError | None = None


def prepare(
    authority: Authority, ssh: Ssh, hosts: Sequence[KnownHost], how: Enrolment, progress: Progress
) -> list[HostResult]:
    """Have each host make what it lacks of key and request, and vet what it asks for; nothing is signed yet.

    What is wrong with one host is in its result. Raises DatabaseCaError where nothing could be delivered.
    """
    deploy.common_files(*deploy.trusted(authority))  # what could not be delivered is found before any host is touched

    def work(host: KnownHost) -> HostResult:
        progress(host, "making its request")
        answer = ssh.run(host, scripts.enroll(how.request(host), host.owner, how.rekey, how.compromised))
        if answer.one("state") == "enrolled":
            result = _already(authority, host, answer)
            progress(host, LEFT_ALONE)
        else:
            result = _asking(authority, host, how, answer)
            progress(host, "request vetted")
        return result

    return [
        HostResult(host, FAILED, error=one) if isinstance(one, DatabaseCaError) else one
        for host, one in ssh.each(hosts, work, progress).items()
    ]


def sign(authority: Authority, results: Sequence[HostResult], how: Enrolment) -> list[HostResult]:
    """Sign what is to be signed, all in one transaction; with `how.rekey` older certificates are superseded in it.

    The hosts that were reached are entered in the list in the same one.

    Raises DatabaseCaError, and then nothing is signed.
    """
    waiting = [result.proposal for result in results if result.proposal]
    reached = [result.host for result in results if not result.error]
    if not waiting:
        deploy.record(authority, reached)
        return list(results)
    if any(result.state == REKEYED for result in results):
        again = [Renewal(proposal, (), frozenset(), same_key=False) for proposal in waiting]
        reason: Reason = "keyCompromise" if how.compromised else SUPERSEDED
        made, _ = renew.renew(authority, again, how.period, True, reached, reason=reason)
    else:
        made = signing.sign(authority, waiting, how.period, reached)
    signed = {one.name: one for one in made}
    return [
        result._replace(proposal=None, serial=signed[result.host.name].serial, end=signed[result.host.name].end)
        if result.proposal
        else result
        for result in results
    ]


def deliver(authority: Authority, ssh: Ssh, results: Sequence[HostResult], progress: Progress) -> list[HostResult]:
    """Bring every certificate that a host lacks to it, with the CA certificate and the CRL.

    What is wrong with one host is in its result. Raises DatabaseCaError where nothing can be delivered.
    """
    waiting = {result.host: result for result in results if result.state in (ENROLLED, REKEYED)}
    files = deploy.files(authority, [host.name for host in waiting])

    def work(host: KnownHost) -> HostResult:
        result = waiting[host]
        if f"{host.name}.cert.pem" not in files[host.name]:
            raise DatabaseCaError(
                f"{host.name}: {certificate_of(host.name)} is not its valid certificate, serial {result.serial}",
                "dbca-openssl check says what is wrong with the CA's files",
            )
        progress(host, "delivering")
        answer = ssh.run(host, deploy.script(host, files[host.name]))
        progress(host, result.state)
        return result._replace(changed=tuple(answer.all("changed")))

    delivered = {result.host: result for result in results}
    for host, one in ssh.each(list(waiting), work, progress).items():
        if isinstance(one, DatabaseCaError):
            hint = f"its certificate is signed; deliver it: dbca-openssl deploy {host.destination}"
            error = DatabaseCaError(one.message, *one.hints, hint, detail=one.detail)
            one = waiting[host]._replace(state=FAILED, error=error)
        delivered[host] = one
    return list(delivered.values())


def _already(authority: Authority, host: KnownHost, answer: Answer) -> HostResult:
    """The result for a host that shows a certificate. Raises DatabaseCaError where it is not its valid one of ours."""
    row = next((row for row in deploy.valid_rows(authority) if row.name == host.name), None)
    if row is not None:
        try:
            there = x509.certificate_in(answer.text.encode())
        except UnreadableError:
            there = None
        ours = certificates.read_certificate(authority, issued(row.serial))
        if there == ours:
            others = tuple(one for one in ours.alternative_names if one[1] != host.name)
            host = host._replace(alternative_names=others)  # what it has, not what was asked for
            return HostResult(host, LEFT_ALONE, serial=row.serial, end=row.end)
        if there and there.public_key == ours.public_key:
            raise DatabaseCaError(
                f"{host.name}: its certificate is not the valid one, which is serial {row.serial}",
                f"deliver that one: dbca-openssl deploy {host.destination}",
            )
    raise DatabaseCaError(
        f"{host.name}: it has a certificate that is not a valid one of this CA, and is left alone",
        f"if the host is to have a new pair: dbca-openssl enroll {host.destination} --rekey",
    )


def _asking(authority: Authority, host: KnownHost, how: Enrolment, answer: Answer) -> HostResult:
    """The result for a host that shows a request: what to sign for it, unless its certificate is signed already."""
    vetted = vetted_request(authority, host, answer)
    _require_names(host, vetted)
    rows = [row for row in index.rows(authority.read(INDEX)) if row.name == host.name]
    row = next((row for row in rows if row.status(dates.now()) == "valid"), None)
    if how.compromised and any(_has_key(authority, one, vetted) for one in rows):
        raise DatabaseCaError(f"{host.name}: its request has the key that is compromised", "log in there, and see why")
    if row is not None and _has_key(authority, row, vetted):
        state = REKEYED if how.rekey and len(rows) > 1 else ENROLLED
        return HostResult(host, state, serial=row.serial, end=row.end)
    if row is not None and not how.rekey:
        raise DatabaseCaError(
            f"{host.name} has a valid certificate already: serial {row.serial}, for another key",
            f"a new key and certificate: dbca-openssl enroll {host.destination} --rekey",
        )
    superseded = [one for one in rows if one.state == index.VALID] if how.rekey else []
    [proposal] = signing.proposals(authority, [vetted], [None], how.period, superseded)
    return HostResult(host, REKEYED if how.rekey and rows else ENROLLED, proposal)


def _has_key(authority: Authority, row: Row, vetted: Vetted) -> bool:
    if not authority.path(issued(row.serial)).is_file():
        return False
    certificate = certificates.read_certificate(authority, issued(row.serial))
    return x509.secret_of(certificate.public_key) == x509.secret_of(vetted.public_key)


def _require_names(host: KnownHost, vetted: Vetted) -> None:
    """Raise DatabaseCaError where a request, perhaps an older one, asks for other names than were given here."""
    given = {name for _, name in host.alternative_names} - {host.name}
    asked = set(vetted.names_beyond_its_own)
    if asked == given:
        return
    if missing := sorted(given - asked):
        raise DatabaseCaError(
            f"{host.name}: the request that is there does not ask for the name {missing[0]}",
            f"give no such --alt-name, or move {host.directory}/{host.name}.req.pem away on the host",
        )
    extra = sorted(asked - given)
    raise DatabaseCaError(
        f"{host.name}: the request that is there asks for the name {extra[0]} too, which is not allowed",
        f"to allow it: --alt-name {extra[0]}",
    )
