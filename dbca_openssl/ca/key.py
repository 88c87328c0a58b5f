"""The CA key: where it is, and the pass phrase that opens it."""

from __future__ import annotations

from typing import NamedTuple

from dbca_openssl.command import Command
from dbca_openssl.passphrase import Passphrase


class Key(NamedTuple):
    """The CA key in the file `place`, relative to the CA, with its pass phrase where that is known.

    The one class that knows how openssl gets the key, so that a key on a token needs no change elsewhere.
    """

    place: str
    passphrase: Passphrase | None = None

    def given_to(self, *commands: Command) -> tuple[Command, ...]:
        """The same commands with the pass phrase, where they need it."""
        return tuple(one._replace(passphrase=self.passphrase) if one.passphrase_option else one for one in commands)


def is_encrypted(key: bytes) -> bool:
    """Whether a PEM key is encrypted, in PKCS#8 or in the traditional form."""
    return b"BEGIN ENCRYPTED PRIVATE KEY" in key or b"Proc-Type: 4,ENCRYPTED" in key
