"""`report`: one page about the CA for a browser."""

from pathlib import Path

from dbca_openssl.ca import listing
from dbca_openssl.ca import report as reporting
from dbca_openssl.ca.report import Seen
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.commands.status import next_commands
from dbca_openssl.cli.main import DONE, FAILED
from dbca_openssl.cli.options import Run, flag, option, verb
from dbca_openssl.errors import DatabaseCaError


@verb("ca", "yes", "ssh_config", "jobs", "timeout")
def report(
    run: Run,
    file: Path = option("--output -o", "A new file, or an older page about the same CA.", "FILE.html", default=...),
    probe: bool = flag("--probe", "Ask each host over ssh what it serves, and which CRL it has."),
) -> int:
    """Write one static page about the CA.

    \b
      dbca-openssl report -o database-ca.html
      dbca-openssl report -o database-ca.html --probe

    What is next, what check finds, each host and client with its certificate, when these expire, and what was signed,
    renewed and revoked, when. The page can be sorted and filtered, and loads nothing. An older page about the same CA
    is replaced, and no other file. Of more than 10,000 valid certificates it has those that expire first.

    With --probe, exit code 1 where hosts cannot be asked: they are named, on the page too.
    """
    authority = run.authority()
    found = listing.status(authority)
    reporting.require_ours(authority, file)
    seen: dict[str, Seen] | None = None
    failed = []
    if probe:
        from dbca_openssl.ca import hosts as known_hosts
        from dbca_openssl.host import report as probing

        hosts = known_hosts.read(authority).servers()
        with terminal.progress(hosts, "seen") as progress:
            asked = probing.look(authority, run.ssh(hosts), hosts, progress)
        seen = {}
        for host, one in asked.items():
            seen[host.name] = one if isinstance(one, Seen) else Seen(one.message.removeprefix(f"{host.name}: "), "")
        failed = [results.HostOutcome(host, one) for host, one in asked.items() if isinstance(one, DatabaseCaError)]
    with terminal.busy("checking"):
        text = reporting.page(authority, found, next_commands(authority, found), seen)
    reporting.write(authority, file, text)
    output.result(
        {"report": str(file.absolute()), "failed": [one.document() for one in failed]},
        [f"{file}  a page for a browser"],
    )
    results.host_errors([one.error for one in failed if one.error])
    return FAILED if failed else DONE
