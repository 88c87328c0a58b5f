"""`enroll --rekey`: a new pair beside the old one, switched once its certificate is there."""

from __future__ import annotations

import shutil
from itertools import chain, combinations
from pathlib import Path

import pytest

from host.conftest import Reach
from tools.agreement import require_agreement
from tools.ssh_hosts import MYSQL, Fleet, Machine
from tools.support import HOSTS, done, snapshot, tool

AIKEN, MARGARET, GANNIBAL = HOSTS
QUICK = ("--bits", "2048")
PAIR = ("private/{}.key.pem", "{}.req.pem", "{}.cert.pem")
LOST = (*chain.from_iterable(combinations(PAIR, count) for count in (1, 2, 3)), ("private",), (".",))
"""What is missing on a host: of key, request and certificate every part, and whole directories."""


def lose(machine: Machine, names: tuple[str, ...]) -> None:
    """Remove files or directories of a host."""
    for name in names:
        path = machine.ssl / name.format(machine.name)
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.slow
def test_rekey_works_whatever_is_missing_on_the_host(ca: Path, fleet: Fleet, reach: Reach) -> None:
    machines = fleet.start(*(f"host{number}.example.net" for number in range(len(LOST))))
    names = [machine.name for machine in machines]
    assert reach("enroll", *names, *QUICK).code == 0
    before = []
    for machine, lost in zip(machines, LOST, strict=True):
        lose(machine, lost)
        before.append({path.relative_to(machine.ssl): path.read_bytes() for path in machine.ssl.rglob("*.pem")})

    rekeyed = reach("enroll", *names, *QUICK, "--rekey", "--json")
    assert rekeyed.code == 0, rekeyed.output
    assert [host["state"] for host in rekeyed.document["hosts"]] == ["rekeyed"] * len(names)
    require_agreement(ca, machines)
    rows = done("list", "--json", directory=ca).document["certificates"]
    assert [row["reason"] for row in rows] == ["superseded"] * len(names) + [None] * len(names)
    for machine, older in zip(machines, before, strict=True):
        kept = {path.relative_to(machine.ssl): path.read_bytes() for path in machine.ssl.rglob("*.old")}
        shared = Path("database-ca.cert.pem")
        assert kept == {path.with_name(f"{path.name}.old"): older[path] for path in older if path != shared}
        assert machine.mode("private") == ("drwx------", 0, 0)
        assert machine.mode(PAIR[0].format(machine.name)) == ("-rw-------", 0, 0)
        assert (machine.ssl / "openssl.cnf").exists()
        assert not (machine.ssl / f".rekey.{machine.name}").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (PAIR[:1], f"there is /etc/mysql/ssl/{AIKEN}.req.pem, but no key for it"),
        (PAIR[:2], f"there is /etc/mysql/ssl/{AIKEN}.cert.pem, but no key for it"),
        (PAIR, f"{AIKEN} has a valid certificate already: serial 01"),
    ],
)
def test_without_rekey_a_lost_key_is_told_with_the_command_for_it(
    ca: Path, fleet: Fleet, reach: Reach, lost: tuple[str, ...], message: str
) -> None:
    (aiken,) = fleet.start(AIKEN)
    assert reach("enroll", AIKEN, *QUICK).code == 0
    lose(aiken, lost)
    here = snapshot(ca)
    refused = reach("enroll", AIKEN, *QUICK)
    assert refused.code == 1
    assert message in refused.messages
    assert f"hint: a new key and certificate: dbca-openssl enroll {AIKEN} --rekey\n" in refused.messages
    assert "renew" not in refused.messages
    assert snapshot(ca) == here
    assert reach("enroll", AIKEN, *QUICK, "--rekey").code == 0
    require_agreement(ca, [aiken])


# --- --compromised


