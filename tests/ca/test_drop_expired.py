"""`crl --drop-expired`: what had expired before the CRL that is there is left out of the next ones (RFC 5280, 3.3)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tools.support import Finished, done, frozen_tool, openssl, run, snapshot, tool

CRL, INDEX = "crl/database-ca.crl", "database-ca.index"
CHANGED = (".lock", "database-ca.crl", "database-ca.crlnum", "database-ca.crlnum.old", "frozen-openssl")
LATER = datetime.now(UTC) + timedelta(days=600)
"""When the certificates of `fleet` have expired."""


def on_day(number: int, *arguments: str | Path, ca: Path, **more: Any) -> Finished:
    return frozen_tool(f"{LATER + timedelta(days=number):%Y-%m-%d 12:00:00}", *arguments, directory=ca, **more)


def listed(ca: Path) -> set[str]:
    text = openssl("crl", "-in", CRL, "-noout", "-text", directory=ca)
    return {serial for serial in re.findall(r"Serial Number: (\w+)", text) if len(serial) == 2}


def about_the_crl(checked: Finished) -> list[str]:
    return [one["text"] for one in checked.document["findings"] if "crl" in one["code"] or "revocation" in one["code"]]


@pytest.mark.parametrize("size", ["small", "large"])
def test_it_leaves_out_what_was_on_a_crl_after_its_end(fleet: Path, environment: dict[str, str], size: str) -> None:
    if size == "large":
        with open(fleet / INDEX, "a") as index:
            index.writelines(
                f"V\t401231120000Z\t\t{number:06X}\tunknown\t/CN=former{number}.example.net\n"
                for number in range(0x100000, 0x100000 + 16_000)
            )
    done("revoke", "01", "--yes", directory=fleet, environment=environment)
    done("revoke", "02", "--yes", directory=fleet, environment=environment)

    def crl(day: int, *options: str) -> int:
        before = snapshot(fleet, without=CHANGED)
        made = on_day(day, "crl", *options, "--json", ca=fleet, environment=environment)
        assert made.code == 0, made.messages
        assert snapshot(fleet, without=CHANGED) == before
        if size == "small":
            assert about_the_crl(on_day(day, "check", "--json", ca=fleet)) == []
        assert ("give --drop-expired again" in made.messages) == bool(options and not made.document["crl"]["left_out"])
        left_out: int = made.document["crl"]["left_out"]
        return left_out

    # no CRL after their end has had them yet
    assert (crl(0, "--drop-expired"), listed(fleet)) == (0, {"01", "02"})
    assert (crl(1), listed(fleet)) == (0, {"01", "02"})
    assert (crl(2, "--drop-expired"), listed(fleet)) == (2, set())
    assert (crl(3), listed(fleet)) == (2, set())
    # revoked after its end, it is on one CRL all the same
    revoked = on_day(4, "revoke", "03", "--no-crl", "--yes", ca=fleet, environment=environment)
    assert revoked.code == 0, revoked.messages
    text = about_the_crl(on_day(4, "check", "--json", ca=fleet))
    assert len(text) == 1 and text[0].startswith("the CRL does not have gannibal"), text
    assert (crl(5), listed(fleet)) == (2, {"03"})
    assert (crl(6), listed(fleet)) == (3, set())
    rows = (fleet / INDEX).read_text()
    assert re.findall(r"^R\t.*\t(0[123])\t", rows, re.MULTILINE) == ["01", "02", "03"]
    # where it is lost, or made by hand, the next one has all of them again
    (fleet / CRL).unlink()
    assert (crl(7), listed(fleet)) == (0, {"01", "02", "03"})


def test_every_verb_that_makes_a_crl_does_the_same(fleet: Path, environment: dict[str, str]) -> None:
    done("revoke", "01", "--yes", directory=fleet, environment=environment)
    on_day(0, "crl", ca=fleet, environment=environment)
    left_out = on_day(1, "crl", "--drop-expired", "--canary", ca=fleet, environment=environment)
    assert left_out.output.splitlines()[0].endswith(", without 1 expired certificates")
    assert "01" not in listed(fleet)
    renewed = on_day(2, "renew", "margaret.example.net", "--yes", "--json", ca=fleet, environment=environment)
    assert renewed.document["crl"]["left_out"] == 1
    assert re.search(r"^R\t.*\t01\t", (fleet / f"{INDEX}.old").read_text(), re.MULTILINE)
    revoked = on_day(3, "revoke", "margaret.example.net", "--yes", ca=fleet, environment=environment)
    assert revoked.code == 0, revoked.messages
    assert "01" not in listed(fleet)
    assert about_the_crl(on_day(3, "check", "--json", ca=fleet)) == []
    # openssl by hand, and so a printed script, has no such choice
    script = on_day(4, "crl", "--print", ca=fleet, environment=environment)
    assert "has the entries of expired certificates again" in script.messages
    refused = on_day(4, "crl", "--drop-expired", "--print", ca=fleet, environment=environment)
    assert refused.code == 2 and refused.output == ""
    assert "openssl alone lists every revocation of its index" in refused.messages
    (fleet / "crl.sh").write_text(script.output)
    assert run("sh", "crl.sh", directory=fleet, environment=environment).code == 0
    assert "01" in listed(fleet)


def test_a_crl_that_a_wrong_clock_has_dated_drops_nothing_that_is_valid(
    fleet: Path, environment: dict[str, str]
) -> None:
    done("revoke", "01", "--yes", directory=fleet, environment=environment)
    on_day(0, "crl", ca=fleet, environment=environment)
    assert on_day(1, "crl", "--drop-expired", ca=fleet, environment=environment).code == 0
    assert listed(fleet) == set()
    assert about_the_crl(tool("check", "--json", directory=fleet))[0].startswith("the CRL does not have aiken")
    done("crl", "--drop-expired", directory=fleet, environment=environment)
    assert listed(fleet) == {"01"}


def test_the_index_is_rebuilt_without_a_complaint(fleet: Path, environment: dict[str, str]) -> None:
    done("revoke", "01", "--yes", directory=fleet, environment=environment)
    on_day(0, "crl", ca=fleet, environment=environment)
    on_day(1, "crl", "--drop-expired", ca=fleet, environment=environment)
    for name in (INDEX, f"{INDEX}.old"):
        (fleet / name).unlink()
    assert on_day(2, "repair", "--yes", ca=fleet).code == 0
    assert (fleet / INDEX).read_text().count("E\t") == 3
    assert about_the_crl(on_day(2, "check", "--json", ca=fleet)) == []
