"""The options that verbs have in common, each declared once, and what a verb makes of them.

A verb is a function `verb(run, ...)` under `@verb("ca", "key", ...)`: the decorator adds the named options, and hands
over what was given as one `Run`.
"""

import inspect
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dbca_openssl import names, ownership, render
from dbca_openssl import passphrase as passphrases
from dbca_openssl.algorithm import LARGEST_RSA, NEW_KEYS, SMALLEST_RSA, Algorithm
from dbca_openssl.ca.layout import CONFIGURATION, HOSTS, Authority
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.declaration import UsageError, option
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.passphrase import Passphrase

if TYPE_CHECKING:
    from dbca_openssl.ca.hosts import KnownHost
    from dbca_openssl.database.client import Client
    from dbca_openssl.database.handshake import Target
    from dbca_openssl.database.statements import Flavor
    from dbca_openssl.database.trust import Trust
    from dbca_openssl.host.ssh import Ssh

GROUPS = {
    "ca": ("ca", "trust_directory", "openssl"),
    "key": ("passphrase_file", "passphrase_fd"),
    "new": ("new_passphrase_file", "new_passphrase_fd"),
    "hosts": ("all_", "ssl_dir", "owner", "sudo", "ssh_config", "jobs", "timeout"),
    "all": ("all_", "ssh_config", "jobs", "timeout"),
    "server": ("flavor", "defaults_file", "socket", "host", "port", "user", "client_program"),
    "configuration": ("organization", "common_name", "ssl_dir", "url", "valid_days", "crl_days"),
    "every": ("json", "verbose"),
}
"""Options that go together, by a name for `@verb`, which also takes the options one by one."""


PIN = "PIN of the token with the CA key: "
Profile = Literal["guide", "modern"]
FlavorName = Literal["mariadb", "mysql"]
_CA = (
    "The directory of the CA [default: this one if it holds database-ca.cnf, else ./database-ca]; "
    "for server verbs also one with its public files, such as /etc/mysql/ssl."
)


