"""Key and certificate in one file, for programs that want them so: made where the key is, and never sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from dbca_openssl.ca.host_variables import absolute_directory
from dbca_openssl.ca.key import is_encrypted
from dbca_openssl.ca.layout import CERTIFICATE
from dbca_openssl.command import Command
from dbca_openssl.errors import DatabaseCaError, of_system
from dbca_openssl.files import PRIVATE_DIRECTORY, PRIVATE_FILE, read_file, require_absent, write_new
from dbca_openssl.host import scripts
from dbca_openssl.host.request import require_ours
from dbca_openssl.lock import Tell
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.passphrase import Passphrase
from dbca_openssl.transaction import Transaction

Format = Literal["pkcs12", "pem-bundle"]

_MODERN = ("-keypbe", "AES-256-CBC", "-certpbe", "AES-256-CBC", "-macalg", "sha256")
_LEGACY = ("-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1")
"""Both are named: the defaults of OpenSSL 1.1.1 are older than these, and those of 3.0 are newer than old JVMs."""


class Bundle(NamedTuple):
    """A file to be made of the key of `name` and its certificate in the absolute `directory` of a host or client.

    A `legacy` one has algorithms that Java before 8u301 reads.
    """

    name: str
    format: Format
    directory: Path
    legacy: bool = False

    @property
    def key(self) -> str:
        """The key, relative to the directory, as all others."""
        return f"private/{self.name}.key.pem"

    @property
    def certificate(self) -> str:
        """Its certificate."""
        return f"{self.name}.cert.pem"

    @property
    def file(self) -> str:
        """The file that is made."""
        return f"private/{self.name}.{'p12' if self.format == 'pkcs12' else 'bundle.pem'}"

    def command(self, target: str, passphrase: Passphrase | None) -> Command:
        """The command that makes PKCS#12, with the CA certificate too, in the file `target`: openssl-pkcs12(1)."""
        files = ("-inkey", self.key, "-in", self.certificate, "-certfile", CERTIFICATE, "-out", target)
        algorithms = _LEGACY if self.legacy else _MODERN
        arguments = ("pkcs12", "-export", *files, "-name", self.name, *algorithms)
        return Command(arguments, passphrase_option="-passout", passphrase=passphrase)


def script(bundle: Bundle, passphrase_file: Path | None) -> str:
    """The script that does it on a host, where openssl asks for the pass phrase, unless a file there has it.

    Raises DatabaseCaError where a script cannot carry the directory.
    """
    absolute_directory(str(bundle.directory))
    work = scripts.work_directory()
    made = bundle.command(f"{work}/bundle", None)
    if passphrase_file:
        made = made._replace(arguments=made.with_passphrase(f"file:{passphrase_file}"))
    command = made.script() if bundle.format == "pkcs12" else ""
    title = f"Makes one file of the key of {bundle.name} and its certificate"
    return scripts.script(
        "export", title, bundle.name, str(bundle.directory), work=work, bundle=bundle.file, command=command
    )


def make(
    bundle: Bundle,
    openssl: OpenSSL,
    ask: Callable[[], Passphrase] | None,
    tell: Tell,
    lock_timeout: float | None = None,
) -> None:
    """Make the file here, readable by its owner alone, and open it again; `ask` for the pass phrase of PKCS#12.

    Raises DatabaseCaError, and then nothing has changed: where it is there already, or key or certificate are not, or
    these do not belong to each other.
    """
    directory = bundle.directory
    require_ours(directory)
    require_ours(directory / "private")
    require_absent(directory / bundle.file)
    key, certificate = _pair(bundle, openssl)
    passphrase = ask() if ask else None
    with Transaction(directory, tell=tell, timeout=lock_timeout) as change:
        change.staged("private").mkdir(PRIVATE_DIRECTORY)
        if passphrase:
            target = f"{change.stage}/{bundle.file}"
            openssl.make([bundle.command(target, passphrase)], directory, keep_open=change.keep_open)
            opened = Command(("pkcs12", "-in", target, "-noout"), passphrase_option="-passin", passphrase=passphrase)
            openssl.make([opened], directory, keep_open=change.keep_open)
        else:
            write_new(change.staged(bundle.file), certificate + key, PRIVATE_FILE)
        change.commit((bundle.file,))


def _pair(bundle: Bundle, openssl: OpenSSL) -> tuple[bytes, bytes]:
    found, public = [], []
    for name, command in ((bundle.key, ("pkey", "-pubout")), (bundle.certificate, ("x509", "-noout", "-pubkey"))):
        path = bundle.directory / name
        try:
            data = read_file(path, 1 << 20)
        except OSError as error:
            hint = "it must be made where the key is: --ssl-dir DIR, or with --print a script for that host"
            raise of_system(f"cannot read {path}", error, hint) from None
        if is_encrypted(data):
            raise DatabaseCaError(f"{path} is encrypted", "openssl pkcs12 -export can ask for its pass phrase")
        result = openssl.run((*command, "-inform", "PEM"), directory=bundle.directory, data=data)
        if result.code != 0 or not result.output:
            raise DatabaseCaError(f"{path} cannot be read by openssl", detail=result.messages)
        found.append(data if data.endswith(b"\n") else data + b"\n")
        public.append(result.output)
    if public[0] != public[1]:
        raise DatabaseCaError(f"the key {bundle.key} does not belong to {bundle.certificate} in {bundle.directory}")
    return found[0], found[1]
