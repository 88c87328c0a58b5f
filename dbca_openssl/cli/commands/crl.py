"""`crl`: make a new CRL."""

from dbca_openssl.ca import revoke as revocation
from dbca_openssl.cli import output, results
from dbca_openssl.cli.options import Run, option, verb


@verb("ca", "key", "lock_timeout", "print_", "yes")
def crl(
    run: Run,
    days: int | None = option(
        None, "--days", "Validity of the CRL in days [default: the configuration's default_crl_days].", "N", 1, 3650
    ),
) -> int:
    """Make a new CRL.

    \b
      dbca-openssl crl
      dbca-openssl crl --days 90 --passphrase-file ~/.dbca-passphrase

    A server whose CRL has expired refuses every client.

    The guide: "Revocation List (CRL)".
    """
    authority = run.existing_authority()
    if run.print_:
        return output.script(revocation.plan(run.for_script(authority), days).script())
    made = revocation.renew_list(run.unlocked(authority), days)
    return output.result({"crl": results.crl_document(made)}, results.crl_lines(authority, made))
