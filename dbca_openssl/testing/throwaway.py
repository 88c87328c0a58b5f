"""A throw-away CA: real `openssl ca`, small keys without a pass phrase, a directory for each certificate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca import guide_commands
from dbca_openssl.ca import init as creation
from dbca_openssl.ca import revoke as revocation
from dbca_openssl.ca import sign as signing
from dbca_openssl.ca.change import Change
from dbca_openssl.ca.init import NewAuthority
from dbca_openssl.ca.layout import CERTIFICATE, CRL, Authority, certificate_of, request_of
from dbca_openssl.ca.sign import Period, Proposal, Signed
from dbca_openssl.command import Command
from dbca_openssl.database.settings import of_client, of_server
from dbca_openssl.database.statements import Flavor
from dbca_openssl.errors import DatabaseCaError, of_system
from dbca_openssl.files import PUBLIC_DIRECTORY, PUBLIC_FILE, set_mode
from dbca_openssl.host import request
from dbca_openssl.host.deploy import LIST
from dbca_openssl.host.request import NewRequest
from dbca_openssl.names import alternative_name, authority_name_for, distinguished, entity_name
from dbca_openssl.render import DAYS, YEARS, AuthoritySettings

if TYPE_CHECKING:
    from ssl import SSLContext

BITS = 2048
"""The smallest RSA key that every TLS library accepts."""

HOST_KEY = "host.key.pem"
"""The one key of all certificates, relative to `ThrowawayAuthority.root`."""


class Issued(NamedTuple):
    """A certificate with all that its server or client needs, in the absolute `directory`, as in `/etc/mysql/ssl`.

    `serial` is in hex. The key is not encrypted, and every user may read it, such as that of a server in a container
    where the directory is mounted.
    """

    name: str
    serial: str
    end: datetime
    directory: Path

    @property
    def key_file(self) -> Path:
        """The private key, which all certificates of the CA share."""
        return self.directory / f"private/{self.name}.key.pem"

    @property
    def certificate_file(self) -> Path:
        """The certificate."""
        return self.directory / f"{self.name}.cert.pem"

    @property
    def authority_file(self) -> Path:
        """The CA certificate, for `ssl_ca`."""
        return self.directory / CERTIFICATE

    @property
    def revocation_list_file(self) -> Path:
        """The CRL, for `ssl_crl`; `ThrowawayAuthority.revoke` replaces it."""
        return self.directory / LIST

    def server_settings(self, flavor: Flavor = "mariadb", directory: Path | None = None) -> str:
        """The option file of a server with these files, which then accepts TLS only.

        `directory` is the absolute path of the files for the server, if that is another, as in a container.
        Raises DatabaseCaError, as `client_settings` does, where an option file cannot hold the path.
        """
        return of_server(self.name, flavor, directory or self.directory)

    def client_settings(self, flavor: Flavor = "mariadb", directory: Path | None = None) -> str:
        """The option file of a client with these files, which verifies its server."""
        return of_client(flavor, self.name, directory or self.directory)


class ThrowawayAuthority:
    """A complete CA in `root`/database-ca, and in `root`/hosts all that it has issued.

    It has no pass phrase, and all its certificates have the same key: for tests only.
    """

    def __init__(self, root: Path) -> None:
        """The CA in the directory `root`, which `make` has made, or in a copy of it."""
        self.root = root.absolute()
        self.authority = Authority(self.root / "database-ca")
        self._asked: dict[str, tuple[object, Issued]] = {}

    @classmethod
    def make(cls, root: Path, organization: str = "Tests") -> ThrowawayAuthority:
        """A new CA in the directory `root`, which is made where it is missing. Raises DatabaseCaError."""
        made = cls(root)
        try:
            made.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise of_system(f"cannot make {made.root}", error) from None
        organization = distinguished(organization, "organization")
        settings = AuthoritySettings(organization, authority_name_for(organization), bits=BITS, profile="modern")
        start, end = dates.authority_period(dates.now(), YEARS)
        # earlier, so that expired certificates lie within its validity too
        new = NewAuthority(settings, start - timedelta(days=DAYS), end, encrypted=False)
        creation.create(made.authority, new)
        key = ("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{BITS}", "-out", HOST_KEY)
        made.authority.openssl.make([Command(key, creates=(HOST_KEY,), fresh=(HOST_KEY,))], made.root)
        return made

    @property
    def directory(self) -> Path:
        """The CA directory, for `dbca-openssl --ca`."""
        return self.authority.directory

    @property
    def certificate_file(self) -> Path:
        """The CA certificate."""
        return self.authority.path(CERTIFICATE)

    @property
    def revocation_list_file(self) -> Path:
        """The CRL."""
        return self.authority.path(CRL)

    def issue(self, name: str, *alternative_names: str, days: int = DAYS) -> Issued:
        """A certificate for the host or client `name`, whose SANs are its host name and the given names and addresses.

        It is valid for `days` days; with -1 it expired a day ago. The same arguments give the same certificate, until
        that is revoked. Raises DatabaseCaError for what is no name, and for other arguments with the same name, which
        can have one valid certificate only.
        """
        name = entity_name(name)
        further = tuple(map(alternative_name, alternative_names))
        asked = (further, days)
        if name in self._asked:
            before, issued = self._asked[name]
            if before == asked:
                return issued
            raise DatabaseCaError(
                f"{name} already has a certificate with other names or days",
                f"revoke that one, or use another name: issue('other', '{name}')",
            )
        directory = self._new_directory(name)
        new = NewRequest(name, directory, further, "modern", BITS)
        request.plan_with_key(new, self.root / HOST_KEY).run(self.authority.openssl, directory)
        for path in (directory, directory / "private"):
            set_mode(path, PUBLIC_DIRECTORY)
        set_mode(directory / new.key, PUBLIC_FILE)
        signed = self._signed(str(directory / new.request), days)
        issued = Issued(name, signed.serial, signed.end, directory)
        _copy(self.authority.path(signed.path), issued.certificate_file)
        _copy(self.certificate_file, issued.authority_file)
        _copy(self.revocation_list_file, issued.revocation_list_file)
        self._asked[name] = (asked, issued)
        return issued

    def revoke(self, issued: Issued) -> None:
        """Revoke a certificate, and copy the new CRL to all directories.

        A running server reads it at `FLUSH SSL` (MariaDB) or `ALTER INSTANCE RELOAD TLS` (MySQL). No reason is given:
        the shared key, once compromised, would not be signed again.
        Raises DatabaseCaError where the certificate is revoked already.
        """
        rows = revocation.propose(self.authority, str(issued.certificate_file))
        revocation.revoke(self.authority, rows, None, True)
        self._asked.pop(issued.name, None)
        for directory in self.root.glob("hosts/*"):
            _copy(self.revocation_list_file, directory / LIST)

    def client_context(self, client: Issued | None = None) -> SSLContext:
        """A context that trusts only this CA, checks names and the current CRL, and shows `client`'s certificate."""
        import ssl

        return self._context(ssl.PROTOCOL_TLS_CLIENT, client)

    def server_context(self, server: Issued) -> SSLContext:
        """A context that shows the certificate of `server`, and accepts the clients of this CA only."""
        import ssl

        context = self._context(ssl.PROTOCOL_TLS_SERVER, server)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _context(self, protocol: int, shown: Issued | None) -> SSLContext:
        import ssl

        context = ssl.SSLContext(protocol)
        context.load_verify_locations(self.certificate_file)
        context.load_verify_locations(self.revocation_list_file)
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
        if shown:
            context.load_cert_chain(shown.certificate_file, shown.key_file)
        return context

    def _new_directory(self, name: str) -> Path:
        names = (name if number == 1 else f"{name}.{number}" for number in count(1))
        # that of a revoked certificate stays
        directory = next(path for path in map(self.root.joinpath("hosts").joinpath, names) if not path.exists())
        try:
            directory.mkdir(parents=True)
        except OSError as error:
            raise of_system(f"cannot make {directory}", error) from None
        return directory

    def _signed(self, file: str, days: int) -> Signed:
        period = Period(max(days, 1))
        (proposal,) = signing.propose(self.authority, [file], period)
        if days > 0:
            return signing.sign(self.authority, [proposal], period)[0]
        a_second = timedelta(seconds=1)  # in its last second it is still valid for OpenSSL 4.0
        return self._sign_expired(proposal, dates.now() + timedelta(days=days) - a_second)

    def _sign_expired(self, proposal: Proposal, end: datetime) -> Signed:
        """`sign` has no start date, and newer openssl may refuse an end date before it."""
        with Change(self.authority, compared=signing.files_of([proposal])) as change:
            change.write(request_of(proposal.name), proposal.request.pem)
            start = end - timedelta(days=1)
            change.run(guide_commands.sign([proposal.name], home=change.stage, start=start, end=end))
            (row,) = change.appended()
            signed = Signed(proposal.name, certificate_of(proposal.name), row.serial, end)
            signing.commit(change, [signed])
        return signed


@contextmanager
def throwaway_authority(root: Path | None = None, organization: str = "Tests") -> Iterator[ThrowawayAuthority]:
    """A new throw-away CA in a temporary directory that is removed afterwards, or in `root`, which is kept.

    Raises DatabaseCaError where `root` has one already, or openssl is missing.
    """
    import tempfile

    if root is not None:
        yield ThrowawayAuthority.make(root, organization)
    else:
        with tempfile.TemporaryDirectory(prefix="database-ca-") as directory:
            yield ThrowawayAuthority.make(Path(directory), organization)


def _copy(source: Path, target: Path) -> None:
    """Replace a public file in one step: a server may be reading it."""
    new = target.with_name(f".{target.name}.new")
    try:
        shutil.copyfile(source, new)
        new.chmod(PUBLIC_FILE)
        new.replace(target)
    except OSError as error:
        raise of_system(f"cannot write {target}", error) from None
