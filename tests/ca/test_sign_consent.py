"""Alternative names need the signer's consent: by option or at the terminal, one by one; `--yes` gives none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tools.support import PASSPHRASE, MakeRequest, openssl, snapshot, tool
from tools.terminal import typed

AIKEN = "aiken.example.net"
FIRST, SECOND = f"May {AIKEN} be db.example.net too? [y/N] ", f"May {AIKEN} be 192.0.2.7 too? [y/N] "
SIGN = "Sign it? [y/N] "
PROMPT = "Pass phrase of the CA key: "


@pytest.fixture
def waiting(ca: Path, make_request: MakeRequest) -> Path:
    """An authority with a request that asks for two more names."""
    make_request(AIKEN, "db.example.net", "192.0.2.7", to=ca / "certreqs")
    return ca


def test_each_name_is_asked_for_and_then_the_signature_and_then_the_passphrase_once(waiting: Path) -> None:
    answers = [(FIRST, "y\n"), (SECOND, "yes\n"), (SIGN, "y\n"), (PROMPT, f"{PASSPHRASE}\n")]
    signed = typed("sign", AIKEN, directory=waiting, answers=answers)
    assert signed.code == 0, signed.output
    assert signed.output.count(PROMPT) == 1
    assert PASSPHRASE not in signed.output
    text = openssl("x509", "-in", f"certs/{AIKEN}.cert.pem", "-noout", "-ext", "subjectAltName", directory=waiting)
    assert f"DNS:{AIKEN}, DNS:db.example.net, IP Address:192.0.2.7\n" in text


@pytest.mark.parametrize(
    "answers",
    [
        [(FIRST, "n\n")],
        [(FIRST, "\n")],
        [(FIRST, "y\n"), (SECOND, "n\n")],
        [(FIRST, "y\n"), (SECOND, "y\n"), (SIGN, "n\n")],
        [(FIRST, "y\n"), (SECOND, "\x04")],
    ],
    ids=["the first", "no answer", "the second", "the signature", "the end of the input"],
)
def test_a_no_changes_nothing(answers: list[tuple[str, str]], waiting: Path, environment: dict[str, str]) -> None:
    before = snapshot(waiting)
    refused = typed("sign", AIKEN, directory=waiting, answers=answers, environment=environment)
    assert refused.code == 1
    assert refused.output.endswith("dbca-openssl: the answer was no, and nothing was done\n")
    assert snapshot(waiting) == before


@pytest.mark.parametrize("options", [("--yes",), ()], ids=["--yes", "no terminal"])
def test_without_consent_nothing_is_signed(
    options: tuple[str, ...], waiting: Path, environment: dict[str, str]
) -> None:
    before = snapshot(waiting)
    refused = tool("sign", AIKEN, *options, directory=waiting, environment=environment)
    assert refused.code == 1
    assert refused.messages.splitlines()[-2:] == [
        f"dbca-openssl: the request of {AIKEN} asks for the name db.example.net too, which nobody has allowed",
        "hint: if it may have it: --allow-alt-name db.example.net",
    ]
    assert snapshot(waiting) == before


def test_yes_at_a_terminal_is_no_consent_either(waiting: Path, environment: dict[str, str]) -> None:
    before = snapshot(waiting)
    refused = typed("sign", AIKEN, "--yes", directory=waiting, answers=[], environment=environment)
    assert refused.code == 1
    assert "asks for the name db.example.net too, which nobody has allowed\n" in refused.output
    assert snapshot(waiting) == before


def test_an_allowed_name_is_not_asked_for(waiting: Path, environment: dict[str, str]) -> None:
    signed = typed(
        *("sign", AIKEN, "--allow-alt-name", "DB.example.net"),
        directory=waiting,
        answers=[(SECOND, "y\n"), (SIGN, "y\n")],
        environment=environment,
    )
    assert signed.code == 0
    assert FIRST not in signed.output


def test_the_terminal_is_asked_wherever_the_outputs_go(waiting: Path, environment: dict[str, str]) -> None:
    answers = [(FIRST, "y\n"), (SECOND, "y\n"), (SIGN, "y\n")]
    command = f'"$0" "$@" >{waiting}/../out 2>{waiting}/../err </dev/null'
    signed = typed(
        *("-c", command, sys.executable, "-m", "dbca_openssl", "sign", AIKEN),
        program=("/bin/sh",),
        directory=waiting,
        answers=answers,
        environment=environment,
    )
    assert signed.code == 0
    assert (waiting / "../out").read_text().startswith(f"certs/{AIKEN}.cert.pem  serial 01")


def test_a_printed_script_needs_consent_too(waiting: Path) -> None:
    before = snapshot(waiting)
    refused = tool("sign", AIKEN, "--print", directory=waiting)
    assert (refused.code, refused.output) == (1, "")
    assert "which nobody has allowed" in refused.messages
    assert snapshot(waiting) == before
