"""One openssl command as a value: what it is given, and which files it must leave."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

from dbca_openssl.passphrase import Passphrase


class Result(NamedTuple):
    """A finished openssl: its exit code and its two outputs."""

    code: int
    output: bytes
    messages: str


class Command(NamedTuple):
    """`openssl ARGUMENTS` with exactly `environment`; `creates` are PEM files that must be whole afterwards.

    `fresh` are files that it must not find: openssl would empty them without a question. A command that needs the
    pass phrase of a key has the option for it, `-passin` or `-passout`, in `passphrase_option`; `Key.given_to` in
    ca/key.py adds the pass phrase itself. With a `new_passphrase` it also has `-passout`.
    """

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = {}
    creates: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    passphrase_option: str = ""
    passphrase: Passphrase | None = None
    new_passphrase: Passphrase | None = None

    def passphrase_pipe(self) -> AbstractContextManager[int | None]:
        """A descriptor to read the pass phrase from, while the context is open; None for a command without one."""
        return self.passphrase.descriptor(self.new_passphrase) if self.passphrase else nullcontext()

    def with_passphrase(self, source: str | None, new: str | None = None) -> tuple[str, ...]:
        """The arguments, with the pass phrase read from `source`, and a `new` one (None: no option).

        openssl-passphrase-options(1) has the form of both.
        """
        options = (self.passphrase_option, source) if source else ()
        return (self.arguments[0], *options, *(("-passout", new) if new else ()), *self.arguments[1:])

    def script(self) -> str:
        """The same as lines of shell for the current directory; `environment` is exported before.

        openssl asks for the pass phrase unless that was read from a file.
        """
        phrases = (self.passphrase, self.new_passphrase)
        sources = (f"file:{one.file}" if one and one.file else None for one in phrases)
        lines = [f"absent {shlex.join(self.fresh)}"] if self.fresh else []
        lines.append(_wrapped(["openssl", *self.with_passphrase(*sources)]))
        lines += [f"test -s {shlex.quote(name)}" for name in self.creates]
        return "\n".join(lines)


def _wrapped(arguments: list[str]) -> str:
    """One command; a long one is continued over lines as in the guide, an option and its value to a line."""
    words = [shlex.quote(argument) for argument in arguments]
    if len(" ".join(words)) < 80:
        return " ".join(words)
    lines, rest = [" ".join(words[:2])], words[2:]
    while rest:
        taken = 2 if rest[0].startswith("-") and not "".join(rest[1:2]).startswith("-") else 1
        lines.append(" ".join(rest[:taken]))
        rest = rest[taken:]
    return " \\\n    ".join(lines)
