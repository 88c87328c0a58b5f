"""The README tells the truth: its commands run, and it explains every verb."""

from __future__ import annotations

import html
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import sh
import typer

from dbca_openssl.cli.app import build
from dbca_openssl.errata import ERRATA
from tools.support import PASSPHRASE, ROOT, run

README = (ROOT / "README.md").read_text()
PROGRAM = Path(sys.executable).parent / "dbca-openssl"
HELP = typer.main.get_command(build())

SHIM = """#!/bin/sh
# the host's part happens in a directory of the test
case $1 in request) set -- "$@" --ssl-dir "$HOSTS/$2/etc/mysql/ssl" ;; esac
exec {program} "$@"
"""
SCP = """#!/bin/sh
# copies between the directory and the hosts of the test
set -eu
for last; do :; done
while [ $# -gt 1 ]; do
    case $1 in *:*) from=$HOSTS/${1%%:*}${1#*:} ;; *) from=$1 ;; esac
    case $last in *:*) to=$HOSTS/${last%%:*}${last#*:} ;; *) to=$last ;; esac
    cp "$from" "$to"
    shift
done
"""


def commands(group: Any = HELP, before: str = "") -> dict[str, Any]:
    """Every command by its words, such as `sign` and `server probe`."""
    found: dict[str, Any] = {}
    for name, command in group.commands.items():
        found |= commands(command, f"{name} ") if hasattr(command, "commands") else {before + name: command}
    return found


COMMANDS = commands()


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A directory for PATH with what the README's commands call: the tool, scp and sudo."""
    directory = tmp_path / "programs"
    directory.mkdir()
    for name, text in (
        ("dbca-openssl", SHIM.format(program=PROGRAM)),
        ("scp", SCP),
        ("sudo", '#!/bin/sh\nexec "$@"\n'),
    ):
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    return directory


def test_the_commands_of_the_readme_run_at_a_terminal(tmp_path: Path, programs: Path) -> None:
    guide = README.split("## Through the guide\n")[1].split("\n## ")[0]
    script = "set -eu\n" + "".join(re.findall(r"^```sh\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL))
    (tmp_path / "walk.sh").write_text(script)
    screen: list[str] = []

    def typist(text: str, keyboard: object) -> None:
        screen.append(text)
        seen = "".join(screen)
        if seen.endswith(("key: ", "more: ")):
            keyboard.put(f"{PASSPHRASE}\n")  # type: ignore[attr-defined]
            screen.append("\n")
        elif seen.endswith("[y/N] "):
            keyboard.put("y\n")  # type: ignore[attr-defined]
            screen.append("\n")

    sh.sh(
        "walk.sh",
        _cwd=str(tmp_path),
        _env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "HOSTS": str(tmp_path / "hosts"),
        },
        _tty_in=True,
        _unify_ttys=True,
        _out=typist,
        _out_bufsize=0,
    )
    seen = "".join(screen)
    assert "certs/aiken.example.net.cert.pem: OK" in seen
    assert "signed    1 valid, 0 expired, 0 revoked" in seen
    delivered = tmp_path / "hosts/aiken.example.net/etc/mysql/ssl"
    assert {path.name for path in delivered.iterdir() if path.is_file() and path.name[0] != "."} == {
        "aiken.example.net.cert.pem",
        "aiken.example.net.req.pem",
        "database-ca.cert.pem",
        "database-ca.crl",
        "openssl.cnf",
    }


def test_make_demo_makes_three_verified_certificates(tmp_path: Path) -> None:
    finished = run("sh", ROOT / "tests/tools/demo.sh", PROGRAM, "demo", directory=tmp_path)
    assert finished.code == 0, finished.messages
    assert finished.output.count(".cert.pem: OK") == 3
    assert "\033" not in finished.output


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_is_explained(verb: str) -> None:
    table = "\n".join(re.findall(r"^\| .*", README, re.MULTILINE))
    word = verb.removeprefix("server ")
    assert re.search(rf"[` |]{word}[ `|\\]", table), f"the README's table of commands has no {verb}"
    command = COMMANDS[verb]
    assert re.search(rf"^ *\b(?:sudo )?dbca-openssl {verb}\b", command.help, re.MULTILINE), (
        f"{verb} --help has no example"
    )
    for parameter in command.params:
        assert getattr(parameter, "help", None), f"{verb} --help does not explain {parameter.opts}"


def test_no_command_in_the_readme_is_made_up() -> None:
    for first, second in re.findall(r"dbca-openssl ([a-z]+)(?: ([a-z]+))?", README):
        assert first in COMMANDS or f"{first} {second}" in COMMANDS, (first, second)
    options = {option for command in COMMANDS.values() for one in command.params for option in one.opts}
    for option in re.findall(r"(?<=[` ])--[a-z]+[a-z-]*", README):
        assert option in options | {"--version", "--help", "--policy", "--now"}, option


def test_the_pictures_are_there_and_show_commands_that_are() -> None:
    pictures = [ROOT / name for name in re.findall(r"!\[[^\]]+\]\((\S+)\)", README)]
    assert [path.name for path in pictures] == ["session.svg", "report.png"]
    assert all(0 < path.stat().st_size < 150_000 for path in pictures)
    shown = html.unescape(re.sub("<[^>]+>", "\n", pictures[0].read_text())).replace("\N{NO-BREAK SPACE}", " ")
    typed = re.findall(r"^\$ dbca-openssl ?([a-z]*)(.*)$", shown, re.MULTILINE)
    assert {verb for verb, _ in typed} == {"", "init", "request", "sign", "verify", "list", "revoke", "check"}
    for verb, rest in typed:
        options = {option for one in COMMANDS[verb].params for option in one.opts} if verb else set()
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, verb
    assert not re.search(r"/home|/root|/tmp|http", shown)


def test_the_table_of_errata_is_the_one_of_the_command() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \| (.*) \| (.*) \|$", README, re.MULTILINE)
    assert rows == [(str(one.number), one.guide, one.happens, one.mend) for one in ERRATA]
