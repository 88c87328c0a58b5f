"""`enroll` where a host is down, dies in the middle, has a full disk, takes too long, or is another machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from host.conftest import Reach
from tools.agreement import on_hosts, require_agreement
from tools.ssh_hosts import Fleet
from tools.support import HOSTS, snapshot

AIKEN, MARGARET, GANNIBAL = HOSTS
QUICK = ("--bits", "2048")


def test_a_host_that_is_down_is_named_and_the_others_go_on(ca: Path, fleet: Fleet, reach: Reach) -> None:
    aiken, margaret, gannibal = fleet.start(*HOSTS)
    margaret.crash()
    enrolled = reach("enroll", *HOSTS, *QUICK)
    assert enrolled.code == 1
    assert f"dbca-openssl: {MARGARET}: connection refused" in enrolled.messages.splitlines()
    assert [line.split()[:2] for line in enrolled.output.splitlines()[1:4]] == [
        [AIKEN, "enrolled"],
        [MARGARET, "failed"],
        [GANNIBAL, "enrolled"],
    ]
    require_agreement(ca, [aiken, gannibal])
    margaret = fleet.restart(margaret)
    assert reach("enroll", *HOSTS, *QUICK).code == 0
    require_agreement(ca, [aiken, margaret, gannibal])


@pytest.mark.slow
def test_a_full_disk_on_one_host(ca: Path, fleet: Fleet, reach: Reach) -> None:
    (aiken,) = fleet.start(AIKEN)
    (full,) = fleet.start(MARGARET, size="64k")
    full.fill()
    before = snapshot(full.ssl)
    enrolled = reach("enroll", AIKEN, MARGARET, *QUICK)
    assert enrolled.code == 1
    assert f"dbca-openssl: {MARGARET}: the disk is full" in enrolled.messages
    assert snapshot(full.ssl) == before
    require_agreement(ca, [aiken])

    # there is room for the pair, but not for what is delivered
    assert reach("enroll", MARGARET, *QUICK, environment={"DBCA_PASSPHRASE_FILE": "/nowhere"}).code == 1
    (full.ssl / "filler").unlink()
    assert reach("enroll", MARGARET, *QUICK, environment={}).code == 1  # nobody to ask for the pass phrase
    assert not list(full.ssl.iterdir())
    assert reach("enroll", MARGARET, *QUICK).code == 0
    require_agreement(ca, [aiken, full])
    (full.ssl / f"{MARGARET}.cert.pem").unlink()
    (full.ssl / "database-ca.crl").write_text("an old one\n")
    full.fill()
    before = snapshot(full.ssl)
    delivered = reach("deploy", MARGARET)
    assert delivered.code == 1
    assert f"dbca-openssl: {MARGARET}: the disk is full" in delivered.messages
    assert snapshot(full.ssl) == before
    (full.ssl / "filler").unlink()
    assert reach("deploy", MARGARET).code == 0
    require_agreement(ca, [full])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "signed"),
    [
        ("req -new", False),
        ("req -in aiken.example.net.req.pem", False),
        ("dgst", True),
        ("x509 -in .dbca.* -noout", True),
    ],
    ids=["while the key is made", "before the request is told", "while files are staged", "before they are in place"],
)
def test_a_host_that_dies_in_the_middle(ca: Path, fleet: Fleet, reach: Reach, moment: str, signed: bool) -> None:
    aiken, margaret = fleet.start(AIKEN, MARGARET)
    with fleet.crashing(aiken, moment):
        enrolled = reach("enroll", AIKEN, MARGARET, *QUICK)
    assert enrolled.code == 1
    assert f"dbca-openssl: {AIKEN}: connection closed" in enrolled.messages
    require_agreement(ca, [margaret])
    assert (ca / f"certs/{AIKEN}.cert.pem").exists() == signed
    aiken = fleet.restart(aiken)
    key = aiken.ssl / f"private/{AIKEN}.key.pem"
    there = key.read_bytes() if key.exists() else None
    again = reach("enroll", AIKEN, MARGARET, *QUICK)
    assert again.code == 0, again.messages
    assert there is None or key.read_bytes() == there
    require_agreement(ca, [aiken, margaret])


@pytest.mark.slow
def test_a_connection_that_takes_too_long_and_a_host_that_goes_on(ca: Path, fleet: Fleet, reach: Reach) -> None:
    (aiken,) = fleet.start(AIKEN)
    fleet.delay(aiken, "req -new", seconds=3)
    enrolled = reach("enroll", AIKEN, *QUICK, "--timeout", "1")
    assert enrolled.code == 1
    assert f"dbca-openssl: {AIKEN}: timed out" in enrolled.messages
    assert reach("enroll", AIKEN, *QUICK).code == 0
    require_agreement(ca, [aiken])


@pytest.mark.slow
def test_a_wrong_host_key_is_refused_before_anything_is_sent(ca: Path, fleet: Fleet, reach: Reach) -> None:
    (aiken,) = fleet.start(AIKEN)
    known = fleet.known_hosts.read_text()
    other = (fleet.directory / "administrator.pub").read_text()
    before, here = on_hosts([aiken]), snapshot(ca)
    for text, message in (
        (f"[127.0.0.1]:{aiken.port} {other}", "host key changed"),
        ("", "host key not known"),
    ):
        fleet.known_hosts.write_text(text)
        for verb in (("enroll", *QUICK), ("deploy",), ("fetch",)):
            refused = reach(*verb, AIKEN)
            assert refused.code == 1
            assert f"dbca-openssl: {AIKEN}: {message}" in refused.messages.splitlines()
        assert fleet.known_hosts.read_text() == text
    assert on_hosts([aiken]) == before
    assert snapshot(ca, without=(".lock",)) == here
    fleet.known_hosts.write_text(known)
    assert reach("enroll", AIKEN, *QUICK).code == 0
