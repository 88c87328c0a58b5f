"""Hosts that get key and certificate over ssh: requests made there, signed here in one transaction, delivered.

Each host stands where its files say it stands, so a run that was cut short is taken up again by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import NamedTuple

from dbca_openssl import dates, x509
from dbca_openssl.ca import certificates, index, vetting
from dbca_openssl.ca import renew as renewal
from dbca_openssl.ca import sign as signing
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import INDEX, Authority, issued, request_of
from dbca_openssl.ca.renew import Renewal
from dbca_openssl.ca.sign import Period, Proposal
from dbca_openssl.ca.vetting import Vetted
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import deploy as delivery
from dbca_openssl.host import scripts
from dbca_openssl.host.request import NewRequest
from dbca_openssl.host.scripts import Place
from dbca_openssl.host.ssh import Answer, Host, Ssh
from dbca_openssl.transaction import Transaction

Progress = Callable[[Host, str], None]
"""Says what is going on with a host, in a word or two."""

LEFT_ALONE, ENROLLED, REKEYED, FAILED = "left alone", "enrolled", "rekeyed", "failed"
ENDS = (LEFT_ALONE, ENROLLED, REKEYED, FAILED)
"""How it ends for a host, in a word."""


class Enrolment(NamedTuple):
    """How hosts are enrolled: names beside their own, how long, how, and where the files are.

    `alternative_names` are as `names.alternative_name` gives them; `profile` is `guide` or `modern`.
    """

    where: Place = Place()
    alternative_names: tuple[tuple[str, str], ...] = ()
    profile: str = "guide"
    bits: int = 0
    period: Period = Period()
    rekey: bool = False

    def request(self, host: Host) -> NewRequest:
        """What is asked for on a host."""
        return NewRequest(host.name, self.where.directory, self.alternative_names, self.profile, self.bits)


class Standing(NamedTuple):
    """Where a host stands: what is to be signed for it, or what is valid already, or why it is not enrolled."""

    host: Host
    proposal: Proposal | None = None
    serial: str | None = None
    end: datetime | None = None
    left_alone: bool = False
    rekeyed: bool = False
    changed: tuple[str, ...] = ()
    error: DatabaseCaError | None = None

    @property
    def state(self) -> str:
        """In a word."""
        if self.error:
            return FAILED
        if self.left_alone:
            return LEFT_ALONE
        return REKEYED if self.rekeyed else ENROLLED


def prepare(
    authority: Authority, ssh: Ssh, hosts: Sequence[Host], how: Enrolment, jobs: int, progress: Progress
) -> list[Standing]:
    """Have each host make what it lacks of key and request, and vet what it asks for; nothing is signed yet.

    What is wrong with one host is in its standing. Raises DatabaseCaError where nothing could be delivered.
    """
    delivery.common_files(authority)  # what could not be delivered is found before any host is touched

    def work(host: Host) -> Standing:
        progress(host, "making its request")
        answer = ssh.run(host, scripts.enroll(how.request(host), how.rekey))
        if answer.one("state") == "enrolled":
            progress(host, LEFT_ALONE)
            return _already(authority, host, answer)
        standing = _asking(authority, host, how, answer)
        progress(host, "request vetted")
        return standing

    return _standings(hosts, ssh.each(hosts, work, jobs), progress)


def sign(authority: Authority, standings: Sequence[Standing], how: Enrolment) -> list[Standing]:
    """Sign what is to be signed, all in one transaction; a certificate for an older key is superseded in it.

    Raises DatabaseCaError, and then nothing is signed.
    """
    waiting = [standing.proposal for standing in standings if standing.proposal]
    if not waiting:
        return list(standings)
    if any(standing.proposal and standing.rekeyed for standing in standings):
        again = [Renewal(proposal, (), frozenset(), same_key=False) for proposal in waiting]
        made, _ = renewal.renew(authority, again, how.period, with_list=True)
    else:
        made = signing.sign(authority, waiting, how.period)
    signed = {one.name: one for one in made}
    return [
        standing._replace(proposal=None, serial=signed[standing.host.name].serial, end=signed[standing.host.name].end)
        if standing.proposal
        else standing
        for standing in standings
    ]


def deliver(
    authority: Authority, ssh: Ssh, standings: Sequence[Standing], how: Enrolment, jobs: int, progress: Progress
) -> list[Standing]:
    """Bring every certificate that a host lacks to it, with those of the authority.

    What is wrong with one host is in its standing. Raises DatabaseCaError where nothing can be delivered.
    """
    files = delivery.files(authority, [one.host.name for one in standings if not one.left_alone and not one.error])

    def work(standing: Standing) -> Standing:
        if standing.error or standing.left_alone:
            return standing
        host = standing.host
        progress(host, "delivering")
        done = delivery.deploy(ssh, host, how.where, files[host.name], standing.rekeyed)
        progress(host, standing.state)
        return standing._replace(changed=done.changed)

    outcomes = ssh.each(standings, work, jobs)
    for standing, outcome in zip(standings, outcomes, strict=True):
        if isinstance(outcome, DatabaseCaError):
            progress(standing.host, FAILED)
    return [
        standing._replace(
            error=DatabaseCaError(
                outcome.message,
                *outcome.hints,
                f"its certificate is signed; deliver it: dbca-openssl deploy {standing.host.destination}",
                detail=outcome.detail,
            ),
        )
        if isinstance(outcome, DatabaseCaError)
        else outcome
        for standing, outcome in zip(standings, outcomes, strict=True)
    ]


def fetch(
    authority: Authority, ssh: Ssh, hosts: Sequence[Host], where: Place, jobs: int, progress: Progress
) -> list[tuple[Host, bool | DatabaseCaError]]:
    """Copy the requests of hosts into `certreqs/`, once they are found to be theirs.

    For each whether it is new, or why there is none. A request that was there before is kept as `NAME.req.pem.old`.
    Raises DatabaseCaError where there is no authority, or it cannot be written.
    """
    authority.require()

    def work(host: Host) -> bytes:
        progress(host, "fetching")
        answer = ssh.run(host, scripts.fetch(host.name, where))
        _vetted(authority, host, answer)
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


def _standings(
    hosts: Sequence[Host], outcomes: Sequence[Standing | DatabaseCaError], progress: Progress
) -> list[Standing]:
    standings = []
    for host, outcome in zip(hosts, outcomes, strict=True):
        if isinstance(outcome, DatabaseCaError):
            progress(host, FAILED)
            outcome = Standing(host, error=outcome)
        standings.append(outcome)
    return standings


def _already(authority: Authority, host: Host, answer: Answer) -> Standing:
    """A host with key and certificate, left alone. Raises DatabaseCaError where it is not a valid one of ours."""
    row = _valid_row(authority, host.name)
    if row is not None and _der(answer.text.encode()) == _der(authority.read(issued(row.serial))):
        return Standing(host, serial=row.serial, end=row.end, left_alone=True)
    if (
        row is not None
        and _public_key(answer.text.encode()) == certificates.read_certificate(authority, issued(row.serial)).public_key
    ):
        raise DatabaseCaError(
            f"{host.name}: its certificate is not the valid one, which is serial {row.serial}",
            f"deliver that one: dbca-openssl deploy {host.destination}",
        )
    raise DatabaseCaError(
        f"{host.name}: it has a certificate that is not a valid one of this authority, and is left alone",
        f"if the host is to have a new pair: dbca-openssl enroll {host.destination} --rekey",
    )


def _asking(authority: Authority, host: Host, how: Enrolment, answer: Answer) -> Standing:
    """A host with key and request: what to sign for it, unless its certificate is signed already."""
    vetted = _vetted(authority, host, answer)
    _require_names(host, how, vetted)
    rekeyed = answer.one("state") == "rekeyed"
    row = _valid_row(authority, host.name)
    if row is not None and certificates.read_certificate(authority, issued(row.serial)).public_key == vetted.public_key:
        return Standing(host, serial=row.serial, end=row.end, rekeyed=rekeyed)
    rows = index.rows(authority.read(INDEX)) if rekeyed else ()
    superseded = [one for one in rows if one.name == host.name and one.state == index.VALID]
    return Standing(host, signing.proposals(authority, [vetted], [None], how.period, superseded)[0], rekeyed=rekeyed)


def _vetted(authority: Authority, host: Host, answer: Answer) -> Vetted:
    label = f"{host.name}: its request"
    vetted = vetting.vet(authority.openssl, label, answer.text.encode())
    if vetted.name != host.name:
        raise DatabaseCaError(f"{label} asks for the name {vetted.name}", "it must be its own")
    # openssl ca would find this out as well, but then nobody of the whole transaction would be signed
    verified = authority.openssl.run(("req", "-verify", "-noout"), directory=authority.directory, data=vetted.pem)
    said = verified.messages + verified.output.decode("ascii", "replace")  # on stdout since 3.5
    if verified.code != 0 or "verify OK" not in said:  # 1.1.1 and 3.0 exit 0 either way
        raise DatabaseCaError(f"{label} has a signature that does not match its key", detail=verified.messages)
    return vetted


def _require_names(host: Host, how: Enrolment, vetted: Vetted) -> None:
    """Raise DatabaseCaError where a request, perhaps an older one, asks for other names than were given here."""
    given = {name for _, name in how.alternative_names} - {host.name}
    asked = set(vetted.names_beyond_its_own)
    if asked == given:
        return
    if missing := sorted(given - asked):
        raise DatabaseCaError(
            f"{host.name}: the request that is there does not ask for the name {missing[0]}",
            f"leave out --alt-name, or move {how.where.directory}/{host.name}.req.pem away on the host",
        )
    extra = sorted(asked - given)
    raise DatabaseCaError(
        f"{host.name}: the request that is there asks for the name {extra[0]} too, which nobody has allowed",
        f"if it may have it: --alt-name {extra[0]}",
    )


def _valid_row(authority: Authority, name: str) -> Row | None:
    at = dates.now()
    return next(
        (row for row in index.rows(authority.read(INDEX)) if row.name == name and row.status(at) == "valid"), None
    )


def _der(pem: bytes) -> bytes:
    try:
        return x509.certificate_der(pem)
    except UnreadableError:
        return b""


def _public_key(pem: bytes) -> bytes:
    try:
        return x509.certificate_in(pem).public_key
    except UnreadableError:
        return b""
