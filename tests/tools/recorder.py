"""An openssl that writes down how it was called, and then does it: the real twin of every faked call."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

_PROGRAM = """#!{python} -SE
import json, os, sys
with open("/proc/self/environ") as given:  # before Python adds LC_CTYPE to it
    environment = dict(entry.split("=", 1) for entry in given.read().split("\\0") if entry)
call = {{"arguments": sys.argv[1:], "directory": os.getcwd(), "environment": environment}}
with open({log!r}, "a") as log:
    log.write(json.dumps(call) + "\\n")
os.execve({real!r}, ["openssl", *sys.argv[1:]], environment)
"""


@dataclass(frozen=True)
class Call:
    """One call: everything behind `openssl`, where, and the whole environment."""

    arguments: list[str]
    directory: str
    environment: dict[str, str]


class Recorder:
    """A program called `openssl` in a directory of its own, for `--openssl` or at the front of PATH."""

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.place = place
        self.program = place / "openssl"
        self._log = place / "calls"
        real = shutil.which("openssl")
        assert real
        self.program.write_text(_PROGRAM.format(python=sys.executable, log=str(self._log), real=real))
        self.program.chmod(0o755)

    def calls(self, *subcommands: str) -> list[Call]:
        """The calls so far, of some subcommands only if any are named."""
        if not self._log.exists():
            return []
        calls = [Call(**json.loads(line)) for line in self._log.read_text().splitlines()]
        return [call for call in calls if not subcommands or call.arguments[0] in subcommands]

    def forget(self) -> None:
        """Start anew."""
        self._log.unlink(missing_ok=True)
