"""`fetch`: copy the requests of hosts into certreqs/."""

from dbca_openssl.ca.layout import request_of
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.options import Run, argument, verb
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import fetch as fetching
from dbca_openssl.host import print_scripts


@verb("ca", "hosts", "lock_timeout", "print_", "yes")
def fetch(
    run: Run,
    host: list[str] | None = argument("[USER@]HOST...", "What ssh calls it, and its certificate.", default=None),
) -> int:
    """Copy the requests of hosts into certreqs/, to be signed.

    \b
      dbca-openssl fetch aiken.example.net margaret.example.net
      dbca-openssl fetch admin@gannibal.example.net --sudo

    Exit code 1 where some hosts failed: they are named, and the requests of all others are there.

    The guide: "Sign Certificates".
    """
    authority = run.existing_authority()
    hosts, ssh = run.hosts(authority, host or ())
    if run.print_:
        return output.script(print_scripts.fetch(authority, ssh, hosts))
    with terminal.progress(hosts) as progress:
        outcomes = fetching.fetch(authority, ssh, hosts, progress)
    shown, fetched = [], []
    for one, outcome in outcomes.items():
        if isinstance(outcome, DatabaseCaError):
            shown.append(results.HostOutcome(one, outcome))
            continue
        path, state = request_of(one.name), "fetched" if outcome else "there already"
        fetched.append(one.name)
        shown.append(results.HostOutcome(one, None, state, [f"{state}: {path}"], {"request": path}))
    return results.hosts(["REQUEST"], shown, [output.command("sign", *fetched)] if fetched else [])
