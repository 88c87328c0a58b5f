"""`repair` on a whole directory: shown before it is done, nothing overwritten, and every verb works afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tools.damage import (
    ATTRIBUTES,
    INDEX,
    NEW,
    SERIAL,
    World,
    check,
    removed,
    renamed,
    sign_plainly,
    two_valid_rows,
    without_final_newline,
)
from tools.support import (
    ORGANIZATION,
    done,
    frozen_openssl,
    on_a_terminal,
    plain_request,
    refusal,
    run,
    snapshot,
    tool,
)


@pytest.fixture
def world(fleet: Path, keys: Path, others: tuple[Path, Path]) -> World:
    return World(fleet, *others, keys / "phrase")


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
    assert done("repair", directory=world.ca).output == "nothing to fix\n"
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
