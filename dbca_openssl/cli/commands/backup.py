"""`backup`: the whole CA in one file, and what is in such a file."""

from pathlib import Path

from dbca_openssl import dates
from dbca_openssl.ca import backup as backups
from dbca_openssl.ca.layout import CONFIGURATION
from dbca_openssl.cli import findings, output, terminal
from dbca_openssl.cli.options import Run, argument, flag, verb


@verb("ca", "lock_timeout", "yes")
def backup(
    run: Run,
    file: Path = argument("FILE", "A new file: *.tar, *.tar.gz or *.tgz."),
    check: bool = flag("--check", "Read FILE, and say what is in it and how old it is; extract nothing."),
    unencrypted_key: bool = flag(
        "--unencrypted-key", "Also where the CA key is not encrypted: whoever reads FILE has it then."
    ),
) -> int:
    """Write the whole CA to one file, or check such a file.

    \b
      dbca-openssl backup database-ca.tar.gz
      dbca-openssl backup --check database-ca.tar.gz

    The key stays encrypted in it. The file is read back before it gets its name. No pass phrase is needed. From then on
    `check` warns where certificates were signed or revoked after the last backup.

    With --check it is compared with the CA in --ca, if there is one. Exit codes then, as monitoring plugins have them:
    0 OK, 1 warning: it is behind, 2 critical: not whole or not consistent, 3 unknown.

    To restore: tar -xpf FILE makes the directory database-ca.
    """
    if check:
        authority = run.authority(by_mode=False)
        if there := run.ca is not None or authority.path(CONFIGURATION).is_file():
            authority.require()
        with terminal.busy("reading"):
            found = backups.check(file, authority if there else None)
        return findings.show("", found)
    authority = run.existing_authority()
    with terminal.busy("writing"):
        content = backups.write(authority, file, unencrypted_key=unencrypted_key)
    return output.result(
        {"backup": str(file.absolute()), "files": len(content.sums), "made": content.made.at},
        [
            f"{file}  {len(content.sums)} files, {dates.shown(content.made.at)}, read back",
            *([f"{backups.KEY_ELSEWHERE}: docs/keys.md"] if authority.is_on_token() else ()),
            "next, keep it away from this device, and there:",
            f"  {output.command('backup', '--check', file.name)}",
        ],
    )
