"""The verbs that reach hosts over ssh: fetch, deploy, enroll; and playbook, for a fleet on Ansible."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dbca_openssl import dates, names, render
from dbca_openssl.ca.layout import Authority, request_of
from dbca_openssl.ca.sign import Period
from dbca_openssl.cli import options, output
from dbca_openssl.cli.options import (
    AltNames,
    Ca,
    Cap,
    Days,
    Json,
    LockTimeout,
    OpenSSLProgram,
    PassphraseDescriptor,
    PassphraseFile,
    Print,
    Profile,
    Verbose,
)
from dbca_openssl.cli.progress import Progress
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import deploy as delivery
from dbca_openssl.host import enroll as enrolment
from dbca_openssl.host import fetch as fetching
from dbca_openssl.host import playbook as playbooks
from dbca_openssl.host import print_scripts as printed
from dbca_openssl.host import scripts
from dbca_openssl.host import ssh as remote
from dbca_openssl.host.deploy import Delivered
from dbca_openssl.host.enroll import Enrolment, HostResult
from dbca_openssl.host.playbook import Fleet
from dbca_openssl.host.ssh import Host, Ssh

Hosts = Annotated[list[str], typer.Argument(metavar="[USER@]HOST...", help="What ssh calls it, and its certificate.")]
SslDir = Annotated[str, typer.Option("--ssl-dir", metavar="DIR", help="Where the files are on the hosts.")]
Owner = Annotated[
    str | None, typer.Option("--owner", metavar="USER", help="Who must be able to read them there, such as mysql.")
]
Sudo = Annotated[bool, typer.Option("--sudo", help="Become root on the host by sudo, which must not ask.")]
SshConfig = Annotated[
    Path | None, typer.Option("--ssh-config", metavar="FILE", help="Another configuration file for ssh (ssh -F).")
]
Bits = Annotated[int, typer.Option("--bits", metavar="N", min=2048, max=8192, help="The size of the RSA keys.")]
Jobs = Annotated[int, typer.Option("--jobs", metavar="N", min=1, max=256, help="Hosts at a time; with 1, ssh may ask.")]
Timeout = Annotated[float, typer.Option("--timeout", metavar="SECONDS", min=1, help="How long one host may take.")]


def fetch(
    host: Hosts,
    ca: Ca = None,
    ssl_dir: SslDir = render.SSL_DIR,
    sudo: Sudo = False,
    ssh_config: SshConfig = None,
    jobs: Jobs = 8,
    timeout: Timeout = 120,
    lock_timeout: LockTimeout = None,
    print_: Print = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Copy the requests of hosts into certreqs/, to be signed.

    \b
      dbca-openssl fetch aiken.example.net margaret.example.net
      dbca-openssl fetch admin@gannibal.example.net --sudo

    A host that is not reached is named, the others go on, and the exit code is 1.

    The guide: "Sign Certificates".
    """
    authority = options.authority(ca, openssl, lock_timeout)
    authority.require()
    where = scripts.place(ssl_dir)
    hosts = remote.hosts(host)
    ssh = _ssh(ssh_config, hosts, jobs, timeout, sudo)
    if print_:
        output.script(printed.fetch(authority, ssh, hosts, where))
        return 0
    with Progress(hosts) as progress:
        outcomes = fetching.fetch(authority, ssh, hosts, where, jobs, progress)
    rows, documents, errors = [], [], []
    for one, outcome in outcomes:
        path = request_of(one.name)
        if isinstance(outcome, DatabaseCaError):
            errors.append(outcome)
            rows.append((one.name, output.coloured(enrolment.FAILED)))
            documents.append(_document(one, enrolment.FAILED, outcome))
        else:
            state = "fetched" if outcome else "there already"
            rows.append((one.name, f"{state}: {path}"))
            documents.append(_document(one, state, None) | {"request": path})
    fetched = [one.name for one, outcome in outcomes if not isinstance(outcome, DatabaseCaError)]
    return _finish(
        documents,
        errors,
        output.table(("HOST", "REQUEST"), rows),
        [f"dbca-openssl sign {' '.join(fetched)}"] * bool(fetched),
    )


