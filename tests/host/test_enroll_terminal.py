"""`enroll` at a terminal: what is going on, and the pass phrase asked for once, when there is something to sign."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from tools.agreement import require_agreement
from tools.conversation import converse
from tools.ssh_hosts import Fleet
from tools.support import HOSTS, PASSPHRASE

AIKEN, MARGARET, _ = HOSTS


def at_terminal(*arguments: str | Path, directory: Path, answers: dict[str, str], columns: int = 80) -> str:
    """Run the command at a terminal of its own, type the answer to each prompt once, and return what was on it."""

    def answer(shown: str) -> str | None:
        for prompt in filter(shown.endswith, answers):
            return f"{answers.pop(prompt)}\n"
        return None

    command = (sys.executable, "-m", "dbca_openssl", *arguments)
    code, screen = converse(
        *command, answer=answer, directory=directory, environment={"TERM": "xterm"}, columns=columns
    )
    assert code in (0, 1) and not answers, screen
    return screen


def test_enroll_at_a_terminal(ca: Path, fleet: Fleet) -> None:
    machines = fleet.start(AIKEN, MARGARET)
    command = ("enroll", AIKEN, MARGARET, "--bits", "2048", "--ssh-config", fleet.config)
    screen = at_terminal(*command, directory=ca, answers={"Pass phrase of the CA key: ": PASSPHRASE})
    assert PASSPHRASE not in screen
    require_agreement(ca, machines)
    parts = [part.splitlines() for part in re.split(r"\r\x1b\[(?:K|\d+A\x1b\[J)", screen)]
    assert any(f"{AIKEN}     making its request" in lines for lines in parts)
    assert any(len(lines) == 3 and lines[-1] == "[1/2]" for lines in parts), "a line for each host"
    assert all(len(line) < 80 for lines in parts if lines and lines[-1][0] == "[" for line in lines)
    assert parts[-1][0].split() == ["HOST", "STATE", "SERIAL", "UNTIL"]

    again = at_terminal(*command, directory=ca, answers={}, columns=40)
    assert "Pass phrase" not in again
    assert again.rpartition("\x1b[J")[2].count("left alone") == 2


def test_ssh_may_ask_where_one_host_is_reached(ca: Path, fleet: Fleet) -> None:
    (aiken,) = fleet.start(AIKEN)
    known, fleet_key = fleet.known_hosts, fleet.known_hosts.read_text()
    known.write_text("")
    screen = at_terminal(
        *("deploy", AIKEN, "--ssh-config", fleet.config),
        directory=ca,
        answers={"(yes/no/[fingerprint])? ": "yes"},
    )
    assert "database-ca.cert.pem" in screen
    assert known.read_text().split()[-1] == fleet_key.split()[-1] or known.read_text().split()[-1] in fleet_key
    assert (aiken.ssl / "database-ca.crl").exists()
