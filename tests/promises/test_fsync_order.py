"""What counts is on the disk before it counts: the order of the tool's system calls, as strace records them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tools.killing import VERBS, World


def _calls(verb: str, world: World) -> list[tuple[str, str]]:
    """The tool's fsyncs, renames and unlinks as (call, path), in order."""
    trace = world.root / "trace"
    strace = ("strace", "-y", "-o", trace, "-e", "trace=fsync,rename,renameat,unlink,write,openat")
    finished = VERBS[verb].run(world, before=strace)
    assert finished.code == 0, finished.messages
    found = []
    for line in trace.read_text().splitlines():
        if match := re.match(r"fsync\(\d+<(.*)>\) += 0", line):
            found.append(("fsync", match[1]))
        elif match := re.match(r'(rename|unlink)\("([^"]*)"(?:, "([^"]*)")?\) += 0', line):
            found.append((match[1], match[2]))
    return found


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "init"])
def test_all_is_on_the_disk_before_the_commit_and_the_commit_before_what_follows(
    verb: str, world: World, tmp_path: Path
) -> None:
    copy = world.copy(tmp_path / "world")
    root = copy.ssl if verb == "request" else copy.ca
    calls = _calls(verb, copy)
    [commit] = [
        number
        for number, (call, path) in enumerate(calls)
        if call == "rename" and Path(path).name.startswith(".stage.")
    ]
    stage = calls[commit][1]
    before = [path for call, path in calls[:commit] if call == "fsync"]
    moved = [path for call, path in calls[commit + 1 :] if call == "rename"]
    assert len(moved) >= (1 if verb in ("passphrase", "backup") else 3) and all(
        path.startswith(f"{root}/.commit/") for path in moved
    )
    staged = [path.replace("/.commit/", f"/{Path(stage).name}/") for path in moved]
    for path in (*staged, f"{stage}/manifest"):
        assert path in before, f"{path} is not on the disk before the commit"
        assert str(Path(path).parent) in before
    assert stage in before
    assert calls[commit + 1] == ("fsync", str(root)), "the commit is on the disk before anything follows"
    forgotten = next(number for number, call in enumerate(calls) if call == ("unlink", f"{root}/.commit/manifest"))
    last_move = max(number for number, call in enumerate(calls) if call == ("rename", moved[-1]))
    after = [path for call, path in calls[last_move:forgotten] if call == "fsync"]
    for path in moved:
        folder = Path(path.replace("/.commit/", "/")).parent
        assert str(folder) in after, f"what is in {folder} is not on the disk before the commit is forgotten"


def test_a_new_authority_is_on_the_disk_before_it_has_its_name(world: World, tmp_path: Path) -> None:
    copy = world.copy(tmp_path / "world")
    copy.ca.rename(tmp_path / "another")
    calls = _calls("init", copy)
    [(number, work)] = [(number, path) for number, (call, path) in enumerate(calls) if call == "rename"]
    before = [path for call, path in calls[:number] if call == "fsync"]
    made = [str(path).replace(str(copy.ca), work, 1) for path in (copy.ca, *copy.ca.rglob("*"))]
    assert len(made) > 15
    assert set(made) <= set(before)
    assert ("fsync", str(copy.root)) in calls[number:]
