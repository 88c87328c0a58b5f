"""What the tests share: the tool and openssl as real processes, a fixed clock, and what a tree looks like."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools import ready
from tools.conversation import converse

PASSPHRASE = "correct horse"
WRONG_PASSPHRASES = ("not the pass phrase", f"{PASSPHRASE} ")
ORGANIZATION = "example.net"
GUIDE = Path(__file__).parents[1] / "guide"
ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
"""What is written for the people who use the tool."""

BARE = Path(__file__).parent / "bare.cnf"
"""A configuration of nothing, which `openssl req -subj` takes; OpenSSL 1.1.1 does not take an empty file."""

HOSTS = ("aiken.example.net", "margaret.example.net", "gannibal.example.net")


MakeRequest = Callable[..., Path]
"""The fixture `make_request`: a function that makes a request for a name."""


@dataclass(frozen=True)
class Finished:
    """A finished process: exit code and both outputs as text."""

    code: int
    output: str
    messages: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.output)


def run(
    *arguments: str | Path,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
    pass_fds: Sequence[int] = (),
) -> Finished:
    """Run a program without a terminal, in an environment that has only what is given, PATH and a home of its own."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=directory,
        env={"PATH": os.environ["PATH"], "HOME": str(directory)} | dict(environment or {}),
        input=stdin,
        stdin=None if stdin is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",  # paths may be any bytes
        start_new_session=True,
        pass_fds=pass_fds,
        timeout=300,  # whatever hangs shall fail
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def tool(
    *arguments: str | Path, directory: Path, environment: Mapping[str, str] | None = None, **more: Any
) -> Finished:
    """Run dbca-openssl as a user would; where nothing of Python's own start matters, without that."""
    given = {"PATH": os.environ["PATH"], "HOME": str(directory)} | dict(environment or {})
    if ready.can_run(given) and not more.keys() - {"stdin"}:
        words = [str(argument) for argument in arguments]
        return Finished(*ready.run(words, directory, given, more.get("stdin"), 300))
    return run(sys.executable, "-m", "dbca_openssl", *arguments, directory=directory, environment=environment, **more)


def done(*arguments: str | Path, directory: Path, **more: Any) -> Finished:
    """Run dbca-openssl, which must succeed."""
    finished = tool(*arguments, directory=directory, **more)
    assert finished.code == 0, finished.messages + finished.output
    return finished


def openssl(*arguments: str | Path, directory: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run the real openssl, which must exit 0; returns what it printed."""
    finished = run("openssl", *arguments, directory=directory, environment=environment)
    assert finished.code == 0, finished.messages
    return finished.output


def shell(script: str, directory: Path, environment: Mapping[str, str] | None = None) -> Finished:
    """Type a script into sh."""
    return run("sh", directory=directory, environment=environment, stdin=script)


def snapshot(directory: Path, *, without: Sequence[str] = ()) -> dict[str, tuple[str, str]]:
    """Every path below a directory with its mode and the SHA-256 of its content (of a link: its target)."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if name in without or path.name in without:
            continue
        if path.is_symlink():
            content = f"-> {path.readlink()}"
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = ""
        found[name] = (oct(stat.S_IMODE(path.lstat().st_mode)), content)
    return found


def contents(directory: Path) -> dict[str, str]:
    """What is in a tree apart from modes, random bytes and the tool's own lock: for comparing two ways of making it."""
    found = {name: content for name, (_, content) in snapshot(directory, without=(".lock",)).items()}
    if "private/.rnd" in found:
        found["private/.rnd"] = "1,024 random bytes"
    return found


def recipe(heading: str, language: str = "sh") -> str:
    """The first block of a language under a heading, which exactly one page of the documentation has."""
    (text,) = [text for page in PAGES for text in page.read_text().split(f"# {heading}\n")[1:]]
    block = re.search(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block, heading
    return block.group(1)


def frozen_openssl(directory: Path, clock: str) -> Path:
    """An openssl for which it is always `clock` (`YYYY-MM-DD HH:MM:SS`, UTC); the tool gives it no environment."""
    path = directory / "frozen-openssl"
    faketime, real = shutil.which("faketime"), shutil.which("openssl")
    assert faketime, "install faketime (Debian: apt install faketime)"
    # faketime does not start where one that was killed had the same process number
    free = "rm -f /dev/shm/sem.faketime_sem_$$ /dev/shm/faketime_shm_$$"
    path.write_text(f"#!/bin/sh\n{free}\nTZ=UTC exec {faketime} -f '{clock}' {real} \"$@\"\n")
    path.chmod(0o755)
    return path


def frozen_tool(clock: str, *arguments: str | Path, directory: Path, **more: Any) -> Finished:
    """Run dbca-openssl while it is always `clock`, for it and for its openssl."""
    program = frozen_openssl(directory, clock)
    command = (sys.executable, "-m", "dbca_openssl", *arguments, "--openssl", program)
    environment = {"TZ": "UTC"} | dict(more.pop("environment", {}))
    for _ in range(3):  # as above
        finished = run("faketime", "-f", clock, *command, directory=directory, environment=environment, **more)
        if "sem_open: File exists" not in finished.messages:
            break
    return finished


def recording_openssl(directory: Path) -> tuple[Path, Path]:
    """An openssl that does its work and writes each argument list as a line of JSON; returns it and its record."""
    path, record = directory / "recording-openssl", directory / "recorded"
    record.touch()
    path.write_text(
        f"#!{sys.executable} -IS\n"
        "import json, os, sys\n"
        f"with open({str(record)!r}, 'a') as file: file.write(json.dumps(sys.argv[1:]) + '\\n')\n"
        f"os.execv({shutil.which('openssl')!r}, ['openssl', *sys.argv[1:]])\n"
    )
    path.chmod(0o755)
    return path, record


def recorded(record: Path, command: str) -> list[list[str]]:
    """The argument lists of one openssl command in a record."""
    return [arguments for line in record.read_text().splitlines() if (arguments := json.loads(line))[0] == command]


def index_rows(ca: Path) -> list[list[str]]:
    """The fields of each row of an index."""
    return [line.split("\t") for line in (ca / "database-ca.index").read_text().splitlines()]


def refusal(finished: Finished) -> str:
    """What a command that was refused says is wrong, without its hints."""
    assert finished.code == 1, finished.output + finished.messages
    (line,) = [line for line in finished.messages.splitlines() if line.startswith("dbca-openssl: ")][-1:]
    return line.removeprefix("dbca-openssl: ")


def plain_request(ca: Path, name: str, key: Path) -> Path:
    """A request with a common name and nothing else, in `certreqs/`; much quicker than the guide's."""
    path = ca / f"certreqs/{name}.req.pem"
    openssl(
        *("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", path),
        directory=ca,
        environment={"OPENSSL_CONF": str(BARE)},
    )
    return path


def on_a_terminal(
    *arguments: str | Path,
    directory: Path,
    environment: Mapping[str, str] | None = None,
    answers: Sequence[str] = (),
    columns: int = 80,
) -> tuple[int, str]:
    """Run the tool on a terminal of its own, where `answers` are typed in turn at each prompt.

    Returns its exit code and all that was shown.
    """
    waiting = list(answers)

    def answer(shown: str) -> str | None:
        if waiting and re.search(r"(?:\[y/N\]|key|more): $|\[y/N\] $", shown):
            return waiting.pop(0) + "\n"
        return None

    command = (sys.executable, "-m", "dbca_openssl", *arguments)
    return converse(*command, answer=answer, directory=directory, environment=environment, columns=columns)
