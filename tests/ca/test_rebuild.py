"""`repair` rebuilds an index that is lost together with its `.old`, from newcerts/ and the CRL, and marks it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.support import HOSTS, done, index_rows, plain_request, refusal, shell, snapshot, tool

AIKEN, MARGARET, _ = HOSTS
INDEX, CRL = "database-ca.index", "crl/database-ca.crl"
REBUILT = {"rebuilt"}


@pytest.fixture
def busy(fleet: Path, environment: dict[str, str], keys: Path) -> Path:
    """A CA with valid, renewed and revoked certificates, a canary, and a certificate of its own that was replaced."""
    plain_request(fleet, "new.example.net", keys / "host.key.pem")
    for command in (
        ("sign", "new.example.net", "--yes"),
        ("crl", "--canary"),
        ("renew", MARGARET, "--yes"),
        ("revoke", "new.example.net", "--reason", "affiliationChanged", "--yes"),
        ("init", "--renew"),
    ):
        done(*command, directory=fleet, environment=environment)
    return fleet


def lose(ca: Path) -> list[list[str]]:
    """Remove the index and its copy; returns the rows that it had."""
    rows = index_rows(ca)
    (ca / INDEX).unlink()
    (ca / f"{INDEX}.old").unlink()
    return rows


def codes(ca: Path) -> dict[str, str]:
    found = tool("check", "--deep", "--json", directory=ca).document["findings"]
    return {one["code"]: one["fix"] for one in found}


@pytest.mark.parametrize("empty", [False, True])
def test_it_has_the_same_rows_each_marked(busy: Path, environment: dict[str, str], empty: bool) -> None:
    before = lose(busy)
    if empty:
        (busy / INDEX).touch()
    assert "dbca-openssl repair rebuild it" in codes(busy)["index" if empty else "missing"]
    done("repair", "--yes", directory=busy)
    after = index_rows(busy)
    assert {row[4] for row in after} == REBUILT
    assert [row[:4] + row[5:] for row in after] == [row[:4] + row[5:] for row in before]
    assert codes(busy).keys() == REBUILT
    crl = (busy / CRL).read_bytes()
    done("crl", directory=busy, environment=environment)
    done("renew", AIKEN, "--yes", directory=busy, environment=environment)
    assert (busy / CRL).read_bytes() != crl
    assert codes(busy).keys() == REBUILT
    fix = re.sub(r".*then: ", "", codes(busy)["rebuilt"])
    assert shell(fix, busy).code == 0
    assert tool("check", "--deep", directory=busy).output == "OK: 0 findings\n"


def test_a_revocation_without_a_certificate_is_kept(busy: Path, environment: dict[str, str]) -> None:
    (serial,) = [row[3] for row in lose(busy) if "affiliationChanged" in row[2]]
    (busy / f"newcerts/{serial}.pem").unlink()
    done("repair", "--yes", directory=busy)
    (row,) = [row for row in index_rows(busy) if row[3] == serial]
    assert (row[0], row[2].split(",")[1], row[5]) == ("R", "affiliationChanged", "/CN=unknown")
    done("crl", directory=busy, environment=environment)
    assert codes(busy).keys() == {"rebuilt", "no-copy"}


def test_an_older_one_of_a_name_was_revoked(fleet: Path, environment: dict[str, str]) -> None:
    done("renew", MARGARET, "--no-crl", "--yes", directory=fleet, environment=environment)
    before = lose(fleet)
    done("repair", "--yes", directory=fleet)
    after = index_rows(fleet)
    assert [(row[0], row[3], row[2][13:]) for row in after] == [(row[0], row[3], row[2][13:]) for row in before]
    assert codes(fleet)["crl"].endswith(
        "then dbca-openssl crl, then deploy again"
    )  # it does not have that revocation yet


@pytest.mark.parametrize("why", ["no CRL", "a CRL of another CA", "no newcerts"])
def test_what_is_not_known_is_not_made_up(fleet: Path, environment: dict[str, str], why: str, tmp_path: Path) -> None:
    lose(fleet)
    if why == "no newcerts":
        for path in (fleet / "newcerts").iterdir():
            path.unlink()
    elif why == "no CRL":
        (fleet / CRL).unlink()
    else:
        done("init", "-o", "Lab", "--no-passphrase", "--bits", "2048", "--ca", tmp_path / "lab", directory=tmp_path)
        (fleet / CRL).write_bytes((tmp_path / "lab" / CRL).read_bytes())
    before = snapshot(fleet, without=(".lock",))
    done("repair", "--yes", directory=fleet)
    assert snapshot(fleet, without=(".lock",)) == before
    assert INDEX in refusal(tool("crl", directory=fleet, environment=environment))
