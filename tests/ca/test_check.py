"""`check` and `repair`: every documented state of damage is found, and mended or explained."""

from __future__ import annotations

import ast
import os
import re
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from dbca_openssl.ca import check as checking
from dbca_openssl.ca import repair as repairing
from dbca_openssl.ca.check import Limits
from dbca_openssl.ca.layout import Authority
from dbca_openssl.finding import WARNING
from tools.damage import (
    AIKEN,
    ATTRIBUTES,
    INDEX,
    SERIAL,
    STATES,
    STILL_WORKS,
    C,
    W,
    World,
    check,
    killed,
    second_serial,
    sign_plainly,
)
from tools.support import (
    HOSTS,
    ROOT,
    done,
    frozen_tool,
    index_rows,
    openssl,
    plain_request,
    refusal,
    run,
    snapshot,
    tool,
)

BY_THE_CLOCK = {"authority", "certificate", "crl", "outlives", "clock"}
"""Codes of what comes with time alone: see `test_what_ends` and `test_a_clock_that_is_behind`."""

OF_OTHERS = {"writable", "owner", "loads-code", "weak-digest", "extension"}
"""Codes of what lets others decide: see test_exposure.py."""

OF_THE_LIST = {"hosts", "no-san"}
"""Codes of what the list of hosts says: see test_profile.py."""


@pytest.fixture
def world(fleet: Path, keys: Path, others: tuple[Path, Path]) -> World:
    return World(fleet, *others, keys / "phrase")


def test_a_sound_authority_has_nothing_to_find(world: World) -> None:
    before = snapshot(world.ca)
    assert check(world.ca) == check(world.ca, deep=True) == set()
    assert repairing.repair(Authority(world.ca), lambda texts: pytest.fail(str(texts))) == []
    assert snapshot(world.ca) == before


@pytest.mark.parametrize("name", STATES)
def test_damage_is_found_and_mended_or_explained(world: World, name: str) -> None:
    state = STATES[name]
    state.damage(world)
    before = snapshot(world.ca)
    checked = checking.check(Authority(world.ca), Limits())
    assert {(one.level, one.code) for one in checked.findings} == state.found
    assert all(one.fix and "\n" not in one.text for one in checked.findings)
    assert snapshot(world.ca) == before, "check only looks"

    promised = {one.code for one in checked.findings if one.fix == "dbca-openssl repair"}
    rounds: list[list[str]] = []
    mended = repairing.repair(Authority(world.ca), rounds.append)
    assert mended == [text for texts in rounds for text in texts]
    left = checking.check(Authority(world.ca), Limits()).findings
    assert {(one.level, one.code) for one in left} == state.left
    assert bool(mended) == bool(promised) or state.left != state.found
    assert not any(one.fix == "dbca-openssl repair" for one in left), "what repair can't mend is not left to it"

    again = snapshot(world.ca)
    assert repairing.repair(Authority(world.ca), lambda texts: pytest.fail(str(texts))) == []
    assert snapshot(world.ca) == again
    if not state.left or name in STILL_WORKS:
        plain_request(world.ca, "after.example.net", world.phrase.parent / "host.key.pem")
        sign_plainly(world.ca, world.phrase, "after.example.net")
        serials = [row[3] for row in index_rows(world.ca)]
        assert len(set(serials)) == len(serials)


@pytest.mark.parametrize("renamed", range(6))
def test_a_killed_signature_is_in_the_index_once(world: World, renamed: int) -> None:
    """A certificate that may have been delivered must be one that can be revoked."""
    killed(renamed)(world)
    repairing.repair(Authority(world.ca), lambda texts: None)
    for name in (INDEX, SERIAL, ATTRIBUTES):
        assert world.path(name).read_bytes() == (world.signed / name).read_bytes()


def test_every_code_is_covered() -> None:
    """Against the code that the findings are made in."""
    codes = set()
    for module in ("check", "archive", "exposure"):
        tree = ast.parse((ROOT / f"dbca_openssl/ca/{module}.py").read_text())
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            position = {"Finding": 1, "_expiring": 3, "_number": 2}.get(getattr(call.func, "id", ""))
            if position and isinstance(call.args[position], ast.Constant):
                codes.add(call.args[position].value)  # type: ignore[attr-defined]
    assert codes == {code for state in STATES.values() for _, code in state.found | state.left} | BY_THE_CLOCK | {
        "token",  # in test_token.py
        *OF_THE_LIST,
        *OF_OTHERS,
    }


