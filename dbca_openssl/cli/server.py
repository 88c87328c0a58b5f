"""The verbs that configure a server: server settings, accounts, require, replication."""

from pathlib import Path
from typing import Annotated

import typer

from dbca_openssl import names, render
from dbca_openssl.cli import connection, live, output
from dbca_openssl.cli.connection import (
    CaOrCopies,
    ClientProgram,
    DefaultsFile,
    FlavorOption,
    Port,
    ServerHost,
    Socket,
    User,
)
from dbca_openssl.cli.options import Json, OpenSSLProgram, Verbose, empty_app
from dbca_openssl.cli.progress import busy
from dbca_openssl.database import accounts as accounts_
from dbca_openssl.database import handshake, statements
from dbca_openssl.database import replication as replications
from dbca_openssl.database import settings as settings_
from dbca_openssl.database import trust as trusts
from dbca_openssl.database.findings import Level, worst
from dbca_openssl.database.replication import Replication
from dbca_openssl.database.settings import Settings
from dbca_openssl.database.statements import Requirement

app = empty_app(
    help="""Configure the database servers, and see what they really do.

    \b
      dbca-openssl server settings aiken.example.net > 99-tls.cnf
      dbca-openssl server probe aiken.example.net
      dbca-openssl server accounts --host aiken.example.net
    """,
)

SslDir = Annotated[Path, typer.Option("--ssl-dir", metavar="DIR", help="Where the files are on the host.")]


def settings(
    name: Annotated[
        str, typer.Argument(metavar="HOST", help="The host, or with --client the client, by its full name.")
    ],
    client: Annotated[bool, typer.Option("--client", help="For a client that connects, not for the server.")] = False,
    galera: Annotated[bool, typer.Option("--galera", help="For a node of a Galera cluster of MariaDB.")] = False,
    ssl_dir: SslDir = Path(render.SSL_DIR),
    flavor: FlavorOption = None,
    write_to: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Write it there, where no file is yet.")
    ] = None,
    ca: CaOrCopies = None,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Print the option file that makes a server or client use TLS.

    \b
      dbca-openssl server settings aiken.example.net > 99-tls.cnf
      dbca-openssl server settings aiken.example.net --flavor mysql > tls.cnf
      dbca-openssl server settings aiken.example.net --galera > 99-galera-tls.cnf
      dbca-openssl server settings backup@margaret --client \\
          --ssl-dir ~/.mysql/ssl >> ~/.my.cnf

    With its own certificate, and nothing without TLS. For a server of MariaDB it belongs into
    /etc/mysql/mariadb.conf.d, of MySQL into /etc/mysql/mysql.conf.d. With --ca, only for a name that has a certificate
    there.
    """
    if galera and (client or flavor == "mysql"):
        raise typer.BadParameter("--galera is for servers of MariaDB")
    plain = names.entity_name(name)
    if ca is not None:
        connection.trust(ca, openssl).issued(plain)
    made = Settings(plain, flavor or "mariadb", "client" if client else "server", ssl_dir.absolute(), galera)
    text = made.text()
    if write_to is None:
        output.result({"text": text}, [text.removesuffix("\n")])
        return
    settings_.write(text, write_to)
    output.result(
        {"text": text, "file": str(write_to)},
        [
            f"{write_to}  the settings of {plain}",
            *(
                ()
                if client
                else (
                    "next, once the files are there: restart the server, then",
                    f"  dbca-openssl server probe {plain}",
                )
            ),
        ],
    )


def accounts(
    flavor: FlavorOption = None,
    defaults_file: DefaultsFile = None,
    socket: Socket = None,
    host: ServerHost = None,
    port: Port = None,
    user: User = None,
    client_program: ClientProgram = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """List the accounts that may connect without TLS.

    \b
      dbca-openssl server accounts
      dbca-openssl server accounts --host aiken.example.net
      dbca-openssl server accounts --defaults-file ~/.my.cnf --json | jq .accounts

    The others are counted. Kinds: open, may connect without TLS; socket, without TLS too, but only by the local socket;
    tls, must use TLS; locked, role and system cannot connect.

    The guide: its warning that TLS is not enforced.
    """
    with busy("asking the server"):
        client, flavor = connection.client(client_program, flavor, defaults_file, socket, host, port, user)
        found = accounts_.accounts(client, flavor)
        closed = accounts_.secure_transport(client)
    free = [entry for kind in ("open", "socket") for entry in found if entry.kind == kind]
    others = {kind: sum(entry.kind == kind for entry in found) for kind in ("tls", "locked", "role", "system")}
    output.result(
        {
            "require_secure_transport": closed,
            "accounts": [
                {
                    "account": entry.account.shown(),
                    "user": entry.account.user,
                    "host": entry.account.host,
                    "kind": entry.kind,
                }
                for entry in found
            ],
        },
        [
            *(
                output.table(("ACCOUNT", "KIND"), ((entry.account.shown(), entry.kind) for entry in free))
                if free
                else ()
            ),
            f"{len(free)} of {len(found)} accounts may connect without TLS; of the others, "
            + ", ".join(f"{count} {kind}" for kind, count in others.items()),
            "the server refuses all of them over TCP: require_secure_transport is on"
            if closed
            else "the server itself refuses none of them: require_secure_transport is off",
            *(("next:", f"  dbca-openssl server require {free[0].account.argument()} --ssl") if free else ()),
        ],
    )


def require(
    account: Annotated[str, typer.Argument(metavar="USER@HOST", help="The account; or in SQL's quotes, 'app'@'%'.")],
    ssl: Annotated[bool, typer.Option("--ssl", help="It must use TLS.")] = False,
    x509: Annotated[bool, typer.Option("--x509", help="And it must show a certificate of the authority.")] = False,
    certificate: Annotated[
        str | None,
        typer.Option("--certificate", metavar="NAME", help="It must show the certificate that was issued to NAME."),
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Execute it; without, it is only printed.")] = False,
    ca: CaOrCopies = None,
    openssl: OpenSSLProgram = "openssl",
    flavor: FlavorOption = None,
    defaults_file: DefaultsFile = None,
    socket: Socket = None,
    host: ServerHost = None,
    port: Port = None,
    user: User = None,
    client_program: ClientProgram = None,
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Have an account use TLS, or show a certificate.

    \b
      dbca-openssl server require app@% --ssl | mariadb
      dbca-openssl server require app@10.0.0.% --certificate aiken.example.net
      dbca-openssl server require backup@margaret.example.net --x509 --apply

    The statement is printed, or with --apply executed. Subject and issuer are those of the issued certificate, as the
    server compares them. With --apply, the account that asks is not locked out.
    """
    if [ssl, x509, certificate is not None].count(True) != 1:
        raise typer.BadParameter("give one of --ssl, --x509 and --certificate NAME")
    who = statements.account(account)
    requirement = Requirement("SSL" if ssl else "X509")
    if certificate is not None:
        requirement = trusts.requirement(connection.trust(ca, openssl), names.entity_name(certificate))
    sql = statements.script(statements.require(who, requirement))
    if not apply:
        output.result({"sql": sql, "applied": False}, [sql.removesuffix("\n")])
        return
    with busy("asking the server"):
        client, _ = connection.client(client_program, flavor, defaults_file, socket, host, port, user)
        accounts_.require(client, who, requirement)
    output.result(
        {"sql": sql, "applied": True},
        [
            f"{who.sql()}  requires {requirement.sql()}",
            "a session that is open stays as it is; the account is asked at its next connection",
        ],
    )


