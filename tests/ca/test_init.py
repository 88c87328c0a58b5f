"""`init` at a terminal asks for what is missing; elsewhere nothing asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from dbca_openssl.passphrase import Passphrase
from tools.support import PASSPHRASE, done, openssl
from tools.terminal import INTERRUPT, typed

ORGANIZATION, PHRASE, AGAIN = "The organization that runs the CA: ", "Pass phrase of the CA key: ", "once more: "
INIT = ("init", "--bits", "2048")


def test_it_asks_for_what_is_missing(tmp_path: Path) -> None:
    answers = [(ORGANIZATION, " Müller & Söhne \n"), (PHRASE, f"{PASSPHRASE}\n"), (AGAIN, f"{PASSPHRASE}\n")]
    finished = typed(*INIT, answers=answers, directory=tmp_path)
    assert finished.code == 0, finished.output
    assert "by its length the pass phrase is fair; five random words are strong\n" in finished.output
    assert PASSPHRASE not in finished.output
    certificate = tmp_path / "database-ca/database-ca.cert.pem"
    named = openssl(
        "x509", "-in", certificate, "-noout", "-subject", "-nameopt", "utf8,sep_multiline", directory=tmp_path
    )
    assert "O=Müller & Söhne\n" in named


@pytest.mark.parametrize(
    ("answers", "code", "message"),
    [
        ([(ORGANIZATION, "\n")], 1, "dbca-openssl: "),
        ([(ORGANIZATION, b"M\xfcller\n")], 1, "dbca-openssl: "),
        ([(ORGANIZATION, INTERRUPT)], 130, ""),
        ([(ORGANIZATION, "Lab\n"), (PHRASE, "abc\n")], 1, "a pass phrase has 4 to 1023 bytes"),
        ([(ORGANIZATION, "Lab\n"), (PHRASE, "abcd\n"), (AGAIN, "abce\n")], 1, "the two pass phrases are not the same"),
        ([(ORGANIZATION, "Lab\n"), (PHRASE, "abcd\n"), (AGAIN, INTERRUPT)], 130, "the pass phrase is weak; "),
    ],
    ids=["empty", "no text", "interrupted", "short", "not the same", "interrupted later"],
)
def test_a_wrong_answer_makes_nothing(
    answers: list[tuple[str, str | bytes]], code: int, message: str, tmp_path: Path
) -> None:
    finished = typed(*INIT, answers=answers, directory=tmp_path)
    assert finished.code == code
    assert message in finished.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--yes", "--json"])
def test_it_does_not_ask_where_nobody_is_to_be_asked(option: str, tmp_path: Path) -> None:
    finished = typed(*INIT, option, answers=[], directory=tmp_path)
    assert finished.code == 2
    assert "missing option --organization" in finished.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("phrase", "strength"),
    [
        ("elevenchars", "weak"),
        ("a" * 40, "weak"),
        ("twelve chars", "fair"),
        ("nineteen characters", "fair"),
        ("twenty characters...", "strong"),
        ("Ж" * 19, "weak"),
    ],
)
def test_the_word_on_a_pass_phrase_is_by_its_length(phrase: str, strength: str) -> None:
    assert Passphrase(phrase.encode()).strength() == strength


def test_what_is_next_is_what_the_bare_command_says(keys: Path, tmp_path: Path) -> None:
    for options, words in (
        (("--passphrase-file", keys / "phrase"), ["backup", "enroll", "request", "sign"]),
        (("--no-passphrase", "--ca", "other"), ["enroll", "request", "sign"]),
    ):
        made = done("init", "-o", "Lab", "--bits", "2048", *options, directory=tmp_path).output
        following = made.partition("next:\n")[2]
        assert [line.split()[1] for line in following.splitlines()] == words
        assert done(*options[1:][:2] if "other" in options else (), directory=tmp_path).output.endswith(following)
