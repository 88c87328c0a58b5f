"""A program that runs on a host through ssh, as if it ran here: with its input, both outputs and its exit code."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.command import Result
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host.ssh import Ssh
from dbca_openssl.openssl import TIMED_OUT
from dbca_openssl.render import rendered

SECONDS = 60
"""How long a program may run, where the host has timeout(1); the time of ssh is limited in any case."""

_TIMED_OUT_THERE = 124


class OnHost(NamedTuple):
    """The programs of a host, in place of those of this machine."""

    ssh: Ssh
    host: KnownHost

    def run(self, names: Sequence[str], arguments: Sequence[str], data: bytes = b"", seconds: int = SECONDS) -> Result:
        """Run the first of the programs `names` that the host has; files for openssl's -cert and -key are sent.

        Raises DatabaseCaError where ssh or the script fails.
        """
        words: list[str] = []
        files: list[str] = []
        for before, word in zip(("", *arguments), arguments, strict=False):
            is_file = names == ("openssl",) and before in ("-cert", "-key")
            words.append(f'"$work/{len(files)}"' if is_file else shlex.quote(word))
            if is_file:
                try:
                    files.append(Path(word).read_text(encoding="utf-8"))
                except (OSError, UnicodeDecodeError):
                    raise DatabaseCaError(f"cannot read {word}") from None
        script = rendered(
            "run.sh.j2",
            title=f"A program for {self.host.name}",
            names=names,
            arguments=" ".join(words),
            data="".join(f"\\{byte:03o}" for byte in data),
            seconds=seconds,
            files=files,
        )
        answer = self.ssh.run(self.host, script)
        try:
            output, messages = (base64.b64decode("".join(answer.all(word))) for word in ("output", "messages"))
            output, _, code = output.rpartition(b"\n")
            number = int(code)
        except ValueError:
            raise DatabaseCaError(f"{self.host.name}: its answer cannot be read") from None
        return Result(TIMED_OUT if number == _TIMED_OUT_THERE else number, output, messages.decode("utf-8", "replace"))
