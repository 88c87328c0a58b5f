"""`passphrase`: another pass phrase for the CA key."""

from dbca_openssl.ca import passphrase as changing
from dbca_openssl.ca.layout import KEY
from dbca_openssl.cli import output
from dbca_openssl.cli.options import Run, verb


@verb("ca", "key", "new", "lock_timeout", "print_", "yes")
def passphrase(run: Run) -> int:
    """Change the pass phrase of the CA key.

    \b
      dbca-openssl passphrase
      dbca-openssl passphrase --new-passphrase-file ~/.new-passphrase
      dbca-openssl passphrase --print > passphrase.sh

    The key itself stays the same, and so do all certificates. A key that is not encrypted gets a pass phrase. The old
    file is replaced when openssl has opened the new one. Backups keep the old pass phrase.
    """
    authority = run.existing_authority()
    changing.require_file(authority)
    if run.print_:
        new = run.for_script(authority, new=True).key.passphrase
        return output.script(changing.script(run.for_script(authority), new))
    changing.change(run.unlocked(authority, is_signing=False), run.new_passphrase("New pass phrase of the CA key: "))
    return output.result(
        {"key": KEY},
        [
            f"{KEY}  encrypted with the new pass phrase",
            "next, since older backups still open with the old one:",
            "  dbca-openssl backup FILE",
        ],
    )
