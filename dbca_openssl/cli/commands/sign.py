"""`sign`: vet and sign requests."""

from dbca_openssl.ca import sign as signing
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.declaration import UsageError, argument, option
from dbca_openssl.cli.options import Run, verb


@verb("ca", "days", "cap", "allow_alt_name", "yes", "key", "lock_timeout", "print_")
def sign(
    run: Run,
    what: list[str] | None = argument(None, "NAME|FILE...", "A name in certreqs/, or a request file."),
    every: bool = option(False, "--all", "Every request in certreqs/ that has no certificate yet."),
) -> int:
    """Vet, show and sign requests: all of them, or none.

    \b
      scp aiken.example.net:/etc/mysql/ssl/aiken.example.net.req.pem certreqs/
      dbca-openssl sign aiken.example.net
      dbca-openssl sign ~/Downloads/margaret.example.net.req.pem
      dbca-openssl sign --allow-alt-name db.example.net --yes gannibal.example.net
      dbca-openssl sign --all --passphrase-file ~/.dbca-passphrase --yes

    The guide: "Sign Certificates".
    """
    if bool(what) == every:
        raise UsageError("name requests, or say --all for every one that waits")
    authority = run.authority()
    period = signing.Period(run.days, run.cap)
    wanted = signing.waiting(authority) if every else list(dict.fromkeys(what or []))
    if not wanted:
        return output.result({"signed": []}, ["no request in certreqs/ is waiting"])
    with terminal.busy("vetting"):
        proposals = signing.propose(authority, wanted, period)
    allowed = run.allowed_names()
    if run.print_:
        results.require_consent(proposals, allowed, ask=False)
        return output.script(signing.plan(run.for_script(authority), proposals, period).script())
    output.show(line for proposal in proposals for line in results.proposal_lines(proposal))
    results.require_consent(proposals, allowed, ask=not run.yes)
    run.confirm("Sign it?" if len(proposals) == 1 else f"Sign these {len(proposals)}?")
    signed = signing.sign(run.unlocked(authority), proposals, period)
    return output.result(
        {"signed": [results.signed_document(one) for one in signed]},
        [
            *results.signed_lines(signed),
            "next, deliver it with the CA certificate and the CRL:",
            *results.deploy_lines(authority, [one.name for one in signed]),
        ],
    )
