"""The profile that `init` chose holds for what is made for that CA later."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from pkilint.bin import lint_crl, lint_pkix_cert  # type: ignore[import-untyped]

from dbca_openssl.ca.hosts import MODERN
from dbca_openssl.ca.layout import HOSTS as LIST
from tools.support import HOSTS, ROOT, MakeRequest, done, openssl, refusal, snapshot, tool

AIKEN, MARGARET, GANNIBAL = HOSTS
LINT = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""pkilint leaves files open."""

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


@LINT
def test_a_linter_finds_nothing(modern: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--bits", "2048", "--ssl-dir", modern.parent / "files")
    for name in (AIKEN, "app@margaret"):
        done("request", name, *asked, directory=modern)
        (modern.parent / f"files/{name}.req.pem").rename(modern / f"certreqs/{name}.req.pem")
    done("sign", "--all", "--yes", directory=modern)
    for again in (False, True):
        if again:
            done("init", "--renew", directory=modern)
        for file in ("database-ca.cert.pem", f"certs/{AIKEN}.cert.pem", "certs/app@margaret.cert.pem"):
            assert findings(modern / file, capsys) == []
    assert findings(modern / "crl/database-ca.crl", capsys) == []


@LINT
@pytest.mark.parametrize(("url", "has_places"), [("http://pki.example.net", True), ("file:///srv", False)])
def test_a_linter_finds_nothing_where_there_are_places(
    url: str, has_places: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = ("-o", "Zürich", "--bits", "2048", "--no-passphrase")
    done("init", *new, "--profile", "modern", "--url", url, directory=tmp_path)
    certificate = tmp_path / "database-ca/database-ca.cert.pem"
    assert findings(certificate, capsys) == []
    shown = openssl("x509", "-in", certificate, "-noout", "-text", directory=tmp_path)
    assert (f"URI:{url}/database-ca.crl" in shown, "CA Issuers" in shown) == (has_places, has_places)


@LINT
def test_a_linter_finds_what_the_page_says(
    pristine_fleet: Path, modern: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done("request", "app", "--bits", "2048", "--ssl-dir", modern.parent / "files", directory=modern)
    (modern.parent / "files/app.req.pem").rename(modern / "certreqs/app.req.pem")
    done("sign", "app", "--yes", directory=modern)
    found = [
        *findings(pristine_fleet / "database-ca.cert.pem", capsys),
        *findings(modern / "certs/app.cert.pem", capsys),
    ]
    assert findings(pristine_fleet / f"certs/{AIKEN}.cert.pem", capsys) == []
    assert findings(pristine_fleet / "crl/database-ca.crl", capsys) == []
    page = (ROOT / "docs/names.md").read_text()
    assert set(found) == set(re.findall(r"`(pkix\.\w+)`", page))
    assert found.count("pkix.invalid_uri_syntax") == 2


def findings(file: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What pkilint finds wrong with a certificate or CRL; it takes no text before the PEM."""
    kind = "crl" if file.suffix == ".crl" else "x509"
    with tempfile.TemporaryDirectory() as place:
        encoded = f"{place}/der"
        openssl(kind, "-in", file, "-outform", "DER", "-out", encoded, directory=file.parent)
        if kind == "crl":
            code = lint_crl.main(["lint", "-t", "CRL", "-p", "PKIX", "-s", "ERROR", encoded])
        else:
            code = lint_pkix_cert.main(["lint", "-s", "ERROR", encoded])
    shown = capsys.readouterr()
    found = re.findall(r"^ +(\S+) \(\w+\): ", shown.out, re.MULTILINE)
    assert (code, shown.err) == (len(found), "")
    return found
