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

import typer

from dbca_openssl import names, ownership, render
from dbca_openssl import passphrase as passphrases
from dbca_openssl.algorithm import LARGEST_RSA, NEW_KEYS, SMALLEST_RSA, Algorithm
from dbca_openssl.ca.layout import CONFIGURATION, HOSTS, Authority
from dbca_openssl.cli import output, terminal
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.passphrase import Passphrase

if TYPE_CHECKING:
    from dbca_openssl.ca.hosts import KnownHost
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


UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""typer's own base of everything that is wrong with a command line, without naming the library below typer."""


def option(
    flags: str,
    text: str,
    metavar: str | None = None,
    least: int | None = None,
    most: int | None = None,
    *,
    default: Any = None,
    variable: str | None = None,
) -> Any:
    """An option by its `flags`, with the help `text`; a number is from `least` to `most`."""
    return typer.Option(
        default,
        *flags.split(),
        help=text,
        metavar=metavar,
        min=least,
        max=most,
        envvar=variable,
        readable=False,  # the refusal is ours, with a hint
    )


def flag(flags: str, text: str) -> Any:
    """An option without a value, which is False where it is not given."""
    return option(flags, text, default=False)


def argument(metavar: str, text: str, *, default: Any = ...) -> Any:
    """An argument by its word in the usage line, with the help `text`; it is required where it has no default."""
    return typer.Argument(default, metavar=metavar, help=text)


