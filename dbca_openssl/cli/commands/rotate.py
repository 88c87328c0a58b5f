"""`rotate`: renew, deliver, reload and prove whatever is due on hosts."""

from functools import partial

from dbca_openssl import dates
from dbca_openssl.ca import hosts as known_hosts
from dbca_openssl.ca import index, rollover
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import CRL, INDEX, Authority
from dbca_openssl.ca.sign import Period, Signed
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.main import FAILED
from dbca_openssl.cli.options import Run, argument, option, verb
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import print_scripts
from dbca_openssl.host import rotate as rotation
from dbca_openssl.host.rotate import HostResult, Rotation


@verb("ca", "days", "cap", "hosts", "key", "old_passphrase_file", "lock_timeout", "print_", "yes")
def rotate(
    run: Run,
    host: list[str] | None = argument("[USER@]HOST...", "Hosts, as database-ca.hosts or ssh knows them.", default=None),
    within: int = option("--within", "Renew what expires within DAYS days.", "DAYS", 0, default=rotation.DAYS),
) -> int:
    """Renew, deliver, reload and prove whatever is due on hosts.

    \b
      dbca-openssl rotate --all
      dbca-openssl rotate aiken.example.net --within 60
      dbca-openssl rotate --all --yes --passphrase-file ~/.dbca-passphrase

    Each host is asked over ssh what it has, and what its server serves. What expires soon is signed again in one
    transaction, delivered, loaded by the server, and a handshake proves that it is served. When all hosts serve their
    new certificates, a new CRL revokes the former ones; it is delivered, loaded, and proven by a canary, a certificate
    that is revoked. The next run does what is missing, wherever one was interrupted.

    In a rollover, the CRL of the other CA is made anew too where it is due, and hosts get both.

    Exit code 1 where hosts failed: they are named, and the CRL waits for those whose former certificate it revokes.
    Also where the CRL of the other CA in a rollover is due and cannot be made.

    The guide: "Sign Certificates", "Copy to Target Systems", "Revocation List (CRL)".
    """
    authority = run.existing_authority()
    hosts, ssh = run.hosts(authority, host or ())
    served = [one.name for one in known_hosts.read(authority).hosts.values() if not one.is_client]
    period = Period(run.days, run.cap)
    with terminal.progress(hosts, "seen") as progress:
        seen = rotation.look(authority, ssh, hosts, progress)
    plan = rotation.decide(authority, seen, served, within, period)
    if run.print_:
        return output.script(print_scripts.rotate(run.for_script(authority), ssh, plan, period))
    if not plan.is_signing and not plan.other and not any(due.missing for due in plan.hosts):
        return _show(authority, rotation.Outcome(plan.hosts))
    if not run.yes:
        output.show(_plan_lines(plan))
    run.confirm("Do it?")
    both = rollover.under_way(authority)
    is_new = both is not None and both.new.directory == authority.directory
    if plan.is_signing:
        authority = run.unlocked(authority, is_old=bool(both) and not is_new)
    behind = None
    if plan.other:
        behind = rotation.renew_other(plan.other, partial(run.unlocked, is_old=is_new))
        plan = rotation.decide(authority, seen, served, within, period)
    with terminal.progress(hosts, *rotation.STATES) as progress:
        outcome = rotation.rotate(authority, ssh, plan, period, progress)
    return _show(authority, outcome, behind)


def _plan_lines(plan: Rotation) -> list[str]:
    return [
        *output.table(("HOST", "DUE"), ((due.host.name, _due(due)) for due in plan.hosts)),
        *([f"and before, a new CRL of the other CA in this rollover, {plan.other.directory}"] if plan.other else []),
        *([f"and then a new CRL, {plan.crl}"] if plan.crl else []),
    ]


def _due(due: HostResult) -> str:
    if due.error:
        return due.error.message.removeprefix(f"{due.host.name}: ")
    renew = []
    if due.renewal:
        before = due.renewal.superseded
        is_over = not before or before[-1].end <= dates.now()
        why = "the one there has expired" if is_over else f"the one there is valid until {before[-1].end:%Y-%m-%d}"
        renew = [f"a new certificate, {why}"]
    return "; ".join([*renew, *due.missing]) or "nothing"


def _show(authority: Authority, outcome: rotation.Outcome, behind: DatabaseCaError | None = None) -> int:
    both = rollover.under_way(authority)
    names = {one.host.name for one in outcome.hosts if not one.error}
    names -= both.names_of_other(authority) if both else frozenset()
    rows = index.some(authority.read(INDEX), names=names) if names else ()
    has: dict[str, Row | Signed] = {row.name: row for row in rows if row.state == index.VALID}
    has |= {one.name: one for one in outcome.signed}
    shown = []
    for one in outcome.hosts:
        own = has.get(one.host.name)
        cells = (output.coloured(one.state), own.serial if own else "-", f"{own.end:%Y-%m-%d}" if own else "-")
        more = {"serial": own and own.serial, "not_after": own and own.end, "changed": one.changed}
        shown.append(results.HostOutcome(one.host, one.error, one.state, cells, more))
    made = [f"{CRL}  number {outcome.crl.number}, valid until {dates.shown(outcome.crl.end)}"] if outcome.crl else []
    waiting = [f"the new CRL waits for {', '.join(outcome.kept_back_for)}"] if outcome.kept_back_for else []
    output.show(made + waiting)
    crl: dict[str, object] = {"crl": results.crl_document(outcome.crl), "crl_waits_for": outcome.kept_back_for}
    clients = outcome.crl and any(one.is_client for one in results.known_hosts(authority).values())
    following = [f"{results.command(authority, 'deploy', '--local')}  # {results.CLIENTS_CRL}"] if clients else []
    crl["other_crl"] = behind and behind.message
    code = results.hosts(("STATE", "SERIAL", "UNTIL"), shown, following, crl)
    results.host_errors([behind] if behind else [])
    return FAILED if behind else code
