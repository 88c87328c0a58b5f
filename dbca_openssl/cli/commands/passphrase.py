"""`passphrase`: another pass phrase for the CA key."""

from pathlib import Path

from dbca_openssl.ca import passphrase as changing
from dbca_openssl.ca.layout import KEY
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.options import Run, option, verb
from dbca_openssl.errors import DatabaseCaError


@verb("ca", "key", "lock_timeout", "print_", "yes")
def passphrase(
    run: Run,
    new_passphrase_file: Path | None = option(
        None, "--new-passphrase-file", "Read the new one from the first line of FILE [default: ask twice].", "FILE"
    ),
    new_passphrase_fd: int | None = option(
        None, "--new-passphrase-fd", "Read the new one from an open descriptor.", "N", 0
    ),
) -> int:
    """Change the pass phrase of the CA key.

    \b
      dbca-openssl passphrase
      dbca-openssl passphrase --new-passphrase-file ~/.new-passphrase
      dbca-openssl passphrase --print > passphrase.sh

    The key itself stays the same, and so do all certificates. A key that is not encrypted gets a pass phrase. The old
    file is replaced when openssl has opened the new one. Backups keep the old pass phrase.
    """
    authority = run.existing_authority()
    of_new = run.changed(passphrase_file=new_passphrase_file, passphrase_fd=new_passphrase_fd)
    if run.print_:
        new = of_new.for_script(authority).key.passphrase
        return output.script(changing.script(run.for_script(authority), new))
    if new_passphrase_file is None and new_passphrase_fd is None and not terminal.is_there():
        raise DatabaseCaError(
            "there is no terminal to ask for the new pass phrase at",
            "--new-passphrase-file FILE or --new-passphrase-fd N gives it",
        )
    changing.change(run.unlocked(authority), of_new.passphrase("New pass phrase of the CA key: ", new=True))
    return output.result(
        {"key": KEY},
        [
            f"{KEY}  encrypted with the new pass phrase",
            "next, since older backups still open with the old one:",
            "  dbca-openssl backup FILE",
        ],
    )
