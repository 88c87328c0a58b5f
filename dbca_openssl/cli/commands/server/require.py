"""`server require`: have an account use TLS."""

from dbca_openssl import names
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.options import Run, UsageError, argument, flag, option, verb
from dbca_openssl.database import accounts, statements, trust


@verb("ca", "server", "no_issuer", "yes")
def require(
    run: Run,
    account: str = argument("USER@HOST", "The account; or in SQL's quotes, 'app'@'%'."),
    ssl: bool = flag("--ssl", "It must use TLS."),
    x509: bool = flag("--x509", "And it must show a certificate of the CA."),
    certificate: str | None = option("--certificate", "It must show the certificate that was issued to NAME.", "NAME"),
    apply: bool = flag("--apply", "Execute it; without, it is only printed."),
) -> int:
    """Have an account use TLS, or show a certificate.

    \b
      dbca-openssl server require app@% --ssl | mariadb
      dbca-openssl server require app@10.0.0.% --certificate aiken.example.net
      dbca-openssl server require app --certificate aiken.example.net --no-issuer
      dbca-openssl server require backup@margaret.example.net --x509 --apply

    The statement is printed, or with --apply executed. Subject and issuer are those of the issued certificate, as the
    server compares them. --apply does not lock out the account that it connects with.
    """
    if [ssl, x509, certificate is not None].count(True) != 1:
        raise UsageError("give one of --ssl, --x509 and --certificate NAME")
    if run.no_issuer and certificate is None:
        raise UsageError("--no-issuer stands with --certificate NAME")
    who = statements.account(account)
    requirement = statements.Requirement("SSL" if ssl else "X509")
    if certificate is not None:
        requirement = trust.requirement(run.trust(), names.entity_name(certificate))
        requirement = requirement.of_any_issuer() if run.no_issuer else requirement
    sql = statements.script(statements.require(who, requirement))
    if not apply:
        return output.verbatim({"sql": sql, "applied": False}, sql)
    from dbca_openssl.cli import servers

    with terminal.busy("asking the server"):
        accounts.require(servers.client(run), who, requirement)
    return output.result(
        {"sql": sql, "applied": True},
        [
            f"{who.sql()}  requires {requirement.sql()}",
            "an open session stays as it is; the requirement counts from the next connection",
        ],
    )
