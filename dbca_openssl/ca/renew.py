"""Renewing: the stored request is signed again, and the certificate before it is superseded in the same transaction.

The guide's `unique_subject = yes` allows one valid certificate of a name; so first what has expired is marked as such
and what is still valid is revoked, and then the new one is issued: all three, or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import guide_commands, hosts, index, listing, revoke, sign, vetting
from dbca_openssl.ca.certificates import read_certificate
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import HOSTS, INDEX, Authority, issued, request_of
from dbca_openssl.ca.revoke import SUPERSEDED, Reason
from dbca_openssl.ca.sign import Period, Proposal, Signed
from dbca_openssl.crls import Crl
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.plan import Plan, Section


class Renewal(NamedTuple):
    """A request to sign again, the rows it supersedes, the SANs of the certificate before, and if it has its key."""

    proposal: Proposal
    superseded: tuple[Row, ...]
    names_before: frozenset[str]
    same_key: bool

    @property
    def lost_names(self) -> frozenset[str]:
        """The SANs of the certificate before that the request does not ask for."""
        return self.names_before - {name for _, name in self.proposal.request.alternative_names}


def expiring(authority: Authority, days: int) -> list[str]:
    """The names whose last certificate is not revoked and expires within `days` days, or has expired.

    Raises DatabaseCaError where there is no CA, or it cannot be read.
    """
    authority.require()
    at = dates.now()
    last = {row.name: row for row in listing.certificates(authority)}
    return [name for name, row in last.items() if row.status(at) == "expired" or row.is_ending(at, days)]


def propose(authority: Authority, names: Sequence[str], period: Period) -> list[Renewal]:
    """What `renew` would do with the stored requests of `names`, each vetted. Raises DatabaseCaError."""
    authority.require()
    rows = index.rows(authority.read(INDEX))
    generations: dict[str, list[Row]] = {name: [] for name in names}
    for row in rows:
        if row.name in generations:
            generations[row.name].append(row)
    for name, found in generations.items():
        if not found:
            raise DatabaseCaError(
                f"{name} never had a certificate", f"if its request is in certreqs/: dbca-openssl sign {name}"
            )
    requests = []
    for name in generations:
        path = authority.path(request_of(name))
        request = vetting.vet(authority.openssl, str(path), vetting.read_file(path))
        if request.name != name:
            raise DatabaseCaError(f"{request_of(name)} asks for the name {request.name}, not {name}")
        requests.append(request)
    superseded = [row for found in generations.values() for row in found if row.state == index.VALID]
    proposals = sign.proposals(authority, requests, [None] * len(requests), period, superseded)
    renewals = []
    for proposal, found in zip(proposals, generations.values(), strict=True):
        before = read_certificate(authority, issued(found[-1].serial))
        valid = tuple(row for row in found if row.state == index.VALID)
        names_before = frozenset(name for _, name in before.alternative_names)
        same_key = before.public_key == proposal.request.public_key
        renewals.append(Renewal(proposal, valid, names_before, same_key))
    return renewals


def plan(authority: Authority, renewals: Sequence[Renewal], period: Period, with_list: bool) -> Plan:
    """openssl's commands for the same, for a printed script. Raises DatabaseCaError where the index cannot be read."""
    at = dates.now()
    revoked = [row for renewal in renewals for row in renewal.superseded if row.end > at]
    sections = []
    if any(row.state == index.VALID and row.end <= at for row in index.rows(authority.read(INDEX))):
        sections.append(Section("Mark what has expired", authority.key.given_to(guide_commands.mark_expired())))
    if revoked:
        sections.append(Section("Revoke what is superseded", revoke.steps(authority, revoked, SUPERSEDED)))
    signing = sign.plan(authority, [renewal.proposal for renewal in renewals], period)
    sections += signing.sections
    if with_list:
        sections += revoke.plan(authority, None).sections
    return Plan("Renew certificates", authority.directory, tuple(sections))


def renew(
    authority: Authority,
    renewals: Sequence[Renewal],
    period: Period,
    with_list: bool,
    reached: Sequence[KnownHost] = (),
    *,
    reason: Reason = SUPERSEDED,
) -> tuple[list[Signed], Crl | None]:
    """Sign again, revoke for `reason` and make a new CRL (None: not `with_list`), in one transaction.

    As keyCompromise also what has expired is revoked, since only then is its key refused.

    The hosts that were `reached` are entered in the list in the same one.

    Raises DatabaseCaError, and then nothing has changed.
    """
    proposals = [renewal.proposal for renewal in renewals]
    names = {proposal.name for proposal in proposals}
    with revoke.changing(authority, (*sign.files_of(proposals), HOSTS)) as change:
        at = dates.now()
        expired = {row.serial: index.EXPIRED for row in change.rows if row.state == index.VALID and row.end <= at}
        if expired:
            change.run(guide_commands.mark_expired(home=change.stage))
            change.require_changed(expired)
        states = index.VALID if reason == SUPERSEDED else (index.VALID, index.EXPIRED)
        revoke.revoke_in(change, [row for row in change.rows if row.name in names and row.state in states], reason)
        signed = sign.sign_in(change, proposals, period)
        listed = hosts.stage(change, reached)
        if with_list:
            return signed, revoke.list_in(change, None, signed, listed)
        sign.commit(change, signed, (), listed)
    return signed, None
