"""`deploy` and `fetch`, over real sshd, and `deploy --local`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dbca_openssl.ca.hosts import KnownHost, parse
from dbca_openssl.ca.layout import HOSTS as LIST
from host.conftest import Reach
from tools.agreement import on_hosts
from tools.ssh_hosts import MYSQL, Fleet, Machine
from tools.support import HOSTS, MakeRequest, done, frozen_tool, shell, snapshot, tool

AIKEN, MARGARET, _ = HOSTS
COMMON = ["database-ca.cert.pem", "database-ca.crl"]


@pytest.fixture
def signed(ca: Path, make_request: MakeRequest, environment: dict[str, str]) -> Path:
    """The authority `ca` with a certificate for aiken."""
    make_request(AIKEN, to=ca / "certreqs")
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)
    return ca


def give_key(machine: Machine, key: Path) -> None:
    (machine.ssl / "private").mkdir(mode=0o700)
    shutil.copy(key, machine.ssl / f"private/{machine.name}.key.pem")


def test_only_what_is_missing_is_delivered(
    signed: Path, fleet: Fleet, reach: Reach, keys: Path, environment: dict[str, str]
) -> None:
    aiken, margaret = fleet.start(AIKEN, MARGARET)
    give_key(aiken, keys / "host.key.pem")
    first = reach("deploy", AIKEN, MARGARET, "--json").document["hosts"]
    assert [sorted(host["changed"]) for host in first] == [[f"{AIKEN}.cert.pem", *COMMON], COMMON]
    assert (aiken.ssl / f"{AIKEN}.cert.pem").read_bytes() == (signed / f"certs/{AIKEN}.cert.pem").read_bytes()
    assert aiken.mode("database-ca.crl") == ("-rw-r--r--", 0, 0)

    before = on_hosts([aiken, margaret])
    inode = (aiken.ssl / "database-ca.crl").stat().st_ino
    second = reach("deploy", AIKEN, MARGARET, "--json").document["hosts"]
    assert [host["changed"] for host in second] == [[], []]
    assert sorted(second[0]["unchanged"]) == [f"{AIKEN}.cert.pem", *COMMON]
    assert on_hosts([aiken, margaret]) == before
    assert (aiken.ssl / "database-ca.crl").stat().st_ino == inode

    done("crl", directory=signed, environment=environment)
    (margaret.ssl / "database-ca.cert.pem").chmod(0o600)
    third = reach("deploy", AIKEN, MARGARET, "--json").document["hosts"]
    assert [sorted(host["changed"]) for host in third] == [["database-ca.crl"], COMMON]
    assert margaret.mode("database-ca.cert.pem") == ("-rw-r--r--", 0, 0)

    fourth = reach("deploy", AIKEN, "--owner", "mysql", "--json").document["hosts"]
    assert f"private/{AIKEN}.key.pem" in fourth[0]["changed"]
    assert aiken.mode(f"private/{AIKEN}.key.pem") == ("-rw-r-----", 0, MYSQL)
    assert aiken.mode("private") == ("drwx--x---", 0, MYSQL)
    assert reach("deploy", AIKEN, "--owner", "mysql", "--json").document["hosts"][0]["changed"] == []
    as_mysql = f"setpriv --reuid {MYSQL} --regid {MYSQL} --clear-groups"
    assert fleet.shell(aiken, f"{as_mysql} ls /etc/mysql/ssl/private").code != 0
    readable = fleet.shell(aiken, f"{as_mysql} cat /etc/mysql/ssl/private/{AIKEN}.key.pem")
    assert readable.output == (keys / "host.key.pem").read_text()


def test_what_belongs_to_the_server_becomes_roots(signed: Path, fleet: Fleet, reach: Reach, keys: Path) -> None:
    """Versions before this gave the server its files, with which it could replace them."""
    (aiken,) = fleet.start(AIKEN)
    give_key(aiken, keys / "host.key.pem")
    own = (f"private/{AIKEN}.key.pem", f"{AIKEN}.cert.pem", *COMMON)
    assert reach("deploy", AIKEN, "--owner", "mysql").code == 0
    for name in own:
        os.chown(aiken.ssl / name, MYSQL, MYSQL)
    (aiken.ssl / own[0]).chmod(0o600)
    before = snapshot(aiken.ssl, without=(f"{AIKEN}.key.pem",))
    again = reach("deploy", AIKEN, "--owner", "mysql", "--json").document["hosts"][0]
    assert sorted(again["changed"]) == sorted(own)
    assert aiken.mode(own[0]) == ("-rw-r-----", 0, MYSQL)
    assert {aiken.mode(name) for name in own[1:]} == {("-rw-r--r--", 0, 0)}
    assert snapshot(aiken.ssl, without=(f"{AIKEN}.key.pem",)) == before


def test_a_certificate_for_another_key_is_refused(signed: Path, fleet: Fleet, reach: Reach, keys: Path) -> None:
    (aiken,) = fleet.start(AIKEN)
    give_key(aiken, keys / "plain-ca.key.pem")
    before = on_hosts([aiken])
    refused = reach("deploy", AIKEN)
    assert refused.code == 1
    assert "does not belong to the certificate of aiken.example.net" in refused.messages
    assert on_hosts([aiken]) == before


def test_no_user_of_that_name(signed: Path, fleet: Fleet, reach: Reach) -> None:
    (aiken,) = fleet.start(AIKEN)
    refused = reach("deploy", AIKEN, "--owner", "mariadb")
    assert refused.code == 1
    assert f"dbca-openssl: {AIKEN}: there is no user mariadb" in refused.messages
    refused = reach("deploy", AIKEN, "--owner", "mysql; touch /etc/mysql/ssl/owned")
    assert refused.code == 1
    assert not list(aiken.ssl.iterdir())


def test_a_private_key_is_never_sent(signed: Path, fleet: Fleet, reach: Reach, keys: Path) -> None:
    (aiken,) = fleet.start(AIKEN)
    certificate = signed / "database-ca.cert.pem"
    certificate.write_bytes(certificate.read_bytes() + (keys / "plain-ca.key.pem").read_bytes())
    refused = reach("deploy", AIKEN)
    assert refused.code == 1
    assert "there is a private key in what should be database-ca.cert.pem" in refused.messages
    assert not list(aiken.ssl.iterdir())


def test_what_is_not_valid_is_not_delivered(signed: Path, fleet: Fleet, reach: Reach) -> None:
    (aiken,) = fleet.start(AIKEN)
    index = signed / "database-ca.index"
    lines = index.read_text().splitlines(keepends=True)
    state, until, _, *rest = lines[-1].split("\t")
    assert state == "V"
    index.write_text("".join([*lines[:-1], "\t".join(["R", until, "261124000000Z", *rest])]))
    delivered = reach("deploy", AIKEN)
    assert delivered.code == 0
    assert f"certs/{AIKEN}.cert.pem is not the valid certificate of {AIKEN}, and is not delivered" in delivered.messages
    assert sorted(path.name for path in aiken.ssl.iterdir()) == COMMON


def test_a_list_that_is_over_is_pointed_out(signed: Path, tmp_path: Path) -> None:
    delivered = frozen_tool("2031-01-01 00:00:00", "deploy", "--local", "--print", "--ca", signed, directory=tmp_path)
    assert delivered.code == 0, delivered.messages
    assert "the CRL has expired" in delivered.messages


def test_local(signed: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    first = done("deploy", "--local", "--ca", signed, directory=home)
    assert first.output.startswith(f"{home}/.mysql/ssl  database-ca.cert.pem, database-ca.crl")
    assert sorted(path.name for path in (home / ".mysql/ssl").iterdir()) == COMMON
    for name, source in zip(COMMON, ("database-ca.cert.pem", "crl/database-ca.crl"), strict=True):
        assert (home / ".mysql/ssl" / name).read_bytes() == (signed / source).read_bytes()
    before = snapshot(home)
    again = done("deploy", "--local", "--ca", signed, "--json", directory=home).document
    assert (again["changed"], again["unchanged"]) == ([], COMMON)
    assert snapshot(home) == before
    own = done("deploy", "--local", AIKEN, "--ca", signed, "--json", directory=home).document
    assert own["changed"] == [f"{AIKEN}.cert.pem"]


def test_the_printed_script_does_the_same(signed: Path, fleet: Fleet, reach: Reach, tmp_path: Path) -> None:
    aiken, margaret = fleet.start(AIKEN, MARGARET)
    script = reach("deploy", AIKEN, MARGARET, "--print").output
    assert not list(aiken.ssl.iterdir())
    finished = shell(script, tmp_path)
    assert finished.code == 0, finished.messages
    printed, entered = on_hosts([aiken, margaret]), (signed / LIST).read_bytes()
    for machine in (aiken, margaret):
        for path in machine.ssl.iterdir():
            path.unlink()
    (signed / LIST).unlink()
    assert reach("deploy", AIKEN, MARGARET).code == 0
    assert (on_hosts([aiken, margaret]), (signed / LIST).read_bytes()) == (printed, entered)

    assert LIST not in reach("deploy", AIKEN, MARGARET, "--print").output
    script = reach("deploy", AIKEN, "--owner", "mysql", "--print").output
    edited = entered + b"# by hand\n"
    (signed / LIST).write_bytes(edited)
    finished = shell(script, tmp_path)
    assert (finished.code, (signed / LIST).read_bytes()) == (1, edited)
    assert f"{LIST} has been edited since" in finished.messages


def test_fetch(signed: Path, fleet: Fleet, reach: Reach, make_request: MakeRequest) -> None:
    aiken, margaret = fleet.start(AIKEN, MARGARET)
    (signed / f"certreqs/{AIKEN}.req.pem").unlink()
    make_request(AIKEN, to=aiken.ssl)
    before = snapshot(signed, without=(".lock",))
    fetched = reach("fetch", AIKEN, MARGARET)
    assert fetched.code == 1
    assert f"dbca-openssl: {MARGARET}: there is no /etc/mysql/ssl/{MARGARET}.req.pem" in fetched.messages
    assert (signed / f"certreqs/{AIKEN}.req.pem").read_bytes() == (aiken.ssl / f"{AIKEN}.req.pem").read_bytes()
    first = (signed / f"certreqs/{AIKEN}.req.pem").read_bytes()
    assert set(snapshot(signed, without=(".lock",))) - set(before) == {f"certreqs/{AIKEN}.req.pem", LIST}
    assert parse((signed / LIST).read_text()).hosts == {AIKEN: KnownHost(AIKEN)}  # margaret has not been reached

    make_request(MARGARET, to=margaret.ssl)
    states = [host["state"] for host in reach("fetch", AIKEN, MARGARET, "--json").document["hosts"]]
    assert states == ["there already", "fetched"]
    make_request(AIKEN, "db.example.net", to=aiken.ssl)
    assert reach("fetch", AIKEN).code == 0
    assert (signed / f"certreqs/{AIKEN}.req.pem").read_bytes() == (aiken.ssl / f"{AIKEN}.req.pem").read_bytes()
    assert (signed / f"certreqs/{AIKEN}.req.pem.old").read_bytes() == first

    shutil.copy(margaret.ssl / f"{MARGARET}.req.pem", aiken.ssl / f"{AIKEN}.req.pem")
    before = snapshot(signed)
    refused = reach("fetch", AIKEN)
    assert refused.code == 1
    assert f"{AIKEN}: its request asks for the name {MARGARET}" in refused.messages
    assert snapshot(signed) == before


def test_the_printed_fetch_is_the_guides_scp(
    ca: Path, fleet: Fleet, reach: Reach, make_request: MakeRequest, tmp_path: Path
) -> None:
    (aiken,) = fleet.start(AIKEN)
    make_request(AIKEN, to=aiken.ssl)
    script = reach("fetch", AIKEN, "--print").output
    assert f"-- {AIKEN}:/etc/mysql/ssl/{AIKEN}.req.pem certreqs/" in script
    finished = shell(script, tmp_path)
    assert finished.code == 0, finished.messages
    assert (ca / f"certreqs/{AIKEN}.req.pem").read_bytes() == (aiken.ssl / f"{AIKEN}.req.pem").read_bytes()
    assert parse((ca / LIST).read_text()).hosts == {AIKEN: KnownHost(AIKEN)}


def test_usage(ca: Path) -> None:
    for arguments in (
        (),
        ("--local", AIKEN, MARGARET),
        (f"root@{AIKEN}", f"admin@{AIKEN}"),
        (AIKEN, "--ssl-dir", "ssl"),
    ):
        refused = tool("deploy", *arguments, directory=ca)
        assert refused.code in (1, 2), arguments
        assert refused.messages.startswith("dbca-openssl: ")
        assert refused.output == ""


def test_without_ssh(ca: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "openssl").symlink_to(shutil.which("openssl") or "")
    refused = tool("deploy", AIKEN, directory=ca, environment={"PATH": str(programs)})
    assert refused.code == 1
    assert "dbca-openssl: ssh is not installed here" in refused.messages