def replication(
    source: Annotated[
        str | None, typer.Option("--source", metavar="HOST[:PORT]", help="The source, by the name in its certificate.")
    ] = None,
    replica: Annotated[
        str | None, typer.Option("--replica", metavar="HOST", help="The replica, by the name of its certificate.")
    ] = None,
    replication_user: Annotated[
        str, typer.Option("--replication-user", metavar="USER", help="The account that the replica uses.")
    ] = "replication",
    account_host: Annotated[
        str | None,
        typer.Option("--account-host", metavar="HOST", help="Where the source sees it come from [default: --replica]."),
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option("--password-file", metavar="FILE", help="Its password [default: a new one, which is printed]."),
    ] = None,
    gtid: Annotated[bool, typer.Option("--gtid", help="Follow by global transaction identifiers.")] = False,
    existing: Annotated[
        bool, typer.Option("--existing", help="For a replication that runs: only TLS is added to it.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Ask the replica instead whether it replicates over TLS.")
    ] = False,
    ssl_dir: SslDir = Path(render.SSL_DIR),
    ca: CaOrCopies = None,
    openssl: OpenSSLProgram = "openssl",
    flavor: FlavorOption = None,
    defaults_file: DefaultsFile = None,
    socket: Socket = None,
    host: ServerHost = None,
    port: Port = None,
    user: User = None,
    client_program: ClientProgram = None,
    json: Json = False,
    verbose: Verbose = False,
) -> int:
    """Print the statements for replication over TLS, or check it.

    \b
      dbca-openssl server replication --source aiken.example.net \\
          --replica margaret.example.net
      dbca-openssl server replication --source aiken.example.net \\
          --replica margaret.example.net --existing
      dbca-openssl server replication --check --host margaret.example.net

    Both ends are verified. The statements hold the password of the account. The servers need a server_id of their own,
    and the source log_bin. Exit code of --check: 1 where the replication does not run, or could run without TLS.

    The guide: "both the master and slave servers require secure connections".
    """
    if check:
        with busy("asking the replica"):
            client, flavor = connection.client(client_program, flavor, defaults_file, socket, host, port, user)
            found = replications.check(client, flavor)
        output.result(live.document(found), live.lines("replication", found))
        return int(worst(found) is not Level.OK)
    if source is None or replica is None:
        raise typer.BadParameter("give --source HOST and --replica HOST, or --check")
    name = names.entity_name(replica)
    password = "" if existing else replications.password_from(password_file) if password_file else ""
    made = Replication(
        flavor=flavor or "mariadb",
        source=handshake.target(source),
        replica=name,
        account=statements.Account(replication_user, account_host or name),
        requirement=trusts.requirement(connection.trust(ca, openssl), name),
        password=password or replications.new_password(),
        directory=ssl_dir.absolute(),
        by_gtid=gtid,
        existing=existing,
    )
    on_source, on_replica = statements.script(*made.on_source()), statements.script(*made.on_replica())
    output.result(
        {"source": on_source, "replica": on_replica},
        [
            f"-- on the source, {made.source.host}",
            *on_source.splitlines(),
            f"-- on the replica, {name}",
            *on_replica.splitlines(),
        ],
    )
    if not existing and not password_file:
        output.tell("the statements hold a new password: keep them to yourself")
    return 0


for verb in (settings, accounts, require, replication, live.check, live.probe, live.reload):
    app.command(name=verb.__name__)(verb)
