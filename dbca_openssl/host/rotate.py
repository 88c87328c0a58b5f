"""Rotation: whatever is due on hosts is signed, delivered, loaded and proven, in the order that locks nobody out.

New certificates first, and only when every server is seen serving its own the CRL that revokes those before them. What
is due follows from the CA's index and from what each host has and serves, so the next run does what is missing,
wherever the one before was interrupted. The guide: "Copy to Target Systems", "Revocation List (CRL)".
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from dbca_openssl import dates, x509
from dbca_openssl.ca import canary, index, renew, revoke, rollover
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import INDEX, Authority
from dbca_openssl.ca.renew import Renewal
from dbca_openssl.ca.sign import Period, Signed
from dbca_openssl.crls import Crl
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import deploy, server
from dbca_openssl.host.deploy import LIST
from dbca_openssl.host.server import View
from dbca_openssl.host.ssh import FAILED, Progress, Ssh

DAYS = 30
"""What expires within so many days is due."""

URGENT = 8
"""With less than this part of its life left the CRL is replaced even where hosts would be locked out."""

UP_TO_DATE, PROVEN, DELIVERED = "up to date", "proven", "delivered"
STATES = (UP_TO_DATE, PROVEN, DELIVERED, FAILED)
"""What became of a host: nothing was missing; its server is seen to serve and refuse as it should; it has no server
that is asked, and its files are in place; or it failed.
"""


class HostResult(NamedTuple):
    """A host, what is due there, and what became of it: one of STATES, which files were changed or current, the error.

    Due are a certificate to be signed, and what of its files or its server is not current.
    """

    host: KnownHost
    renewal: Renewal | None = None
    missing: tuple[str, ...] = ()
    state: str = UP_TO_DATE
    changed: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    error: DatabaseCaError | None = None


class Rotation(NamedTuple):
    """What is due, on hosts, and why the CRL is (empty: it is not); `waiting_for` are hosts whose certificate it
    revokes, which must serve a newer one before. `other` is the other CA of a rollover, where its CRL is due.
    """

    hosts: tuple[HostResult, ...]
    crl: str = ""
    is_urgent: bool = False
    waiting_for: frozenset[str] = frozenset()
    other: Authority | None = None

    @property
    def renewals(self) -> list[Renewal]:
        """What is to be signed."""
        return [due.renewal for due in self.hosts if due.renewal]

    @property
    def is_signing(self) -> bool:
        """Whether the CA key is needed."""
        return bool(self.crl or self.renewals)


class Outcome(NamedTuple):
    """What became of all: each host, what was signed, the new CRL, and the hosts for which it is kept back."""

    hosts: tuple[HostResult, ...]
    signed: tuple[Signed, ...] = ()
    crl: Crl | None = None
    kept_back_for: tuple[str, ...] = ()


def look(
    authority: Authority, ssh: Ssh, hosts: Sequence[KnownHost], progress: Progress
) -> dict[KnownHost, View | DatabaseCaError]:
    """What each host has and serves, seen from the host itself. Raises DatabaseCaError where there is no CA."""
    authority.require()
    canaries = server.canaries(*deploy.trusted(authority))

    def work(host: KnownHost) -> View:
        progress(host, "looking")
        seen = server.view(ssh.run(host, server.look(host, canaries)))
        progress(host, "seen")
        return seen

    return ssh.each(hosts, work, progress)


def decide(
    authority: Authority,
    seen: Mapping[KnownHost, View | DatabaseCaError],
    served: Collection[str],
    within: int,
    period: Period,
) -> Rotation:
    """What is due on the hosts that were `seen`; `served` are the names of all hosts that the CA serves.

    A certificate is due that expires `within` days, the CRL also once less than half of its life is left.
    Raises DatabaseCaError where the CA cannot be read.
    """
    at = dates.now()
    rows = index.rows(authority.read(INDEX))
    last = {row.name: row for row in rows}
    both = rollover.under_way(authority)
    names = [host.name for host, view in seen.items() if isinstance(view, View)]
    other = both.names_of_other(authority) if both else frozenset()
    ending = [
        name
        for name in names
        if name not in other and (row := last.get(name)) and (row.status(at) == "expired" or row.is_ending(at, within))
    ]
    renewals = _renewals(authority, ending, period)
    files = deploy.files(authority._replace(tell=lambda line: None), names)  # what has expired is not missed
    due = []
    for host, view in seen.items():
        try:
            if isinstance(view, DatabaseCaError):
                raise view
            due.append(_due(host, view, last.get(host.name), renewals.get(host.name), files[host.name]))
        except DatabaseCaError as error:
            due.append(HostResult(host, state=FAILED, error=error))
    replaced = {one.host.name for one in due if one.renewal}
    current = revoke.current_list(authority)
    pending = _pending(authority, current)
    if replaced or pending:
        crl = f"to revoke the former certificates of {', '.join(sorted(replaced | pending)[:3])}"
    elif _is_ending(current, within, at):
        crl = f"since the one there is valid until {dates.shown(current.end)} only"
    else:
        crl = "" if canary.is_kept(authority) else "with a canary, by which servers prove that they have loaded it"
    if crl and not both:  # it comes to all hosts; in a rollover the other one's must not wait for it
        due = [one._replace(missing=()) if one.missing and set(one.missing) == {LIST} else one for one in due]
    waiting_for = frozenset(replaced | pending & set(served))
    other_ca = both.other(authority) if both else None
    if other_ca and not _is_ending(revoke.current_list(other_ca), within, at):
        other_ca = None
    return Rotation(tuple(due), crl, _is_urgent(current, at), waiting_for, other_ca)


def renew_other(other: Authority, unlock: Callable[[Authority], Authority]) -> DatabaseCaError | None:
    """Make a new CRL of the `other` CA of a rollover; hosts then lack it. If it cannot be made: why, and what to do.

    Not where it would revoke what hosts may still serve: then it waits for the rotation of that CA, until it is urgent.
    """
    current, at = revoke.current_list(other), dates.now()
    try:
        if (names := _pending(other, current)) and not _is_urgent(current, at):
            raise DatabaseCaError(
                f"it is to revoke certificates that hosts may still serve: {', '.join(sorted(names))}"
            )
        revoke.renew_list(unlock(other), None, new_canary=not canary.is_kept(other))
    except DatabaseCaError as error:
        return DatabaseCaError(
            f"the CRL of the other CA in this rollover, valid until {dates.shown(current.end)}, is due and is not "
            f"renewed: {error.message}",
            *error.hints,
            f"with its own pass phrase: dbca-openssl rotate --all --ca {shlex.quote(str(other.directory))}",
            detail=error.detail,
        )
    return None


def _pending(authority: Authority, crl: Crl) -> set[str]:
    """The names with a revoked certificate that is not in the CRL yet."""
    rows = index.rows(authority.read(INDEX))
    return {row.name for row in revoke.missing(rows, crl)}


def _is_urgent(crl: Crl, at: datetime) -> bool:
    """Whether a CRL has little left of its life."""
    return (crl.end - at) * URGENT < crl.end - crl.start


def _is_ending(crl: Crl, within: int, at: datetime) -> bool:
    """Whether a CRL ends within so many days, and less than half of its life is left."""
    return crl.end < min(dates.days_after(at, within), at + (crl.end - crl.start) / 2)


def rotate(authority: Authority, ssh: Ssh, rotation: Rotation, period: Period, progress: Progress) -> Outcome:
    """Do what is due; what is wrong with one host is in its result, and the others go on.

    Raises DatabaseCaError where nothing can be signed, and then nothing has changed.
    """
    signed: Sequence[Signed] = ()
    if rotation.renewals:
        signed, _ = renew.renew(authority, rotation.renewals, period, with_list=False)
    results = {due.host: due for due in rotation.hosts}
    first = [due for due in rotation.hosts if due.renewal or due.missing]
    results |= deliver(authority, ssh, first, progress, with_crl=not rotation.crl)
    kept_back = sorted(rotation.waiting_for - {host.name for host, result in results.items() if not result.error})
    crl = None
    if rotation.crl and (rotation.is_urgent or not kept_back):
        if kept_back:
            authority.tell(f"the CRL expires soon and is replaced; with it clients refuse {', '.join(kept_back)}")
        crl = revoke.renew_list(authority, None, new_canary=not canary.is_kept(authority))
        results |= deliver(authority, ssh, [result for result in results.values() if not result.error], progress)
        kept_back = []
    return Outcome(tuple(results.values()), tuple(signed), crl, tuple(kept_back) if rotation.crl else ())


def deliver(
    authority: Authority,
    ssh: Ssh,
    due: Sequence[HostResult],
    progress: Progress,
    *,
    reload: bool = True,
    with_crl: bool = True,
) -> dict[KnownHost, HostResult]:
    """Bring hosts the files that are current; with `reload` have their servers load them, and prove it.

    Raises DatabaseCaError where nothing can be delivered.
    """
    before = {one.host: one for one in due}
    files = deploy.files(authority, [host.name for host in before])
    canaries = server.canaries(*deploy.trusted(authority)) if reload else None

    def work(host: KnownHost) -> HostResult:
        progress(host, "delivering")
        answer = ssh.run(host, deploy.script(host, files[host.name], canaries))
        state = _state(host, server.view(answer), files[host.name], with_crl=with_crl) if reload else DELIVERED
        progress(host, state)
        changed = tuple(dict.fromkeys((*before[host].changed, *answer.all("changed"))))
        return before[host]._replace(state=state, changed=changed, same=tuple(answer.all("same")))

    return {
        host: before[host]._replace(state=FAILED, error=one) if isinstance(one, DatabaseCaError) else one
        for host, one in ssh.each(list(before), work, progress).items()
    }


def _state(host: KnownHost, seen: View, files: Mapping[str, bytes], *, with_crl: bool) -> str:
    """The state of a host that has its files. Raises DatabaseCaError where its server has not loaded them."""
    own = files.get(f"{host.name}.cert.pem")
    if own is None or not server.has_server(host):
        return DELIVERED
    server.require_served(host, seen, x509.certificate_in(own))
    if with_crl:
        server.require_crl(host, seen)
    return PROVEN


def _due(
    host: KnownHost,
    seen: View,
    row: Row | None,
    renewal: Renewal | DatabaseCaError | None,
    files: Mapping[str, bytes],
) -> HostResult:
    """What is due on one host; `row` is the last one of its name. Raises DatabaseCaError where it cannot be done."""
    rekey = f"for a new key and certificate: dbca-openssl enroll {host.destination} --rekey"
    data = files.get(f"{host.name}.cert.pem")
    own = x509.certificate_in(data) if data else None
    if isinstance(renewal, DatabaseCaError):
        raise DatabaseCaError(f"{host.name}: {renewal.message}", *renewal.hints)
    if renewal:
        key = renewal.proposal.request.public_key
    elif own:
        key = own.public_key
    elif row and row.state == index.REVOKED:
        raise DatabaseCaError(f"{host.name}: its certificate, serial {row.serial}, is revoked", rekey)
    else:
        why = "has no valid certificate" if row else "never had a certificate"
        raise DatabaseCaError(f"{host.name} {why}", rekey.removesuffix(" --rekey"))
    if seen.key != server.digest(key):
        what = "its key is not the one of its certificate" if seen.key else "there is no key that can be read"
        raise DatabaseCaError(f"{host.name}: {what}", rekey)
    missing = [name for name, data in files.items() if seen.files.get(name) != server.digest(data)]
    if server.has_server(host):
        if own and not renewal and not missing and (why := refusal(server.require_served, host, seen, own)):
            missing.append(why)
        if LIST not in missing and refusal(server.require_crl, host, seen):
            missing.append(LIST)
    return HostResult(host, renewal, tuple(missing))


def refusal(require: Callable[..., None], host: KnownHost, *seen: object) -> str:
    """Why `require` refuses a host, or nothing."""
    try:
        require(host, *seen)
    except DatabaseCaError as error:
        return error.message.removeprefix(f"{host.name}: ")
    return ""


def _renewals(authority: Authority, names: Sequence[str], period: Period) -> dict[str, Renewal | DatabaseCaError]:
    """The renewal of each name, or why it can't be renewed: one must not stand in the way of the others."""
    found: dict[str, Renewal | DatabaseCaError] = {}
    try:
        proposed = renew.propose(authority, names, period) if names else []
    except DatabaseCaError as error:
        if len(names) == 1:
            return {names[0]: error}
        half = len(names) // 2
        return _renewals(authority, names[:half], period) | _renewals(authority, names[half:], period)
    for one in proposed:
        added = sorted(set(one.proposal.request.names_beyond_its_own) - one.names_before)
        found[one.proposal.name] = (
            DatabaseCaError(
                f"its request asks for the name {added[0]} too, which nobody has allowed",
                f"dbca-openssl renew {one.proposal.name} --allow-alt-name {added[0]}",
            )
            if added
            else one
        )
    return found
