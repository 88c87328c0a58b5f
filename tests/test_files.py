"""What is believed of a file that has been read before."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dbca_openssl import files

NOW = 1_800_000_001_500_000_000


def test_a_change_is_seen_where_times_are_whole_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FAT's are of two: what is written again in place within them looks as if nobody had touched it."""
    changed = NOW // 2_000_000_000 * 2_000_000_000
    untouched = SimpleNamespace(
        st_mode=0o100600, st_dev=1, st_ino=1, st_size=3, st_mtime_ns=changed, st_ctime_ns=changed
    )
    monkeypatch.setattr(os, "fstat", lambda descriptor: untouched)
    monkeypatch.setattr(time, "time_ns", lambda: NOW)
    file = tmp_path / "database-ca.serial"
    file.write_text("05\n")
    before = files.state(str(file))
    file.write_text("06\n")
    assert files.state(str(file)) != before


def test_a_file_that_has_settled_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "database-ca.index"
    file.write_text("V\n")
    later = file.stat().st_ctime_ns + 5_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later)
    read: list[bytes] = []

    def digest(data: bytes) -> str:
        read.append(data)
        return "digest"

    monkeypatch.setattr(files, "_sha256", digest)
    assert [files.state(str(file)), files.state(str(file))] == ["digest", "digest"]
    assert read == [b"V\n"]
