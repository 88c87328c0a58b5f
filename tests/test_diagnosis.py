"""What openssl's complaints mean: by the texts that four versions wrote, and by failures of the one that is here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbca_openssl import diagnosis
from dbca_openssl.diagnosis import REPAIR
from tools.support import WRONG_PASSPHRASES, MakeRequest, snapshot, tool

SAYS = Path(__file__).parent / "tools/openssl_says"
"""What OpenSSL 1.1.1w, 3.0.19, 3.5.9 and 4.0.3 wrote to stderr, by what was wrong; without addresses and dots."""

PASS_PHRASE = "the pass phrase is wrong"
NO_KEY = "the private key cannot be read: a wrong pass phrase, or not a key"
NO_REQUEST = "that is not a certificate request"
NO_CERTIFICATE = "a certificate cannot be read"
INDEX = "the index of the CA is damaged"
AGAIN = "nothing was changed; run it again with the right one"
SERIAL = "the serial file of the CA is damaged"
CRL_NUMBER = "the file with the number of the CRL is damaged"
CONFIGURATION = "openssl cannot use the configuration file"
DENIED = "permission denied"

MEANINGS = {
    "success": None,
    "crl-success": None,
    "already-valid": "there is a valid certificate with that name already",
    "serial-taken": f"{SERIAL}: its serial is used already",
    "wrong-phrase": PASS_PHRASE,
    "wrong-phrase-req": PASS_PHRASE,
    "wrong-phrase-traditional": PASS_PHRASE,
    "no-phrase": "the key needs a pass phrase, and openssl got none",
    "empty-request": NO_REQUEST,
    "junk-request": NO_REQUEST,
    "certificate-for-request": NO_REQUEST,
    "missing-request": NO_REQUEST,
    "badsig": "the signature of the request does not match its key",
    "index-blank": INDEX,
    "index-short": INDEX,
    "index-twice": INDEX,
    "index-missing": INDEX,
    "index-date": INDEX,
    "index-serial": INDEX,
    "serial-empty": SERIAL,
    "serial-odd": SERIAL,
    "serial-junk": SERIAL,
    "serial-missing": SERIAL,
    "crlnum-junk": CRL_NUMBER,
    "crlnum-missing": CRL_NUMBER,
    "key-junk": NO_KEY,
    "key-missing": NO_KEY,
    "dir-nowhere": NO_KEY,
    "key-other": "the CA key does not belong to the CA certificate",
    "cert-junk": NO_CERTIFICATE,
    "cert-missing": NO_CERTIFICATE,
    "crl-junk": "the CRL cannot be read",
    "policy-more": "the policy of the CA requires more than the request has",
    "ext-bad": CONFIGURATION,
    "ext-missing": CONFIGURATION,
    "ext-section": CONFIGURATION,
    "policy-missing": CONFIGURATION,
    "policy-junk": CONFIGURATION,
    "config-syntax": CONFIGURATION,
    "config-variable": CONFIGURATION,
    "config-no-database": CONFIGURATION,
    "config-no-md": CONFIGURATION,
    "config-missing": CONFIGURATION,
    "days-junk": CONFIGURATION,
    "req-no-dn": CONFIGURATION,
    "req-env": CONFIGURATION,
    "permission-index": DENIED,
    "permission-key": DENIED,
    "permission-dir": DENIED,
    "readonly-sign": "the file system is read-only",
}

SILENT = {("1.1.1", case) for case in ("index-blank", "index-short", "index-missing", "missing-request")}
"""Where 1.1.1 says nothing of its own; the tool looks at index and request before openssl does."""


def _said() -> Iterator[tuple[str, str, str]]:
    for path in sorted(SAYS.glob("*.txt")):
        for part in path.read_text().split("== ")[1:]:
            case, _, text = part.partition("\n")
            yield path.stem, case, text


@pytest.mark.parametrize(("version", "case", "text"), [pytest.param(*one, id="-".join(one[:2])) for one in _said()])
def test_a_text_of_openssl_means_one_thing(version: str, case: str, text: str) -> None:
    problem = diagnosis.said(text)
    if (version, case) in SILENT:
        assert problem is None
        return
    assert (problem and problem.message) == MEANINGS[case]
    assert problem is None or problem.detail == text


def test_every_version_has_every_text() -> None:
    cases = [(version, case) for version, case, _ in _said()]
    assert len(cases) == len(set(cases))
    assert set(cases) == {(version, case) for version in ("1.1.1", "3.0", "3.5", "4.0") for case in MEANINGS}


@pytest.mark.parametrize("error", ["No space left on device", "Disk quota exceeded"])
def test_a_full_disk(error: str) -> None:
    text = f"error:8000001C:system library:BIO_new_file:{error}:../crypto/bio/bss_file.c:67:calling fopen(x, w)\n"
    problem = diagnosis.said(text)
    assert problem is not None and problem.message == "the disk is full"


def _refused(ca: Path, *arguments: str | Path, environment: dict[str, str]) -> list[str]:
    """The lines of a refusal that changed nothing, without what was asked."""
    before = snapshot(ca, without=(".lock",))
    refused = tool(*arguments, directory=ca, environment=environment)
    assert (refused.code, refused.output) == (1, "")
    assert snapshot(ca, without=(".lock",)) == before
    return [line for line in refused.messages.splitlines() if line.startswith(("dbca-openssl: ", "hint: "))]


SIGN = ("sign", "aiken.example.net", "--yes")


@pytest.fixture
def waiting(ca: Path, make_request: MakeRequest) -> Path:
    """An authority with a request that waits to be signed."""
    make_request("aiken.example.net", to=ca / "certreqs")
    return ca


def test_a_number_that_is_taken(waiting: Path, environment: dict[str, str]) -> None:
    (waiting / "database-ca.serial").write_text("00\n")
    complaint, hint = _refused(waiting, *SIGN, environment=environment)
    assert complaint == "dbca-openssl: database-ca.serial is damaged: 00 is used already"
    assert hint == f"hint: {REPAIR}"


@pytest.mark.parametrize("text", ["", "0\n", "xyz\n", "0 1\n"])
def test_a_serial_file_that_is_damaged(text: str, waiting: Path, environment: dict[str, str]) -> None:
    (waiting / "database-ca.serial").write_text(text)
    complaint, hint = _refused(waiting, *SIGN, environment=environment)
    assert complaint == f"dbca-openssl: database-ca.serial is damaged: {text.strip()!r} is not a number in hex"
    assert hint == f"hint: {REPAIR}"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "\n",
        lambda text: text + "V\tx\n",
        lambda text: text[:-1],
        lambda text: text.replace("V", "X", 1),
    ],
    ids=["a blank line", "a short line", "no end of the last line", "an unknown state"],
)
def test_an_index_that_is_damaged(change: Callable[[str], str], waiting: Path, environment: dict[str, str]) -> None:
    path = waiting / "database-ca.index"
    path.write_text(change(path.read_text()))
    complaint, hint = _refused(waiting, *SIGN, environment=environment)
    assert complaint.startswith(f"dbca-openssl: {INDEX}: ")
    assert hint == f"hint: {REPAIR}"


def test_an_index_with_a_row_twice(waiting: Path, environment: dict[str, str]) -> None:
    path = waiting / "database-ca.index"
    path.write_text(path.read_text() * 2)
    assert _refused(waiting, *SIGN, environment=environment)[0] == f"dbca-openssl: {INDEX}"


def test_a_key_of_another_pair(waiting: Path, keys: Path, environment: dict[str, str]) -> None:
    shutil.copy(keys / "host.key.pem", waiting / "private/database-ca.key.pem")
    complaint, hint = _refused(waiting, *SIGN, environment=environment)
    assert complaint == "dbca-openssl: the CA key does not belong to the CA certificate"
    assert "must be a pair" in hint


def test_a_key_that_is_none(waiting: Path, environment: dict[str, str]) -> None:
    (waiting / "private/database-ca.key.pem").write_text("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")
    assert _refused(waiting, *SIGN, environment=environment) == [
        f"dbca-openssl: {NO_KEY}",
        "hint: to see why: openssl pkey -noout -in KEY",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [("CA:FALSE", "CA:MAYBE"), ("[ cert_policy ]", "[ cert_politics ]"), ("default_md  ", "# "), ("# EOF", "junk")],
)
def test_a_configuration_that_is_damaged(old: str, new: str, waiting: Path, environment: dict[str, str]) -> None:
    path = waiting / "database-ca.cnf"
    path.write_text(path.read_text().replace(old, new))
    complaint, hint = _refused(waiting, *SIGN, environment=environment)
    assert complaint == f"dbca-openssl: {CONFIGURATION}"
    assert hint == "hint: compare it with the output of: dbca-openssl render"


def test_a_policy_that_asks_for_more(waiting: Path, environment: dict[str, str]) -> None:
    path = waiting / "database-ca.cnf"
    path.write_text(path.read_text().replace("[ cert_policy ]", "[ cert_policy ]\norganizationName = supplied"))
    complaint, _ = _refused(waiting, *SIGN, environment=environment)
    assert complaint == "dbca-openssl: the policy of the CA requires more than the request has"


@pytest.mark.parametrize("arguments", [SIGN, ("crl",)], ids=["sign", "crl"])
def test_an_openssl_that_can_write_nothing(
    arguments: tuple[str, ...], waiting: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """As on a full disk: every write fails, openssl says nothing, and exits 0."""
    program = tmp_path / "full-openssl"
    program.write_text('#!/bin/sh\ntrap \'\' XFSZ\n[ "$1" != ca ] || ulimit -f 0\nexec openssl "$@"\n')
    program.chmod(0o755)
    complaint, hint = _refused(waiting, *arguments, "--openssl", program, environment=environment)
    assert complaint.startswith("dbca-openssl: openssl did not write all of ")
    assert hint.startswith("hint: is the disk, or a quota on it, full?")


def test_openssls_own_text_is_shown_with_verbose_only(waiting: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text(f"{WRONG_PASSPHRASES[0]}\n")
    wrong.chmod(0o600)
    arguments = (*SIGN, "--passphrase-file", wrong)
    short = tool(*arguments, directory=waiting)
    assert "bad decrypt" not in short.messages
    assert short.messages.endswith(f"dbca-openssl: {PASS_PHRASE}\nhint: {AGAIN}\n")
    long = tool(*arguments, "--verbose", directory=waiting)
    assert f"dbca-openssl: {PASS_PHRASE}\n" in long.messages
    assert "Using configuration from ./database-ca.cnf" in long.messages and "bad decrypt" in long.messages
    document = tool(*arguments, "--json", directory=waiting).document
    assert document == {"error": PASS_PHRASE, "hints": [AGAIN]}
    assert "bad decrypt" in tool(*arguments, "--json", "--verbose", directory=waiting).document["openssl"]
