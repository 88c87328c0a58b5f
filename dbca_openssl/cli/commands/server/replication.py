"""`server replication`: statements for replication over TLS, and its check."""

from pathlib import Path

from dbca_openssl import names
from dbca_openssl.cli import findings, output
from dbca_openssl.cli.main import DONE
from dbca_openssl.cli.options import Run, UsageError, flag, option, verb
from dbca_openssl.database import handshake, settings, statements, trust
from dbca_openssl.database import replication as replications


@verb("ssl_dir", "ca", "server", "no_issuer")
def replication(
    run: Run,
    source: str | None = option("--source", "The source, by the name in its certificate.", "HOST[:PORT]"),
    replica: str | None = option("--replica", "The replica, by the name in its certificate.", "HOST"),
    replication_user: str = option(
        "--replication-user", "The account that the replica uses.", "USER", default="replication"
    ),
    account_host: str | None = option(
        "--account-host", "Where the source sees it come from [default: --replica].", "HOST"
    ),
    password_file: Path | None = option(
        "--password-file", "Its password [default: a new one, which is printed].", "FILE"
    ),
    gtid: bool = flag("--gtid", "Follow by global transaction identifiers."),
    existing: bool = flag("--existing", "For a replication that runs: only TLS is added to it."),
    write_to: Path | None = option("--output", "Write one file for each server there, where none is yet.", "DIR"),
    check: bool = flag("--check", "Ask the replica instead whether it replicates over TLS."),
) -> int:
    """Print the statements for replication over TLS, or check it.

    \b
      dbca-openssl server replication --source aiken.example.net \\
          --replica margaret.example.net
      dbca-openssl server replication --source aiken.example.net \\
          --replica margaret.example.net --existing
      dbca-openssl server replication --source aiken.example.net \\
          --replica margaret.example.net --output .
      dbca-openssl server replication --check --host margaret.example.net

    Both ends are verified. The statements hold the password of the account, so only you can read the files of --output.
    The servers need a server_id of their own, and the source log_bin.

    Exit codes of --check, as monitoring plugins have them: 0 OK, 2 critical: the replication does not run, or could
    run without TLS, 3 unknown.

    The guide: "both the master and slave servers require secure connections".
    """
    if check:
        from dbca_openssl.cli import servers

        client = servers.client(run)
        return findings.ask_server("replication", lambda: replications.check(client, client.server_flavor()))
    if source is None or replica is None:
        raise UsageError("give --source HOST and --replica HOST, or --check")
    name = names.entity_name(replica)
    password = None
    if not existing:
        password = replications.password_from(password_file) if password_file else replications.new_password()
    requirement = trust.requirement(run.trust(), name)
    where = handshake.target(source)
    on_source, on_replica = replications.statements_for(
        run.flavor or "mariadb",
        where,
        name,
        statements.Account(replication_user, account_host or name),
        requirement.of_any_issuer() if run.no_issuer else requirement,
        password,
        run.directory(),
        by_gtid=gtid,
    )
    document = {"source": on_source, "replica": on_replica}
    texts = f"-- on the source, {where.host}\n{on_source}", f"-- on the replica, {name}\n{on_replica}"
    if write_to is None:
        output.verbatim(document, "".join(texts))
    else:
        files = [write_to / f"{where.host}.for-{name}.sql", write_to / f"{name}.from-{where.host}.sql"]
        settings.write(dict(zip(files, texts, strict=True)), 0o600)
        following = [f"{files[0]}  run it on {where.host} first", f"{files[1]}  then run it on {name}"]
        output.result(document | {"files": files}, following)
    if not existing and not password_file:
        output.tell("the statements hold a new password: keep them to yourself")
    return DONE
