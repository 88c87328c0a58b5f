"""What is printed: aligned columns, and on a terminal only, colours and progress."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

from dbca_openssl.cli import output
from tools.support import HOSTS, done, on_a_terminal, plain_request, shell, tool

AIKEN, MARGARET, GANNIBAL = HOSTS
LONGEST = f"{'a' * 52}.example.net"
XTERM = {"TERM": "xterm-256color"}
COLOUR = re.compile(r"\x1b\[\d+m")


@pytest.fixture
def mixed(fleet: Path, keys: Path, environment: dict[str, str]) -> Path:
    """A CA with certificates of every kind: valid, expiring soon, with the longest name, revoked."""
    plain_request(fleet, LONGEST, keys / "host.key.pem")
    done("sign", LONGEST, "--days", "9", "--yes", directory=fleet, environment=environment)
    done("revoke", GANNIBAL, "--reason", "superseded", "--yes", directory=fleet, environment=environment)
    return fleet


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("", 0),
        ("aiken", 5),
        ("Müller", 6),
        ("Mu\N{COMBINING DIAERESIS}ller", 6),
        ("株式会社", 8),
        ("한국", 4),
        ("\N{HALFWIDTH KATAKANA LETTER KA}", 1),
        ("\N{ZERO WIDTH JOINER}x", 1),
        ("\x1b[32mvalid\x1b[0m", 5),
        ("\x1b[31m株\x1b[0m", 2),
    ],
)
def test_the_width_of_a_text_is_that_on_a_terminal(text: str, columns: int) -> None:
    assert output.width(text) == columns


def test_columns_stand_below_each_other_whatever_is_in_them() -> None:
    rows = [("株式会社", "'app'@'%'", "x"), ("\x1b[32mvalid\x1b[0m", "ü", "y"), ("a" * 64, "", "z")]
    lines = "\n".join(output.table(("NAME", "ACCOUNT", ""), rows)).split("\n")
    for line, last in zip(lines, ("", "x", "y", "z"), strict=True):
        assert line.endswith(last)
        assert output.width(line.removesuffix(last)) == 64 + 2 + len("'app'@'%'") + 2


def test_items_of_an_iterator_are_the_same_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "as_json", True)
    items = [{"name": "aiken", "reason": None}, {"name": "株式\u200b", "names": ["a", "b"]}]
    for count in range(3):
        output.result({"certificates": items[:count]}, ())
        whole = capsys.readouterr().out
        output.result({"certificates": iter(items[:count])}, ())
        assert capsys.readouterr().out == whole


def test_nothing_is_cut_or_broken_in_a_pipe(mixed: Path) -> None:
    lines = done("list", directory=mixed, environment=XTERM | {"COLUMNS": "40"}).output.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", AIKEN, MARGARET, GANNIBAL, LONGEST]
    assert {line.index(word) for line, word in zip(lines, ("SERIAL", "01", "02", "03", "04"), strict=True)} == {66}


@pytest.mark.parametrize("columns", [80, 120])
def test_a_name_too_long_for_the_terminal_has_a_line_of_its_own(mixed: Path, columns: int) -> None:
    code, shown = on_a_terminal("list", directory=mixed, environment=XTERM, columns=columns)
    lines = COLOUR.sub("", shown).splitlines()
    assert code == 0
    assert all(len(line) <= columns for line in lines)
    assert (LONGEST in lines) == (columns == 80)
    starts = {re.search(r"SERIAL|(?<= )0[1-4](?= )", line) for line in lines if line != LONGEST}
    assert len({match.start() for match in starts if match}) == 1 and None not in starts


def without_numbers(text: str) -> list[str]:
    """The words of a text but for its numbers: midnight may pass between two calls."""
    return re.sub(r"\d+", "", text).split()


@pytest.mark.parametrize(
    ("terminal", "options", "colours"),
    [
        (XTERM, (), True),
        (XTERM | {"NO_COLOR": ""}, (), True),  # as no-color.org has it: present, and not empty
        (XTERM | {"NO_COLOR": "1"}, (), False),
        ({"TERM": "dumb"}, (), False),
        ({}, (), False),
        (XTERM, ("--json",), False),
    ],
)
def test_there_are_colours_on_a_terminal_that_wants_them(
    mixed: Path, terminal: dict[str, str], options: tuple[str, ...], colours: bool
) -> None:
    shutil.copy(mixed / "certs" / f"{AIKEN}.cert.pem", mixed / "stray.pem")
    (mixed / "private/database-ca.key.pem").chmod(0o644)
    for words in ((), ("list",), ("check",), ("show", GANNIBAL), ("verify", AIKEN), ("list", "--nonsense")):
        _, shown = on_a_terminal(*words, *options, directory=mixed, environment=terminal)
        assert bool(COLOUR.search(shown)) == colours, shown
        piped = tool(*words, *options, directory=mixed, environment=terminal)
        assert not COLOUR.search(piped.output + piped.messages)
        assert without_numbers(COLOUR.sub("", shown)) == without_numbers(piped.output + piped.messages)


def test_each_status_has_its_colour(mixed: Path) -> None:
    _, shown = on_a_terminal("list", directory=mixed, environment=XTERM, columns=120)
    found = re.findall(r"\x1b\[(\d+)m([a-z]+|\d)\x1b\[0m", shown)
    assert {re.sub(r"\d", "days", word): colour for colour, word in found} == {
        "valid": "32",
        "days": "33",
        "revoked": "31",
    }


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """An openssl that takes its time over a key."""
    path = tmp_path / "slow-openssl"
    path.write_text(f'#!/bin/sh\n[ "$1" != req ] || sleep 1\nexec {shutil.which("openssl")} "$@"\n')
    path.chmod(0o755)
    return path


def test_the_progress_of_a_slow_key_is_shown_on_a_terminal_and_removed(tmp_path: Path, slow: Path) -> None:
    options = ("--bits", "2048", "--openssl", slow)
    for words in (("init", "-o", "Lab", "--no-passphrase"), ("request", AIKEN, "--ssl-dir", "ssl")):
        piped = done(*words, *options, directory=tmp_path)
        assert "making" not in piped.messages + piped.output
        for name in ("database-ca", "ssl"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
        code, shown = on_a_terminal(*words, *options, directory=tmp_path)
        assert code == 0
        assert "\r\x1b[Kmaking a key (RSA 2048 bits) |" in shown
        assert shown.rpartition("making a key")[2].partition("\r")[2].startswith("\x1b[K")
        left = [line.rpartition("\x1b[K")[2] for line in shown.replace("\r\n", "\n").strip().split("\n")]
        assert [line.split()[0] for line in left] == [line.split()[0] for line in piped.output.splitlines()]


def test_no_progress_is_shown_on_a_dumb_terminal_or_with_json(tmp_path: Path, slow: Path) -> None:
    cases: list[tuple[list[str], dict[str, str]]] = [(["--json"], XTERM), ([], {"TERM": "dumb"})]
    for number, (options, environment) in enumerate(cases):
        words = ("request", AIKEN, "--ssl-dir", f"ssl{number}", "--bits", "2048", "--openssl", slow)
        _, shown = on_a_terminal(*words, *options, directory=tmp_path, environment=environment)
        assert "making" not in shown
        assert "\x1b" not in shown


@pytest.mark.parametrize("redirection", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_output_is_no_error(redirection: str, mixed: Path) -> None:
    for words in ("list", "check", "list --nonsense"):
        expected = tool(*words.split(), directory=mixed)
        finished = shell(f"exec {sys.executable} -m dbca_openssl {words} {redirection}", mixed, XTERM)
        assert finished.code == expected.code
        kept = "" if redirection.startswith(">") else expected.output
        assert without_numbers(finished.output) == without_numbers(kept)
        assert finished.messages == ("" if "2>" in redirection else expected.messages)
