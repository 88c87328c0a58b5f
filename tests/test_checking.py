"""`check` and `repair`: every documented state of damage is found, and mended or explained."""

from __future__ import annotations

import ast
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support import (
    BARE,
    HOSTS,
    ORGANIZATION,
    ROOT,
    done,
    frozen_openssl,
    frozen_tool,
    index_rows,
    on_a_terminal,
    openssl,
    plain_request,
    refusal,
    run,
    snapshot,
    tool,
)

from dbca_openssl.authority import checking, repairing
from dbca_openssl.authority.checking import Limits
from dbca_openssl.authority.findings import CRITICAL, WARNING
from dbca_openssl.authority.paths import Authority

AIKEN, MARGARET, GANNIBAL = HOSTS
NEW = "new.example.net"

SERIAL, INDEX, ATTRIBUTES, CRL_NUMBER = (f"database-ca.{name}" for name in ("serial", "index", "index.attr", "crlnum"))
CRL = "crl/database-ca.crl"

Found = set[tuple[int, str]]


@dataclass(frozen=True)
class World:
    """What a state of damage is made of: the authority, and others made once."""

    ca: Path
    signed: Path
    """The same authority after a plain openssl has signed for NEW, serial 04."""
    twin: Path
    """Another authority of the same name, with a certificate 01 of aiken."""
    phrase: Path

    def path(self, name: str) -> Path:
        return self.ca / name

    def put(self, name: str, content: bytes | str) -> None:
        path = self.path(name)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def change(self, name: str, before: str, after: str) -> None:
        text = self.path(name).read_text()
        assert before in text
        self.put(name, text.replace(before, after))

    def openssl(self, *arguments: str | Path) -> None:
        plain_openssl(self.ca, self.phrase, *arguments)


def plain_openssl(ca: Path, phrase: Path, *arguments: str | Path) -> None:
    """`openssl ca` as the guide types it."""
    openssl(
        *("ca", "-batch", *arguments, "-passin", f"file:{phrase}"),
        directory=ca,
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )


def sign_plainly(ca: Path, phrase: Path, name: str) -> None:
    """The guide's command for signing."""
    plain_openssl(
        *(ca, phrase, "-in", f"certreqs/{name}.req.pem", "-out", f"certs/{name}.cert.pem"),
        *("-extensions", "cert_ext", "-policy", "cert_policy"),
    )


