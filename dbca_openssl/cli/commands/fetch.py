"""`fetch`: copy the requests of hosts into certreqs/."""

from dbca_openssl.ca.layout import request_of
from dbca_openssl.cli import output, results
from dbca_openssl.cli.options import Run, argument, verb
from dbca_openssl.cli.progress import Progress
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import fetch as fetching
from dbca_openssl.host import print_scripts
from dbca_openssl.host.enroll import FAILED
from dbca_openssl.host.ssh import hosts as hosts_of


@verb("ca", "hosts", "lock_timeout", "print_", "yes")
def fetch(
    run: Run,
    host: list[str] = argument(..., "[USER@]HOST...", "What ssh calls it, and its certificate."),
) -> int:
    """Copy the requests of hosts into certreqs/, to be signed.

    \b
      dbca-openssl fetch aiken.example.net margaret.example.net
      dbca-openssl fetch admin@gannibal.example.net --sudo

    Exit code 1 where some hosts failed: they are named, and the requests of all others are there.

    The guide: "Sign Certificates".
    """
    authority = run.authority()
    authority.require()
    where, hosts = run.place(), hosts_of(host)
    ssh = run.ssh(hosts)
    if run.print_:
        output.script(print_scripts.fetch(authority, ssh, hosts, where))
        return 0
    with Progress(hosts) as progress:
        outcomes = fetching.fetch(authority, ssh, hosts, where, run.jobs, progress)
    rows, documents, errors, fetched = [], [], [], []
    for one, outcome in outcomes:
        if isinstance(outcome, DatabaseCaError):
            errors.append(outcome)
            rows.append((one.name, output.coloured(FAILED)))
            documents.append(results.host_document(one, FAILED, outcome))
        else:
            path, state = request_of(one.name), "fetched" if outcome else "there already"
            fetched.append(one.name)
            rows.append((one.name, f"{state}: {path}"))
            documents.append(results.host_document(one, state, None, request=path))
    following = [output.command("sign", *fetched)] if fetched else []
    return results.hosts(documents, errors, output.table(("HOST", "REQUEST"), rows), following)
