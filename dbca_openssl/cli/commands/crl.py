"""`crl`: make a new CRL."""

from dbca_openssl.ca import canary as canaries
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.cli import output, results
from dbca_openssl.cli.options import Run, UsageError, flag, option, verb


@verb("ca", "key", "lock_timeout", "print_", "yes")
def crl(
    run: Run,
    days: int | None = option(
        "--days", "Validity of the CRL in days [default: the configuration's default_crl_days].", "N", 1, 3650
    ),
    canary: bool = flag(
        "--canary", "From now on have each CRL revoke a client certificate, by which a server proves it loaded."
    ),
    drop_expired: bool = flag(
        "--drop-expired", "From now on leave out of each CRL what had expired before the CRL that is there."
    ),
) -> int:
    """Make a new CRL.

    \b
      dbca-openssl crl
      dbca-openssl crl --days 90 --passphrase-file ~/.dbca-passphrase

    A server whose CRL has expired refuses every client. With --canary the certificate of dbca-canary is signed and
    revoked with this CRL and each after it: a server that refuses it as revoked has loaded the CRL, which `rotate` and
    `server probe` look at.

    With --drop-expired an entry is left out once it was on a CRL made after the certificate's end (RFC 5280, 3.3), of
    this CRL and of those after it, whichever command makes them. The index keeps every revocation.

    The guide: "Revocation List (CRL)".
    """
    authority = run.existing_authority()
    new_canary = canary and not canaries.is_kept(authority)
    if run.print_ and drop_expired:
        raise UsageError("--print cannot leave entries out: openssl alone lists every revocation of its index")
    if run.print_:
        return output.script(revocation.plan(run.for_script(authority), days, new_canary=new_canary).script())
    made = revocation.renew_list(run.unlocked(authority), days, new_canary=new_canary, drop_expired=drop_expired)
    if drop_expired and not made.left_out:
        output.tell("nothing had expired before the CRL that was there; give --drop-expired again later")
    return output.result({"crl": results.crl_document(made)}, results.crl_lines(authority, made))
