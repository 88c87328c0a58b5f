"""`revoke`: revoke certificates."""

from typing import get_args

from dbca_openssl import dates
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.ca.layout import issued
from dbca_openssl.cli import output, results
from dbca_openssl.cli.options import Run, argument, option, verb

_REASONS = f"Why: {', '.join(get_args(revocation.Reason))}."


@verb("ca", "no_crl", "yes", "key", "lock_timeout", "print_")
def revoke(
    run: Run,
    what: str = argument("NAME|SERIAL|FILE", "With a name, all of its valid certificates."),
    reason: revocation.Reason | None = option("--reason", _REASONS, "REASON"),
) -> int:
    """Revoke certificates, and make a new CRL.

    \b
      dbca-openssl revoke aiken.example.net --reason keyCompromise
      dbca-openssl revoke 0A --reason cessationOfOperation --yes
      dbca-openssl revoke certs/margaret.example.net.cert.pem --no-crl

    A name stands for all of its valid certificates. Certificates and CRL change together, or not at all.
    A server refuses the certificate once it has read the new CRL: see the commands that are printed.
    """
    authority = run.authority()
    rows = revocation.propose(authority, what)
    if run.print_:
        plan = revocation.plan_revocation(run.for_script(authority), rows, reason, not run.no_crl)
        return output.script(plan.script())
    output.show(f"revoke {row.name}, serial {row.serial}, valid until {dates.shown(row.end)}" for row in rows)
    run.confirm("Revoke it, for good?" if len(rows) == 1 else f"Revoke these {len(rows)}, for good?")
    made = revocation.revoke(run.unlocked(authority), rows, reason, not run.no_crl)
    following = ["next, when the new certificate is in place:", "  dbca-openssl crl"]
    return output.result(
        {
            "revoked": [{"name": row.name, "serial": row.serial, "reason": reason} for row in rows],
            "crl": results.crl_document(made),
        },
        [
            *(f"{issued(row.serial)}  {row.name} is revoked" for row in rows),
            *(results.crl_lines(authority, made) if made else following),
        ],
    )
