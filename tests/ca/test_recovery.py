"""An interrupted change is finished before the CA is read, by whichever verb comes next; `check` reports it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dbca_openssl import lock, ownership, transaction
from dbca_openssl.ca import recovery
from dbca_openssl.ca.layout import Authority
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.transaction import Transaction
from tools import killing
from tools.kept import NAMES, check_authority
from tools.killing import OLD, World
from tools.support import run, snapshot

READERS = {
    "list": ("list",),
    "show": ("show", OLD),
    "verify": ("verify", OLD),
    "status": (),
    "deploy --local": ("deploy", "--local", "--ssl-dir", "ssl"),
    "report": ("report", "--output", "report.html"),
    "sign --print": ("sign", NAMES[0], "--print"),
    "server probe": ("server", "probe", "127.0.0.1:1"),
}


@pytest.fixture(scope="module")
def _interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, World]]:
    yield {}


@pytest.fixture
def interrupted(world: World, _interrupted: dict[str, World], tmp_path: Path) -> World:
    """A CA whose `revoke` was killed as soon as it was decided: the index and the CRL are those of before."""
    if not _interrupted:
        own = _interrupted["revoke"] = world.copy(tmp_path / "first")
        assert killing.kill_tool(killing.VERBS["revoke"], own, killing.Point("rename", 2)).code == -9
    copy = _interrupted["revoke"].copy(tmp_path / "world")
    assert transaction.is_interrupted(copy.ca) and "R\t" not in (copy.ca / "database-ca.index").read_text()
    return copy


@pytest.mark.parametrize("name", READERS)
def test_a_verb_that_reads_finishes_it_first(name: str, interrupted: World) -> None:
    arguments = tuple(
        str(interrupted.root / word) if word in ("ssl", "report.html") else word for word in READERS[name]
    )
    finished = interrupted.tool(*arguments, "--ca", interrupted.ca)
    assert finished.code == {"verify": 1, "server probe": 3}.get(name, 0), finished
    assert (interrupted.ca / "database-ca.index").read_text().count("R\t") == 1
    assert not list(interrupted.ca.glob(".commit*")) and check_authority(interrupted.root) == []
    if name == "verify":
        assert "certificate revoked" in finished.messages
    if name == "deploy --local":
        crl = ("openssl", "crl", "-in", "ssl/database-ca.crl", "-noout", "-text")
        assert run(*crl, directory=interrupted.root).output.count("Serial Number: ") == 1


def test_check_reports_it_and_changes_nothing(interrupted: World) -> None:
    before = snapshot(interrupted.ca)
    finished = interrupted.tool("check", "--ca", interrupted.ca)
    assert finished.code == 2 and "an interrupted change is made, but not yet in its place" in finished.output
    assert snapshot(interrupted.ca) == before
    repaired = interrupted.tool("repair", "--yes", "--ca", interrupted.ca)
    assert repaired.code == 0, repaired.messages
    assert check_authority(interrupted.root) == []


def test_who_may_not_write_is_told_so(interrupted: World, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(interrupted.ca)

    def refuse(path: Path, flags: int, *mode: int) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(lock, "_open", refuse)
    with pytest.raises(DatabaseCaError) as refused:
        Authority(interrupted.ca, lock_timeout=0).require()
    assert refused.value.message == (
        f"an interrupted change must be finished before {interrupted.ca} is read: "
        f"cannot write in {interrupted.ca}: Read-only file system"
    )
    assert snapshot(interrupted.ca) == before


def test_nobody_waits_for_ever(interrupted: World) -> None:
    """For a process that was stopped while it finishes a change."""
    before = snapshot(interrupted.ca, without=(".lock",))
    with (interrupted.ca / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DatabaseCaError, match=r"must be finished before .* another process is changing"):
            Authority(interrupted.ca, lock_timeout=0.1).require()
    assert snapshot(interrupted.ca, without=(".lock",)) == before


def test_a_change_that_another_process_finishes_meanwhile_is_no_problem(
    interrupted: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(seconds: float) -> None:
        shutil.rmtree(interrupted.ca / ".commit")

    with (interrupted.ca / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        monkeypatch.setattr("dbca_openssl.ca.recovery.time.sleep", finish)
        Authority(interrupted.ca).require()


def test_where_nothing_is_interrupted_nothing_is_locked_or_written(world: World, tmp_path: Path) -> None:
    own = world.copy(tmp_path / "own")
    (own.ca / ".lock").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, "Lock", None)
        Authority(own.ca).require()
    assert not (own.ca / ".lock").exists()


def test_fat_is_known_by_the_table_of_mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path.stat().st_dev
    here, table = f"{os.major(device)}:{os.minor(device)}", tmp_path / "mountinfo"
    monkeypatch.setattr(ownership, "_MOUNTS", str(table))
    for kind, expected in (("vfat", True), ("exfat", True), ("ext4", False), ("xfs", False)):
        table.write_text(
            "22 1 253:250 / /other rw shared:1 - ext4 /dev/a rw\n"
            f"36 35 {here} / /media/a\\040stick rw,noatime master:1 - {kind} /dev/b rw,errors=continue\n"
        )
        assert ownership.is_fat(tmp_path) == expected
    table.unlink()
    assert not ownership.is_fat(tmp_path)


def test_on_fat_a_file_is_in_its_new_place_before_it_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "is_fat", lambda directory: True)
    calls = []
    for name in ("rename", "unlink", "fsync"):
        original = getattr(os, name)

        def recorded(*arguments: object, name: str = name, original: object = original, **more: object) -> None:
            calls.append((name, *map(str, arguments)))
            original(*arguments, **more)  # type: ignore[operator]

        monkeypatch.setattr(os, name, recorded)
    (tmp_path / "database-ca.serial").write_text("01\n")
    with Transaction(tmp_path, ("database-ca.serial",), tell=lambda line: None) as change:
        change.write("database-ca.serial", b"02\n")
        change.commit(["database-ca.serial"])
    assert (tmp_path / "database-ca.serial").read_text() == "02\n"
    staged, serial = tmp_path / ".commit/database-ca.serial", tmp_path / "database-ca.serial"
    assert not [call for call in calls if call[0] == "rename" and call[1] == str(staged)]
    installed = calls.index(("rename", f"{tmp_path}/.commit.database-ca.serial", str(serial)))
    removed = calls.index(("unlink", str(staged)))
    assert calls[installed - 1][0] == "fsync" and calls[installed + 1][0] == "fsync" and installed + 1 < removed
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".commit")] == []
