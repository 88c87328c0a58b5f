"""The CA key: where it is, and the pass phrase that opens it; on a token, the PIN."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import pem
from dbca_openssl.command import Command
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import ENGINE, OpenSSL
from dbca_openssl.passphrase import Passphrase

FILE = "private/database-ca.key.pem"

URI = "private/database-ca.key.uri"
"""Stands in its place where the key is on a token: the PKCS#11 URI of it (RFC 7512) in one line."""

SCHEME = "pkcs11:"

_ATTRIBUTE = (
    r"(?:token|manufacturer|serial|model|slot-[a-z]+|library-[a-z]+|object|id)"
    r"=(?:[A-Za-z0-9._~:@!$'()*+,\[\]=-]|%[0-9A-Fa-f]{2})+"
)
# no `&`, although RFC 7512 has it: provider and engine take what follows it for an attribute, such as the PIN
_PATTERN = re.compile(rf"pkcs11:{_ATTRIBUTE}(?:;{_ATTRIBUTE})*")

ANSWERS_WITHIN = 10.0
"""Seconds: how long a token may take to give a public key."""


class Key(NamedTuple):
    """The CA key in the file `place`, relative to the CA, with its pass phrase or PIN where that is known.

    The one class that knows how openssl gets the key: one on a token by its `uri`, with `options` before it.
    """

    place: str
    passphrase: Passphrase | None = None
    uri: str = ""
    options: tuple[str, ...] = ()

    def given_to(self, *commands: Command) -> tuple[Command, ...]:
        """The same commands with the key on the token and the pass phrase, where they need them."""
        return tuple(
            self._found_by(one)._replace(passphrase=self.passphrase) if one.passphrase_option else one
            for one in commands
        )

    def _found_by(self, command: Command) -> Command:
        if not self.uri:
            return command
        words = [self.uri if word == FILE else word for word in command.arguments]
        if words[0] == "ca" and self.uri not in words:  # the configuration has the name of the file
            words[1:1] = ("-keyfile", self.uri)
        form = ("-keyform", "engine") if self.options == ENGINE else ()
        return command._replace(arguments=(words[0], *self.options, *form, *words[1:]))

    def public_key(self, openssl: OpenSSL) -> bytes:
        """The public key that the token has beside the key, read without the PIN.

        Raises DatabaseCaError where the token does not answer, or has no such key.
        """
        form = ("-inform", "engine") if self.options == ENGINE else ()
        arguments = ("pkey", *self.options, *form, "-pubin", "-in", self.uri, "-pubout")
        result = openssl.run(arguments, directory=Path("/"), timeout=ANSWERS_WITHIN)
        # the exit code is not asked: some tokens' modules crash when openssl ends, after it has written the key
        keys = [data for kind, data in pem.pem_blocks(result.output) if kind == "PUBLIC KEY"]
        if len(keys) != 1:
            raise DatabaseCaError(
                f"no token answers with the public key of {self.uri}",
                "is it plugged in? p11tool --list-tokens, or: pkcs11-tool --list-objects",
                "to make one: pkcs11-tool --login --keypairgen --key-type rsa:4096 --token-label TOKEN --label OBJECT",
                detail=result.messages,
            )
        return keys[0]


def on_token(uri: str, openssl: OpenSSL) -> Key:
    """The key of a PKCS#11 URI, by the provider or the engine that `openssl` has for it.

    Raises DatabaseCaError where there is none, or the URI is not one that may be written down and shown.
    """
    if not _PATTERN.fullmatch(uri) or not re.search("[:;](object|id)=", uri):
        if "pin-" in uri.lower():
            raise DatabaseCaError(
                "the URI of a key must not have the PIN in it, nor the place of one",
                "give the PIN as a pass phrase: --passphrase-file FILE, --passphrase-fd N, or when asked",
            )
        hint = "example: 'pkcs11:token=CA;object=ca'; after a '?' nothing is taken"
        raise DatabaseCaError("that is not the PKCS#11 URI of a key", hint)
    return Key(URI, uri=uri, options=openssl.token_options)


def is_encrypted(key: bytes) -> bool:
    """Whether a PEM key is encrypted, in PKCS#8 or in the traditional form."""
    return b"BEGIN ENCRYPTED PRIVATE KEY" in key or b"Proc-Type: 4,ENCRYPTED" in key
