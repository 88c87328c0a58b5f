"""`make matrix` counts what pytest says, fails where a version fails, and names what can't be had."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from matrix.run import VERSIONS, Outcome, chosen, counted, succeeded, table
from tools.support import run

GOOD = Outcome("openssl-3.5", "3.5.9", passed=1428, seconds=126.8)
BAD = Outcome("mariadb-10.5", "10.5.29", passed=1, failed=1, skipped=2, seconds=9)
MISSING = Outcome("openssl-4.0", missing="experimental has 4.1.0")


def test_a_version_is_chosen_by_its_name_or_the_beginning_of_it() -> None:
    assert [one.name for one in chosen(["openssl-3.5", "mysql"])] == ["openssl-3.5", "mysql-9.7"]
    assert {one.name for one in chosen(["openssl-3"])} == {"openssl-3.0", "openssl-3.5", "openssl-3.6"}
    assert chosen([]) == list(VERSIONS)
    with pytest.raises(SystemExit, match=r"openssl-2 is none of: openssl-1\.1\.1 "):
        chosen(["mysql", "openssl-2"])


def test_counts_are_those_of_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_one.py").write_text(
        "import pytest\n"
        "@pytest.fixture\ndef broken(): raise OSError\n"
        "@pytest.mark.skip\ndef test_skipped(): pass\n"
        "@pytest.mark.parametrize('number', range(5))\ndef test_number(number): assert number < 3\n"
        "def test_error(broken): pass\n"
    )
    results = tmp_path / "results.xml"
    done = run(sys.executable, "-m", "pytest", f"--junitxml={results}", directory=tmp_path)
    assert done.code == 1, done.messages
    outcome = counted("openssl-3.5", "3.5.9", results, done.code, 2)
    assert (outcome.passed, outcome.failed, outcome.skipped) == (3, 3, 1)


def test_a_run_that_broke_off_has_failed(tmp_path: Path) -> None:
    assert counted("openssl-3.5", "3.5.9", tmp_path / "none.xml", 3, 2).failed == 1
    (tmp_path / "results.xml").write_text('<testsuites><testsuite tests="2" failures="0" errors="0"/></testsuites>')
    assert counted("openssl-3.5", "3.5.9", tmp_path / "results.xml", 2, 2).failed == 1


def test_succeeds_where_something_passed_and_nothing_failed() -> None:
    assert succeeded([GOOD])
    assert succeeded([GOOD, MISSING])
    assert not succeeded([GOOD, BAD])
    assert not succeeded([MISSING])


def test_the_table_names_what_cannot_be_had() -> None:
    assert table([GOOD, MISSING, BAD]).splitlines()[2:] == [
        "| OpenSSL 3.5.9 | 1,428 | 0 | 0 | 127 |",
        "| openssl-4.0 | can't be had: experimental has 4.1.0 | | | |",
        "| MariaDB 10.5.29 | 1 | 1 | 2 | 9 |",
    ]
