"""Another pass phrase for the CA key: the same key, encrypted again by `openssl pkey` (pkey(1)).

The old file is replaced by a rename, after openssl has opened the new one with the new pass phrase. No copy is kept.
"""

from __future__ import annotations

import os

from dbca_openssl import pem
from dbca_openssl.ca.certificates import own_certificate
from dbca_openssl.ca.layout import CERTIFICATE, KEY, Authority
from dbca_openssl.command import Command
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import PRIVATE_DIRECTORY
from dbca_openssl.passphrase import Passphrase
from dbca_openssl.plan import Plan, Section
from dbca_openssl.transaction import Transaction

NEW = f"{KEY}.new"
"""Where a printed script makes the new file."""


def script(authority: Authority, new: Passphrase | None) -> str:
    """The POSIX shell script that does the same; openssl asks for what does not come from a file.

    Raises DatabaseCaError where the key cannot be read, or both pass phrases come from one file.
    """
    old = authority.key.passphrase
    if old and new and old.file == new.file:  # of one file openssl would take the second line for the new one
        raise _not_new()
    encrypt = _encrypt(authority, NEW, new)
    opened, public = (
        " ".join(one.script().split(" \\\n    "))
        for one in (
            _open(NEW, ("-pubout",))._replace(passphrase=new),
            Command(("x509", "-in", CERTIFICATE, "-noout", "-pubkey")),
        )
    )
    return Plan(
        "Another pass phrase for the CA key", authority.directory, (Section("Encrypt", (encrypt,)),)
    ).script() + (
        "\n# It opens, and is the key of the CA certificate\n"
        f'if [ "$({opened})" != "$({public})" ]; then\n'
        f"    rm -f {NEW}\n"
        f'    echo "{NEW} is not the key of {CERTIFICATE}" >&2\n'
        "    exit 1\n"
        "fi\n"
        f"mv -f {NEW} {KEY}\n"
    )


def change(authority: Authority, new: Passphrase) -> None:
    """Encrypt the CA key with a new pass phrase, in one transaction; also a key that is not encrypted yet.

    Raises DatabaseCaError, and then nothing has changed: where the old pass phrase is wrong, or is the new one, or the
    key is not that of the CA certificate.
    """
    if authority.key.passphrase == new:
        raise _not_new()
    own = own_certificate(authority)
    with Transaction(
        authority.directory, compared=(KEY,), tell=authority.tell, timeout=authority.lock_timeout
    ) as transaction:
        staged, public = f"{transaction.stage}/{KEY}", f"{transaction.stage}/public.pem"
        transaction.staged("private").mkdir(PRIVATE_DIRECTORY)
        steps = (
            _encrypt(authority, staged, new),
            _open(staged, ("-pubout", "-out", public))._replace(passphrase=new, creates=(public,)),
        )
        for step in steps:
            home = step._replace(environment={"CA_HOME": transaction.stage})
            authority.openssl.make([home], authority.directory, keep_open=transaction.keep_open)
        [(_, opened)] = pem.pem_blocks(authority.read(public))
        if opened != own.public_key:
            raise DatabaseCaError(
                "the CA key does not belong to the CA certificate", f"{CERTIFICATE} and {KEY} must be a pair"
            )
        before = authority.path(KEY).stat()
        if os.geteuid() == 0 and before.st_uid != 0:  # or its owner could not read it any more
            os.chown(transaction.staged(KEY), before.st_uid, before.st_gid)
        transaction.commit((KEY,))


def _encrypt(authority: Authority, target: str, new: Passphrase | None) -> Command:
    """The command that writes the key to `target`, encrypted with a new pass phrase."""
    command = Command(("pkey", "-aes256", "-in", KEY, "-out", target), creates=(target,), fresh=(target,))
    if authority.key_is_encrypted():
        passphrase = authority.key.passphrase
        return command._replace(passphrase_option="-passin", passphrase=passphrase, new_passphrase=new)
    return command._replace(passphrase_option="-passout", passphrase=new)


def _open(key: str, options: tuple[str, ...]) -> Command:
    return Command(("pkey", "-in", key, *options), passphrase_option="-passin")


def require_file(authority: Authority) -> None:
    """Raise DatabaseCaError where there is no key file to be encrypted."""
    if authority.is_on_token():
        raise DatabaseCaError(
            "the CA key is on a token, and only the token can change its PIN",
            "with the token's own program, or: pkcs11-tool --login --change-pin --token-label TOKEN",
        )


def _not_new() -> DatabaseCaError:
    return DatabaseCaError("the new pass phrase is the old one", "choose another one")
