"""`server replication`: statements for replication over TLS, and its check."""

from pathlib import Path

from dbca_openssl import names
from dbca_openssl.cli import output, results
from dbca_openssl.cli.declaration import UsageError, option
from dbca_openssl.cli.main import DONE
from dbca_openssl.cli.options import Run, verb
from dbca_openssl.database import handshake, settings, statements, trust
from dbca_openssl.database import replication as replications
from dbca_openssl.files import require_absent


@verb("ssl_dir", "ca", "server", "no_issuer")
def replication(
    run: Run,
    source: str | None = option(None, "--source", "The source, by the name in its certificate.", "HOST[:PORT]"),
    replica: str | None = option(None, "--replica", "The replica, by the name in its certificate.", "HOST"),
    replication_user: str = option("replication", "--replication-user", "The account that the replica uses.", "USER"),
    account_host: str | None = option(
        None, "--account-host", "Where the source sees it come from [default: --replica].", "HOST"
    ),
    password_file: Path | None = option(
        None, "--password-file", "Its password [default: a new one, which is printed].", "FILE"
    ),
    gtid: bool = option(False, "--gtid", "Follow by global transaction identifiers."),
    existing: bool = option(False, "--existing", "For a replication that runs: only TLS is added to it."),
    write_to: Path | None = option(None, "--output", "Write one file for each server there, where none is yet.", "DIR"),
    check: bool = option(False, "--check", "Ask the replica instead whether it replicates over TLS."),
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
        return results.ask_server("replication", lambda: replications.check(*run.client()))
    if source is None or replica is None:
        raise UsageError("give --source HOST and --replica HOST, or --check")
    name = names.entity_name(replica)
    password = "" if existing else replications.password_from(password_file) if password_file else ""
    requirement = trust.requirement(run.trust(), name)
    made = replications.Replication(
        flavor=run.flavor or "mariadb",
        source=handshake.target(source),
        replica=name,
        account=statements.Account(replication_user, account_host or name),
        requirement=requirement.of_any_issuer() if run.no_issuer else requirement,
        password=password or replications.new_password(),
        directory=run.directory(),
        by_gtid=gtid,
        existing=existing,
    )
    on_source, on_replica = statements.script(*made.on_source()), statements.script(*made.on_replica())
    document = {"source": on_source, "replica": on_replica}
    heads = f"-- on the source, {made.source.host}\n", f"-- on the replica, {name}\n"
    if write_to is None:
        output.verbatim(document, f"{heads[0]}{on_source}{heads[1]}{on_replica}")
    else:
        files = [
            write_to / f"{made.source.host}.for-{name}.sql",
            write_to / f"{name}.from-{made.source.host}.sql",
        ]
        for path in files:
            require_absent(path)
        for path, head, text in zip(files, heads, (on_source, on_replica), strict=True):
            settings.write(head + text, path, 0o600)
        output.result(
            document | {"files": [str(path) for path in files]},
            [f"{files[0]}  run it on {made.source.host} first", f"{files[1]}  then run it on {name}"],
        )
    if not existing and not password_file:
        output.tell("the statements hold a new password: keep them to yourself")
    return DONE
