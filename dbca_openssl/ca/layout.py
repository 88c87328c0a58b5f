"""The CA's directory and the names in it: the guide's, "Directories and Files"."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import diagnosis
from dbca_openssl.ca import key as keys
from dbca_openssl.ca import recovery
from dbca_openssl.ca.key import Key, is_encrypted
from dbca_openssl.errors import DatabaseCaError, of_system
from dbca_openssl.files import read_file
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.passphrase import Passphrase

CONFIGURATION = "database-ca.cnf"
KEY = keys.FILE
REQUEST = "database-ca.req.pem"
CERTIFICATE = "database-ca.cert.pem"
INDEX = "database-ca.index"
ATTRIBUTES = "database-ca.index.attr"
SERIAL = "database-ca.serial"
CRL_NUMBER = "database-ca.crlnum"
CRL = "crl/database-ca.crl"
HOSTS = "database-ca.hosts"

DATABASE = (SERIAL, ATTRIBUTES, INDEX)
"""What `openssl ca` replaces when it signs, in this order."""

DATA_FILES = (SERIAL, INDEX, ATTRIBUTES, CRL_NUMBER)
"""What `openssl ca` replaces by two renames each, and may leave moved away."""

MISNAMED_CONFIGURATION = "database_ca.cnf"
"""What the guide's text calls it, one line before its command has the right name (erratum 1)."""

PUBLIC_COPY = "database-ca.public"
"""What marks a directory as a public copy of a CA, as long as there is no `private` in it."""

PUBLIC_DIRECTORIES = ("certs", "crl", "newcerts")

DIRECTORIES = ("certreqs", "certs", "crl", "newcerts", "private")


def request_of(name: str) -> str:
    """The request of a host or client: `certreqs/NAME.req.pem`."""
    return f"certreqs/{name}.req.pem"


def certificate_of(name: str) -> str:
    """The certificate of a host or client: `certs/NAME.cert.pem`."""
    return f"certs/{name}.cert.pem"


def issued(serial: str) -> str:
    """openssl's own copy of each certificate that it signed: `newcerts/SERIAL.pem`."""
    return f"newcerts/{serial}.pem"


class Authority(NamedTuple):
    """A CA in `directory`, worked on with `openssl`. All other paths are relative to the directory.

    `tell` shows a line to the user during the work, `progress` gets the number of steps and how many are done, and
    `lock_timeout` is how many seconds to wait for another process (None: no limit).
    """

    directory: Path
    openssl: OpenSSL = OpenSSL()
    tell: Callable[[str], None] = lambda line: None
    lock_timeout: float | None = None
    progress: Callable[[int, int], None] = lambda steps, done: None
    key: Key = Key(KEY)

    def unlocked(self, passphrase: Passphrase | None) -> Authority:
        """The same CA with the pass phrase of its key (None: the key is not encrypted, or openssl is to ask)."""
        return self._replace(key=self.found_key()._replace(passphrase=passphrase))

    def found_key(self) -> Key:
        """The key as it is there: in its file, or on a token. Raises DatabaseCaError where openssl knows no tokens."""
        if not self.is_on_token():
            return Key(KEY)
        return keys.on_token(self.read(keys.URI).decode("ascii", "replace").rstrip("\n"), self.openssl)

    def is_on_token(self) -> bool:
        """Whether the CA has the URI of its key instead of the key."""
        return self.path(keys.URI).is_file() and not os.path.lexists(self.path(KEY))

    def key_is_encrypted(self) -> bool:
        """Whether the CA key needs a pass phrase or a PIN. Raises DatabaseCaError where it cannot be read."""
        return self.is_on_token() or is_encrypted(self.read(KEY))

    def path(self, name: str) -> Path:
        """The path of a file of the CA, given relative to its directory."""
        return self.directory / name

    def is_public(self) -> bool:
        """Whether it is a copy without a key, as `export --public` makes it. A CA whose key is lost is none."""
        return self.path(PUBLIC_COPY).is_file() and not self.path("private").exists()

    def require(self) -> None:
        """Have the directory ready to be read: an interrupted change is finished or rolled back first.

        Raises DatabaseCaError where it holds no CA, or where that can't be done, such as on a read-only medium.
        """
        if self.path(CONFIGURATION).is_file():
            recovery.recover(self.directory, DATA_FILES, self.tell, self.lock_timeout)
            return
        if self.path(MISNAMED_CONFIGURATION).is_file():
            raise DatabaseCaError(
                f"{self.path(MISNAMED_CONFIGURATION)} must be called {CONFIGURATION}", "dbca-openssl repair renames it"
            )
        raise DatabaseCaError(
            f"no CA in {self.directory}: there is no {CONFIGURATION}",
            "name its directory with --ca DIR or DBCA_CA, or make one: dbca-openssl init --organization NAME",
        )

    def read(self, name: str) -> bytes:
        """The bytes of a file of the CA, given as for `path`. Raises DatabaseCaError where it cannot be read."""
        try:
            return read_file(self.path(name))
        except OSError as error:
            is_there = self.path(CONFIGURATION).is_file()
            hint = diagnosis.REPAIR if is_there else "name the CA's directory with --ca DIR"
            raise of_system(f"cannot read {self.path(name)}", error, hint) from None