@pytest.fixture(scope="session")
def others(pristine_fleet: Path, keys: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    directory = tmp_path_factory.mktemp("others")
    signed = Path(shutil.copytree(pristine_fleet, directory / "signed"))
    plain_request(signed, NEW, keys / "host.key.pem")
    sign_plainly(signed, keys / "phrase", NEW)
    done(
        *("init", "-o", ORGANIZATION, "--key", keys / "host.key.pem", "--no-passphrase", "--ca", directory / "twin"),
        directory=directory,
    )
    shutil.copy(signed / f"certreqs/{AIKEN}.req.pem", directory / "twin/certreqs")
    openssl(
        *("ca", "-batch", "-in", f"certreqs/{AIKEN}.req.pem", "-out", f"certs/{AIKEN}.cert.pem"),
        *("-extensions", "cert_ext"),
        directory=directory / "twin",
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )
    return signed, directory / "twin"


@pytest.fixture
def world(fleet: Path, keys: Path, others: tuple[Path, Path]) -> World:
    return World(fleet, *others, keys / "phrase")


def killed(renamed: int) -> Callable[[World], None]:
    """A plain openssl that signed for NEW and was killed after so many of its six renames (reliability of ca(1))."""

    def damage(world: World) -> None:
        for name in (f"certreqs/{NEW}.req.pem", f"certs/{NEW}.cert.pem", "newcerts/04.pem"):
            shutil.copy(world.signed / name, world.path(name))
        steps = []
        for name in (SERIAL, INDEX, ATTRIBUTES):
            shutil.copy(world.signed / name, world.path(f"{name}.new"))
            steps += [(name, f"{name}.old"), (f"{name}.new", name)]
        for source, target in steps[:renamed]:
            world.path(source).rename(world.path(target))

    return damage


def killed_at_the_list(world: World) -> None:
    """openssl truncates the list before it has a new one."""
    world.put(CRL, "")
    world.put(f"{CRL_NUMBER}.new", "02\n")


def crl_number_moved_away(world: World) -> None:
    world.path(CRL_NUMBER).rename(world.path(f"{CRL_NUMBER}.old"))
    world.put(f"{CRL_NUMBER}.new", "02\n")


def lost_revocation(world: World) -> None:
    """The index of before a revocation, the list of after it."""
    before = world.path(INDEX).read_bytes()
    world.openssl("-revoke", "newcerts/01.pem")
    world.openssl("-gencrl", "-out", CRL)
    world.put(INDEX, before)


def emptied_by_a_full_disk(world: World) -> None:
    world.put(f"{INDEX}.old", world.path(INDEX).read_bytes().rpartition(b"V\t")[0])
    for name in (INDEX, ATTRIBUTES, SERIAL, f"certs/{GANNIBAL}.cert.pem"):
        world.put(name, "")


def two_valid_rows(world: World) -> None:
    world.put(ATTRIBUTES, "unique_subject = no\n")
    sign_plainly(world.ca, world.phrase, AIKEN)
    world.put(ATTRIBUTES, "unique_subject = yes\n")


def second_serial(world: World) -> None:
    """Two openssl at the same time: one serial, two rows."""
    row = world.path(INDEX).read_text().splitlines()[-1]
    world.put(INDEX, world.path(INDEX).read_text() + row.replace(GANNIBAL, "other.example.net") + "\n")


def unindexed_second_generation(world: World) -> None:
    """A certificate that is not in the index, of a name that has a valid one there."""
    rows = world.path(INDEX).read_bytes()
    world.put(ATTRIBUTES, "unique_subject = no\n")
    sign_plainly(world.ca, world.phrase, AIKEN)
    world.put(ATTRIBUTES, "unique_subject = yes\n")
    world.put(INDEX, rows)
    shutil.copy(world.path("newcerts/01.pem"), world.path(f"certs/{AIKEN}.cert.pem"))


def not_in_the_list(world: World) -> None:
    world.openssl("-revoke", "newcerts/02.pem")


def bad_name(world: World) -> None:
    openssl(
        *("req", "-new", "-key", world.phrase.parent / "host.key.pem", "-subj", "/CN=a b"),
        *("-out", world.path("certreqs/bad.req.pem")),
        directory=world.ca,
        environment={"OPENSSL_CONF": str(BARE)},
    )
    sign_plainly(world.ca, world.phrase, "bad")


def stale_delivery(world: World) -> None:
    shutil.copy(world.path("newcerts/02.pem"), world.path(f"certs/{AIKEN}.cert.pem"))


def swapped(world: World) -> None:
    """In the index two names have each other's serial."""
    rows = world.path(INDEX).read_text()
    for before, after in ((MARGARET, "m"), (GANNIBAL, MARGARET), ("=m\n", f"={GANNIBAL}\n")):
        rows = rows.replace(before, after)
    world.put(INDEX, rows)


def no_certificate_left(world: World) -> None:
    world.path("database-ca.cert.pem").unlink()


def copy_from_twin(target: str) -> Callable[[World], None]:
    return lambda world: world.put(target, (world.twin / "newcerts/01.pem").read_bytes())


def removed(*names: str) -> Callable[[World], None]:
    def damage(world: World) -> None:
        for name in names:
            path = world.path(name)
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


def written(name: str, content: str) -> Callable[[World], None]:
    return lambda world: world.put(name, content)


def renamed(name: str, other: str) -> Callable[[World], None]:
    def damage(world: World) -> None:
        world.path(name).rename(world.path(other))

    return damage


def without_final_newline(world: World) -> None:
    world.put(INDEX, world.path(INDEX).read_bytes().rstrip(b"\n"))


def cut_last_line(world: World) -> None:
    world.put(INDEX, world.path(INDEX).read_bytes()[:-6])


def blank_line(world: World) -> None:
    world.put(INDEX, world.path(INDEX).read_bytes().replace(b"\nV", b"\n\nV", 1))


def mode(name: str, bits: int) -> Callable[[World], None]:
    return lambda world: world.path(name).chmod(bits)


def stage(world: World) -> None:
    world.path(".stage.0badcafe/certs").mkdir(parents=True)


def commit(world: World) -> None:
    world.path(".commit").mkdir()


@dataclass(frozen=True)
class State:
    """A state of damage: how it comes about, what `check` says, what is left to people after `repair`."""

    damage: Callable[[World], None]
    found: Found
    left: Found


def mended(damage: Callable[[World], None], *found: tuple[int, str]) -> State:
    return State(damage, set(found), set())


def explained(damage: Callable[[World], None], *found: tuple[int, str]) -> State:
    return State(damage, set(found), set(found))


W, C = WARNING, CRITICAL

STATES = {
    # a plain openssl that was killed
    "killed before the first rename": mended(killed(0), (W, "leftover"), (C, "not-in-index"), (C, "serial")),
    "killed, no serial": mended(killed(1), (C, "leftover"), (W, "leftover"), (C, "not-in-index")),
    "killed, serial done": mended(killed(2), (W, "leftover"), (C, "not-in-index")),
    "killed, no index": mended(killed(3), (C, "leftover"), (W, "leftover")),
    "killed, index done": mended(killed(4), (W, "leftover")),
    "killed, no attributes": mended(killed(5), (C, "leftover"), (W, "attributes")),
    "killed at the list": State(killed_at_the_list, {(C, "crl"), (W, "leftover")}, {(C, "crl")}),
    "killed, no crlnum": mended(crl_number_moved_away, (C, "leftover")),
    "only .old is left": mended(
        renamed(SERIAL, f"{SERIAL}.old"), (C, "leftover")
    ),
    # the index
    "no final newline": mended(without_final_newline, (C, "index")),
    "a cut last line": explained(cut_last_line, (C, "index")),
    "a blank line": mended(blank_line, (C, "index")),
    "a line of something else": explained(written(INDEX, "V\tnonsense\n"), (C, "index")),
    "a date that is none": explained(
        lambda world: world.change(INDEX, "Z\t\t02", "Z\t991399000000Z\t02"), (C, "index")
    ),
    "emptied by a full disk": mended(
        emptied_by_a_full_disk, (C, "index"), (W, "attributes"), (C, "serial"), (C, "not-in-index")
    ),
    "no index at all": explained(
        removed(INDEX, f"{INDEX}.old"), (C, "missing")
    ),
    "a serial twice": explained(second_serial, (C, "duplicate-serial"), (C, "copy")),
    "a name valid twice": explained(two_valid_rows, (C, "duplicate-name")),
    "a name of no host": explained(bad_name, (W, "bad-name")),
    # serial and number of the list
    "serial too low": mended(written(SERIAL, "02\n"), (C, "serial")),
    "serial with an odd number of digits": mended(written(SERIAL, "4\n"), (C, "serial")),
    "serial empty": mended(written(SERIAL, ""), (C, "serial")),
    "serial missing": mended(removed(SERIAL, f"{SERIAL}.old"), (C, "missing")),
    "serial without line end": mended(written(SERIAL, "04"), (W, "serial")),
    "crlnum too low": mended(written(CRL_NUMBER, "00\n"), (C, "crl-number")),
    "crlnum damaged": mended(written(CRL_NUMBER, "one\n"), (C, "crl-number")),
    "crlnum without line end": mended(written(CRL_NUMBER, "01"), (W, "crl-number")),
    "crlnum missing": mended(removed(CRL_NUMBER, f"{CRL_NUMBER}.old"), (C, "missing")),
    "crlnum and list missing": explained(
        removed(CRL_NUMBER, f"{CRL_NUMBER}.old", CRL), (C, "missing"), (C, "crl")
    ),
    # attributes
    "no attributes": mended(removed(ATTRIBUTES, f"{ATTRIBUTES}.old"), (W, "attributes")),
    "empty attributes": mended(written(ATTRIBUTES, ""), (W, "attributes")),
    "unique_subject = no": explained(written(ATTRIBUTES, "unique_subject = no\n"), (W, "attributes")),
    # modes, directories, names
    "private is open": mended(mode("private", 0o755), (W, "mode")),
    "the key is open": mended(mode("private/database-ca.key.pem", 0o644), (C, "mode")),
    "no directories": mended(removed("certreqs", "certs"), (C, "missing"), (W, "certs")),
    "the guide's database_ca.cnf": mended(renamed("database-ca.cnf", "database_ca.cnf"), (C, "name")),
    "the guide's mariadatabase-ca.key.pem": mended(
        renamed("private/database-ca.key.pem", "private/mariadatabase-ca.key.pem"), (C, "name")
    ),
    "no configuration": explained(removed("database-ca.cnf"), (C, "missing")),
    "an empty key": explained(written("private/database-ca.key.pem", ""), (C, "missing")),
    "no certificate of its own": explained(no_certificate_left, (C, "authority")),
    "an empty certificate of its own": explained(written("database-ca.cert.pem", ""), (C, "authority")),
    # certificate files
    "certs/NAME is not the newest": explained(stale_delivery, (W, "certs")),
    "certs/NAME is empty": mended(written(f"certs/{AIKEN}.cert.pem", ""), (W, "certs")),
    "newcerts has a foreign one": explained(copy_from_twin("newcerts/01.pem"), (C, "copy"), (W, "certs")),
    "newcerts has an empty one": explained(written("newcerts/02.pem", ""), (C, "copy"), (W, "certs")),
    "newcerts has another one of ours": explained(
        lambda world: world.put("newcerts/02.pem", world.path("newcerts/03.pem").read_bytes()),
        (C, "copy"), (W, "certs"),
    ),
    "newcerts has swapped two": explained(swapped, (C, "copy"), (W, "certs")),
    "newcerts lacks one": explained(removed("newcerts/02.pem"), (W, "no-copy")),
    "newcerts has a foreign one more": State(
        copy_from_twin("newcerts/1F.pem"), {(C, "not-in-index"), (C, "serial")}, {(C, "not-in-index")}
    ),
    "newcerts has something more": State(
        written("newcerts/1F.pem", "?"), {(C, "not-in-index"), (C, "serial")}, {(C, "not-in-index")}
    ),
    "a second one that is not in the index": explained(unindexed_second_generation, (C, "not-in-index")),
    # our own leftovers
    "a stage": mended(stage, (W, "leftover")),
    "a commit": mended(commit, (W, "leftover")),
    # the revocation list
    "no list": explained(removed(CRL), (C, "crl")),
    "an empty list": explained(written(CRL, ""), (C, "crl")),
    "a list of another authority": explained(
        lambda world: world.put(CRL, (world.twin / CRL).read_bytes()), (C, "crl")
    ),
    "the list does not name a revoked one": explained(not_in_the_list, (C, "crl")),
    "the index has lost a revocation": explained(lost_revocation, (C, "lost-revocation")),
}  # fmt: skip

BY_THE_CLOCK = {"authority", "certificate", "crl", "outlives"}
"""Codes of what comes with time alone: see `test_what_ends`."""

STILL_WORKS = {
    "unique_subject = no", "a name of no host", "certs/NAME is not the newest", "newcerts has a foreign one",
    "newcerts has an empty one", "newcerts has another one of ours", "newcerts lacks one", "no list", "an empty list",
    "newcerts has a foreign one more", "newcerts has something more", "a list of another authority",
    "the list does not name a revoked one", "the index has lost a revocation", "killed at the list",
    "a second one that is not in the index", "newcerts has swapped two",
}  # fmt: skip
"""States that are only explained, in which a plain openssl can sign all the same."""


def check(ca: Path, **limits: int | bool) -> Found:
    return {(one.level, one.code) for one in checking.check(Authority(ca), Limits(**limits)).findings}  # type: ignore[arg-type]


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
    assert all(one.mend and "\n" not in one.text for one in checked.findings)
    assert snapshot(world.ca) == before, "check only looks"

    promised = {one.code for one in checked.findings if one.mend == "dbca-openssl repair"}
    rounds: list[list[str]] = []
    mended = repairing.repair(Authority(world.ca), rounds.append)
    assert mended == [text for texts in rounds for text in texts]
    left = checking.check(Authority(world.ca), Limits()).findings
    assert {(one.level, one.code) for one in left} == state.left
    assert bool(mended) == bool(promised) or state.left != state.found
    assert not any(one.mend == "dbca-openssl repair" for one in left), "what repair can't mend is not left to it"

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
    for module in ("checking", "copies"):
        tree = ast.parse((ROOT / f"dbca_openssl/authority/{module}.py").read_text())
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            position = {"Finding": 1, "_ending": 3}.get(getattr(call.func, "id", ""))
            if position and isinstance(call.args[position], ast.Constant):
                codes.add(call.args[position].value)  # type: ignore[attr-defined]
    assert codes == {code for state in STATES.values() for _, code in state.found} | BY_THE_CLOCK


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
        monkeypatch.setattr("dbca_openssl.validity.now", lambda days=days: began + timedelta(days=days))
        assert (days, check(ca)) == (days, expected)
    clock = f"{began + timedelta(days=61):%Y-%m-%d %H:%M:%S}"
    ended = frozen_tool(clock, "check", "--ca", ca, directory=tmp_path)
    assert ended.code == 2
    assert "CRITICAL  the revocation list ended on" in ended.output
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
    assert critical.output.splitlines()[0] == "CRITICAL: 3 findings"
    assert f"mend: dbca-openssl renew {AIKEN}" in critical.output


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
        else:
            assert unknown.messages.startswith("dbca-openssl: ")
        if "prometheus" in more and "--ca" in arguments:
            assert metrics(unknown.output) == {"dbca_check_status": {(): 3.0}}
    assert list(nothing.iterdir()) == []
    refused = tool("repair", "--ca", nothing, "--yes", directory=tmp_path)
    assert refusal(refused) == f"no authority in {nothing}: there is no database-ca.cnf"
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
    assert (unknown.code, unknown.messages.splitlines()[0]) == (3, f"dbca-openssl: cannot read {fleet}/{INDEX}")
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
    from dbca_openssl.transaction import Lock

    (fleet / ".stage.0badcafe").mkdir()
    lock = Lock(fleet, lambda line: None)
    try:
        assert check(fleet) == set()
    finally:
        lock.release()
    assert check(fleet) == {(WARNING, "leftover")}


def test_each_step_is_shown_before_it_is_done(world: World) -> None:
    without_final_newline(world)
    world.put(SERIAL, "4\n")
    damaged = {name: world.path(name).read_bytes() for name in (INDEX, SERIAL)}
    before = snapshot(world.ca, without=(".lock",))
    assert refusal(tool("repair", directory=world.ca)) == "there is no terminal to ask at"
    assert snapshot(world.ca, without=(".lock",)) == before
    code, shown = on_a_terminal("repair", directory=world.ca, answers=["n"])
    assert code == 1
    assert f"write {INDEX} again with the final line end" in shown
    assert "the answer was no, and nothing was done" in shown
    assert snapshot(world.ca, without=(".lock",)) == before

    code, shown = on_a_terminal("repair", directory=world.ca, answers=["y", "n"])
    assert code == 0, shown
    assert shown.index(f"write {INDEX} again") < shown.index("[y/N]") < shown.index("write 04 into")
    assert world.path(SERIAL).read_bytes() == b"4\n"
    code, shown = on_a_terminal("repair", directory=world.ca, answers=["y"])
    assert code == 0, shown
    for name, data in damaged.items():
        assert world.path(f"{name}.damaged").read_bytes() == data
    assert done("repair", directory=world.ca).output == "nothing to mend\n"
    assert tool("check", directory=world.ca).code == 0


def test_what_is_kept_is_never_overwritten(world: World) -> None:
    for content, kept in (("1\n", ""), ("2\n", "1"), ("3\n", "2")):
        world.put(SERIAL, content)
        repaired = done("repair", "--yes", "--json", directory=world.ca).document
        assert repaired == {"repaired": [f"write 04 into {SERIAL}"], "status": "OK", "left": []}
        assert world.path(f"{SERIAL}.damaged{kept}").read_text() == content


def test_the_documented_mend_of_two_valid_rows_works(world: World) -> None:
    two_valid_rows(world)
    before = world.path(INDEX).read_bytes()
    failed = run(
        *("openssl", "ca", "-gencrl", "-out", "/dev/null", "-passin", f"file:{world.phrase}"),
        directory=world.ca,
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )
    assert "error creating name index" in failed.messages.lower()  # 1.1.1 begins without a capital
    row = next(line for line in before.decode().splitlines() if "\t01\t" in line).split("\t")
    revoked = "\t".join(["R", row[1], f"{datetime.now(UTC):%y%m%d%H%M%SZ}", *row[3:]])
    world.put(INDEX, before.decode().replace("\t".join(row), revoked))
    done("crl", "--passphrase-file", world.phrase, directory=world.ca)
    assert check(world.ca) == set()


def test_adopts_a_directory_with_the_guides_slips(world: World, tmp_path: Path) -> None:
    """Misnamed files, no attributes, a serial without line end: after `repair` every verb works."""
    renamed("database-ca.cnf", "database_ca.cnf")(world)
    renamed("private/database-ca.key.pem", "private/mariadatabase-ca.key.pem")(world)
    removed(ATTRIBUTES, f"{ATTRIBUTES}.old")(world)
    world.put(SERIAL, "04")
    refused = tool("list", "--ca", world.ca, directory=tmp_path)
    assert refusal(refused) == f"{world.ca}/database_ca.cnf must be called database-ca.cnf"
    assert "hint: dbca-openssl repair renames it" in refused.messages
    assert tool("check", "--ca", world.ca, directory=tmp_path).code == 2
    done("repair", "--yes", "--ca", world.ca, directory=tmp_path)
    options = ("--ca", world.ca, "--passphrase-file", world.phrase)
    plain_request(world.ca, NEW, world.phrase.parent / "host.key.pem")
    done("sign", "--all", "--yes", *options, directory=tmp_path)
    done("revoke", NEW, "--yes", *options, directory=tmp_path)
    assert tool("check", "--ca", world.ca, directory=tmp_path).code == 0


def test_a_directory_made_by_hand_is_in_order(tmp_path: Path, keys: Path) -> None:
    """The guide's commands typed into sh, under a clock of their own."""
    clock = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    done("init", "-o", ORGANIZATION, "--key", keys / "ca.key.pem", "--passphrase-file", keys / "phrase",
         "--openssl", frozen_openssl(tmp_path, clock), "--ca", tmp_path / "made", directory=tmp_path)  # fmt: skip
    hand = tmp_path / "hand"
    script = done("init", "-o", ORGANIZATION, "--key", keys / "ca.key.pem", "--passphrase-file", keys / "phrase",
                  "--ca", hand, "--print", directory=tmp_path).output  # fmt: skip
    assert run("sh", directory=tmp_path, stdin=script).code == 0
    assert check(hand) == check(tmp_path / "made") == set()
    plain_request(hand, NEW, keys / "host.key.pem")
    sign_plainly(hand, keys / "phrase", NEW)
    assert check(hand) == set()
