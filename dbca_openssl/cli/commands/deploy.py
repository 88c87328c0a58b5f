"""`deploy`: copy the public files to hosts, or to this machine."""

from collections.abc import Sequence
from pathlib import Path

from dbca_openssl import names
from dbca_openssl.ca import hosts as known_hosts
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import Authority
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.options import Run, UsageError, argument, flag, verb
from dbca_openssl.host import deploy as delivery
from dbca_openssl.host import print_scripts
from dbca_openssl.host import rotate as rotation
from dbca_openssl.host.ssh import Ssh


@verb("ca", "hosts", "print_", "yes")
def deploy(
    run: Run,
    host: list[str] | None = argument(
        "[USER@]HOST...", "What ssh calls it, and its certificate; with --local, NAME.", default=None
    ),
    local: bool = flag("--local", "To ~/.mysql/ssl (or --ssl-dir) on this machine."),
    reload: bool = flag("--reload", "Have the servers load the files, and prove it by a handshake."),
) -> int:
    """Copy certificates and CRL to hosts, or to this machine.

    \b
      dbca-openssl deploy root@aiken.example.net --owner mysql
      dbca-openssl deploy admin@gannibal.example.net --sudo --owner mysql
      dbca-openssl deploy --all --reload
      dbca-openssl deploy --local
      dbca-openssl deploy --local backup@margaret

    The CA certificate, the CRL, and each host's own certificate where it has a valid one; never a private key. Only
    what is not there yet is copied, all of it or none, each file by a rename.

    Exit code 1 where some hosts failed: they are named, nothing changed on them, and all others have their files.

    The guide: "Copy to Target Systems".
    """
    authority = run.existing_authority()
    if local:
        return _deploy_here(run, authority, host or [])
    hosts, ssh = run.hosts(authority, host or ())
    if run.print_:
        files = delivery.files(authority, [one.name for one in hosts])
        return output.script(
            print_scripts.deploy(authority, ssh, {one: files[one.name] for one in hosts}, reload=reload)
        )
    with terminal.progress(hosts, *rotation.STATES) as progress:
        due = [rotation.HostResult(host) for host in hosts]
        delivered = rotation.deliver(authority, ssh, due, progress, reload=reload)
    delivery.record(authority, [one.host for one in delivered.values() if not one.error])
    outcomes = []
    for one in delivered.values():
        cells = [*([output.coloured(one.state)] if reload else []), _changes(one.changed)]
        more = {"changed": one.changed, "unchanged": one.same}
        outcomes.append(results.HostOutcome(one.host, one.error, one.state, cells, more))
    return results.hosts((*(["STATE"] if reload else []), "CHANGED"), outcomes, [] if reload else None)


def _deploy_here(run: Run, authority: Authority, arguments: Sequence[str]) -> int:
    directory = Path(run.ssl_dir).absolute() if run.ssl_dir else Path.home() / ".mysql/ssl"
    whose = [names.entity_name(text) for text in arguments]
    if len(whose) > 1:
        raise UsageError("with --local, one NAME at the most")
    here = KnownHost(whose[0] if whose else "localhost").changed(directory=str(directory), owner=run.owner)
    trusted = delivery.trusted(authority)
    files = delivery.files_of(trusted, whose)[here.name] if whose else delivery.common_files(*trusted)
    if run.print_:
        return output.script(delivery.script(here, files))
    known = known_hosts.read(authority)
    answer = Ssh(timeout=run.timeout).run_here(here.name, delivery.script(here, files))
    if whose and here.name not in known.hosts and not run.ssl_dir and not run.owner:
        delivery.record(authority, [known.new(here.name, is_client=True)])
    changed = answer.all("changed")
    document = {"directory": str(directory), "changed": changed, "unchanged": answer.all("same")}
    return output.result(document, [f"{directory}  {_changes(changed)}"])


def _changes(changed: Sequence[str]) -> str:
    return ", ".join(changed) if changed else "nothing: all is there already"
