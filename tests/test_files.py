"""What is believed of a file that has been read before."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from dbca_openssl import files


def test_a_change_is_seen_where_nothing_but_the_content_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT's times are of two seconds: what is written again in place within them looks as if nobody had touched it."""
    untouched = SimpleNamespace(st_mode=0o100600, st_dev=1, st_ino=1, st_size=3, st_mtime_ns=0, st_ctime_ns=0)
    monkeypatch.setattr(os, "fstat", lambda descriptor: untouched)
    file = tmp_path / "database-ca.serial"
    file.write_text("05\n")
    before = files.state(str(file))
    assert files.state(str(file)) == before
    file.write_text("06\n")
    assert files.state(str(file)) != before


def test_a_change_of_an_old_file_is_seen_although_its_time_is_set_back(tmp_path: Path) -> None:
    file = tmp_path / "database-ca.index"
    file.write_text("V\n")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    before = files.state(str(file))
    file.write_text("R\n")
    os.utime(file, (1_000_000_000, 1_000_000_000))
    assert files.state(str(file)) != before


@pytest.mark.parametrize(
    ("target", "copy"), [(Path("page.html"), Path(".commit.page.html")), (Path("/ca/a"), Path("/ca/.commit.a"))]
)
def test_a_copy_lies_beside_its_target(target: Path, copy: Path) -> None:
    assert files.beside(target) == copy
