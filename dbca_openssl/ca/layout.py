"""The authority's directory and the names in it: the guide's, "Directories and Files"."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.errors import DatabaseCaError, of_system
from dbca_openssl.openssl import OpenSSL

CONFIGURATION = "database-ca.cnf"
KEY = "private/database-ca.key.pem"
REQUEST = "database-ca.req.pem"
CERTIFICATE = "database-ca.cert.pem"
INDEX = "database-ca.index"
ATTRIBUTES = "database-ca.index.attr"
SERIAL = "database-ca.serial"
CRL_NUMBER = "database-ca.crlnum"
CRL = "crl/database-ca.crl"

DATABASE = (SERIAL, ATTRIBUTES, INDEX)
"""What `openssl ca` replaces when it signs, in the order in which openssl does it."""

MISNAMED_CONFIGURATION = "database_ca.cnf"
"""What the guide's text calls it, one line before its command has the right name (erratum 1)."""

DIRECTORIES = ("certreqs", "certs", "crl", "newcerts", "private")


def request_of(name: str) -> str:
    """Where the request of a host or client is kept: `certreqs/NAME.req.pem`."""
    return f"certreqs/{name}.req.pem"


def certificate_of(name: str) -> str:
    """Where the certificate of a host or client is put: `certs/NAME.cert.pem`."""
    return f"certs/{name}.cert.pem"


def issued(serial: str) -> str:
    """openssl's own copy of each certificate it signed: `newcerts/SERIAL.pem`."""
    return f"newcerts/{serial}.pem"


class Authority(NamedTuple):
    """An authority in `directory`, worked on with `openssl`. All other paths are relative to the directory.

    `tell` says a line to the user while something goes on, `progress` is told how many steps there are and how many
    are done, and `lock_timeout` is how many seconds to wait for another process (None: as long as it takes).
    """

    directory: Path
    openssl: OpenSSL = OpenSSL()
    tell: Callable[[str], None] = lambda line: None
    lock_timeout: float | None = None
    progress: Callable[[int, int], None] = lambda steps, done: None

    def path(self, name: str) -> Path:
        """The path of a file of the authority, given relative to its directory."""
        return self.directory / name

    def require(self) -> None:
        """Raise DatabaseCaError where the directory holds no authority."""
        if not self.path(CONFIGURATION).is_file():
            if self.path(MISNAMED_CONFIGURATION).is_file():
                raise DatabaseCaError(
                    f"{self.path(MISNAMED_CONFIGURATION)} must be called {CONFIGURATION}",
                    "dbca-openssl repair renames it",
                )
            raise DatabaseCaError(
                f"no authority in {self.directory}: there is no {CONFIGURATION}",
                "name its directory with --ca DIR or DBCA_CA, or make one: dbca-openssl init --organization NAME",
            )

    def read(self, name: str) -> bytes:
        """The bytes of a file of the authority, given as for `path`. Raises DatabaseCaError where it cannot be read."""
        try:
            return self.path(name).read_bytes()
        except OSError as error:
            raise of_system(f"cannot read {self.path(name)}", error, "dbca-openssl --ca DIR looks elsewhere") from None

    def key_is_encrypted(self) -> bool:
        """Whether the authority's key needs a pass phrase. Raises DatabaseCaError where it cannot be read."""
        return is_encrypted(self.read(KEY))


def is_encrypted(key: bytes) -> bool:
    """Whether a PEM key is encrypted, in PKCS#8 or in the traditional form."""
    return b"BEGIN ENCRYPTED PRIVATE KEY" in key or b"Proc-Type: 4,ENCRYPTED" in key
