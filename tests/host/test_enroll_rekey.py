"""`enroll --rekey`: a new pair beside the old one, switched once its certificate is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from host.conftest import Reach
from tools.agreement import require_agreement
from tools.ssh_hosts import MYSQL, Fleet
from tools.support import HOSTS, done

AIKEN, MARGARET, GANNIBAL = HOSTS
QUICK = ("--bits", "2048")


def test_rekey_makes_a_new_pair_and_supersedes_the_certificate(ca: Path, fleet: Fleet, reach: Reach) -> None:
    aiken, margaret = fleet.start(AIKEN, MARGARET)
    assert reach("enroll", AIKEN, *QUICK, "--owner", "mysql").code == 0
    names = (f"private/{AIKEN}.key.pem", f"{AIKEN}.req.pem", f"{AIKEN}.cert.pem")
    older = [(aiken.ssl / name).read_bytes() for name in names]
    rekeyed = reach("enroll", AIKEN, MARGARET, *QUICK, "--rekey", "--json")
    assert rekeyed.code == 0, rekeyed.output
    assert [host["state"] for host in rekeyed.document["hosts"]] == ["rekeyed", "enrolled"]
    require_agreement(ca, [aiken, margaret])
    assert [(aiken.ssl / f"{name}.old").read_bytes() for name in names] == older
    assert not {(aiken.ssl / name).read_bytes() for name in names} & set(older)
    assert aiken.mode(names[0]) == ("-rw-r-----", 0, MYSQL)
    assert not (aiken.ssl / f".rekey.{AIKEN}").exists()
    rows = done("list", "--json", directory=ca).document["certificates"]
    assert [(row["name"], row["status"], row["reason"]) for row in rows] == [
        (AIKEN, "revoked", "superseded"),
        (AIKEN, "valid", None),
        (MARGARET, "valid", None),
    ]


@pytest.mark.parametrize(
    "moment",
    ["req -new", "req -in .rekey.*", "dgst", "x509 -in .dbca.* -noout"],
    ids=["while the key is made", "before the request is told", "while files are staged", "before the switch"],
)
def test_a_rekey_that_was_cut_short_is_taken_up(ca: Path, fleet: Fleet, reach: Reach, moment: str) -> None:
    (aiken,) = fleet.start(AIKEN)
    assert reach("enroll", AIKEN, *QUICK).code == 0
    older = {str(path.relative_to(aiken.ssl)): path.read_bytes() for path in aiken.ssl.rglob("*.pem")}
    with fleet.crashing(aiken, moment):
        assert reach("enroll", AIKEN, *QUICK, "--rekey").code == 1
    aiken = fleet.restart(aiken)
    assert {name: (aiken.ssl / name).read_bytes() for name in older} == older
    again = reach("enroll", AIKEN, *QUICK, "--rekey")
    assert again.code == 0, again.messages
    assert (aiken.ssl / f"private/{AIKEN}.key.pem").read_bytes() != older[f"private/{AIKEN}.key.pem"]
    require_agreement(ca, [aiken])


def test_a_switch_that_was_cut_short_is_finished(ca: Path, fleet: Fleet, reach: Reach) -> None:
    (aiken,) = fleet.start(AIKEN)
    assert reach("enroll", AIKEN, *QUICK).code == 0
    assert reach("enroll", AIKEN, *QUICK, "--rekey").code == 0
    key, certificate = aiken.ssl / f"private/{AIKEN}.key.pem", aiken.ssl / f"{AIKEN}.cert.pem"
    new, waiting = certificate.read_bytes(), aiken.ssl / f".rekey.{AIKEN}"
    for switched in (False, True):  # the key, and what comes after it
        (waiting / "private").mkdir(parents=True)
        (waiting / certificate.name).write_bytes(new)
        certificate.write_bytes((aiken.ssl / f"{certificate.name}.old").read_bytes())
        if not switched:
            key.rename(waiting / f"private/{key.name}")
            key.write_bytes((aiken.ssl / f"private/{key.name}.old").read_bytes())
        finished = reach("enroll", AIKEN, *QUICK)
        assert finished.code == 0, finished.messages
        assert "left alone" in finished.output
        require_agreement(ca, [aiken])
        assert not waiting.exists()
