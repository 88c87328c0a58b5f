"""What a killed plain openssl leaves: the tool goes on, or refuses with the reason, and makes nothing worse."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tools import killing
from tools.kept import NAMES, check_authority, check_key
from tools.killing import OLD, PLAIN, World
from tools.support import Finished, shell, snapshot

AIKEN = NAMES[0]
TYPED = {
    "sign": f"-in ../requests/{PLAIN}.req.pem -out certs/{PLAIN}.cert.pem -extensions cert_ext -policy cert_policy",
    "revoke": f"-revoke certs/{OLD}.cert.pem",
    "gencrl": "-gencrl -out crl/database-ca.crl",
}
RENAMES = {"sign": 6, "revoke": 4, "gencrl": 2}


def _plain(world: World, what: str, rename: int | None = None) -> Finished:
    """Type the guide's command; killed at one of its renames."""
    inject = f"strace -o /dev/null -e trace=rename -e inject=rename:signal=KILL:when={rename} " if rename else ""
    return shell(
        f"export OPENSSL_CONF=./database-ca.cnf\n{inject}openssl ca -batch -passin file:../keys/phrase {TYPED[what]}\n",
        world.ca,
    )


@pytest.mark.parametrize("what", TYPED)
def test_after_a_plain_openssl_was_killed_at_each_rename(what: str, world: World, tmp_path: Path) -> None:
    for rename in range(1, RENAMES[what] + 1):
        own = world.copy(tmp_path / str(rename))
        assert _plain(own, what, rename).code != 0
        before = snapshot(own.ca, without=(".lock",))
        stray = {name: content for name, content in before.items() if name.endswith(".new")}
        finished = own.tool("sign", AIKEN, "--yes", "--ca", own.ca)
        after = snapshot(own.ca, without=(".lock",))
        assert check_key(own.root) == []
        assert {
            name: content for name, content in after.items() if name in before and name.startswith("newcerts/")
        } == {name: content for name, content in before.items() if name.startswith("newcerts/")}
        if finished.code == 0:
            rows = [line.split("\t") for line in (own.ca / "database-ca.index").read_text().splitlines()]
            assert len({row[3] for row in rows}) == len(rows)
            assert f"/CN={OLD}" in {row[5] for row in rows} and f"/CN={AIKEN}" in {row[5] for row in rows}
            if what != "sign":  # its certificate is in newcerts/ and not always in the index, as it was before
                crl = own.tool("crl", "--ca", own.ca)
                assert crl.code == 0, crl.messages
                assert check_authority(own.root) == []
        else:
            assert what == "sign" and rename == 1
            assert f"{own.ca}/newcerts/02.pem is there, but serial 02 is not in the index" in finished.messages
            assert after == before
        for name, content in stray.items():
            if name.removesuffix(".new") in before:
                assert after.get(name) == content, "a .new file that is not needed is left alone"