class Run:
    """The values of the common options; those that the verb does not have are at their default.

    The methods raise DatabaseCaError where what was given cannot be used.
    """

    ca: Path | None = option(None, "--ca", _CA, "DIR", variable="DBCA_CA")
    trust_directory: Path | None = option(
        None,
        "--trust-directory",
        "Use the CA in DIR although another user owns it, or everyone may write it.",
        "DIR",
        variable="DBCA_TRUST_DIRECTORY",
    )
    openssl: str = option("openssl", "--openssl", "The openssl binary.", "PATH", variable="DBCA_OPENSSL")
    passphrase_file: Path | None = option(
        None,
        "--passphrase-file",
        "Read the pass phrase from the first line of FILE [default: ask for it].",
        "FILE",
        variable="DBCA_PASSPHRASE_FILE",
    )
    passphrase_fd: int | None = option(None, "--passphrase-fd", "Read the pass phrase from an open descriptor.", "N", 0)
    new_passphrase_file: Path | None = option(
        None, "--new-passphrase-file", "Read the new one from the first line of FILE [default: ask twice].", "FILE"
    )
    new_passphrase_fd: int | None = option(
        None, "--new-passphrase-fd", "Read the new one from an open descriptor.", "N", 0
    )
    lock_timeout: float | None = option(
        None,
        "--lock-timeout",
        "How long to wait for another process that changes the same directory [default: no limit].",
        "SECONDS",
        0,
    )
    print_: bool = option(False, "--print", "Print a POSIX shell script that does the same, and do nothing.")
    yes: bool = option(False, "--yes -y", "Do not ask.")
    json: bool = option(False, "--json", "Print one JSON document, for errors too.")
    verbose: bool = option(False, "--verbose", "With an error, show what openssl itself said.")

    # what is issued
    days: int | None = option(
        None,
        "--days",
        "Validity of the certificate in days [default: the configuration's default_days].",
        "N",
        1,
        36500,
    )
    cap: bool = option(False, "--cap", "Shorten the validity where it would outlast the CA certificate.")
    no_crl: bool = option(False, "--no-crl", "Make no new CRL now.")
    allow_alt_name: list[str] | None = option(None, "--allow-alt-name", "A SAN that requests may ask for.", "NAME")
    alt_name: list[str] | None = option(
        None, "--alt-name", "A DNS name or IP address for the SAN; may be repeated.", "NAME"
    )
    profile: Profile | None = option(
        None,
        "--profile",
        "Exactly the guide's way, or what newer TLS libraries ask for [default: the CA's].",
    )
    algorithm: str | None = option(
        None,
        "--algorithm --bits",
        f"The key: rsa:N, or N alone, {', '.join(NEW_KEYS)} [default: the guide's RSA].",
        "KIND",
    )

    # the configuration of a CA
    organization: str | None = option(None, "--organization -o", "The organization that runs the CA.", "NAME")
    common_name: str | None = option(
        None, "--common-name", "The CA's name [default: made of the organization].", "NAME"
    )
    url: str | None = option(
        None, "--url", "Where CA certificate and CRL can be fetched [default: file:// --ssl-dir].", "URL"
    )
    valid_days: int = option(render.DAYS, "--days", "Validity of the hosts' certificates in days.", "N", 1, 36500)
    crl_days: int = option(render.CRL_DAYS, "--crl-days", "Validity of a CRL in days.", "N", 1, 3650)

    # hosts
    all_: bool = option(False, "--all", f"All hosts of {HOSTS}.")
    ssl_dir: str | None = option(
        None, "--ssl-dir", f"Where the files are on a host [default: {render.SSL_DIR}].", "DIR"
    )
    owner: str | None = option(None, "--owner", "Who must be able to read them there, such as mysql.", "USER")
    sudo: bool | None = option(None, "--sudo/--no-sudo", "Become root on the host by sudo, which must not ask.")
    ssh_config: Path | None = option(None, "--ssh-config", "Another configuration file for ssh (ssh -F).", "FILE")
    jobs: int = option(8, "--jobs", "Hosts at a time; with 1, ssh may ask.", "N", 1, 256)
    timeout: float = option(120, "--timeout", "How long one host may take.", "SECONDS", 1)

    old_passphrase_file: Path | None = option(
        None,
        "--old-passphrase-file",
        "In a rollover, the pass phrase of the old CA's key [default: as for the new one].",
        "FILE",
    )

    # a database server
    connect: str | None = option(None, "--connect", "Where the server is [default: the host itself].", "ADDRESS[:PORT]")
    flavor: FlavorName | None = option(
        None, "--flavor", "What the server is [default: as it says itself; without one, mariadb]."
    )
    defaults_file: Path | None = option(None, "--defaults-file", "The client's option file, with the password.", "FILE")
    socket: Path | None = option(None, "--socket", "The server's local socket.", "FILE")
    host: str | None = option(None, "--host", "Where the client connects.", "HOST")
    port: int | None = option(None, "--port", "The port there.", "N", 1, 65535)
    user: str | None = option(None, "--user", "The account that asks.", "USER")
    no_issuer: bool = option(
        False, "--no-issuer", "Require the subject only, as accounts must in a rollover: any trusted CA will do."
    )
    client_program: str | None = option(None, "--client-program", "The client [default: mariadb, else mysql].", "PATH")

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(DEFAULTS | given)

    def changed(self, **given: Any) -> "Run":
        """The same with other values. A dataclass would do it too, but takes as long to make as a third of the verb."""
        return Run(**self.__dict__ | given)

    def program(self) -> OpenSSL:
        """The openssl of --openssl; a path is the caller's, whatever directory openssl runs in."""
        return OpenSSL(os.path.abspath(self.openssl) if "/" in self.openssl else self.openssl)  # noqa: PTH100

    def authority(self, directory: Path | None = None, *, by_mode: bool = True) -> Authority:
        """The CA in `directory`, by default that of --ca, or where one is expected; its paths are absolute.

        Raises DatabaseCaError where somebody else decides what is in it; `by_mode` False: only where they own it.
        """
        found = directory or self.ca or (Path() if Path(CONFIGURATION).is_file() else Path("database-ca"))
        if directory or os.path.lexists(found):
            self._require_trusted(found, by_mode)
        return Authority(found.absolute(), self.program(), output.tell, self.lock_timeout, output.progress)

    def existing_authority(self, directory: Path | None = None) -> Authority:
        """As `authority`, where it exists."""
        found = self.authority(directory)
        found.require()
        return found

    def _require_trusted(self, directory: Path, by_mode: bool) -> None:
        if self.trust_directory is not None and ownership.is_same(self.trust_directory, directory):
            return
        sudo = ownership.sudo_user(os.environ)
        if (found := ownership.distrust(str(directory.absolute()), sudo, by_mode=by_mode)) is not None:
            path, why = found
            raise DatabaseCaError(
                f"{path} {why}",
                "a configuration can load code, which would run as you",
                *((f"see what is in it, then: chmod o-w {shlex.quote(path)}",) if why == ownership.OPEN else ()),
                f"if you trust who may write there: --trust-directory {shlex.quote(str(directory.absolute()))} "
                "(or DBCA_TRUST_DIRECTORY)",
            )

    def passphrase(self, prompt: str = "Pass phrase of the CA key: ", *, new: bool = False) -> Passphrase:
        """The pass phrase from a file, a descriptor or the terminal, where a new one is asked for twice."""
        if self.passphrase_fd is not None:
            return passphrases.from_descriptor(self.passphrase_fd)
        if (file := self.passphrase_file) is not None:
            secret = self._from_file(file)
            if passphrases.readable_by_others(file):
                output.tell(f"others can read the pass phrase file {file}: chmod 600 {shlex.quote(str(file))}")
            return secret
        secret = terminal.ask_secret(prompt)
        if new:
            strength = secret.strength()
            more = "" if strength == "strong" else "; five random words are strong"
            output.tell(f"by its length the pass phrase is {strength}{more}")
        if new and secret != terminal.ask_secret("The same once more: "):
            raise DatabaseCaError("the two pass phrases are not the same")
        return secret

    def new_passphrase(self, prompt: str) -> Passphrase:
        """The pass phrase that something is to have: from a file, a descriptor, or twice from the terminal.

        That of the CA key, which the environment may name, is never taken for it.
        """
        if (self.new_passphrase_file, self.new_passphrase_fd) == (None, None) and not terminal.is_there():
            raise DatabaseCaError(
                "there is no terminal to ask for the new pass phrase at",
                "--new-passphrase-file FILE or --new-passphrase-fd N gives it",
            )
        of_new = self.changed(passphrase_file=self.new_passphrase_file, passphrase_fd=self.new_passphrase_fd)
        return of_new.passphrase(prompt, new=True)

    def _from_file(self, file: Path) -> Passphrase:
        return passphrases.from_file(file, ownership.believed(ownership.sudo_user(os.environ)))

    def unlocked(self, authority: Authority, *, is_old: bool = False) -> Authority:
        """The CA, which may be the old one of a rollover, with the pass phrase of its key, where that is encrypted."""
        if not authority.key_is_encrypted():
            return authority
        found = authority.unlocked(None)  # before anybody is asked: is there a way to the token?
        run = self
        if is_old and self.old_passphrase_file:
            run = self.changed(passphrase_file=self.old_passphrase_file, passphrase_fd=None)
        question = PIN if found.key.uri else "Pass phrase of the CA key: "
        return authority.unlocked(run.passphrase(question.replace("the CA", "the old CA") if is_old else question))

    def for_script(self, authority: Authority) -> Authority:
        """The CA for a printed script, which names the file of the pass phrase, or has openssl ask for it."""
        return authority.unlocked(self._from_file(self.passphrase_file) if self.passphrase_file else None)

    def confirm(self, question: str) -> None:
        """Ask at the terminal, unless --yes was given. Raises DatabaseCaError where the answer is no."""
        if not self.yes:
            terminal.confirm(question)

    def profile_of(self, name: str) -> str:
        """--profile, or that which a host or a new one has in the CA's list; the guide's where there is none."""
        if self.profile is not None:
            return self.profile
        from dbca_openssl.ca import hosts

        known = hosts.read(self.authority())
        return (known.hosts.get(name) or known.new(name)).profile

    def names_to_add(self) -> tuple[tuple[str, str], ...]:
        """The names of --alt-name, for the SAN."""
        return tuple(names.alternative_name(text) for text in self.alt_name or ())

    def allowed_names(self) -> set[str]:
        """The names of --allow-alt-name."""
        return {names.alternative_name(text)[1] for text in self.allow_alt_name or ()}

    def key_algorithm(self, bits: int) -> Algorithm:
        """What --algorithm says, or the guide's RSA of so many `bits`."""
        if (text := self.algorithm) is None:
            return Algorithm(bits)
        if text in NEW_KEYS:
            return Algorithm(bits, text)
        size = text.removeprefix("rsa:")
        if not re.fullmatch(r"[1-9][0-9]{3}", size) or not SMALLEST_RSA <= int(size) <= LARGEST_RSA:
            raise UsageError(
                f"--algorithm takes RSA of {SMALLEST_RSA} to {LARGEST_RSA} bits (rsa:4096), {', '.join(NEW_KEYS)}; "
                f"not {names.shown(text)}"
            )
        return Algorithm(int(size))

    def settings(self, organization: str, bits: int) -> render.AuthoritySettings:
        """The values of `database-ca.cnf`; says so where the guide's common name is too long."""
        organization = names.distinguished(organization, "organization")
        if (common_name := self.common_name) is None:
            common_name = names.authority_name_for(organization)
            if common_name != names.COMMON_NAME_PATTERNS[0].format(organization):
                longest = names.LONGEST
                output.tell(f"the guide's common name is longer than {longest} characters, so it is {common_name!r}")
        return render.AuthoritySettings(
            organization=organization,
            common_name=names.distinguished(common_name, "common name"),
            days=self.valid_days,
            crl_days=self.crl_days,
            bits=bits,
            base_url=render.base_url(self.url) if self.url else render.directory_url(self.ssl_dir or render.SSL_DIR),
            profile=self.profile or "guide",
        )

    def directory(self) -> Path:
        """The directory of --ssl-dir on this machine, absolute."""
        return Path(self.ssl_dir or render.SSL_DIR).absolute()

    def hosts(self, authority: Authority, words: Sequence[str], **asked: Any) -> "tuple[list[KnownHost], Ssh]":
        """The hosts [USER@]HOST, or all, as the CA's list knows them, and the way to them.

        What the options say, and `asked`, goes over the list.
        """
        from dbca_openssl.ca import hosts

        if bool(words) == self.all_:
            raise UsageError("name a HOST, or give --all")
        known = hosts.read(authority)
        found = [
            host.changed(directory=self.ssl_dir, owner=self.owner, sudo=self.sudo, **asked)
            for host in (known.servers() if self.all_ else known.named(words))
        ]
        return found, self.ssh(found)

    def ssh(self, found: "Sequence[KnownHost]") -> "Ssh":
        """The way to hosts; ssh asks at the terminal only for one host at a time."""
        from dbca_openssl.host.ssh import Ssh

        config = self.ssh_config
        if config is not None and not config.is_file():
            raise DatabaseCaError(f"there is no file {config}", "--ssh-config names one that ssh -F can read")
        asking = terminal.is_there() and min(self.jobs, len(found)) == 1
        return Ssh(config.absolute() if config else None, batch=not asking, timeout=self.timeout)

    def client(self, where: "Target | None" = None) -> "tuple[Client, Flavor]":
        """The database client, and what the server is: as it was given, or as the server says.

        It connects to `where`, unless --socket or --host was given.
        """
        from dbca_openssl.database.client import Client

        host, port = self.host, self.port
        if where is not None and self.socket is None and host is None:
            host, port = where.host, port or where.port
        client = Client(self.client_program, self.flavor, self.defaults_file, self.socket, host, port, self.user)
        return client, client.server_flavor()

    def trust(self) -> "Trust":
        """The public files that a server is compared with."""
        from dbca_openssl.database import trust

        return trust.of_authority(self.authority())

    def server(self, text: str) -> "tuple[str, Target]":
        """The name in the certificate of the server HOST[:PORT], and where the server is, maybe by --connect."""
        from dbca_openssl.database import handshake

        named = handshake.target(text)
        return names.entity_name(named.host), handshake.target(self.connect) if self.connect else named


DEFAULTS: dict[str, Any] = {name: getattr(Run, name).default for name in Run.__annotations__}


def verb(*options: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Give a function the named options of `Run` (and --json and --verbose), and hand it what was given as a `Run`."""
    common = [one for name in (*options, "every") for one in GROUPS.get(name, (name,))]

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        def call(**given: Any) -> int:
            run = Run(**{name: given.pop(name) for name in common})
            output.as_json, output.verbose = run.json, run.verbose
            return function(run, **given)

        _, *own = inspect.signature(function).parameters.values()
        shared = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=getattr(Run, name),
                annotation=Run.__annotations__[name],
            )
            for name in common
        ]
        call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what typer reads
            [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *shared]
        )
        call.__annotations__ = {}
        call.__doc__ = function.__doc__
        return call

    return decorate
