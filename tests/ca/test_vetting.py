"""Requests that must not be signed are refused, each for its own reason; those that may be are signed as they ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dbca_openssl.cli.main import run
from tools import request_builder as der
from tools.hostile_requests import REQUESTS
from tools.support import done, snapshot, tool
from tools.workshop import AIKEN, Hostile, Workshop


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


def test_refuses_the_name_of_the_authority_itself(workshop: Workshop, keys: Path, tmp_path: Path) -> None:
    options = ("--common-name", "rootca", "--no-passphrase", "--key", keys / "plain-ca.key.pem")
    done("init", "--organization", "x", *options, directory=tmp_path)
    ca = tmp_path / "database-ca"
    for name in ("rootca", "RootCA"):
        (ca / f"certreqs/{name}.req.pem").write_bytes(workshop.req(subject=f"/CN={name}"))
    before = snapshot(ca)
    for name in ("rootca", "RootCA"):
        refused = tool("sign", name, "--yes", directory=ca)
        assert (refused.code, refused.messages) == (1, f"dbca-openssl: {name} is the name of the CA itself\n")
    assert snapshot(ca) == before


def test_refuses_a_request_for_another_name_than_was_asked_for(workshop: Workshop, ca: Path) -> None:
    (ca / "certreqs/margaret.example.net.req.pem").write_bytes(workshop.good())
    before = snapshot(ca)
    refused = tool("sign", "margaret.example.net", "--yes", directory=ca)
    assert refused.code == 1
    complaint, hint = refused.messages.splitlines()
    assert complaint.endswith(f"asks for the name {AIKEN}, not margaret.example.net")
    assert hint.startswith("hint: sign the file itself")
    assert snapshot(ca) == before


def test_refuses_a_name_twice_in_one_go(workshop: Workshop, ca: Path, tmp_path: Path) -> None:
    for name in ("one.pem", "two.pem"):
        (tmp_path / name).write_bytes(workshop.good())
    before = snapshot(ca)
    refused = tool("sign", "../one.pem", "../two.pem", "--yes", directory=ca)
    assert (refused.code, refused.messages) == (1, f"dbca-openssl: {AIKEN} is asked for twice\n")
    assert snapshot(ca) == before


def _broken(workshop: Workshop) -> bytes:
    encoded = bytearray(der.unpem(workshop.good()))
    encoded[-1] ^= 1
    return der.pem(bytes(encoded))


def _of_another_key(workshop: Workshop) -> bytes:
    other = workshop.key("EC", "ec_paramgen_curve:P-384")
    return workshop.with_key(der.public_key(other))


def _of_another_kind(workshop: Workshop) -> bytes:
    return workshop.with_key(der.public_key(workshop.host_key))


def _changed_afterwards(workshop: Workshop) -> bytes:
    return der.pem(der.unpem(workshop.req(subject="/CN=margaret.example.net")).replace(b"margaret", b"gannibal"))


@pytest.mark.parametrize("make", [_broken, _of_another_key, _of_another_kind, _changed_afterwards])
def test_refuses_a_signature_that_is_not_of_its_key(
    make: Callable[[Workshop], bytes], workshop: Workshop, ca: Path, environment: dict[str, str]
) -> None:
    (ca / "bad.pem").write_bytes(make(workshop))
    before = snapshot(ca, without=(".lock",))
    refused = tool("sign", "./bad.pem", "--yes", directory=ca, environment=environment)
    assert refused.code == 1
    assert "dbca-openssl: the signature of the request does not match its key\n" in refused.messages
    assert "hint: make a new request on the host" in refused.messages
    assert snapshot(ca, without=(".lock",)) == before


def test_one_bad_signature_among_several_is_named_and_none_is_signed(
    workshop: Workshop, ca: Path, environment: dict[str, str]
) -> None:
    for name in ("margaret.example.net", "gannibal.example.net"):
        (ca / f"certreqs/{name}.req.pem").write_bytes(workshop.req(subject=f"/CN={name}"))
    (ca / f"certreqs/{AIKEN}.req.pem").write_bytes(_broken(workshop))
    before = snapshot(ca, without=(".lock",))
    refused = tool(
        *("sign", "margaret.example.net", AIKEN, "gannibal.example.net", "--yes"), directory=ca, environment=environment
    )
    assert refused.code == 1
    assert f"dbca-openssl: the signature of the request does not match its key: {AIKEN}\n" in refused.messages
    assert snapshot(ca, without=(".lock",)) == before