def test_what_is_hinted_at_after_a_killed_signature_works(world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    _plain(own, "sign", 1)
    refused = own.tool("sign", AIKEN, "--yes", "--ca", own.ca)
    assert "dbca-openssl repair enters the certificate into the index" in refused.messages
    repaired = own.tool("repair", "--yes", "--ca", own.ca)
    assert repaired.code == 0, repaired.messages
    finished = own.tool("sign", AIKEN, "--yes", "--ca", own.ca)
    assert finished.code == 0, finished.messages
    assert check_authority(own.root) == []
    assert f"/CN={PLAIN}\n" in (own.ca / "database-ca.index").read_text()


def test_a_file_that_was_moved_away_is_put_back_and_said(world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    _plain(own, "revoke", 2)
    assert not (own.ca / "database-ca.index").exists()
    finished = own.tool("crl", "--ca", own.ca)
    assert finished.code == 0, finished.messages
    assert "database-ca.index was moved away by an openssl that was killed, and is restored" in finished.messages
    assert (own.ca / "database-ca.index").read_text().count("R\t") == 1


def test_an_openssl_that_is_alive_between_its_renames_is_not_taken_for_dead(world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    plain: list[Finished] = []
    index = own.ca / "database-ca.index"

    def type_it() -> None:
        # openssl is held for 0.4 seconds when it enters the rename that puts the new index in its place
        strace = "strace -o /dev/null -e trace=rename -e inject=rename:delay_enter=400000:when=2"
        plain.append(
            shell(
                f"export OPENSSL_CONF=./database-ca.cnf\n{strace} openssl ca -batch -passin file:../keys/phrase "
                f"-revoke certs/{OLD}.cert.pem\n",
                own.ca,
            )
        )

    thread = threading.Thread(target=type_it)
    thread.start()
    while index.exists() and not plain:
        time.sleep(0.005)
    assert not plain, "it was never seen between its renames"
    finished = own.tool("crl", "--ca", own.ca)
    thread.join()
    assert plain[0].code == 0, plain[0].messages
    assert finished.code == 0, finished.messages
    assert "put back" not in finished.messages
    assert index.read_text().count("R\t") == 1


@pytest.mark.parametrize("moved", range(1, 8))
def test_a_commit_that_was_cut_short_never_overwrites_what_plain_openssl_did_after_it(
    moved: int, world: World, tmp_path: Path
) -> None:
    """The tool is killed when so many renames are done; then plain openssl signs with the same serial or the next."""
    own = world.copy(tmp_path / "own")
    verb = killing.VERBS["sign"]
    assert killing.kill_tool(verb, own, killing.Point("rename", moved + 1)).code == -9
    assert (own.ca / ".commit/manifest").exists()
    signed = _plain(own, "sign")
    certificate = (own.ca / f"certs/{PLAIN}.cert.pem").read_bytes()
    assert signed.code == 0 and certificate
    kept = {name: (own.ca / f"database-ca.{name}").read_bytes() for name in ("index", "serial", "index.old")}
    settled = own.tool("crl", "--ca", own.ca)
    assert settled.code == 0, settled.messages
    assert ("is rolled back" in settled.messages) == (f"/CN={AIKEN}\n".encode() not in kept["index"])
    assert {name: (own.ca / f"database-ca.{name}").read_bytes() for name in kept} == kept
    assert (own.ca / f"certs/{PLAIN}.cert.pem").read_bytes() == certificate
    assert (own.ca / f"certs/{AIKEN}.cert.pem").exists() == (f"/CN={AIKEN}\n".encode() in kept["index"])
    assert check_authority(own.root) == []
    assert list(own.ca.glob(".commit")) == []


def test_the_same_verb_again_finishes_what_was_cut_short_before_it_refuses(world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    verb = killing.VERBS["sign"]
    last = [point for point in killing.steps(verb, world.copy(tmp_path / "recorded")) if point.call == "rename"][-1]
    assert killing.kill_tool(verb, own, last).code == -9
    assert not (own.ca / f"certs/{AIKEN}.cert.pem").exists()
    again = own.tool(*verb.arguments(own.root))
    assert again.code == 1 and "has a valid certificate already" in again.messages
    assert (own.ca / f"certs/{AIKEN}.cert.pem").exists()
    assert check_authority(own.root) == []


def test_a_ctrl_c_after_the_commit_comes_too_late(world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    strace = ("strace", "-o", "/dev/null", "-e", "trace=rename", "-e", "inject=rename:signal=INT:when=2")
    finished = own.tool(*killing.VERBS["sign"].arguments(own.root), before=strace)
    assert finished.code == 0, finished
    assert "serial 02" in finished.output
    assert check_authority(own.root) == []


def test_a_ctrl_c_before_the_commit_changes_nothing(world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    before = snapshot(own.ca, without=(".lock",))
    strace = ("strace", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:signal=INT:when=3")
    finished = own.tool(*killing.VERBS["sign"].arguments(own.root), before=strace)
    assert finished.code == 130, finished
    assert snapshot(own.ca, without=(".lock",)) == before


@pytest.mark.parametrize("rename", [2, 5, 8])
def test_an_error_after_the_commit_says_that_the_change_is_made(rename: int, world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    verb = killing.VERBS["sign"]
    failed = killing.fail_tool(verb, own, killing.Point("rename", rename), "EIO")
    assert failed.code == 1
    assert (
        "dbca-openssl: the change is made, but not all of its files are in place yet: Input/output error"
        in failed.messages
    )
    finished = own.tool("crl", "--ca", own.ca)
    assert finished.code == 0, finished.messages
    assert (own.ca / f"certs/{AIKEN}.cert.pem").exists()
    assert check_authority(own.root) == []


def test_an_init_that_is_made_says_so_whatever_comes_after_it(world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    new = own.root / "new"
    arguments = ("init", "-o", "example.net", "--key", own.root / "keys/ca.key.pem", "--ca", new)
    # the last step: the name of the new directory is to be on the disk
    strace = ("strace", "-o", "/dev/null", "-P", own.root, "-e", "trace=fsync", "-e", "inject=fsync:error=EIO")
    failed = own.tool(*arguments, before=strace)
    assert failed.code == 1
    assert f"dbca-openssl: {new} is made, but may not be on the disk yet: Input/output error\n" in failed.messages
    finished = own.tool("crl", "--ca", new)
    assert finished.code == 0, finished.messages


def test_a_name_whose_certificate_was_revoked_is_signed_again(world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    assert _plain(own, "revoke").code == 0
    finished = own.tool("sign", OLD, "--yes", "--ca", own.ca)
    assert finished.code == 0, finished.messages
    assert (own.ca / f"certs/{OLD}.cert.pem").read_bytes() == (own.ca / "newcerts/02.pem").read_bytes()
    assert check_authority(own.root) == []


@pytest.mark.parametrize("folder", ["certs", "newcerts"])
def test_a_missing_directory_is_refused_before_anything_counts(folder: str, world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    (own.ca / folder).rename(tmp_path / "away")
    before = snapshot(own.ca, without=(".lock",))
    refused = own.tool("sign", AIKEN, "--yes", "--ca", own.ca)
    assert refused.code == 1
    assert f"dbca-openssl: there is no directory {own.ca}/{folder}" in refused.messages
    assert snapshot(own.ca, without=(".lock",)) == before
