"""The options that several verbs share, and what they make together: the authority to work on, and its pass phrase."""

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from dbca_openssl import passphrase as passphrases
from dbca_openssl.ca.layout import CONFIGURATION, Authority
from dbca_openssl.cli import output
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.passphrase import Passphrase

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""typer's own base of everything that is wrong with a command line, without naming the library below typer."""

CONTEXT_SETTINGS = {"help_option_names": ["--help", "-h"], "max_content_width": 100}

Ca = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        metavar="DIR",
        envvar="DBCA_CA",
        readable=False,  # what cannot be read is refused in our own words
        help="The authority's directory [default: this one if it holds database-ca.cnf, else ./database-ca].",
    ),
]
OpenSSLProgram = Annotated[
    str, typer.Option("--openssl", metavar="PATH", envvar="DBCA_OPENSSL", help="The openssl binary.")
]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        metavar="FILE",
        envvar="DBCA_PASSPHRASE_FILE",
        readable=False,
        help="Read the pass phrase from the first line of FILE [default: ask for it].",
    ),
]
PassphraseDescriptor = Annotated[
    int | None,
    typer.Option("--passphrase-fd", metavar="N", min=0, help="Read the pass phrase from an open descriptor."),
]
LockTimeout = Annotated[
    float | None,
    typer.Option(
        "--lock-timeout",
        metavar="SECONDS",
        min=0,
        help="How long to wait for another process that changes the same directory [default: as long as it takes].",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Print = Annotated[bool, typer.Option("--print", help="Print a POSIX shell script that does the same, and do nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for errors too.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="With an error, show what openssl itself said.")]
NoCrl = Annotated[bool, typer.Option("--no-crl", help="Leave the revocation list as it is for now.")]
Days = Annotated[
    int | None,
    typer.Option(
        "--days",
        metavar="N",
        min=1,
        max=36500,
        help="How long it is good for [default: the configuration's default_days].",
    ),
]
Cap = Annotated[bool, typer.Option("--cap", help="Shorten what would outlive the authority's certificate.")]
AllowAltNames = Annotated[
    list[str] | None,
    typer.Option("--allow-alt-name", metavar="NAME", help="An alternative name that requests may ask for."),
]
Profile = Annotated[
    Literal["guide", "modern"],
    typer.Option("--profile", help="Exactly the guide's way, or what newer TLS libraries ask for."),
]
AltNames = Annotated[
    list[str] | None,
    typer.Option(
        "--alt-name", metavar="NAME", help="A DNS name or IP address that it is good for too; may be repeated."
    ),
]


def empty_app(**settings: Any) -> typer.Typer:
    """A command line without commands yet; `settings` are typer's."""
    return typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT_SETTINGS,
        **settings,
    )


def authority(ca: Path | None, openssl: str = "openssl", lock_timeout: float | None = None) -> Authority:
    """The authority in `ca`, or where it is looked for by default; its paths are absolute."""
    directory = ca or (Path() if Path(CONFIGURATION).is_file() else Path("database-ca"))
    return Authority(directory.absolute(), OpenSSL(openssl), output.tell, lock_timeout, output.progress)


def passphrase(file: Path | None, descriptor: int | None, *, new: bool = False) -> Passphrase:
    """The pass phrase from a file, a descriptor or the terminal, where a new one is asked for twice.

    Raises DatabaseCaError where there is no terminal to ask at.
    """
    if descriptor is not None:
        return passphrases.from_descriptor(descriptor)
    if file is not None:
        secret = passphrases.from_file(file)
        if passphrases.readable_by_others(file):
            output.tell(f"others can read the pass phrase file {file}: chmod 600 {file}")
        return secret
    secret = _ask("Pass phrase of the authority's key: ")
    if new and secret != _ask("The same once more: "):
        raise DatabaseCaError("the two pass phrases are not the same")
    return secret


def unlocked(authority: Authority, file: Path | None, descriptor: int | None) -> Authority:
    """The authority with the pass phrase of its key, where that is encrypted."""
    return authority.unlocked(passphrase(file, descriptor)) if authority.key_is_encrypted() else authority


def printable(authority: Authority, file: Path | None) -> Authority:
    """The authority for a printed script, which names the file of the pass phrase, or has openssl ask for it."""
    return authority.unlocked(passphrases.from_file(file) if file else None)


def confirm(question: str, yes: bool) -> None:
    """Ask at the terminal, unless `yes`. Raises DatabaseCaError where the answer is no, or nobody can be asked."""
    if yes:
        return
    try:
        with open(os.ctermid(), "r+b", buffering=0) as terminal:
            terminal.write(f"{question} [y/N] ".encode())
            answer = terminal.readline().decode("utf-8", "replace").strip().lower()
    except OSError:
        raise DatabaseCaError("there is no terminal to ask at", "--yes answers yes") from None
    if answer not in ("y", "yes"):
        raise DatabaseCaError("the answer was no, and nothing was done")


def terminal_is_there() -> bool:
    """Whether there is a controlling terminal, at which somebody can be asked wherever the outputs go."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _ask(prompt: str) -> Passphrase:
    if not terminal_is_there():
        raise DatabaseCaError(
            "the key needs its pass phrase, and there is no terminal to ask at",
            "--passphrase-file FILE, --passphrase-fd N or DBCA_PASSPHRASE_FILE gives it",
        )
    import getpass
    import locale

    problem = "no pass phrase was given"
    try:
        # back into the bytes that were typed, by the encoding that getpass decoded them with
        return Passphrase(getpass.getpass(prompt).encode(locale.getpreferredencoding(False)))
    except EOFError:
        pass
    except UnicodeError:
        problem = "what was typed is no text in the terminal's encoding"
    raise DatabaseCaError(problem)  # here, since the error that was caught holds what was typed