class Run:
    """The values of the common options; those that the verb does not have are at their default.

    The methods raise DatabaseCaError where what was given cannot be used.
    """

    ca: Path | None = option("--ca", _CA, "DIR", variable="DBCA_CA")
    trust_directory: Path | None = option(
        "--trust-directory",
        "Use the CA in DIR although another user owns it, or everyone may write it.",
        "DIR",
        variable="DBCA_TRUST_DIRECTORY",
    )
    openssl: str = option("--openssl", "The openssl binary.", "PATH", variable="DBCA_OPENSSL", default="openssl")
    passphrase_file: Path | None = option(
        "--passphrase-file",
        "Read the pass phrase from the first line of FILE [default: ask for it].",
        "FILE",
        variable="DBCA_PASSPHRASE_FILE",
    )
    passphrase_fd: int | None = option("--passphrase-fd", "Read the pass phrase from an open descriptor.", "N", 0)
    new_passphrase_file: Path | None = option(
        "--new-passphrase-file", "Read the new one from the first line of FILE [default: ask twice].", "FILE"
    )
    new_passphrase_fd: int | None = option("--new-passphrase-fd", "Read the new one from an open descriptor.", "N", 0)
    lock_timeout: float | None = option(
        "--lock-timeout",
        "How long to wait for another process that changes the same directory [default: no limit].",
        "SECONDS",
        0,
    )
    print_: bool = flag("--print", "Print a POSIX shell script that does the same, and do nothing.")
    yes: bool = flag("--yes -y", "Do not ask.")
    json: bool = flag("--json", "Print one JSON document, for errors too.")
    verbose: bool = flag("--verbose", "With an error, show what openssl itself said.")

    # what is issued
    days: int | None = option(
        "--days", "Validity of the certificate in days [default: the configuration's default_days].", "N", 1, 36500
    )
    cap: bool = flag("--cap", "Shorten the validity where it would outlast the CA certificate.")
    no_crl: bool = flag("--no-crl", "Make no new CRL now.")
    allow_alt_name: list[str] | None = option("--allow-alt-name", "A SAN that requests may ask for.", "NAME")
    alt_name: list[str] | None = option("--alt-name", "A DNS name or IP address for the SAN; may be repeated.", "NAME")
    profile: Profile | None = option(
        "--profile", "Exactly the guide's way, or what newer TLS libraries ask for [default: the CA's]."
    )
    algorithm: str | None = option(
        "--algorithm --bits", f"The key: rsa:N, or N alone, {', '.join(NEW_KEYS)} [default: the guide's RSA].", "KIND"
    )

    # the configuration of a CA
    organization: str | None = option("--organization -o", "The organization that runs the CA.", "NAME")
    common_name: str | None = option("--common-name", "The CA's name [default: made of the organization].", "NAME")
    url: str | None = option(
        "--url", "Where CA certificate and CRL can be fetched [default: file:// --ssl-dir].", "URL"
    )
    valid_days: int = option(
        "--days", "Validity of the hosts' certificates in days.", "N", 1, 36500, default=render.DAYS
    )
    crl_days: int = option("--crl-days", "Validity of a CRL in days.", "N", 1, 3650, default=render.CRL_DAYS)

    # hosts
    all_: bool = flag("--all", f"All hosts of {HOSTS}.")
    ssl_dir: str | None = option("--ssl-dir", f"Where the files are on a host [default: {render.SSL_DIR}].", "DIR")
    owner: str | None = option("--owner", "Who must be able to read them there, such as mysql.", "USER")
    sudo: bool | None = option("--sudo/--no-sudo", "Become root on the host by sudo, which must not ask.")
    ssh_config: Path | None = option("--ssh-config", "Another configuration file for ssh (ssh -F).", "FILE")
    jobs: int = option("--jobs", "Hosts at a time; with 1, ssh may ask.", "N", 1, 256, default=8)
    timeout: float = option("--timeout", "How long one host may take.", "SECONDS", 1, default=120)

    old_passphrase_file: Path | None = option(
        "--old-passphrase-file",
        "In a rollover, the pass phrase of the old CA's key [default: as for the new one].",
        "FILE",
    )

    # a database server
    connect: str | None = option("--connect", "Where the server is [default: the host itself].", "ADDRESS[:PORT]")
    flavor: FlavorName | None = option(
        "--flavor", "What the server is [default: as it says itself; without one, mariadb]."
    )
    defaults_file: Path | None = option("--defaults-file", "The client's option file, with the password.", "FILE")
    socket: Path | None = option("--socket", "The server's local socket.", "FILE")
    host: str | None = option("--host", "Where the client connects.", "HOST")
    port: int | None = option("--port", "The port there.", "N", 1, 65535)
    user: str | None = option("--user", "The account that asks.", "USER")
    no_issuer: bool = flag(
        "--no-issuer", "Require the subject only, as accounts must in a rollover: any trusted CA will do."
    )
    client_program: str | None = option("--client-program", "The client [default: mariadb, else mysql].", "PATH")

    def __init__(self, **given: Any) -> None:
        self.__dict__.update({name: getattr(Run, name).default for name in Run.__annotations__} | given)

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
        return _passphrase(self.passphrase_file, self.passphrase_fd, prompt, new=new)

    def new_passphrase(self, prompt: str) -> Passphrase:
        """The pass phrase that something is to have: from a file, a descriptor, or twice from the terminal.

        That of the CA key, which the environment may name, is never taken for it.
        """
        if (self.new_passphrase_file, self.new_passphrase_fd) == (None, None) and not terminal.is_there():
            raise DatabaseCaError(
                "there is no terminal to ask for the new pass phrase at",
                "--new-passphrase-file FILE or --new-passphrase-fd N gives it",
            )
        return _passphrase(self.new_passphrase_file, self.new_passphrase_fd, prompt, new=True)

    def unlocked(self, authority: Authority, *, is_old: bool = False, is_signing: bool = True) -> Authority:
        """The CA, which may be the old one of a rollover, with the pass phrase of its key, where that is encrypted."""
        from dbca_openssl.ca import certificates

        certificates.require_ready(authority, is_signing=is_signing)  # before anybody is asked
        if not authority.key_is_encrypted():
            return authority
        if is_old and self.old_passphrase_file:
            return authority.unlocked(_passphrase(self.old_passphrase_file))
        question = PIN if authority.is_on_token() else "Pass phrase of the CA key: "
        return authority.unlocked(self.passphrase(question.replace("the CA", "the old CA") if is_old else question))

    def for_script(self, authority: Authority, *, new: bool = False) -> Authority:
        """The CA for a printed script, which names the file of the pass phrase, or has openssl ask for it."""
        file = self.new_passphrase_file if new else self.passphrase_file
        return authority.unlocked(_from_file(file) if file else None)

    def confirm(self, question: str) -> None:
        """Ask at the terminal, unless --yes was given. Raises DatabaseCaError where the answer is no."""
        if not self.yes:
            terminal.confirm(question)

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

    def require_host_or_all(self, named: object) -> None:
        """Exactly one of both must be given."""
        if bool(named) == self.all_:
            raise UsageError("name a HOST, or give --all")

    def hosts(self, authority: Authority, words: Sequence[str], **asked: Any) -> "tuple[list[KnownHost], Ssh]":
        """The hosts [USER@]HOST, or all, as the CA's list knows them, and the way to them.

        What the options say, and `asked`, goes over the list.
        """
        from dbca_openssl.ca import hosts

        self.require_host_or_all(words)
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
        return Ssh(config.absolute() if config else None, batch=not asking, timeout=self.timeout, jobs=self.jobs)

    def trust(self) -> "Trust":
        """The public files that a server is compared with."""
        from dbca_openssl.database import trust

        return trust.of_authority(self.authority())


def _passphrase(file: Path | None, descriptor: int | None = None, prompt: str = "", *, new: bool = False) -> Passphrase:
    if descriptor is not None:
        return passphrases.from_descriptor(descriptor)
    if file is not None:
        secret = _from_file(file)
        if passphrases.readable_by_others(file):
            output.tell(f"others can read the pass phrase file {file}: chmod 600 {shlex.quote(str(file))}")
        return secret
    secret = terminal.ask_secret(prompt)
    if new:
        strength = secret.strength()
        more = "" if strength == "strong" else "; five random words are strong"
        output.tell(f"by its length the pass phrase is {strength}{more}")
        if secret != terminal.ask_secret("The same once more: "):
            raise DatabaseCaError("the two pass phrases are not the same")
    return secret


def _from_file(file: Path) -> Passphrase:
    return passphrases.from_file(file, ownership.believed(ownership.sudo_user(os.environ)))


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