def test_a_clock_that_is_behind(fleet: Path, environment: dict[str, str]) -> None:
    """Nothing expires then, and what is signed would be valid for nobody."""
    now, before = "2020-01-01 00:00:00", snapshot(fleet, without=(".lock", "frozen-openssl"))
    checked = frozen_tool(now, "check", "--json", directory=fleet)
    [finding] = checked.document["findings"]
    assert (checked.code, finding["code"]) == (2, "clock")
    assert finding["text"].startswith("the clock here says 2020-01-01 00:00:00Z, but the CA has a file of 20")
    assert (
        frozen_tool(now, "--json", directory=fleet).document["next"][0].startswith("dbca-openssl check  # the clock ")
    )
    for words in (("crl",), ("renew", HOSTS[0], "--yes"), ("revoke", HOSTS[0], "--yes")):
        refused = frozen_tool(now, *words, directory=fleet, environment=environment)
        assert refusal(refused)
    verified = frozen_tool(now, "verify", HOSTS[0], directory=fleet)
    assert verified.code == 1 and "hint: the clock here says 2020-01-01 00:00:00Z" in verified.messages
    assert snapshot(fleet, without=(".lock", "frozen-openssl")) == before


def test_a_host_of_the_list_is_rotated_and_not_renewed(fleet: Path) -> None:
    """`renew` makes a CRL that refuses the host until the new certificate is there."""
    (fleet / "database-ca.hosts").write_text(f"[databases]\n{HOSTS[0]}\n")
    clock = f"{datetime.now(UTC) + timedelta(days=345):%Y-%m-%d %H:%M:%S}"
    found = frozen_tool(clock, "check", "--json", directory=fleet).document["findings"]
    fixes = {one["text"].split()[0]: one["fix"] for one in found if one["code"] == "certificate"}
    assert fixes[HOSTS[0]] == f"dbca-openssl rotate {HOSTS[0]}"
    assert fixes[HOSTS[1]] == f"dbca-openssl renew {HOSTS[1]}"


def test_who_is_in_the_list_is_missed_when_openssl_has_marked_it_as_expired(
    fleet: Path, environment: dict[str, str]
) -> None:
    """Each renewal marks all that has expired; nobody was told of those any more."""
    clock = f"{datetime.now(UTC) + timedelta(days=400):%Y-%m-%d %H:%M:%S}"
    (fleet / "database-ca.hosts").write_text(f"[databases]\n{HOSTS[0]}\n[clients]\n{HOSTS[1]}\n")
    renewed = frozen_tool(clock, "renew", HOSTS[0], "--yes", directory=fleet, environment=environment)
    assert renewed.code == 0, renewed.messages
    assert [row[0] for row in index_rows(fleet)].count("E") == 3
    [finding] = frozen_tool(clock, "check", "--json", directory=fleet).document["findings"]
    assert finding["text"].startswith(f"{HOSTS[1]} expired on ")
    following = frozen_tool(clock, "--json", directory=fleet).document["next"]
    assert following[0] == f"dbca-openssl renew {HOSTS[1]} --no-crl"


