"""`enroll`: key, request, certificate and delivery for hosts, over ssh."""

from collections.abc import Sequence

from dbca_openssl.ca.layout import Authority
from dbca_openssl.ca.sign import Period
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.options import Run, UsageError, argument, flag, verb
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import enroll as enrolment
from dbca_openssl.host import print_scripts
from dbca_openssl.render import HOST_BITS, SSL_DIR


@verb("ca", "alt_name", "profile", "days", "cap", "algorithm", "hosts", "key", "lock_timeout", "print_", "yes")
def enroll(
    run: Run,
    host: list[str] | None = argument("[USER@]HOST...", "What ssh calls it, and its certificate.", default=None),
    rekey: bool = flag("--rekey", "Make a new key, whatever is there, and supersede the certificate."),
    compromised: bool = flag("--compromised", "With --rekey: others may know the old key; never certify it."),
) -> int:
    """Give hosts their key and certificate, all of it over ssh.

    \b
      dbca-openssl enroll root@aiken.example.net --owner mysql
      dbca-openssl enroll admin@aiken.example.net --sudo --alt-name db.example.net
      dbca-openssl enroll $(cat hosts) --passphrase-file ~/.dbca-passphrase
      dbca-openssl enroll root@aiken.example.net --rekey   # it lost its key
      dbca-openssl enroll root@aiken.example.net --rekey --compromised

    Key and request are made there, all of them are signed here in one transaction, and the certificates delivered.
    The hosts need sshd and openssl. Keys never leave them. A host that has key and certificate is left alone; one
    where an earlier run was interrupted is taken up from there. With --rekey, key, request and certificate that are
    there are kept as .old. --compromised revokes the certificate as keyCompromise, and makes a new CRL.

    Exit code 1 where some hosts failed: they are named, all others are done, and the same command does the rest.

    The guide: "Certificate Signing Requests", "Sign Certificates", "Copy to Target Systems".
    """
    if compromised and (not rekey or run.print_):
        raise UsageError("--compromised stands with --rekey, and has no script")
    authority = run.existing_authority()
    period = Period(run.days, run.cap)
    how = enrolment.Enrolment(run.key_algorithm(HOST_BITS), period, rekey, compromised)
    asked = {"profile": run.profile, "alternative_names": run.names_to_add() or None}
    hosts, ssh = run.hosts(authority, host or (), **asked)
    if run.print_:
        return output.script(print_scripts.enroll(run.for_script(authority), ssh, hosts, how))
    encrypted = authority.key_is_encrypted()  # a key that cannot be read is found before any host is touched
    asked_later = run.passphrase_file is None and run.passphrase_fd is None and terminal.is_there()
    if encrypted and not asked_later:
        authority = run.unlocked(authority)
    if any(one.profile == "guide" and not one.alternative_names for one in hosts):
        output.tell(f"SAN {results.NO_SAN}")
    with terminal.progress(hosts, *enrolment.STATES) as progress:
        states = enrolment.prepare(authority, ssh, hosts, how, progress)
    if encrypted and asked_later and any(one.proposal for one in states):
        authority = run.unlocked(authority)
    try:
        states = enrolment.sign(authority, states, how)
    except DatabaseCaError:
        results.host_errors([one.error for one in states if one.error])
        raise
    with terminal.progress(hosts, *enrolment.STATES) as progress:
        states = enrolment.deliver(authority, ssh, states, progress)
    if compromised and any(one.state == enrolment.REKEYED for one in states):
        output.tell("the other hosts need the new CRL: dbca-openssl deploy HOST...")
    return results.hosts(("STATE", "SERIAL", "UNTIL"), [_outcome(one) for one in states], _following(authority, states))


def _following(authority: Authority, states: Sequence[enrolment.HostResult]) -> list[str] | None:
    """What is next where hosts are new: their servers do not use these files yet. None: that they read them again."""
    new = [one.host for one in states if one.changed and one.state == enrolment.ENROLLED]
    if not new:
        return None
    words = ["server", "settings", new[0].name if len(new) == 1 else "HOST"]
    words += ["--ssl-dir", new[0].directory] if new[0].directory != SSL_DIR else []
    return [
        f"{output.command(*words)} > 99-tls.cnf  # on the host in /etc/mysql/mariadb.conf.d; restart the server",
        results.command(authority, "server", "probe", "--all"),
    ]


def _outcome(one: enrolment.HostResult) -> results.HostOutcome:
    cells = (output.coloured(one.state), one.serial or "-", f"{one.end:%Y-%m-%d}" if one.end else "-")
    more = {"serial": one.serial, "not_after": one.end, "changed": one.changed}
    return results.HostOutcome(one.host, one.error, one.state, cells, more)