def deploy(
    host: Annotated[
        list[str] | None,
        typer.Argument(metavar="[USER@]HOST...", help="What ssh calls it, and its certificate; with --local, NAME."),
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="To ~/.mysql/ssl (or --ssl-dir) on this machine.")] = False,
    ca: Ca = None,
    ssl_dir: Annotated[
        str | None, typer.Option("--ssl-dir", metavar="DIR", help=f"Where they are put [default: {render.SSL_DIR}].")
    ] = None,
    owner: Owner = None,
    sudo: Sudo = False,
    ssh_config: SshConfig = None,
    jobs: Jobs = 8,
    timeout: Timeout = 120,
    print_: Print = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Copy certificates and revocation list to hosts, or here.

    \b
      dbca-openssl deploy root@aiken.example.net --owner mysql
      dbca-openssl deploy admin@gannibal.example.net --sudo --owner mysql
      dbca-openssl deploy --local
      dbca-openssl deploy --local backup@margaret

    The authority's certificate, its revocation list, and each host's own certificate where it has a valid one;
    never a private key. Only what is not there yet is brought, all of it or none, each file by a rename.

    The guide: "Copy to Target Systems".
    """
    authority = options.authority(ca, openssl)
    authority.require()
    if local:
        return _deploy_here(authority, host or [], ssl_dir, owner, timeout, print_)
    if not host:
        raise typer.BadParameter("name a HOST, or give --local")
    hosts = remote.hosts(host)
    where = scripts.place(ssl_dir or render.SSL_DIR, owner)
    ssh = _ssh(ssh_config, hosts, jobs, timeout, sudo)
    files = delivery.files(authority, [one.name for one in hosts])
    if print_:
        output.script(printed.deploy(ssh, {one: files[one.name] for one in hosts}, where))
        return 0
    with Progress(hosts, "delivered") as progress:

        def work(one: Host) -> Delivered:
            progress(one, "delivering")
            done = delivery.deploy(ssh, one, where, files[one.name])
            progress(one, "delivered")
            return done

        outcomes = ssh.each(hosts, work, jobs)
    rows, documents, errors = [], [], []
    for one, outcome in zip(hosts, outcomes, strict=True):
        if isinstance(outcome, DatabaseCaError):
            errors.append(outcome)
            rows.append((one.name, output.coloured(enrolment.FAILED)))
            documents.append(_document(one, enrolment.FAILED, outcome))
        else:
            rows.append((one.name, _changes(outcome.changed)))
            documents.append(
                _document(one, "delivered", None) | {"changed": list(outcome.changed), "unchanged": list(outcome.same)}
            )
    changed = any(not isinstance(outcome, DatabaseCaError) and outcome.changed for outcome in outcomes)
    return _finish(documents, errors, output.table(("HOST", "CHANGED"), rows), _RELOAD * changed)


def enroll(
    host: Hosts,
    ca: Ca = None,
    alt_name: AltNames = None,
    profile: Profile = "guide",
    days: Days = None,
    cap: Cap = False,
    bits: Bits = render.HOST_BITS,
    rekey: Annotated[
        bool, typer.Option("--rekey", help="Make a new pair also where there is one, and supersede its certificate.")
    ] = False,
    ssl_dir: SslDir = render.SSL_DIR,
    owner: Owner = None,
    sudo: Sudo = False,
    ssh_config: SshConfig = None,
    jobs: Jobs = 8,
    timeout: Timeout = 120,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseDescriptor = None,
    lock_timeout: LockTimeout = None,
    print_: Print = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Give hosts their key and certificate, all of it over ssh.

    \b
      dbca-openssl enroll root@aiken.example.net --owner mysql
      dbca-openssl enroll admin@aiken.example.net --sudo --alt-name db.example.net
      dbca-openssl enroll $(cat hosts) --passphrase-file ~/.dbca-passphrase
      dbca-openssl enroll root@aiken.example.net --rekey   # a new key as well

    Key and request are made there, all of them are signed here in one transaction, and the certificates delivered.
    The hosts need sshd and openssl. Keys never leave them. A host that has key and certificate is left alone;
    one where an earlier run was cut short is taken up from there.

    The guide: "Certificate Signing Requests", "Sign Certificates", "Copy to Target Systems".
    """
    authority = options.authority(ca, openssl, lock_timeout)
    authority.require()
    alternative = tuple(names.alternative_name(text) for text in alt_name or ())
    how = Enrolment(scripts.place(ssl_dir, owner), alternative, profile, bits, Period(days, cap), rekey)
    hosts = remote.hosts(host)
    ssh = _ssh(ssh_config, hosts, jobs, timeout, sudo)
    if print_:
        output.script(printed.enroll(options.printable(authority, passphrase_file), ssh, hosts, how))
        return 0
    encrypted = authority.key_is_encrypted()
    asked_later = passphrase_file is None and passphrase_fd is None and options.terminal_is_there()
    if encrypted and not asked_later:
        authority = authority.unlocked(options.passphrase(passphrase_file, passphrase_fd))
    with Progress(hosts, *enrolment.STATES) as progress:
        standings = enrolment.prepare(authority, ssh, hosts, how, jobs, progress)
    if encrypted and asked_later and any(standing.proposal for standing in standings):
        authority = authority.unlocked(options.passphrase(None, None))
    try:
        standings = enrolment.sign(authority, standings, how)
    except DatabaseCaError:
        _show([one.error for one in standings if one.error])
        raise
    with Progress(hosts, *enrolment.STATES) as progress:
        standings = enrolment.deliver(authority, ssh, standings, how, jobs, progress)
    return _finish(
        [
            _document(one.host, one.state, one.error)
            | {
                "serial": one.serial,
                "not_after": dates.iso(one.end) if one.end else None,
                "changed": list(one.changed),
            }
            for one in standings
        ],
        [one.error for one in standings if one.error],
        output.table(("HOST", "STATE", "SERIAL", "UNTIL"), map(_row, standings)),
        _RELOAD * any(one.changed for one in standings),
    )


