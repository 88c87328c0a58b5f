"""`rotate` on three real hosts, each with its sshd and its database server, one of which no port of ours reaches."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from dbca_openssl.crls import Crl
from dbca_openssl.host import rotate
from host.conftest import CANARY, Site
from tools.support import HOSTS, ROOT, done, index_rows, openssl, run, shell, snapshot, tool

AIKEN, MARGARET, GANNIBAL = HOSTS


def test_what_is_due_is_renewed_and_proven_and_then_nothing_is_due(site: Site) -> None:
    before = {name: site.serial(name) for name in HOSTS}
    assert all(site.served(name) == before[name] for name in HOSTS)
    rotated = site.rotate()
    assert rotated.code == 0, rotated.messages + rotated.output
    proven = {name: state for name, state in site.states(rotated).items() if name in HOSTS}
    assert all(state.startswith("proven") for state in proven.values()) and len(proven) == len(HOSTS)
    assert "dbca-openssl deploy --local" in rotated.output, "the client has a CRL too"
    for name in HOSTS:
        assert site.serial(name) != before[name]
        assert site.served(name) == site.serial(name)
        assert site.admitted(name)
        assert not site.admitted(name, CANARY)
    rows = {row[3]: row for row in index_rows(site.ca)}
    assert {rows[before[name]][2].partition(",")[2] for name in HOSTS} == {"superseded"}
    crl = openssl("crl", "-in", "crl/database-ca.crl", "-noout", "-text", directory=site.ca)
    assert all(f"Serial Number: {serial}\n" in crl for serial in before.values())
    assert "Next Update" in crl

    assert site.report() == (0, {name: [f"serial {site.serial(name)}", "the newest, loaded"] for name in HOSTS})

    state = snapshot(site.ca, without=(".lock",)), {name: site.fleet.machines[name].mode(".") for name in HOSTS}
    again = site.rotate("--all", "--json")
    assert again.code == 0, again.messages
    assert {one["state"] for one in again.document["hosts"]} == {"up to date"}
    assert {one["name"]: one["serial"] for one in again.document["hosts"]} == {
        name: site.serial(name) for name in HOSTS
    }
    assert snapshot(site.ca, without=(".lock",)) == state[0]


@pytest.mark.slow
def test_a_host_that_is_down_is_named_and_nothing_is_signed_for_it(site: Site) -> None:
    before = {name: site.serial(name) for name in HOSTS}
    site.servers[MARGARET].stop()
    site.fleet.machines[MARGARET].crash()
    code, seen = site.report()
    assert code == 1
    assert seen[AIKEN] == [f"serial {before[AIKEN]}", "the newest, not proven to be loaded"], "there is no canary yet"
    assert seen[MARGARET] == ["connection refused", ""]
    first = site.rotate()
    assert first.code == 1
    assert f"{MARGARET}: connection" in first.messages
    assert site.serial(MARGARET) == before[MARGARET], "nothing is signed that cannot be delivered"
    assert site.states(first)[AIKEN].startswith("proven")
    assert site.served(AIKEN) == site.serial(AIKEN) != before[AIKEN]
    second = site.rotate(AIKEN, GANNIBAL, "--json")
    assert {one["state"] for one in second.document["hosts"]} == {"up to date"}


@pytest.mark.slow
def test_a_server_that_does_not_read_its_files_keeps_the_crl_back(site: Site) -> None:
    listed = site.ca / "database-ca.hosts"
    text = listed.read_text()
    listed.write_text(text.replace(f"\n{MARGARET} ", f"\n{MARGARET} dbca_reload='echo no >&2; false' "))
    crl = (site.ca / "crl/database-ca.crl").read_bytes()
    before = site.serial(MARGARET)
    first = site.rotate()
    assert first.code == 1
    assert f"{MARGARET}: the server did not read its files again: no" in first.messages
    assert f"the new CRL waits for {MARGARET}" in first.messages
    assert (site.ca / "crl/database-ca.crl").read_bytes() == crl
    assert all(site.admitted(name) for name in HOSTS), "nobody is locked out"
    assert site.states(first)[MARGARET].startswith("failed")
    assert site.report()[1][MARGARET][0] == f"serial {before}, which is not the valid one"
    listed.write_text(text)
    second = site.rotate()
    assert second.code == 0, second.messages
    assert (site.ca / "crl/database-ca.crl").read_bytes() != crl
    assert all(site.served(name) == site.serial(name) and site.admitted(name) for name in HOSTS)


@pytest.mark.slow
def test_a_server_that_has_an_old_crl_is_named(site: Site) -> None:
    assert site.rotate().code == 0
    hosts = (site.ca / "database-ca.hosts").read_text()
    (site.ca / "database-ca.hosts").write_text(hosts.replace(f"{AIKEN} ", f"{AIKEN} dbca_reload=true "))
    done("crl", directory=site.ca, environment=site.environment)
    old = site.report()[1][AIKEN][1]
    assert old == "another one; the server accepts a revoked certificate: its CRL is old, or it has none"
    rotated = site.rotate()
    assert rotated.code == 1
    assert f"{AIKEN}: the server accepts a revoked certificate: its CRL is old" in rotated.messages
    assert site.states(rotated)[MARGARET].startswith("proven")


@pytest.mark.slow
def test_the_printed_script_does_the_same(site: Site) -> None:
    before = {name: site.serial(name) for name in HOSTS}
    printed = site.rotate("--all", "--print")
    assert printed.code == 0, printed.messages
    assert {name: site.serial(name) for name in HOSTS} == before
    ran = shell(printed.output, site.ca)
    assert ran.code == 0, ran.messages
    assert all(site.served(name) == site.serial(name) != before[name] for name in HOSTS)
    assert all(site.admitted(name) for name in HOSTS)
    assert site.rotate().code == 0


@pytest.mark.parametrize(
    ("life", "passed", "due"), [(60, 29, False), (60, 31, True), (30, 16, True), (365, 300, False), (365, 340, True)]
)
def test_a_crl_is_due_before_it_expires(life: int, passed: int, due: bool) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    crl = Crl(b"", b"", start, start + timedelta(life), 1, {})
    assert rotate._is_ending(crl, rotate.DAYS, start + timedelta(passed)) == due


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("nonsense\0\n", "line 2"),
        (f"{AIKEN} dbca_unknown=x\n", "unknown variable"),
        (f"{AIKEN} ansible_port=0\n", "port"),
    ],
)
def test_a_wrong_line_is_refused_before_anything_is_done(ca: Path, lines: str, why: str) -> None:
    (ca / "database-ca.hosts").write_text("[databases]\n" + lines)
    before = snapshot(ca, without=(".lock",))
    refused = tool("rotate", "--all", "--yes", directory=ca)
    assert refused.code == 1
    assert "database-ca.hosts, line 2" in refused.messages
    assert why in refused.messages
    assert snapshot(ca, without=(".lock",)) == before


@pytest.mark.slow
def test_deploy_reload_proves_what_it_has_delivered(site: Site) -> None:
    assert site.rotate().code == 0
    done("revoke", "app", "--yes", directory=site.ca, environment=site.environment)
    assert site.admitted(AIKEN)
    listed = site.ca / "database-ca.hosts"
    listed.write_text(listed.read_text().replace(f"{MARGARET} ", f"{MARGARET} dbca_reload=true "))
    delivered = tool(
        "deploy",
        "--all",
        "--reload",
        "--ssh-config",
        site.fleet.config,
        directory=site.ca,
        environment=site.environment,
    )
    assert delivered.code == 1
    assert f"{MARGARET}: the server accepts a revoked certificate" in delivered.messages
    assert site.states(delivered)[AIKEN] == "proven database-ca.crl"
    assert [name for name in HOSTS if site.admitted(name)] == [MARGARET]


def test_the_recipes_for_a_timer_are_as_they_are_written(site: Site, tmp_path: Path) -> None:
    page = (ROOT / "docs/rotate.md").read_text()
    (command,) = re.findall("^ExecStart=/usr/local/bin/dbca-openssl (.*)$", page, re.MULTILINE)
    phrase = site.environment["DBCA_PASSPHRASE_FILE"]
    given = command.replace("/media/safe/database-ca", str(site.ca)).replace("/root/dbca-passphrase", phrase)
    timed = tool(*given.split(), "--ssh-config", site.fleet.config, directory=tmp_path)
    assert timed.code == 0, timed.messages
    units = dict(re.findall(r"^# /etc/systemd/system/(\S+)\n(.*?)(?=^# |^```)", page, re.MULTILINE | re.DOTALL))
    for name, unit in units.items():
        (tmp_path / name).write_text(unit.replace("/usr/local/bin/dbca-openssl", "/bin/true"))
    verified = run("systemd-analyze", "verify", *(f"./{name}" for name in units), directory=tmp_path)
    assert (verified.code, verified.messages) == (0, "")
    (line,) = re.findall(r"^    0 6 \* \* 1  (.*)$", page, re.MULTILINE)
    assert "%" not in line, "cron takes it for a line end"
    for name, text in (
        ("dbca-openssl", "#!/bin/sh\necho HOST failed\nexit 1\n"),
        ("mail", "#!/bin/sh\ncat > mailed\n"),
    ):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    assert shell(f"PATH=.:$PATH\n{line}\n", tmp_path).code == 0
    assert (tmp_path / "mailed").read_text() == "HOST failed\n"
