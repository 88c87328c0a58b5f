"""The profile that `init` chose holds for what is made for that CA later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dbca_openssl.ca.hosts import MODERN
from dbca_openssl.ca.layout import HOSTS as LIST
from tools.support import HOSTS, MakeRequest, done, openssl, refusal, snapshot, tool

AIKEN, MARGARET, GANNIBAL = HOSTS
NO_SAN = "Go and other TLS libraries refuse it"


@pytest.fixture
def modern(tmp_path: Path) -> Path:
    """A CA of the profile modern, whose key is not encrypted."""
    new = ("-o", "example.net", "--bits", "2048", "--no-passphrase", "--profile", "modern")
    done("init", *new, directory=tmp_path)
    return tmp_path / "database-ca"


def asks_for(request: Path) -> str:
    return openssl("req", "-in", request, "-noout", "-text", directory=request.parent)


def test_it_holds_for_requests(modern: Path, tmp_path: Path) -> None:
    assert (modern / LIST).read_text() == MODERN
    quick = ("--bits", "2048", "--ssl-dir")
    done("request", AIKEN, *quick, tmp_path / "one", directory=modern)
    assert f"DNS:{AIKEN}" in asks_for(tmp_path / f"one/{AIKEN}.req.pem")
    done("request", AIKEN, *quick, tmp_path / "two", "--ca", modern, "--profile", "guide", directory=tmp_path)
    assert "DNS:" not in asks_for(tmp_path / f"two/{AIKEN}.req.pem")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done("request", AIKEN, *quick, tmp_path / "three", directory=elsewhere)
    assert "DNS:" not in asks_for(tmp_path / f"three/{AIKEN}.req.pem")


def test_check_warns_of_what_has_no_san(modern: Path, make_request: MakeRequest) -> None:
    for name in (AIKEN, MARGARET, "app"):
        make_request(name, to=modern / "certreqs")
    shown = done("sign", "--all", "--yes", directory=modern)
    assert shown.messages.count(NO_SAN) == 3
    assert f"  dbca-openssl deploy {AIKEN} app {MARGARET}\n" in shown.output
    assert NO_SAN in done("show", AIKEN, directory=modern).output
    (modern / LIST).write_text(f"{MODERN}[clients]\napp\n")
    done("revoke", MARGARET, "--yes", directory=modern)
    checked = tool("check", "--json", directory=modern)
    assert checked.code == 1
    [found] = json.loads(checked.output)["findings"]
    assert (found["level"], found["code"]) == ("WARNING", "no-san")
    assert AIKEN in found["text"]
    (modern / LIST).unlink()  # as in a CA of the guide's profile, which has none
    assert tool("check", directory=modern).code == 0


def test_a_list_that_cannot_be_read_stops_what_needs_it(modern: Path, make_request: MakeRequest) -> None:
    make_request(AIKEN, to=modern / "certreqs")
    (modern / LIST).write_text("[databases]\n-oProxyCommand=id\n")
    before = snapshot(modern, without=(".lock",))
    assert f"{LIST}, line 2: " in refusal(tool("sign", AIKEN, "--yes", directory=modern))
    assert f"{LIST}, line 2: " in refusal(tool("request", AIKEN, "--ssl-dir", modern / "x", directory=modern))
    assert snapshot(modern, without=(".lock",)) == before
    checked = tool("check", "--json", directory=modern)
    assert checked.code == 2
    assert [one["code"] for one in json.loads(checked.output)["findings"]] == ["hosts"]
    done("crl", directory=modern)  # which nothing may hinder
    assert "  dbca-openssl deploy HOST\n" in done("crl", directory=modern).output


def test_clients_get_theirs_here(modern: Path, make_request: MakeRequest) -> None:
    (modern / LIST).write_text(f"[databases]\n{AIKEN}\n{MARGARET}\n[clients]\napp\n")
    for name in (AIKEN, MARGARET, "app", "backup@margaret"):
        make_request(name, to=modern / "certreqs")
    shown = done("sign", "--all", "--yes", directory=modern).output
    commands = [line.strip() for line in shown.splitlines() if line.startswith("  dbca-openssl ")]
    local = "dbca-openssl deploy --local"
    assert commands == ["dbca-openssl deploy --all", f"{local} app", f"{local} backup@margaret"]
    (modern / LIST).chmod(0o666)
    assert f"everyone may write {LIST}" in tool("check", directory=modern).output
