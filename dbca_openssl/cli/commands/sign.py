"""`sign`: vet and sign requests."""

from dbca_openssl.ca import sign as signing
from dbca_openssl.ca import sign_many
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.options import Run, UsageError, argument, flag, verb


@verb("ca", "days", "cap", "allow_alt_name", "yes", "key", "lock_timeout", "print_")
def sign(
    run: Run,
    what: list[str] | None = argument("NAME|FILE...", "A name in certreqs/, or a request file.", default=None),
    every: bool = flag("--all", "Every request in certreqs/ that has no certificate yet."),
) -> int:
    """Vet, show and sign requests: all of them, or none.

    \b
      scp aiken.example.net:/etc/mysql/ssl/aiken.example.net.req.pem certreqs/
      dbca-openssl sign aiken.example.net
      dbca-openssl sign ~/Downloads/margaret.example.net.req.pem
      dbca-openssl sign --allow-alt-name db.example.net --yes gannibal.example.net
      dbca-openssl sign --all --passphrase-file ~/.dbca-passphrase --yes

    More than 10,000 are signed 10,000 at a time.

    The guide: "Sign Certificates".
    """
    if bool(what) == every:
        raise UsageError("name requests, or say --all for every one that waits")
    authority = run.authority()
    period = signing.Period(run.days, run.cap)
    wanted = signing.waiting(authority) if every else list(dict.fromkeys(what or []))
    if not wanted:
        return output.result({"signed": []}, ["no request in certreqs/ is waiting"])
    allowed = run.allowed_names()
    parts = [wanted] if run.print_ else sign_many.parts_of(wanted)
    digests = []
    for part in parts:
        with terminal.busy("vetting"):
            proposals = signing.propose(authority, part, period)
        if run.print_:
            results.require_consent(proposals, allowed, ask=False)
            return output.script(signing.plan(run.for_script(authority), proposals, period).script())
        output.show(line for proposal in proposals for line in results.proposal_lines(proposal))
        results.require_consent(proposals, allowed, ask=not run.yes)
        if len(parts) > 1:
            digests.append(sign_many.digest(proposals))
    run.confirm("Sign it?" if len(wanted) == 1 else f"Sign these {len(wanted)}?")
    authority = run.unlocked(authority)
    if len(parts) == 1:
        signed = signing.sign(authority, proposals, period)
    else:
        del proposals
        signed = list(sign_many.sign_parts(authority, parts, digests, period))
    return output.result(
        {"signed": map(results.signed_document, signed)},
        [
            *results.signed_lines(signed),
            "next, deliver it with the CA certificate and the CRL:",
            *results.deploy_lines(authority, [one.name for one in signed]),
        ],
    )
