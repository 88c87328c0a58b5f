"""Attacks, each in one line of a table: words from outside that a terminal would obey, or a shell would run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.support import HOSTS, on_a_terminal, openssl, shell, snapshot, tool

AIKEN = HOSTS[0]

ESCAPES = "\x1b[2J\x1b]0;pwned\x07 \x9b31m \u202egnp.exe\u202c \u200b\x7f"
"""Erases the screen and sets the title; the same in one byte; text from right to left; no width; DEL."""

OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
"""What no output may have in it."""

OURS = re.compile(r"\x1b\[(?:0|3[123])m|\r?\x1b\[(?:K|\d+A\x1b\[J)|\r(?=\n)")
"""Our own colours, the progress line, and the line ends of a terminal."""

Words = tuple[str | Path, ...]


def program(directory: Path, name: str, text: str) -> Path:
    """A program of the attacker's, in a directory that can be put on PATH."""
    path = directory / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}")
    path.chmod(0o755)
    return path


def in_the_index(fleet: Path) -> None:
    """A row for a name that has an escape in it, as somebody with an editor can make it."""
    index = fleet / "database-ca.index"
    row = index.read_text().splitlines()[-1].split("\t")
    row[3], row[5] = "7F", row[5].rpartition("=")[0] + "=" + ESCAPES
    index.write_text(index.read_text() + "\t".join(row) + "\n")


def file_in_certreqs(fleet: Path) -> None:
    (fleet / "certreqs" / f"x{ESCAPES}.req.pem").write_text("nothing\n")


def newline_in_certreqs(fleet: Path) -> None:
    (fleet / "certreqs" / "x\ndbca-openssl: all is well\n.req.pem").write_text("nothing\n")


def in_a_certificate(fleet: Path) -> None:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", os.devnull)
    subject = ("-utf8", "-subj", f"/CN=evil{ESCAPES}"[:60])
    openssl("req", "-x509", *key, *subject, "-out", "evil.cert.pem", directory=fleet)


def server_variables(fleet: Path) -> None:
    """A client that hands over what a rogue server says of its replication."""
    rows = f"Connection_name\\tSlave_IO_Running\\tLast_IO_Error\\nmain{ESCAPES}\\tNo\\t{ESCAPES}\\nlast\\nrow\\n"
    program(fleet, "client", f"cat > {os.devnull}\nprintf '{rows}'\n")


def host_says(fleet: Path) -> None:
    """An ssh to a host that tells of changed files whose names are for the terminal."""
    program(fleet, "ssh", f"cat > {os.devnull}\nprintf 'dbca changed evil{ESCAPES}\\ndbca end\\n'\n")


def ssh_says(fleet: Path) -> None:
    program(fleet, "ssh", f"cat > {os.devnull}\nprintf 'evil {ESCAPES}\\n' >&2\nexit 7\n")


REPLICATION: Words = ("server", "replication", "--check", "--flavor", "mariadb", "--client-program", "bin/client")

TERMINAL: dict[str, tuple[Callable[[Path], None], Words]] = {
    "name in the index: list": (in_the_index, ("list",)),
    "name in the index: check": (in_the_index, ("check",)),
    "name in the index: prometheus": (in_the_index, ("check", "--format", "prometheus")),
    "name in the index: revoke": (in_the_index, ("revoke", "7F")),
    "file in certreqs: the bare command": (file_in_certreqs, ()),
    "file in certreqs: sign": (file_in_certreqs, ("sign", "--all", "--yes")),
    "line end in certreqs: the bare command": (newline_in_certreqs, ()),
    "subject: show": (in_a_certificate, ("show", "evil.cert.pem")),
    "subject: verify": (in_a_certificate, ("verify", "evil.cert.pem", "--verbose")),
    "server variables": (server_variables, REPLICATION),
    "files that a host changed": (host_says, ("deploy", AIKEN)),
    "ssh's messages": (ssh_says, ("deploy", AIKEN, "--verbose")),
    "an argument": (lambda fleet: None, (f"x{ESCAPES}",)),
    "an option": (lambda fleet: None, ("list", f"--x{ESCAPES}")),
    "a path": (lambda fleet: None, ("list", "--ca", f"x{ESCAPES}")),
}


@pytest.mark.parametrize("attack", TERMINAL)
def test_nothing_from_outside_is_obeyed_by_the_terminal(attack: str, fleet: Path) -> None:
    prepare, words = TERMINAL[attack]
    prepare(fleet)
    kept = (".lock", "database-ca.hosts")  # deploy enters the host
    before = snapshot(fleet, without=kept)
    environment = {"PATH": f"{fleet}/bin:{os.environ['PATH']}", "TERM": "xterm-256color", "PYTHONUTF8": "1"}
    piped = tool(*words, directory=fleet, environment=environment)
    assert "should not happen" not in piped.messages
    assert not OBEYED.search(piped.output + piped.messages), ascii(piped)
    _, shown = on_a_terminal(*words, directory=fleet, environment=environment, answers=["n"])
    assert not OBEYED.search(OURS.sub("", shown)), ascii(shown)
    assert re.search(r"\\x?1b", piped.output + piped.messages, re.IGNORECASE) or "line end" in attack  # and it is shown
    as_json = tool(*words, "--json", directory=fleet, environment=environment)
    assert not OBEYED.search(as_json.output + as_json.messages), ascii(as_json)
    if "prometheus" not in attack:
        json.loads(as_json.output)
    assert snapshot(fleet, without=kept) == before


def type_again(lines: list[str], directory: Path) -> None:
    """Type commands of ours that were shown into a shell."""
    assert lines and all(line.startswith("dbca-openssl ") for line in lines)
    program(directory, "dbca-openssl", f'exec {sys.executable} -m dbca_openssl "$@"\n')
    shell("\n".join(lines), directory, {"PATH": f"{directory}/bin:{os.environ['PATH']}"})


SHELL = (
    "x; touch pwned #",
    "$(touch pwned)",
    "`touch pwned`",
    "x\ntouch pwned\n",
    "-x' ; touch pwned ; '",
    "x & touch pwned",
)


@pytest.mark.parametrize("name", SHELL)
def test_what_is_offered_to_be_typed_is_quoted(name: str, fleet: Path) -> None:
    (fleet / "certreqs" / f"{name}.req.pem").write_text("nothing\n")
    shown = tool(directory=fleet)
    assert shown.code == 0
    following = [line.strip() for line in shown.output.partition("next:\n")[2].splitlines()]
    assert [shlex.split(line)[:2] for line in following] == [["dbca-openssl", "sign"]]
    type_again(following, fleet)
    assert not (fleet / "pwned").exists()


def test_a_directory_of_any_name_is_quoted_where_it_is_typed_again(fleet: Path, tmp_path: Path, keys: Path) -> None:
    evil = tmp_path / "x; touch pwned #"
    shutil.copytree(fleet, evil)
    environment = {"DBCA_PASSPHRASE_FILE": str(keys / "phrase")}
    shown = tool("crl", "--ca", evil, directory=tmp_path, environment=environment)
    assert shown.code == 0
    lines = [line for line in shown.output.splitlines() if line.startswith("  dbca-openssl ")]
    assert shlex.split(lines[0])[1:] == ["deploy", "HOST", "--ca", str(evil)]
    assert all(str(evil) in shlex.split(line, comments=True) for line in lines)
    shown = tool("rollover", fleet, "--ca", evil, directory=tmp_path)
    for line in shown.output.partition("next:\n")[2].splitlines():
        assert "touch" not in shlex.split(line) or "copy" in line, line
