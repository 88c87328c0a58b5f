"""Moving hosts from one CA to another in stages, each of them proven on every host before the next one begins.

Which CAs a server trusts, and whose CRL it has loaded, is shown by how it refuses the canary of each: as revoked, or as
one of an unknown CA. What was signed or delivered proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import canary, index, revoke, rollover, sign
from dbca_openssl.ca.certificates import own_certificate, read_certificate
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import CERTIFICATE, INDEX, Authority, issued, request_of
from dbca_openssl.ca.rollover import Pair
from dbca_openssl.ca.sign import Period, Proposal
from dbca_openssl.database import accounts, settings, statements, trust
from dbca_openssl.database.client import Client
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import require_absent
from dbca_openssl.host import deploy, scripts, server
from dbca_openssl.host.deploy import LIST
from dbca_openssl.host.fetch import Progress
from dbca_openssl.host.remote import OnHost
from dbca_openssl.host.scripts import PublicFile
from dbca_openssl.host.server import View
from dbca_openssl.host.ssh import Ssh


class Stage(IntEnum):
    """How far a host is: it trusts the old CA; both; both, and has a certificate of the new one; the new one only."""

    OLD = 0
    BOTH = 1
    MOVED = 2
    NEW = 3

    def __str__(self) -> str:
        """The stage in words."""
        return (
            "trusts the old CA",
            "trusts both",
            "serves a certificate of the new CA",
            "trusts the new CA only",
        )[self]


class Bound(NamedTuple):
    """Accounts of a host's server that require the ISSUER of one CA, and so refuse the certificates of the other one.

    `before` are the statements that have them require the subject only, `after` those that bind them to the other CA.
    """

    accounts: tuple[str, ...]
    before: str
    after: str


class Step(NamedTuple):
    """One stage further, or back: the hosts that go there, what the new CA must sign, and who needs a canary."""

    to: Stage
    hosts: tuple[KnownHost, ...]
    proposals: tuple[Proposal, ...] = ()
    old_needs_canary: bool = False
    new_needs_canary: bool = False


def look(
    both: Pair, ssh: Ssh, hosts: Sequence[KnownHost], jobs: int, progress: Progress
) -> dict[KnownHost, Stage | DatabaseCaError]:
    """The stage that each host proves, seen from the host itself, or why it proves none."""
    shown = server.canaries(*both)
    issued_by = _issued_by(both)

    def work(host: KnownHost) -> Stage:
        progress(host, "looking")
        seen = server.view(ssh.run(host, scripts.look(host, server.asked(host, shown))))
        stage = _stage(both, host, seen, issued_by)
        progress(host, str(stage))
        return stage

    return dict(zip(hosts, ssh.each(hosts, work, jobs), strict=True))


def further(both: Pair, stages: Mapping[KnownHost, Stage | DatabaseCaError], period: Period) -> Step | None:
    """The next stage, for the hosts that are not there yet; None where all have reached the last one.

    Raises DatabaseCaError where a host proves no stage, or a request cannot be signed: nobody goes on before all can.
    """
    known = _known(stages)
    to = Stage(min(min(known.values()) + 1, Stage.NEW))
    hosts = tuple(host for host, stage in known.items() if stage < to)
    if not hosts:
        return None
    if to == Stage.BOTH:
        return Step(to, hosts, (), not canary.is_kept(both.old), not canary.is_kept(both.new))
    return Step(to, hosts, tuple(_proposals(both, hosts, period)) if to == Stage.MOVED else ())


def back(stages: Mapping[KnownHost, Stage | DatabaseCaError]) -> Step | None:
    """The stage before, for the hosts that are ahead of it; None where all are at the first one.

    Raises DatabaseCaError where a host proves no stage.
    """
    known = _known(stages)
    to = Stage(max(max(known.values()) - 1, Stage.OLD))
    hosts = tuple(host for host, stage in known.items() if stage > to)
    return Step(to, hosts) if hosts else None


def issuer_in_the_way(both: Pair, step: Step, *, back: bool) -> Authority | None:
    """The CA whose ISSUER no account may require when hosts go there: that of the certificates which are replaced."""
    if back:
        return both.new if step.to == Stage.BOTH else None
    return both.old if step.to >= Stage.MOVED else None


def bound(
    both: Pair, ssh: Ssh, hosts: Sequence[KnownHost], issuer: Authority, jobs: int
) -> dict[KnownHost, Bound | DatabaseCaError]:
    """The accounts that require the ISSUER `issuer`, of each host that has some, or why its server did not say."""
    (name, _), (other, _) = (
        trust.compared_names(one.openssl, one.path(CERTIFICATE)) for one in (issuer, both.other(issuer))
    )

    def work(host: KnownHost) -> Bound:
        flavor: Any = host.flavor
        client = Client(None, flavor, host.defaults_file, host.socket, there=OnHost(ssh, host))
        try:
            found = accounts.bound_to(client, name)
            return Bound(
                tuple(account.sql() for account, _ in found),
                statements.script(*(statements.require(account, had.of_any_issuer()) for account, had in found)),
                statements.script(*(statements.require(account, had._replace(issuer=other)) for account, had in found)),
            )
        except DatabaseCaError as error:
            raise DatabaseCaError(
                f"{host.name}: whether its accounts require an ISSUER is not known: {error.message}",
                "dbca_defaults_file and dbca_socket in database-ca.hosts say how its own client connects",
                detail=error.detail,
            ) from None

    asked = [host for host in hosts if server.has_server(host)]
    outcomes = zip(asked, ssh.each(asked, work, jobs), strict=True)
    return {host: one for host, one in outcomes if isinstance(one, DatabaseCaError) or one.accounts}


def write_statements(found: Mapping[KnownHost, Bound | DatabaseCaError], directory: Path) -> list[str]:
    """Write the statements for each host into files of their own; returns the paths.

    Raises DatabaseCaError where one exists, and then none is written.
    """
    texts = {
        directory / f"{host.name}.{when}.sql": f"-- on {host.name}\n{text}"
        for host, one in found.items()
        if isinstance(one, Bound)
        for when, text in (("before", one.before), ("after", one.after))
    }
    for path in texts:
        require_absent(path)
    for path, text in texts.items():
        settings.write(text, path, 0o600)
    return [str(path) for path in texts]


def go(both: Pair, ssh: Ssh, step: Step, period: Period, jobs: int, progress: Progress) -> list[DatabaseCaError | None]:
    """Take a step, on each of its hosts: sign, deliver, reload, prove. The error of each host that did not get there.

    Raises DatabaseCaError where nothing can be signed or delivered.
    """
    for authority, needed in zip(both, (step.old_needs_canary, step.new_needs_canary), strict=True):
        if needed:
            revoke.renew_list(authority, None, new_canary=True)
    if step.proposals:
        sign.sign(both.new, step.proposals, period, step.hosts)
    if step.to in (Stage.BOTH, Stage.MOVED):
        rollover.begin(both)
    if step.to == Stage.BOTH:
        deploy.record(both.new, step.hosts)
    alone = step.to in (Stage.OLD, Stage.NEW)
    files = _files(both, step.to, [host.name for host in step.hosts])
    shown = server.canaries(*both)
    issued_by = _issued_by(both)

    def work(host: KnownHost) -> None:
        progress(host, "delivering")
        _, answer = deploy.deploy(ssh, host, files[host.name], server.asked(host, shown), alone=alone)
        seen = server.view(answer)
        stage = _stage(both, host, seen, issued_by)
        if stage != step.to:
            raise DatabaseCaError(
                f"{host.name}: after the reload it {stage}", "its ssl_ca, ssl_crl and ssl_cert say why"
            )
        progress(host, str(stage))

    outcomes = ssh.each(step.hosts, work, jobs)
    if alone and not any(outcomes):
        rollover.finish(both)
    return outcomes


def _known(stages: Mapping[KnownHost, Stage | DatabaseCaError]) -> dict[KnownHost, Stage]:
    if not stages:
        raise DatabaseCaError("there is no host in database-ca.hosts", "enroll and deploy enter those that they reach")
    known: dict[KnownHost, Stage] = {}
    for host, stage in stages.items():
        if isinstance(stage, DatabaseCaError):
            raise DatabaseCaError(f"no host goes on before all can: {stage.message}", *stage.hints, detail=stage.detail)
        known[host] = stage
    return known


def _proposals(both: Pair, hosts: Sequence[KnownHost], period: Period) -> list[Proposal]:
    """What the new CA must sign: the requests that the old one has, for hosts without a certificate of the new one."""
    names = {row.name for row in _valid(both.new)}
    waiting = [host.name for host in hosts if host.name not in names]
    before = {row.name: row for row in _valid(both.old)}
    proposed = sign.propose(both.new, [str(both.old.path(request_of(name))) for name in waiting], period)
    # the new one does not know which keys the old one has revoked as compromised
    superseded = list(before.values())
    requests = [one.request for one in proposed]
    sign.require_signable(both.old, both.old.read(INDEX), requests, own_certificate(both.old), superseded)
    for name, one in zip(waiting, proposed, strict=True):
        had = read_certificate(both.old, issued(before[name].serial)) if name in before else None
        allowed = {text for _, text in had.alternative_names} if had else set()
        if one.name != name:
            raise DatabaseCaError(f"{one.source} asks for the name {one.name}, not {name}")
        if added := sorted(set(one.request.names_beyond_its_own) - allowed):
            raise DatabaseCaError(
                f"the request of {name} asks for the name {added[0]} too, which its certificate does not have",
                f"dbca-openssl sign {one.source} --ca {both.new.directory} --allow-alt-name {added[0]}",
            )
    return proposed


def _valid(authority: Authority) -> list[index.Row]:
    at = dates.now()
    return [row for row in index.rows(authority.read(INDEX)) if row.status(at) == "valid"]


def _issued_by(both: Pair) -> dict[str, Authority]:
    """The CA that issued each valid certificate, by the certificate's digest."""
    found = {}
    for authority in both:
        for row in _valid(authority):
            if authority.path(issued(row.serial)).is_file():
                found[server.digest(read_certificate(authority, issued(row.serial)).encoded)] = authority
    return found