def test_what_ends(
    ca: Path, keys: Path, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificates, the revocation list and the authority itself, as the clock moves on."""
    for name, period in (("year", "368"), ("month", "40")):
        plain_request(ca, name, keys / "host.key.pem")
        done("sign", name, "--days", period, "--yes", directory=ca, environment=environment)
    openssl(
        *("ca", "-batch", "-in", "certreqs/year.req.pem", "-out", "/dev/null", "-subj", "/CN=long"),
        *("-days", "9000", "-extensions", "cert_ext", "-passin", f"file:{environment['DBCA_PASSPHRASE_FILE']}"),
        directory=ca,
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )
    shutil.copy(ca / "newcerts/03.pem", ca / "certs/long.cert.pem")
    began = datetime.now(UTC)
    for days, expected in (
        (0, {(W, "outlives")}),
        (11, {(W, "outlives"), (W, "certificate")}),
        (34, {(W, "outlives"), (C, "certificate")}),
        (46, {(W, "outlives"), (C, "certificate"), (W, "crl")}),
        (54, {(W, "outlives"), (C, "certificate"), (C, "crl")}),
        (5 * 365 - 20, {(W, "outlives"), (C, "certificate"), (C, "crl"), (W, "authority")}),
        (5 * 365 + 9, {(W, "outlives"), (C, "certificate"), (C, "crl"), (C, "authority")}),
    ):
        monkeypatch.setattr("dbca_openssl.dates.now", lambda days=days: began + timedelta(days=days))
        assert (days, check(ca)) == (days, expected)
    clock = f"{began + timedelta(days=61):%Y-%m-%d %H:%M:%S}"
    ended = frozen_tool(clock, "check", "--ca", ca, directory=tmp_path)
    assert ended.code == 2
    assert "CRITICAL  crl: the CRL expired on" in ended.output
    made = frozen_tool(clock, "crl", "--ca", ca, directory=tmp_path, environment=environment)
    assert made.code == 0
    assert "revocation list" not in frozen_tool(clock, "check", "--ca", ca, directory=tmp_path).output


def test_the_limits_are_options(fleet: Path) -> None:
    assert tool("check", directory=fleet).code == 0
    warned = tool("check", "--warn-days", "400", "--json", directory=fleet)
    assert (warned.code, warned.document["status"]) == (1, "WARNING")
    assert {one["code"] for one in warned.document["findings"]} == {"certificate"}
    critical = tool("check", "--warn-days", "400", "--critical-days", "390", directory=fleet)
    assert critical.code == 2
    assert critical.output.startswith("CRITICAL: 3 findings: ")
    assert f"fix: dbca-openssl renew {AIKEN}" in critical.output


def test_in_the_middle_of_a_rotation_new_certificates_are_delivered_first(
    fleet: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """A CRL made before would lock out every host that still has its superseded certificate."""
    order = "deliver the new certificates first: dbca-openssl deploy HOST..., then dbca-openssl crl, then deploy again"
    done("renew", AIKEN, "--no-crl", "--yes", directory=fleet, environment=environment)

    def found(*arguments: str) -> list[tuple[str, str, str]]:
        checked = tool("check", "--json", *arguments, directory=fleet).document["findings"]
        return [(one["level"], one["text"], one["fix"]) for one in checked if one["code"] == "crl"]

    assert found() == [("WARNING", f"the CRL does not have {AIKEN} yet, whose certificate was renewed", order)]
    soon = f"{datetime.now(UTC) + timedelta(days=58):%Y-%m-%d %H:%M:%S}"
    margaret, gannibal = (row[5].removeprefix("/CN=") for row in index_rows(fleet)[2:4])
    late = frozen_tool(soon, "check", "--json", directory=fleet).document["findings"]
    assert {one["fix"] for one in late if one["code"] == "crl"} == {order}
    done("revoke", margaret, "--no-crl", "--yes", directory=fleet, environment=environment)
    assert found() == [("CRITICAL", f"the CRL does not have {AIKEN}, {margaret}", order)]
    done("crl", directory=fleet, environment=environment)
    assert found() == []
    done("revoke", gannibal, "--no-crl", "--yes", directory=fleet, environment=environment)
    assert found() == [("CRITICAL", f"the CRL does not have {gannibal}", "dbca-openssl crl")]


@pytest.mark.parametrize("more", [(), ("--json",), ("--format", "prometheus")])
def test_where_it_cannot_tell_it_is_3(fleet: Path, tmp_path: Path, more: tuple[str, ...]) -> None:
    """1 and 2 would be read as something about an authority."""
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    for arguments in (
        ("--ca", nothing),
        ("--ca", tmp_path / "not-there"),
        ("--ca", fleet, "--openssl", tmp_path / "no-openssl"),
        ("--no-such-option",),
    ):
        unknown = tool("check", *arguments, *more, directory=tmp_path)
        assert unknown.code == 3, unknown.output + unknown.messages
        if "--json" in more:
            assert unknown.document["error"]
        elif "prometheus" in more and "--ca" in arguments:
            assert metrics(unknown.output) == {"dbca_check_status": {(): 3.0}}
            assert unknown.messages.startswith("dbca-openssl: ")
        else:
            assert unknown.output.startswith("UNKNOWN: ")
    assert list(nothing.iterdir()) == []
    refused = tool("repair", "--ca", nothing, "--yes", directory=tmp_path)
    assert refusal(refused) == f"no CA in {nothing}: there is no database-ca.cnf"
    assert list(nothing.iterdir()) == []


def unprivileged(*command: str | Path) -> tuple[str | Path, ...]:
    """A command that has to heed modes, also where the tests run as root."""
    if os.geteuid() == 0:
        dropped = "-dac_override,-dac_read_search"
        return ("setpriv", f"--bounding-set={dropped}", f"--inh-caps={dropped}", *command)
    return command


def test_it_needs_neither_passphrase_nor_write_permission(fleet: Path, tmp_path: Path) -> None:
    import sys

    paths = [fleet, *fleet.rglob("*")]
    for path in paths:
        path.chmod(path.stat().st_mode & 0o555)
    before = snapshot(fleet)
    command = unprivileged(sys.executable, "-m", "dbca_openssl", "check", "--ca", fleet)
    checked = run(*command, directory=tmp_path)
    assert (checked.code, checked.output) == (0, "OK: 0 findings\n"), checked.messages
    assert snapshot(fleet) == before
    assert run(*unprivileged("touch", fleet / "x"), directory=tmp_path).code != 0, "the modes are heeded"
    (fleet / INDEX).chmod(0)
    unknown = run(*command, directory=tmp_path)
    assert (unknown.code, unknown.output) == (3, f"UNKNOWN: cannot read {fleet}/{INDEX}\n")
    for path in paths:
        path.chmod(0o700)


def metrics(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """The samples by name and labels, by Prometheus' own parser; none may be there twice."""
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            assert labels not in found.setdefault(sample.name, {})
            found[sample.name][labels] = sample.value
    return found


def test_prometheus_has_the_figures_of_list(fleet: Path, environment: dict[str, str]) -> None:
    done("revoke", AIKEN, "--yes", directory=fleet, environment=environment)
    checked = tool("check", "--format", "prometheus", directory=fleet)
    assert checked.code == 0
    assert all(re.fullmatch(r"# (HELP|TYPE) \S+ .+|[a-z_]+({.*})? -?\d+", line) for line in checked.output.splitlines())
    found = metrics(checked.output)
    rows = done("list", "--json", directory=fleet).document["certificates"]
    assert found["dbca_certificates"] == {
        (("status", word),): float(sum(row["status"] == word for row in rows))
        for word in ("valid", "expired", "revoked")
    }
    assert found["dbca_certificate_not_after_seconds"] == {
        (("name", row["name"]), ("serial", row["serial"])): datetime.fromisoformat(row["not_after"]).timestamp()
        for row in rows
        if row["status"] == "valid"
    }
    glance = done("--json", directory=fleet).document
    for name, key in (("authority_not_after", "not_after"), ("crl_next_update", "crl_next_update")):
        assert found[f"dbca_{name}_seconds"] == {(): datetime.fromisoformat(glance[key]).timestamp()}
    assert found["dbca_check_status"] == {(): 0.0}


def test_prometheus_says_what_the_exit_code_says(world: World) -> None:
    second_serial(world)
    checked = tool("check", "--format", "prometheus", directory=world.ca)
    assert checked.code == 2
    assert metrics(checked.output)["dbca_check_status"] == {(): 2.0}


def test_a_change_that_is_going_on_is_no_leftover(fleet: Path) -> None:
    from dbca_openssl.lock import Lock

    (fleet / ".stage.0badcafe").mkdir()
    lock = Lock(fleet, lambda line: None)
    try:
        assert check(fleet) == set()
    finally:
        lock.release()
    assert check(fleet) == {(WARNING, "leftover")}
