"""`server accounts`: who may connect without TLS, and what the others must show."""

from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.options import Run, verb
from dbca_openssl.database import accounts as accounts_


@verb("server")
def accounts(run: Run) -> int:
    """List the accounts, and the TLS that each requires.

    \b
      dbca-openssl server accounts
      dbca-openssl server accounts --host aiken.example.net
      dbca-openssl server accounts --defaults-file ~/.my.cnf --json | jq .accounts

    Kinds: open, may connect without TLS; socket, without TLS too, but only by the local socket; tls, must use TLS.
    REQUIRES says what is required: ssl, any certificate of the CA (x509), or one with a certain subject or issuer.
    Those that cannot connect are counted: locked, role and system.

    The guide: its warning that TLS is not enforced.
    """
    with terminal.busy("asking the server"):
        client, flavor = run.client()
        found = accounts_.accounts(client, flavor)
        closed = accounts_.secure_transport(client)
    shown = [entry for kind in ("open", "socket", "tls") for entry in found if entry.kind == kind]
    free = [entry for entry in shown if entry.kind != "tls"]
    others = {kind: sum(entry.kind == kind for entry in found) for kind in ("tls", "locked", "role", "system")}
    rows = ((entry.account.shown(), entry.kind, ", ".join(entry.requires) or "-") for entry in shown)
    return output.result(
        {
            "require_secure_transport": closed,
            "accounts": [
                {
                    "account": entry.account.shown(),
                    **entry.account._asdict(),
                    "kind": entry.kind,
                    "requires": entry.requires,
                }
                for entry in found
            ],
        },
        [
            *(output.table(("ACCOUNT", "KIND", "REQUIRES"), rows) if shown else ()),
            f"{len(free)} of {len(found)} accounts may connect without TLS; of the others, "
            + ", ".join(f"{count} {kind}" for kind, count in others.items()),
            "the server refuses all of them over TCP: require_secure_transport is on"
            if closed
            else "the server itself refuses none of them: require_secure_transport is off",
            *(("next:", f"  dbca-openssl server require {free[0].account.argument()} --ssl") if free else ()),
        ],
    )
