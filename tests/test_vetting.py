"""Requests that must not be signed are refused, each for its own reason; those that may be are signed as they ask."""

from __future__ import annotations

from pathlib import Path

import pytest
from hostile import REQUESTS
from support import snapshot
from workshop import Hostile, Workshop

from dbca_openssl.cli.run import run


@pytest.fixture(scope="session")
def workshop(keys: Path, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Keys and a place to make requests."""
    return Workshop(tmp_path_factory.mktemp("workshop"), keys / "host.key.pem")


def test_the_corpus_is_large_and_has_no_name_twice() -> None:
    assert len({hostile.name for hostile in REQUESTS}) == len(REQUESTS) >= 60


@pytest.mark.parametrize("hostile", REQUESTS, ids=str)
def test_refuses(
    hostile: Hostile, workshop: Workshop, ca: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = hostile.make(workshop)
    path = made
    if isinstance(made, bytes):
        path = tmp_path / "request.pem"
        path.write_bytes(made)
    before = snapshot(ca)
    code = run(["sign", str(path), "--yes", "--ca", str(ca)])
    said = capsys.readouterr()
    assert code == 1, said.err
    (complaint,) = [line for line in said.err.splitlines() if line.startswith("dbca-openssl: ")]
    assert hostile.reason in complaint
    assert said.err.endswith("\n") and "should not happen" not in said.err and said.out == ""
    assert all(line.isprintable() for line in said.err.splitlines())
    assert snapshot(ca) == before