def playbook(
    ca: Ca = None,
    hosts: Annotated[str, typer.Option("--hosts", metavar="GROUP", help="Which hosts of the inventory.")] = "databases",
    ssl_dir: SslDir = render.SSL_DIR,
    owner: Owner = "mysql",
    profile: Profile = "guide",
    bits: Bits = render.HOST_BITS,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print an Ansible playbook that enrolls a fleet.

    \b
      dbca-openssl playbook > databases.yml
      ansible-playbook -i inventory databases.yml --check
      ansible-playbook -i inventory databases.yml

    It begins with a note on the inventory, and on the pass phrase. It needs ansible-core here, and Python on the hosts.
    Run again, it does only what is missing.
    """
    authority = options.authority(ca)
    text = playbooks.playbook(Fleet(hosts, authority.directory, scripts.place(ssl_dir, owner), profile, bits))
    output.result({"playbook": text}, [text.removesuffix("\n")])


_RELOAD = ["on each host, have the server read them: FLUSH SSL (MariaDB), ALTER INSTANCE RELOAD TLS (MySQL)"]


def _ssh(config: Path | None, hosts: Sequence[Host], jobs: int, timeout: float, sudo: bool) -> Ssh:
    """ssh asks at the terminal only where one host at a time is worked on."""
    if config is not None and not config.is_file():
        raise DatabaseCaError(f"there is no file {config}", "--ssh-config names one that ssh -F can read")
    asking = options.terminal_is_there() and min(jobs, len(hosts)) == 1
    return Ssh(config.absolute() if config else None, batch=not asking, timeout=timeout, sudo=sudo)


def _deploy_here(
    authority: Authority,
    arguments: Sequence[str],
    ssl_dir: str | None,
    owner: str | None,
    timeout: float,
    print_: bool,
) -> int:
    directory = Path(ssl_dir).absolute() if ssl_dir else Path.home() / ".mysql/ssl"
    where = scripts.place(str(directory), owner)
    whose = [names.entity_name(text) for text in arguments]
    if len(whose) > 1:
        raise typer.BadParameter("with --local, one NAME at the most")
    name = whose[0] if whose else "localhost"
    files = delivery.files(authority, whose)[whose[0]] if whose else list(delivery.common_files(authority))
    if print_:
        output.script(scripts.deploy(name, where, files))
        return 0
    done = delivery.deploy_here(Ssh(timeout=timeout), name, where, files)
    output.result(
        {"directory": str(directory), "changed": list(done.changed), "unchanged": list(done.same)},
        [f"{directory}  {_changes(done.changed)}"],
    )
    return 0


def _changes(changed: Sequence[str]) -> str:
    return ", ".join(changed) if changed else "nothing: all is there already"


def _row(one: HostResult) -> tuple[str, str, str, str]:
    return one.host.name, output.coloured(one.state), one.serial or "-", f"{one.end:%Y-%m-%d}" if one.end else "-"


def _document(host: Host, state: str, error: DatabaseCaError | None) -> dict[str, Any]:
    document: dict[str, Any] = {"name": host.name, "destination": host.destination, "state": state}
    return document | ({"error": error.message, "hints": list(error.hints)} if error else {})


def _finish(
    documents: Sequence[Mapping[str, Any]], errors: Sequence[DatabaseCaError], table: list[str], following: list[str]
) -> int:
    """Print what came of each host, and say what went wrong; the exit code is 1 where anything did."""
    output.result(
        {"hosts": documents}, [*table, *(["next:", *(f"  {line}" for line in following)] if following else [])]
    )
    _show(errors)
    return 1 if errors else 0


def _show(errors: Sequence[DatabaseCaError]) -> None:
    """Say what went wrong with single hosts, unless all is in one document."""
    if not output.as_json:
        for error in errors:
            output.error(error)
