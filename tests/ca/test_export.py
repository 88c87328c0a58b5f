"""`export --public`: a copy for monitoring, which has no key, and which the verbs that only read can read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dbca_openssl import files
from dbca_openssl.ca import export as exporting
from dbca_openssl.ca.layout import Authority
from dbca_openssl.files import write_new
from tools.support import HOSTS, done, refusal, snapshot, tool

AIKEN = HOSTS[0]


def export(ca: Path, to: Path) -> list[str]:
    changed: list[str] = done("export", "--public", to, "--ca", ca, "--json", directory=ca).document["changed"]
    return changed


def test_the_copy_has_no_key_and_is_enough_to_read(fleet: Path, tmp_path: Path) -> None:
    (fleet / "database-ca.hosts").write_text(f"{AIKEN}\n")
    before = snapshot(fleet, without=(".lock",))
    copy = tmp_path / "public"
    export(fleet, copy)
    assert snapshot(fleet, without=(".lock",)) == before
    files = {path.relative_to(copy) for path in copy.rglob("*") if path.is_file()}
    ours = {path.relative_to(fleet) for path in fleet.rglob("*") if path.is_file()}
    secret = {path for path in ours if path.parts[0] in ("private", "certreqs")}
    not_read = {path for path in ours if path.name in (".lock", "database-ca.req.pem") or path.suffix == ".old"}
    assert files - {Path("database-ca.public")} == ours - secret - not_read
    assert not [path for path in files if b"PRIVATE KEY" in (copy / path).read_bytes()]
    assert {(copy / path).stat().st_mode & 0o777 for path in files} == {0o644}

    shown = snapshot(copy)
    assert tool("check", "--deep", "--ca", copy, directory=tmp_path).output == "OK: 0 findings\n"
    for words in (("list",), ("show", AIKEN), ("hosts",), ("verify", AIKEN)):
        assert done(*words, "--ca", copy, directory=tmp_path).output.replace(str(copy), str(fleet)) == (
            done(*words, "--ca", fleet, directory=tmp_path).output
        )
    done("report", "-o", tmp_path / "report.html", "--ca", copy, directory=tmp_path)
    assert "public copy" in refusal(tool("repair", "--yes", "--ca", copy, directory=tmp_path))
    assert tool("crl", "--ca", copy, directory=tmp_path).code == 1
    assert snapshot(copy) == shown


def test_it_is_brought_up_to_date(fleet: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    copy = tmp_path / "public"
    export(fleet, copy)
    (copy / "of-monitoring").write_text("theirs\n")
    assert export(fleet, copy) == []
    done("revoke", AIKEN, "--yes", "--ca", fleet, directory=tmp_path, environment=environment)
    (fleet / f"certs/{HOSTS[1]}.cert.pem").unlink()
    assert set(export(fleet, copy)) == {
        *("database-ca.index", "database-ca.crlnum", "crl/database-ca.crl", f"certs/{HOSTS[1]}.cert.pem"),
    }
    checked = tool("check", "--json", "--ca", copy, directory=tmp_path).document
    (found,) = checked["findings"]
    assert found["code"] == "certs"
    assert found["fix"] == "in the CA itself: dbca-openssl repair; then: dbca-openssl export --public"
    assert (copy / "of-monitoring").read_text() == "theirs\n"


def test_an_interrupted_export_is_made_whole_by_the_next(
    fleet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(fleet, tmp_path / "whole")
    real, count = write_new, len([path for path in (tmp_path / "whole").rglob("*") if path.is_file()])
    for point in range(count):
        copy, left = tmp_path / f"copy{point}", [point]

        def interrupted(path: Path, data: bytes, *mode: int, left: list[int] = left) -> None:
            real(path, data[: len(data) // 2] if not left[0] else data, *mode)
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            for module in (exporting, files):
                patched.setattr(module, "write_new", interrupted)
            exporting.export(Authority(fleet), Authority(copy))
        exporting.export(Authority(fleet), Authority(copy))
        whole = {name: what for name, what in snapshot(tmp_path / "whole").items() if name != "database-ca.public"}
        assert {name: what for name, what in snapshot(copy).items() if name != "database-ca.public"} == whole


def _of_somebody(fleet: Path, copy: Path) -> None:
    copy.mkdir()
    (copy / "file").touch()


def _with_a_private_directory(fleet: Path, copy: Path) -> None:
    export(fleet, copy)
    (copy / "private").mkdir()


def _of_another_ca(fleet: Path, copy: Path) -> None:
    other = copy.parent / "other"
    done("init", "-o", "other.example", "--bits", "2048", "--no-passphrase", "--ca", other, directory=copy.parent)
    export(other, copy)


def _with_a_key_in_a_certificate(fleet: Path, copy: Path) -> None:
    with (fleet / f"certs/{AIKEN}.cert.pem").open("a") as file:
        file.write("-----BEGIN PRIVATE KEY-----\n")


def _with_a_pass_phrase(fleet: Path, copy: Path) -> None:
    path = fleet / "database-ca.cnf"
    path.write_text(path.read_text() + "[ req ]\ninput_password = secret\n")


def _itself(fleet: Path, copy: Path) -> None:
    copy.symlink_to(fleet)


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (_of_somebody, "is not a copy that export --public has made"),
        (_with_a_private_directory, "is not a copy that export --public has made"),
        (_itself, "is not a copy that export --public has made"),
        (_of_another_ca, "is the copy of another CA"),
        (_with_a_key_in_a_certificate, "there is a secret in "),
        (_with_a_pass_phrase, "there is a secret in "),
    ],
)
def test_what_is_refused(prepare: Callable[[Path, Path], None], why: str, fleet: Path, tmp_path: Path) -> None:
    copy = tmp_path / "public"
    prepare(fleet, copy)
    before = snapshot(tmp_path, without=(".lock",))
    assert why in refusal(tool("export", "--public", copy, "--ca", fleet, directory=tmp_path))
    assert snapshot(tmp_path, without=(".lock",)) == before


def test_a_ca_without_its_key_is_no_copy(fleet: Path, tmp_path: Path) -> None:
    export(fleet, tmp_path / "public")
    shutil.copy(tmp_path / "public/database-ca.public", fleet)
    (fleet / "private/database-ca.key.pem").unlink()
    assert "there is no private/database-ca.key.pem" in tool("check", "--ca", fleet, directory=tmp_path).output
    (fleet / "database-ca.public").unlink()
    shutil.rmtree(fleet / "private")
    checked = tool("check", "--ca", fleet, directory=tmp_path)
    assert (checked.code, "there is no private/database-ca.key.pem" in checked.output) == (2, True)
