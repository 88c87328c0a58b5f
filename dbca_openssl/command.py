"""One openssl command as data: its arguments, its environment, and what it must leave."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import diagnosis
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import Call, OpenSSL, Result
from dbca_openssl.passphrase import Passphrase


class Command(NamedTuple):
    """`openssl ARGUMENTS` with exactly `environment`; `creates` are PEM files that must be whole afterwards.

    `passphrase_option` is `-passin` or `-passout` where the command needs the pass phrase. `fresh` are files that it
    must not find: openssl would empty them without a question.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    creates: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    passphrase_option: str = ""

    def run(
        self,
        openssl: OpenSSL,
        root: Path,
        passphrase: Passphrase | None,
        keep_open: tuple[int, ...] = (),
    ) -> Result:
        """Run it in `root`; `keep_open` is as for `OpenSSL.run`.

        Raises DatabaseCaError where a file of `fresh` is there, or one of `creates` is not.
        """
        for name in self.fresh:
            require_absent(root / name)
        return self.done(openssl.run_one(self.call(root, passphrase, keep_open)), root)

    def call(self, root: Path, passphrase: Passphrase | None, keep_open: tuple[int, ...] = ()) -> Call:
        """How openssl is called for it, for those who run several together."""
        secret = (self.passphrase_option, passphrase) if self.passphrase_option and passphrase else None
        return Call(self.arguments, root, self.environment, secret, keep_open)

    def done(self, result: Result, root: Path) -> Result:
        """The result, once it is found to be what it should. Raises DatabaseCaError where it is not."""
        if result.code:
            raise diagnosis.failure(self.arguments[0], result, root)
        for name in self.creates:
            if not _is_whole(root / name):
                raise diagnosis.said(result.messages, root) or diagnosis.nothing_written(
                    Path(name).name, root, result.messages
                )
        return result

    def script(self, passphrase_file: Path | None) -> str:
        """The lines of shell that do it in the current directory, its environment having been exported before."""
        arguments = ["openssl", *self.arguments]
        if self.passphrase_option and passphrase_file:
            arguments[2:2] = [self.passphrase_option, f"file:{passphrase_file}"]
        lines = [f"absent {' '.join(map(shlex.quote, self.fresh))}"] if self.fresh else []
        lines.append(_wrapped(arguments))
        lines += [f"test -s {shlex.quote(name)}" for name in self.creates]
        return "\n".join(lines)


def require_absent(path: Path) -> None:
    """Raise DatabaseCaError where there is a file, a directory or a link, whole or dangling, of that name."""
    if os.path.lexists(path):
        raise DatabaseCaError(f"{path} exists already, and nothing is overwritten", "move it away first")


def _is_whole(path: Path) -> bool:
    """Whether a PEM file is there to its end: a full disk cuts it off anywhere, and openssl exits 0."""
    if not path.is_file():
        return False
    data = path.read_bytes().rstrip(b"\n")
    return data.rpartition(b"\n")[2].startswith(b"-----END ")


def _wrapped(arguments: list[str]) -> str:
    """One command, where it is long continued over lines as the guide does: an option and its value to a line."""
    words = [shlex.quote(argument) for argument in arguments]
    if len(" ".join(words)) < 80:
        return " ".join(words)
    lines, rest = [" ".join(words[:2])], words[2:]
    while rest:
        taken = 2 if rest[0].startswith("-") and not "".join(rest[1:2]).startswith("-") else 1
        lines.append(" ".join(rest[:taken]))
        rest = rest[taken:]
    return " \\\n    ".join(lines)
