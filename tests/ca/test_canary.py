"""The canary: signed and revoked with each CRL, in one transaction, and never valid."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tools.support import done, index_rows, openssl, shell, snapshot, tool

NAME = "dbca-canary"
KEY = f"private/{NAME}.key.pem"


def revoked(ca: Path) -> list[str]:
    """The serials of its certificates in the index, all of which must be revoked, and in the CRL."""
    rows = [row for row in index_rows(ca) if row[5] == f"/CN={NAME}"]
    assert {row[0] for row in rows} <= {"R"}
    text = openssl("crl", "-in", "crl/database-ca.crl", "-noout", "-text", directory=ca)
    assert all(f"Serial Number: {row[3]}\n" in text for row in rows)
    return [row[3] for row in rows]


def refusal_of(ca: Path) -> str:
    """Why openssl, as a server would, refuses its certificate."""
    return shell(
        f"openssl verify -crl_check -CAfile database-ca.cert.pem -CRLfile crl/database-ca.crl certs/{NAME}.cert.pem",
        directory=ca,
    ).messages


def test_each_crl_revokes_it_anew_with_the_same_key(fleet: Path, environment: dict[str, str]) -> None:
    done("crl", directory=fleet, environment=environment)
    assert revoked(fleet) == []
    done("crl", "--canary", directory=fleet, environment=environment)
    first = revoked(fleet)
    assert len(first) == 1
    assert stat.S_IMODE((fleet / KEY).stat().st_mode) == 0o600
    key = (fleet / KEY).read_bytes()
    assert b"BEGIN PRIVATE KEY" in key
    assert "certificate revoked" in refusal_of(fleet)
    for number, verb in enumerate((("crl",), ("crl", "--canary"), ("revoke", "01", "--yes")), 2):
        done(*verb, directory=fleet, environment=environment)
        assert len(revoked(fleet)) == number, verb
        assert "certificate revoked" in refusal_of(fleet)
    assert (fleet / KEY).read_bytes() == key
    assert tool("check", directory=fleet, environment=environment).code == 0


def test_a_crl_that_fails_leaves_none(ca: Path, environment: dict[str, str], tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("not the pass phrase\n")
    wrong.chmod(0o600)
    before = snapshot(ca, without=(".lock",))
    refused = tool("crl", "--canary", "--passphrase-file", wrong, directory=ca, environment=environment)
    assert refused.code == 1
    assert "the pass phrase is wrong" in refused.messages
    assert snapshot(ca, without=(".lock",)) == before


@pytest.mark.parametrize("kept", [False, True], ids=["the first", "another"])
def test_the_printed_script_does_the_same(ca: Path, kept: bool, environment: dict[str, str]) -> None:
    if kept:
        done("crl", "--canary", directory=ca, environment=environment)
    script = done("crl", "--canary", "--print", directory=ca, environment=environment).output
    ran = shell(script, directory=ca)
    assert ran.code == 0, ran.messages
    assert len(revoked(ca)) == 1 + kept
    assert "certificate revoked" in refusal_of(ca)
    done("crl", directory=ca, environment=environment)
    assert len(revoked(ca)) == 2 + kept