def _stage(both: Pair, host: KnownHost, seen: View, issued_by: Mapping[str, Authority]) -> Stage:
    """The stage that a host proves. Raises DatabaseCaError where it proves none."""
    if not server.has_server(host):
        return _stage_of_files(both, host, seen)
    server.require_loaded(host, seen)
    whose = issued_by.get(seen.served)
    if whose is None:
        raise DatabaseCaError(f"{host.name}: its server serves a certificate that is not a valid one of either CA")
    if not canary.is_kept(both.new):
        seen = seen._replace(canaries=(*seen.canaries, server.UNKNOWN_CA))
    old, new = seen.canaries if len(seen.canaries) == 2 else ("accepted", seen.canaries[-1])
    if new == server.UNKNOWN_CA and whose == both.old:
        return Stage.OLD
    if new == server.REVOKED and old == server.REVOKED:
        return Stage.MOVED if whose == both.new else Stage.BOTH
    if new == server.REVOKED and old == server.UNKNOWN_CA and whose == both.new:
        return Stage.NEW
    raise DatabaseCaError(
        f"{host.name}: its server has not loaded the CA certificates and CRLs of one stage",
        f"it answers the canary of the old CA by {_answer(old)}, that of the new one by {_answer(new)}",
        "its ssl_ca and ssl_crl must name the files that are delivered; --advance or --back delivers them again",
    )


def _stage_of_files(both: Pair, host: KnownHost, seen: View) -> Stage:
    """The stage of a host without a server that is asked, by what lies there. Raises DatabaseCaError."""
    name = f"{host.name}.cert.pem"
    for stage in Stage:
        files = _files(both, stage, [host.name])[host.name]
        expected = {file.name: file.sha256 for file in files if file.name != LIST}  # which may be a newer one
        if name in expected and expected.items() <= seen.files.items():
            return stage
    raise DatabaseCaError(f"{host.name}: its files are not those of one stage", "--advance or --back needs them to be")


def _files(both: Pair, stage: Stage, names: Sequence[str]) -> dict[str, list[PublicFile]]:
    """The files of each host in a stage."""
    whose = both.old if stage in (Stage.OLD, Stage.BOTH) else both.new
    return deploy.files_of((both.new, both.old) if stage in (Stage.BOTH, Stage.MOVED) else (whose,), names, whose)


def _answer(seen: str) -> str:
    return "a login" if seen == "accepted" else f"TLS alert {seen or 'none'}"