@pytest.mark.slow
@pytest.mark.parametrize("lost", [(), PAIR[:1], (".",)], ids=["nothing", "key", "all"])
def test_the_key_of_a_compromised_host_is_refused_for_ever(
    ca: Path, fleet: Fleet, reach: Reach, environment: dict[str, str], lost: tuple[str, ...]
) -> None:
    (aiken,) = fleet.start(AIKEN)
    assert reach("enroll", AIKEN, *QUICK).code == 0
    stolen = (ca / f"certreqs/{AIKEN}.req.pem").read_bytes()
    lose(aiken, lost)
    rekeyed = reach("enroll", AIKEN, *QUICK, "--rekey", "--compromised")
    assert rekeyed.code == 0, rekeyed.messages
    require_agreement(ca, [aiken])
    rows = done("list", "--json", directory=ca).document["certificates"]
    assert [(row["status"], row["reason"]) for row in rows] == [("revoked", "keyCompromise"), ("valid", None)]
    assert "the other hosts need the new CRL: dbca-openssl deploy HOST..." in rekeyed.messages
    done("revoke", AIKEN, "--yes", directory=ca, environment=environment)
    (ca / "stolen.req.pem").write_bytes(stolen)
    refused = tool("sign", "stolen.req.pem", "--yes", directory=ca, environment=environment)
    assert refused.code == 1
    assert "has a key that was revoked as compromised" in refused.messages


@pytest.mark.slow
def test_also_the_key_of_an_expired_certificate_is_refused(
    ca: Path, fleet: Fleet, reach: Reach, environment: dict[str, str]
) -> None:
    fleet.start(AIKEN)
    assert reach("enroll", AIKEN, *QUICK).code == 0
    index = ca / "database-ca.index"
    index.write_text(index.read_text().replace("V\t", "E\t").replace("E\t", "V\t", 1))
    assert reach("enroll", AIKEN, *QUICK, "--rekey", "--compromised").code == 0
    rows = done("list", "--json", directory=ca).document["certificates"]
    assert [row["reason"] for row in rows] == ["keyCompromise", None]


@pytest.mark.slow
def test_a_compromised_host_that_shows_its_old_key_gets_no_certificate(ca: Path, fleet: Fleet, reach: Reach) -> None:
    aiken, margaret = fleet.start(AIKEN, MARGARET)
    assert reach("enroll", AIKEN, MARGARET, *QUICK).code == 0
    request = (aiken.ssl / f"{AIKEN}.req.pem").read_text()
    fleet.lie(aiken, "echo 'dbca state waiting'; cat /etc/told; echo 'dbca end'", request)
    rekeyed = reach("enroll", AIKEN, MARGARET, *QUICK, "--rekey", "--compromised")
    assert rekeyed.code == 1
    assert f"dbca-openssl: {AIKEN}: its request has the key that is compromised" in rekeyed.messages
    rows = done("list", "--json", directory=ca).document["certificates"]
    assert [(row["name"], row["reason"]) for row in rows] == [
        (AIKEN, None),
        (MARGARET, "keyCompromise"),
        (MARGARET, None),
    ]
    require_agreement(ca, [margaret])


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_a_new_pair_that_waits_is_not_used_on_a_compromised_host(
    ca: Path, fleet: Fleet, reach: Reach, signed: bool
) -> None:
    """Whoever read the key can have read that of the waiting pair too, whether its certificate is signed or not."""
    (aiken,) = fleet.start(AIKEN)
    assert reach("enroll", AIKEN, *QUICK).code == 0
    with fleet.crashing(aiken, "dgst" if signed else "req -in .rekey.*"):
        assert reach("enroll", AIKEN, *QUICK, "--rekey").code == 1
    aiken = fleet.restart(aiken)
    waiting = (aiken.ssl / f".rekey.{AIKEN}/private/{AIKEN}.key.pem").read_bytes()
    rekeyed = reach("enroll", AIKEN, *QUICK, "--rekey", "--compromised")
    assert rekeyed.code == 0, rekeyed.messages
    require_agreement(ca, [aiken])
    assert waiting not in [path.read_bytes() for path in (aiken.ssl / "private").iterdir()]
    rows = done("list", "--json", directory=ca).document["certificates"]
    expected = ["superseded", "keyCompromise", None] if signed else ["keyCompromise", None]
    assert [row["reason"] for row in rows] == expected


def test_compromised_stands_with_rekey_and_has_no_script(ca: Path, environment: dict[str, str]) -> None:
    before = snapshot(ca)
    for arguments in ((), ("--rekey", "--print")):
        refused = tool("enroll", AIKEN, "--compromised", *arguments, directory=ca, environment=environment)
        assert (refused.code, refused.output) == (2, "")
        assert "--compromised" in refused.messages
    assert snapshot(ca) == before


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
