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
from dbca_openssl.host import print_scripts, scripts
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
        delivered = rotation.deliver(authority, ssh, hosts, run.jobs, progress, reload=reload)
    delivery.record(authority, [one.host for one in delivered if not one.error])
    outcomes = []
    for one in delivered:
        cells = [*([output.coloured(one.state)] if reload else []), _changes(one.done.changed)]
        outcomes.append(results.HostOutcome(one.host, one.error, one.state, cells, _document(one.done)))
    return results.hosts((*(["STATE"] if reload else []), "CHANGED"), outcomes, [] if reload else None)


def _deploy_here(run: Run, authority: Authority, arguments: Sequence[str]) -> int:
    directory = Path(run.ssl_dir).absolute() if run.ssl_dir else Path.home() / ".mysql/ssl"
    whose = [names.entity_name(text) for text in arguments]
    if len(whose) > 1:
        raise UsageError("with --local, one NAME at the most")
    here = KnownHost(whose[0] if whose else "localhost").changed(directory=str(directory), owner=run.owner)
    files = (
        delivery.files(authority, whose)[here.name]
        if whose
        else list(delivery.common_files(*delivery.trusted(authority)))
    )
    if run.print_:
        return output.script(scripts.deploy(here, files))
    known = known_hosts.read(authority)
    done = delivery.deploy_here(Ssh(timeout=run.timeout), here, files)
    if whose and here.name not in known.hosts and not run.ssl_dir and not run.owner:
        delivery.record(authority, [known.new(here.name, is_client=True)])
    return output.result({"directory": str(directory), **_document(done)}, [f"{directory}  {_changes(done.changed)}"])


def _document(done: delivery.Delivered) -> dict[str, Sequence[str]]:
    return {"changed": done.changed, "unchanged": done.same}


def _changes(changed: Sequence[str]) -> str:
    return ", ".join(changed) if changed else "nothing: all is there already"
