"""`passphrase`: the same key under another pass phrase, or nothing at all is changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tools.support import PASSPHRASE, done, openssl, refusal, run, snapshot, tool
from tools.terminal import typed

KEY = "private/database-ca.key.pem"
NEW = "a new pass phrase"
OLD_PROMPT, NEW_PROMPT, AGAIN = "Pass phrase of the CA key: ", "New pass phrase of the CA key: ", "The same once more: "


def phrase(directory: Path, secret: str = NEW, name: str = "new") -> Path:
    path = directory / name
    path.write_text(f"{secret}\n")
    path.chmod(0o600)
    return path


def opens(ca: Path, secret: str) -> bool:
    """Whether openssl opens the CA key with a pass phrase, and it is the key of the CA certificate."""
    key = run("openssl", "pkey", "-in", KEY, "-pubout", "-passin", f"pass:{secret}", directory=ca)
    return key.output == openssl("x509", "-in", "database-ca.cert.pem", "-noout", "-pubkey", directory=ca)


def test_the_key_opens_with_the_new_one_only(ca: Path, environment: dict[str, str]) -> None:
    before = snapshot(ca, without=(".lock",))
    new = phrase(ca.parent)
    changed = done("passphrase", "--new-passphrase-file", new, "--json", directory=ca, environment=environment)
    assert changed.document == {"key": KEY}
    after = snapshot(ca, without=(".lock",))
    assert {name for name in before if before[name] != after[name]} == {KEY}
    assert after.keys() == before.keys()
    assert after[KEY][0] == "0o600"
    assert opens(ca, NEW)
    assert not opens(ca, PASSPHRASE)
    done("crl", "--passphrase-file", new, directory=ca)


def test_of_both_from_descriptors_none_is_seen(ca: Path) -> None:
    ends = []
    for secret in (PASSPHRASE, NEW):
        reading, writing = os.pipe()
        os.write(writing, f"{secret}\n".encode())
        os.close(writing)
        ends.append(reading)
    options = ("--passphrase-fd", str(ends[0]), "--new-passphrase-fd", str(ends[1]))
    done("passphrase", *options, directory=ca, pass_fds=ends)
    assert opens(ca, NEW)


def test_it_asks_for_the_old_one_once_and_for_the_new_one_twice(ca: Path) -> None:
    answers = [(OLD_PROMPT, f"{PASSPHRASE}\n"), (NEW_PROMPT, f"{NEW}\n"), (AGAIN, f"{NEW}\n")]
    finished = typed("passphrase", answers=answers, directory=ca)
    assert finished.code == 0, finished.output
    assert PASSPHRASE not in finished.output
    assert NEW not in finished.output
    assert opens(ca, NEW)


@pytest.mark.parametrize(("length", "following"), [(1023, 1023), (1022, 4), (1023, 4), (4, 1023)])
def test_the_longest_are_told_apart(ca: Path, environment: dict[str, str], length: int, following: int) -> None:
    first, second = phrase(ca.parent, "a" * length, "first"), phrase(ca.parent, "b" * following, "second")
    done("passphrase", "--new-passphrase-file", first, directory=ca, environment=environment)
    done("passphrase", "--passphrase-file", first, "--new-passphrase-file", second, directory=ca)
    assert opens(ca, "b" * following)


def test_a_key_that_is_not_encrypted_gets_one(ca: Path, keys: Path) -> None:
    shutil.copy(keys / "plain-ca.key.pem", ca / KEY)
    done("passphrase", "--new-passphrase-file", phrase(ca.parent), directory=ca)
    assert "BEGIN ENCRYPTED PRIVATE KEY" in (ca / KEY).read_text()
    assert (ca / KEY).stat().st_mode & 0o777 == 0o600
    assert opens(ca, NEW)


def test_what_cannot_be_is_refused_and_nothing_is_changed(ca: Path, keys: Path, environment: dict[str, str]) -> None:
    wrong, new = phrase(ca.parent, "not the pass phrase", "wrong"), phrase(ca.parent)
    cases = (
        (("--passphrase-file", wrong, "--new-passphrase-file", new), "the pass phrase is wrong"),
        (("--new-passphrase-file", keys / "phrase"), "the new pass phrase is the old one"),
        (("--new-passphrase-file", keys / "phrase", "--print"), "the new pass phrase is the old one"),
        (("--new-passphrase-file", phrase(ca.parent, "", "none")), "a pass phrase has 4 to 1023 bytes"),
        ((), "there is no terminal to ask for the new pass phrase at"),
    )
    for options, why in cases:
        before = snapshot(ca, without=(".lock",))
        assert refusal(tool("passphrase", *options, directory=ca, environment=environment)) == why
        assert snapshot(ca, without=(".lock",)) == before
    answers = [(NEW_PROMPT, f"{NEW}\n"), (AGAIN, "another\n")]
    refused = typed("passphrase", answers=answers, directory=ca, environment=environment)
    assert "the two pass phrases are not the same" in refused.output
    assert snapshot(ca, without=(".lock",)) == before


def test_a_key_of_another_ca_stays_as_it_is(ca: Path, keys: Path) -> None:
    shutil.copy(keys / "host.key.pem", ca / KEY)
    before = snapshot(ca, without=(".lock",))
    options = ("passphrase", "--new-passphrase-file", phrase(ca.parent))
    script = done(*options, "--print", directory=ca).output
    for refused in (tool(*options, directory=ca), run("sh", "-c", script, directory=ca)):
        assert refused.code == 1
        assert "the CA certificate" in refused.messages or "is not the key of" in refused.messages
        assert snapshot(ca, without=(".lock",)) == before


@pytest.mark.parametrize("encrypted", [True, False])
def test_the_script_does_the_same(ca: Path, keys: Path, encrypted: bool) -> None:
    if not encrypted:
        shutil.copy(keys / "plain-ca.key.pem", ca / KEY)
    before = snapshot(ca)
    options = ("--passphrase-file", keys / "phrase", "--new-passphrase-file", phrase(ca.parent))
    script = done("passphrase", *options, "--print", directory=ca).output
    assert snapshot(ca) == before
    finished = run("dash", "-c", script, directory=ca.parent)
    assert finished.code == 0, finished.messages
    after = snapshot(ca)
    assert {name for name in after if before.get(name) != after[name]} == {KEY}
    assert after.keys() == before.keys()
    assert after[KEY][0] == "0o600"
    assert opens(ca, NEW)
    assert not opens(ca, PASSPHRASE)
