"""`renew`: sign stored requests again."""

from dbca_openssl.ca import renew as renewal
from dbca_openssl.ca.sign import Period
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.options import Run, UsageError, argument, option, verb


@verb("ca", "days", "cap", "allow_alt_name", "no_crl", "yes", "key", "lock_timeout", "print_")
def renew(
    run: Run,
    names: list[str] | None = argument("NAME...", "Hosts or clients.", default=None),
    expiring: int | None = option("--expiring", "All that expire within DAYS days, or have expired.", "DAYS", 0),
) -> int:
    """Sign stored requests again, superseding the old certificates.

    \b
      dbca-openssl renew aiken.example.net
      dbca-openssl renew --expiring 30 --passphrase-file ~/.dbca-passphrase --yes

    Deliver all of the new certificates before a server reads the new CRL. For a new key make a new request on the host,
    put it into certreqs/ in place of the old one, and renew.
    """
    if bool(names) == (expiring is not None):
        raise UsageError("name hosts or clients, or say --expiring DAYS")
    authority = run.authority()
    period = Period(run.days, run.cap)
    wanted = list(dict.fromkeys(names)) if names else renewal.expiring(authority, expiring or 0)
    if not wanted:
        return output.result({"renewed": [], "crl": None}, [f"no certificate expires within {expiring} days"])
    with terminal.busy("vetting"):
        renewals = renewal.propose(authority, wanted, period)
    allowed = run.allowed_names()
    for one in renewals:
        if not run.print_:
            changes = {
                "its key": "as before" if one.same_key else "a NEW key",
                "replaces": ", ".join(row.serial for row in one.superseded) or "none that is valid",
                "loses": ", ".join(sorted(one.lost_names)) or None,
            }
            output.show([*results.proposal_lines(one.proposal), *output.fields(changes)])
        results.require_consent([one.proposal], allowed | one.names_before, ask=not run.yes and not run.print_)
    if run.print_:
        return output.script(renewal.plan(run.for_script(authority), renewals, period, not run.no_crl).script())
    run.confirm("Renew it?" if len(renewals) == 1 else f"Renew these {len(renewals)}?")
    signed, made = renewal.renew(run.unlocked(authority), renewals, period, not run.no_crl)
    return output.result(
        {"renewed": [results.signed_document(one) for one in signed], "crl": results.crl_document(made)},
        [
            *results.signed_lines(signed),
            f"next, deliver the certificates{' with the new CRL' if made else ''}:",
            *results.deploy_lines(authority, [one.name for one in signed]),
            f"and when all of them are in place, {results.RELOAD if made else 'make a new CRL:'}",
            *(() if made else ("  dbca-openssl crl",)),
        ],
    )
