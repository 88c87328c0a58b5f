"""The exit codes, which have one home: those of a command, and those of what monitoring calls."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dbca_openssl.cli import main
from dbca_openssl.cli.main import DONE, FAILED, MONITORING, USAGE, VERBS
from dbca_openssl.finding import Level
from tools.support import HOSTS, Finished, done, run, snapshot, tool

AIKEN = HOSTS[0]

WITH_A_BUG = """
import sys
from dbca_openssl.ca import change, layout
def broken(*_, **__):
    raise ZeroDivisionError("of ours")
layout.Authority.require = broken
from dbca_openssl.ca import check
check.check = broken
from dbca_openssl.cli.main import main
main()
"""


def broken(*words: str | Path, directory: Path, **environment: str) -> Finished:
    return run(sys.executable, "-c", WITH_A_BUG, *words, directory=directory, environment=environment)


def test_an_error_of_the_system_without_a_file_names_none(tmp_path: Path) -> None:
    script = WITH_A_BUG.replace('ZeroDivisionError("of ours")', 'OSError(22, "Invalid argument")')
    finished = run(sys.executable, "-c", script, "list", "--ca", ".", directory=tmp_path)
    message = "the operating system refused a call: Invalid argument"
    assert (finished.code, finished.messages) == (FAILED, f"dbca-openssl: {message}\n")


def test_they_are_what_the_help_says(tmp_path: Path) -> None:
    shown = " ".join(tool("--help", directory=tmp_path).output.split())
    assert (DONE, FAILED, USAGE, main.BUG, main.INTERRUPTED) == (0, 1, 2, 3, 130)
    assert "Exit codes: 0 done; 1 refused or failed, nothing changed" in shown
    assert "2 wrong usage; 3 a bug of dbca-openssl; 130 interrupted" in shown
    for verb in MONITORING:
        help_ = " ".join(tool(*verb.split(), "--help", directory=tmp_path).output.split())
        assert "as monitoring plugins have them: 0 OK, " in help_
        assert "3 unknown" in help_
    for verb in ("fetch", "deploy", "enroll"):
        assert "Exit code 1 where some hosts failed" in " ".join(
            tool(verb, "--help", directory=tmp_path).output.split()
        )


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_bug_of_ours_is_3_and_nothing_changes(options: tuple[str, ...], fleet: Path) -> None:
    before = snapshot(fleet)
    for words in (("list",), ("crl",), ("check",)):
        finished = broken(*words, *options, directory=fleet)
        assert finished.code == 3
        said = finished.document["error"] if options else finished.output + finished.messages
        assert "this should not happen: ZeroDivisionError: of ours" in said
        assert "Traceback" not in finished.messages
    assert snapshot(fleet) == before
    shown = broken("list", directory=fleet, DBCA_TRACEBACK="1")
    assert "ZeroDivisionError: of ours" in shown.messages and "Traceback" in shown.messages


@pytest.mark.parametrize(
    "words",
    [
        "check --nonsense",
        "check --warn-days x",
        "check --format yaml",
        "check --ca",
        "check word",
        "check --ca nowhere",
        "check --openssl nowhere",
        "server check --nonsense",
        "server check --port 0",
        "server check --client-program nowhere",
        "server probe",
        "server probe --nonsense",
        "server probe aiken.example.net --ca nowhere",
        "server replication --check --nonsense",
        "server replication --check --port x",
        "server replication --check --client-program nowhere",
    ],
)
def test_what_monitoring_calls_says_unknown_on_standard_output(words: str, fleet: Path) -> None:
    before = snapshot(fleet, without=(".lock",))
    finished = tool(*words.split(), directory=fleet)
    assert finished.code == Level.UNKNOWN
    (line,) = finished.output.splitlines()
    assert line.startswith("UNKNOWN: ")
    assert all(hint.startswith("hint: ") for hint in finished.messages.splitlines())
    if words != "check --ca":
        as_json = tool(*words.split(), "--json", directory=fleet)
        assert as_json.code == Level.UNKNOWN
        assert f"UNKNOWN: {as_json.document['error']}" == line
    assert snapshot(fleet, without=(".lock",)) == before


@pytest.mark.parametrize(
    "words", ["server replication --nonsense", "server replication", "server --nonsense", "server"]
)
def test_what_it_does_not_call_says_wrong_usage(words: str, tmp_path: Path) -> None:
    finished = tool(*words.split(), directory=tmp_path)
    assert (finished.code, finished.output) == (USAGE, "")
    assert finished.messages.startswith("dbca-openssl: ")


def test_a_prometheus_file_says_unknown_in_its_own_language(tmp_path: Path) -> None:
    finished = tool("check", "--format", "prometheus", directory=tmp_path)
    assert finished.code == Level.UNKNOWN
    assert finished.output.splitlines()[-1] == "dbca_check_status 3"
    assert finished.messages.startswith("dbca-openssl: no ")


@pytest.mark.parametrize(
    "words",
    [
        "list --nonsense --json",
        "--nonsense --json",
        "nonsense --json",
        "--json nonsense",
        "server nonsense --json",
        "list word --json",
        "crl --days x --json",
        "crl --json --days x",
        "crl --json --days",
        "show --json",
        "render nonsense --json",
        "--ca . list --json",
    ],
)
def test_what_is_wrong_with_a_command_line_is_a_document_too(words: str, tmp_path: Path) -> None:
    finished = tool(*words.split(), directory=tmp_path)
    assert finished.code == USAGE
    assert set(finished.document) == {"error", "hints"}
    assert finished.messages == ""


@pytest.mark.parametrize("words", ["list --ca --json", "list -- --json", "nonsense -- --json"])
def test_a_value_is_not_taken_for_an_option(words: str, tmp_path: Path) -> None:
    finished = tool(*words.split(), directory=tmp_path)
    assert finished.code in (FAILED, USAGE)
    assert finished.output == ""
    assert finished.messages.startswith("dbca-openssl: ")


LOOKING = {
    *("hosts", "list", "show", "verify", "check", "playbook", "render", "guide", "completion"),
    *("server accounts", "server replication", "server check", "server probe", "client settings"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_yes_can_be_said_to_all_that_changes_something(verb: str, tmp_path: Path) -> None:
    shown = tool(*verb.split(), "--help", directory=tmp_path).output
    assert ("-y, --yes" in shown) == (verb not in LOOKING)


def test_yes_is_taken_where_nothing_is_asked(fleet: Path, environment: dict[str, str], tmp_path: Path) -> None:
    done("crl", "--yes", directory=fleet, environment=environment)
    done("request", AIKEN, "--bits", "2048", "--ssl-dir", tmp_path / "ssl", "--yes", directory=tmp_path)
    done("deploy", "--local", "--ssl-dir", tmp_path / "copy", "--yes", directory=fleet)
