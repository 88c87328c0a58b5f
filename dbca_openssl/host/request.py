"""A new key and its request on a host: the guide's "Certificate Signing Requests"."""

from __future__ import annotations

import os
import shlex
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.algorithm import Algorithm
from dbca_openssl.command import Command
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import PRIVATE_DIRECTORY, PUBLIC_DIRECTORY, fsync, require_absent, set_mode
from dbca_openssl.lock import LOCK, Lock, Tell
from dbca_openssl.names import alternative_name
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.plan import CopyFile, MakeDirectories, Plan, Section, Step, WriteFile, tell_lost_modes
from dbca_openssl.render import HOST_BITS, SSL_DIR, host_configuration
from dbca_openssl.transaction import COMMIT, Transaction

CONFIGURATION = "openssl.cnf"


class NewRequest(NamedTuple):
    """A request to be made in `directory` for `name`, with a key as `Algorithm` has it from `bits` and `kind`.

    `alternative_names` are further names as `names.alternative_name` gives them; `profile` is `guide` or `modern`.
    """

    name: str
    directory: Path = Path(SSL_DIR)
    alternative_names: tuple[tuple[str, str], ...] = ()
    profile: str = "guide"
    bits: int = HOST_BITS
    kind: str = ""

    @property
    def key(self) -> str:
        """Where the key will be, relative to the directory."""
        return f"private/{self.name}.key.pem"

    @property
    def request(self) -> str:
        """Where the request will be, relative to the directory."""
        return f"{self.name}.req.pem"

    def configuration(self) -> str:
        """The text of its `openssl.cnf`."""
        if self.profile == "guide" and not self.alternative_names:
            return host_configuration(self.bits)
        own = _as_alternative_name(self.name)
        # a certificate with any alternative name is only looked up by these, so the common name is always one of them
        others = tuple(name for name in dict.fromkeys(self.alternative_names) if name != own)
        if own and own[0] == "IP":
            return host_configuration(self.bits, False, (own, *others))
        return host_configuration(self.bits, own is not None, others)


def plan(new: NewRequest) -> Plan:
    """All steps of `request`, under the guide's heading. Raises DatabaseCaError where a file of it is there already."""
    configuration, existing = _configuration(new)
    return _plan(new, configuration, write=not existing)


def plan_beside(new: NewRequest, work: str, existing_key: bool = False) -> Plan:
    """The same in the new directory `work` inside the host's, for a script that is sent.

    `existing_key` makes a request for the key that the host has already.
    """
    beside = new._replace(directory=new.directory / work)
    made = _plan(beside, CONFIGURATION, write=True, key=f"../{new.key}" if existing_key else None)
    return made._replace(new_directory=True, make_directory=False)


def plan_with_key(new: NewRequest, key: Path) -> Plan:
    """The same with a copy of the key in the file `key`, for an empty directory."""
    return _plan(new, CONFIGURATION, write=True, key=new.key, source=key)


def make(new: NewRequest, openssl: OpenSSL, tell: Tell, lock_timeout: float | None = None) -> None:
    """Make key and request in a directory beside their place, and move them there when both are right.

    Raises DatabaseCaError where the key or the request is there already, or other users can write in the directory, and
    then nothing has changed.
    """
    for directory in (new.directory, new.directory / "private"):
        require_ours(directory)
    if not os.path.lexists(new.directory / COMMIT):  # the interrupted change may have made them, and is finished first
        _configuration(new)
    made: list[Path] = []
    try:
        _make_directories(new.directory, made)
        with Transaction(new.directory, tell=tell, timeout=lock_timeout) as change:
            configuration, existing = _configuration(new)
            _plan(new, configuration, write=True).run(openssl, change.staged(""), change.keep_open)
            tell_lost_modes(change.staged("private"), new.directory, tell)
            change.commit((*(() if existing else (configuration,)), new.key, new.request))
    except BaseException:
        _remove_again(made, new.directory)
        raise


def require_ours(directory: Path) -> None:
    """Raise DatabaseCaError where another user could replace what is made in a directory, if it is there."""
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode):
        raise DatabaseCaError(f"{directory} is a link, or no directory", "name the directory itself: --ssl-dir DIR")
    if status.st_uid not in (0, os.geteuid()):
        raise DatabaseCaError(
            f"{directory} belongs to another user, number {status.st_uid}",
            f"run it as that user, or: chown root: {shlex.quote(str(directory))}",
        )
    if status.st_mode & 0o022:
        raise DatabaseCaError(f"other users can write in {directory}", f"chmod go-w {shlex.quote(str(directory))}")


def _plan(new: NewRequest, configuration: str, write: bool, key: str | None = None, source: Path | None = None) -> Plan:
    made = (new.request,) if key else (new.key, new.request)
    steps: list[Step] = [MakeDirectories(("private",)), *([CopyFile(source, new.key)] if source else [])]
    if write:
        steps.append(WriteFile(configuration, new.configuration()))
    made_with = ("-key", key) if key else Algorithm(new.bits, new.kind).options()
    arguments = ("req", "-new", *made_with, "-out", new.request)
    steps.append(Command(arguments, {"OPENSSL_CONF": f"./{configuration}", "CN": new.name}, made, made))
    return Plan(
        title=f"A key and a certificate signing request for {new.name}",
        directory=new.directory,
        make_directory=True,
        sections=(Section("Certificate Signing Requests", tuple(steps)),),
    )


def _configuration(new: NewRequest) -> tuple[str, bool]:
    """The name of the configuration file, and whether it is there already with the right text.

    The guide's one file serves every name on a host; where one with other alternative names is there, a second is made.
    """
    for name in (new.key, new.request):
        require_absent(new.directory / name)
    text = new.configuration().encode()
    for name in (CONFIGURATION, f"{new.name}.{CONFIGURATION}"):
        path = new.directory / name
        if not os.path.lexists(path):
            return name, False
        if path.is_file() and path.read_bytes() == text:
            return name, True
    raise DatabaseCaError(f"{path} is there with other values, and nothing is overwritten", "move it away first")


def _make_directories(directory: Path, made: list[Path]) -> None:
    """Make what is missing of `directory` and its `private/`; `made` gets the new directories, parents first."""
    for path in [path for path in (*reversed(directory.parents), directory) if not path.exists()]:
        path.mkdir(mode=PUBLIC_DIRECTORY)
        made.append(path)
        set_mode(path, PUBLIC_DIRECTORY)
        fsync(path.parent)
    private = directory / "private"
    if not private.is_dir():
        private.mkdir(mode=PRIVATE_DIRECTORY)
        made.append(private)
        fsync(directory)


def _remove_again(made: list[Path], directory: Path) -> None:
    """Remove the directories that were made, with the lock, unless another process works there."""
    with suppress(DatabaseCaError, OSError), ExitStack() as stack:
        lock = directory / LOCK
        if directory in made and lock.exists():
            stack.callback(Lock(directory, lambda line: None, 0).release)
        for path in reversed(made):
            if path == directory and set(path.iterdir()) == {lock}:
                lock.unlink()
            path.rmdir()


def _as_alternative_name(name: str) -> tuple[str, str] | None:
    with suppress(DatabaseCaError):  # such as for backup@margaret
        kind, text = alternative_name(name)
        if kind == "IP" or text == name:
            return kind, text
    return None
