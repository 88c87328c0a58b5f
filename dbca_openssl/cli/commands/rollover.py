"""`rollover`: move the hosts from an old CA to a new one."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dbca_openssl.ca import hosts as known_hosts
from dbca_openssl.ca import rollover as moving
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import Authority, request_of
from dbca_openssl.ca.rollover import Pair
from dbca_openssl.ca.sign import Period
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.options import Run, UsageError, argument, flag, option, verb
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import rollover as stages
from dbca_openssl.host.rollover import Bound, Stage


@verb("ca", "days", "cap", "ssh_config", "jobs", "timeout", "key", "old_passphrase_file", "lock_timeout", "yes")
def rollover(
    run: Run,
    old: Path = argument("OLD", "The directory of the old CA."),
    advance: bool = flag("--advance", "Do the next stage on all hosts, and prove it on each."),
    back: bool = flag("--back", "Undo the last stage on all hosts."),
    bundle: Path | None = option("--output -o", "Write the files of both CAs there, for a client.", "DIR"),
    sql: Path | None = option("--sql", "Write the statements for accounts there, two files a host.", "DIR"),
) -> int:
    """Move the hosts from an old CA to a new one.

    \b
      dbca-openssl init -o example.net --common-name 'Database CA 2' --ca new-ca
      dbca-openssl rollover database-ca --ca new-ca
      dbca-openssl rollover database-ca --ca new-ca --advance
      dbca-openssl rollover database-ca --ca new-ca --output both
      dbca-openssl rollover database-ca --ca new-ca --sql .

    Without --advance it shows which stage each host of database-ca.hosts has proven by handshakes. Stage 1: its server
    trusts both CAs, and has the CRLs of both. Stage 2: it serves a certificate of the new one. Stage 3: it trusts the
    new one only. No host goes on before all have reached the same stage. While hosts trust both, `deploy`, `enroll`
    and `rotate` with either CA bring them the files of both.

    An account that requires the ISSUER of the old CA would refuse the certificates of stage 2. Each host's server is
    asked for such accounts, by the host's own client. While there is one, no host goes there, and the statements are
    printed that help: those to run before, and those that bind the accounts to the new CA once all is done.
    """
    if advance and back:
        raise UsageError("--advance or --back, not both")
    both = moving.pair(run.existing_authority(old), run.existing_authority())
    written = moving.write_bundle(both, bundle) if bundle is not None else []
    hosts = _hosts(both)
    ssh = run.ssh(hosts)
    with terminal.progress(hosts, "seen") as progress:
        proven = stages.look(both, ssh, hosts, progress)
    period = Period(run.days, run.cap)
    step = stages.further(both, proven, period) if advance else stages.back(proven) if back else None
    issuer: Authority | None = both.old
    if advance or back:
        issuer = stages.issuer_in_the_way(both, step, back=back) if step else None
    asked = [host for host, stage in proven.items() if isinstance(stage, Stage)]
    bound = stages.bound(both, ssh, asked, issuer) if issuer else {}
    statements = stages.write_statements(bound, sql) if sql is not None else []
    if step is None and (advance or back):
        moving.finish(both, both.new if back else both.old)  # where the run that brought them there was interrupted
    if step is None or bound:
        return _show(both, proven, written, bound, statements, refused=step is not None)
    if step.to == Stage.NEW and (clients := _clients(both, hosts)):
        output.tell(f"who has no certificate of the new CA will be refused: {', '.join(clients[:5])}")
    run.confirm(f"Have {len(step.hosts)} hosts go to stage {step.to:d}: a host that {step.to}?")
    if step.old_needs_canary:
        both = both._replace(old=run.unlocked(both.old, is_old=True))
    if step.new_needs_canary or step.proposals:
        both = both._replace(new=run.unlocked(both.new))
    with terminal.progress(hosts, *map(str, Stage)) as progress:
        proven |= stages.go(both, ssh, step, period, progress)
    return _show(both, proven, written)


def _hosts(both: Pair) -> list[KnownHost]:
    """All hosts of both lists; what the new one says of a host counts."""
    listed = [host for one in both for host in known_hosts.read(one).hosts.values() if not host.is_client]
    return list({host.name: host for host in listed}.values())


def _clients(both: Pair, hosts: Iterable[KnownHost]) -> list[str]:
    """Who has a certificate of the old CA only, and is no host that the rollover moves."""
    return sorted(both.names_of_other(both.new) - {host.name for host in hosts})


def _show(
    both: Pair,
    proven: Mapping[KnownHost, Stage | DatabaseCaError],
    bundle: Sequence[str],
    bound: Mapping[KnownHost, Bound | DatabaseCaError] | None = None,
    sql: Sequence[str] = (),
    *,
    refused: bool = False,
) -> int:
    """Print the stage of each host, and what to do next: first the statements for accounts, or the files with them.

    With `refused` these are why no host went on.
    """
    outcomes, following = [], [*(f"{path}  of both CAs" for path in bundle), *sql]
    for host, stage in proven.items():
        if isinstance(stage, DatabaseCaError):
            outcomes.append(results.HostOutcome(host, stage, cells=("-", output.coloured("failed"))))
            continue
        accounts, more = (bound or {}).get(host), {"stage": stage}
        error = accounts if isinstance(accounts, DatabaseCaError) else None
        if isinstance(accounts, Bound):
            more |= accounts._asdict()
            if not sql:
                following += [f"-- on {host.name}, before its certificates change", *accounts.before.splitlines()]
                following += [f"-- on {host.name}, when all is done", *accounts.after.splitlines()]
            if refused:
                some = ", ".join(accounts.accounts[:3])
                error = DatabaseCaError(
                    f"{host.name}: by their ISSUER, accounts refuse the certificates of this stage: {some}",
                    "run the statements on it first; those for afterwards bind the accounts to the ISSUER that comes",
                    *(() if sql else ("--sql DIR writes them into files",)),
                )
        outcomes.append(results.HostOutcome(host, error, str(stage), (f"{stage:d}", str(stage)), more))
    clients = _clients(both, proven)
    least = min((stage for stage in proven.values() if isinstance(stage, Stage)), default=Stage.OLD)
    new = str(both.new.directory)
    signing = [output.command("sign", str(both.old.path(request_of(name))), "--ca", new) for name in clients[:5]]
    advance = [output.command("rollover", str(both.old.directory), "--ca", new, "--advance")]
    if least == Stage.OLD:
        following += [*advance, *signing]  # hosts trust a client of the new CA from the next stage on
    else:
        following += [*signing, *(advance if least < Stage.NEW else ())]
    return results.hosts(("STAGE", "IT"), outcomes, following, {"clients": clients, "bundle": bundle, "sql": sql})
