"""`rollover`: move the hosts from an old CA to a new one."""

from pathlib import Path

from dbca_openssl.ca import hosts as known_hosts
from dbca_openssl.ca import rollover as moving
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import request_of
from dbca_openssl.ca.rollover import Pair
from dbca_openssl.ca.sign import Period
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.options import Run, UsageError, argument, option, verb
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import rollover as stages
from dbca_openssl.host.rollover import Stage


@verb("ca", "days", "cap", "ssh_config", "jobs", "timeout", "key", "lock_timeout", "yes")
def rollover(
    run: Run,
    old: Path = argument(..., "OLD", "The directory of the old CA."),
    advance: bool = option(False, "--advance", "Do the next stage on all hosts, and prove it on each."),
    back: bool = option(False, "--back", "Undo the last stage on all hosts."),
    old_passphrase_file: Path | None = option(
        None,
        "--old-passphrase-file",
        "The pass phrase of the old CA's key [default: as for the new one].",
        "FILE",
    ),
    bundle: Path | None = option(None, "--output -o", "Write the files of both CAs there, for a client.", "DIR"),
) -> int:
    """Move the hosts from an old CA to a new one.

    \b
      dbca-openssl init -o example.net --common-name 'Database CA 2' --ca new-ca
      dbca-openssl rollover database-ca --ca new-ca
      dbca-openssl rollover database-ca --ca new-ca --advance
      dbca-openssl rollover database-ca --ca new-ca --output both

    Without --advance it shows which stage each host of database-ca.hosts has proven by handshakes. Stage 1: its server
    trusts both CAs, and has the CRLs of both. Stage 2: it serves a certificate of the new one. Stage 3: it trusts the
    new one only. No host goes on before all have reached the same stage. While hosts trust both, `deploy`, `enroll`
    and `rotate` with either CA bring them the files of both.
    """
    if advance and back:
        raise UsageError("--advance or --back, not both")
    both = moving.pair(run.existing_authority(old), run.existing_authority())
    written = moving.write_bundle(both, bundle) if bundle is not None else []
    hosts = _hosts(both)
    ssh = run.ssh(hosts)
    with terminal.progress(hosts, "seen") as progress:
        proven = stages.look(both, ssh, hosts, run.jobs, progress)
    if not advance and not back:
        return _show(both, proven, written)
    period = Period(run.days, run.cap)
    step = stages.further(both, proven, period) if advance else stages.back(proven)
    if step is None:
        moving.finish(both)  # where the run that brought them there was interrupted
        return _show(both, proven, written)
    run.confirm(f"Have {len(step.hosts)} hosts go to stage {step.to:d}: a host that {step.to}?")
    if step.old_needs_canary:
        old_run = run.changed(passphrase_file=old_passphrase_file or run.passphrase_file)
        both = both._replace(old=old_run.unlocked(both.old))
    if step.new_needs_canary or step.proposals:
        both = both._replace(new=run.unlocked(both.new))
    with terminal.progress(hosts, *map(str, Stage)) as progress:
        errors = stages.go(both, ssh, step, period, run.jobs, progress)
    for host, error in zip(step.hosts, errors, strict=True):
        proven[host] = error or step.to
    return _show(both, proven, written)


def _hosts(both: Pair) -> list[KnownHost]:
    """All hosts of both lists; what the new one says of a host counts."""
    listed = [host for one in both for host in known_hosts.read(one).hosts.values() if not host.is_client]
    return list({host.name: host for host in listed}.values())


def _show(both: Pair, proven: dict[KnownHost, Stage | DatabaseCaError], written: list[str]) -> int:
    outcomes = []
    for host, stage in proven.items():
        if isinstance(stage, DatabaseCaError):
            outcomes.append(results.HostOutcome(host, stage, cells=("-", output.coloured("failed"))))
        else:
            outcomes.append(results.HostOutcome(host, None, str(stage), (f"{stage:d}", str(stage)), {"stage": stage}))
    clients = sorted(both.names_of_other(both.new) - {host.name for host in proven})
    least = min((stage for stage in proven.values() if isinstance(stage, Stage)), default=Stage.OLD)
    new = str(both.new.directory)
    following = [f"{path}  of both CAs" for path in written]
    if least < Stage.NEW:
        following.append(output.command("rollover", str(both.old.directory), "--ca", new, "--advance"))
    for name in clients[:5]:
        following.append(output.command("sign", str(both.old.path(request_of(name))), "--ca", new))
    return results.hosts(("STAGE", "IT"), outcomes, following, {"clients": clients, "bundle": written})
