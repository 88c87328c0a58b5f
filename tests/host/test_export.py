"""`export NAME --format`: PKCS#12 and PEM bundles, made where the key is, here or by a script, and read by others."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.conversation import converse
from tools.support import (
    HOSTS,
    PASSPHRASE,
    Finished,
    done,
    openssl,
    recorded,
    recording_openssl,
    run,
    shell,
    snapshot,
    tool,
)

NAME = HOSTS[0]
SECRET = "of the store"
STORE, BUNDLE = f"private/{NAME}.p12", f"private/{NAME}.bundle.pem"


@pytest.fixture
def ssl(pristine_fleet: Path, keys: Path, tmp_path: Path) -> Path:
    """The directory of a host that has everything; the pass phrase of the store lies in `secret` beside it."""
    directory = tmp_path / "ssl"
    (directory / "private").mkdir(parents=True)
    (directory / "private").chmod(0o700)
    shutil.copy(keys / "host.key.pem", directory / f"private/{NAME}.key.pem")
    for source in ("database-ca.cert.pem", f"certs/{NAME}.cert.pem"):
        shutil.copy(pristine_fleet / source, directory)
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    (tmp_path / "secret").chmod(0o600)
    return directory


def export(ssl: Path, *options: str | Path, kind: str = "pkcs12", **more: Any) -> Finished:
    command = ("export", NAME, "--format", kind, "--ssl-dir", ssl, *options)
    return tool(*command, directory=ssl.parent, **more)


def from_file(ssl: Path) -> tuple[str | Path, ...]:
    return "--new-passphrase-file", ssl.parent / "secret"


def look(ssl: Path) -> str:
    """What openssl says of the store, which must open, have the key, and both certificates."""
    read = ("pkcs12", "-in", STORE, "-passin", "file:../secret")
    assert openssl("pkey", "-in", f"private/{NAME}.key.pem", directory=ssl) in openssl(*read, "-nodes", directory=ssl)
    certificates = openssl(*read, "-nokeys", directory=ssl)
    assert certificates.count("BEGIN CERTIFICATE") == 2
    assert (ssl / STORE).stat().st_mode & 0o777 == 0o600
    return run("openssl", *read, "-info", "-noout", directory=ssl).messages


@pytest.mark.parametrize("way", ["here", "script"])
def test_the_store_has_modern_algorithms_or_old_ones(ssl: Path, way: str) -> None:
    for options, algorithm, mac in (((), "PBES2, PBKDF2, AES-256-CBC", "sha256"), (("--legacy",), "3-Key", "sha1")):
        if way == "here":
            made = export(ssl, *from_file(ssl), *options)
        else:
            made = shell(export(ssl, *from_file(ssl), *options, "--print").output, ssl.parent)
        assert made.code == 0, made.messages
        said = look(ssl)
        assert re.search(f"MAC: ?{mac}", said), said
        assert said.count(algorithm) == 2, said
        (ssl / STORE).unlink()
    assert [name for name in snapshot(ssl) if name.startswith(".") and name != ".lock"] == []


def test_a_bundle_is_certificate_and_key(ssl: Path) -> None:
    made = export(ssl, kind="pem-bundle")
    assert made.code == 0, made.messages
    both = (ssl / BUNDLE).read_bytes()
    assert both == (ssl / f"{NAME}.cert.pem").read_bytes() + (ssl / f"private/{NAME}.key.pem").read_bytes()
    assert (ssl / BUNDLE).stat().st_mode & 0o777 == 0o600
    (ssl / BUNDLE).unlink()
    assert shell(export(ssl, "--print", kind="pem-bundle").output, ssl.parent).code == 0
    assert ((ssl / BUNDLE).read_bytes(), (ssl / BUNDLE).stat().st_mode & 0o777) == (both, 0o600)


@pytest.mark.parametrize("way", ["here", "script"])
def test_a_last_line_without_its_end_does_not_run_into_the_next(ssl: Path, way: str) -> None:
    certificate = ssl / f"{NAME}.cert.pem"
    whole = certificate.read_bytes()
    certificate.write_bytes(whole.removesuffix(b"\n"))
    printed = export(ssl, *(["--print"] if way == "script" else []), kind="pem-bundle")
    made = shell(printed.output, ssl.parent) if way == "script" else printed
    assert made.code == 0, made.messages
    assert (ssl / BUNDLE).read_bytes() == whole + (ssl / f"private/{NAME}.key.pem").read_bytes()


def test_a_script_says_a_directory_as_it_is(ssl: Path) -> None:
    odd = ssl.rename(ssl.parent / r"a\033[2J\n\c")
    printed = export(odd, "--print", kind="pem-bundle").output
    assert shell(printed, odd.parent).output == f"{odd}/{BUNDLE}\n"
    refused = shell(printed, odd.parent).messages
    assert refused.endswith(f"{odd}/{BUNDLE} exists already, and nothing is overwritten\n")


def test_the_pass_phrase_comes_from_a_file_a_descriptor_or_the_terminal(ssl: Path) -> None:
    program, record = recording_openssl(ssl.parent)
    given = {"DBCA_PASSPHRASE_FILE": str(ssl.parent / "of the CA")}  # not for this, and not even read
    assert export(ssl, *from_file(ssl), "--openssl", program, environment=given).code == 0
    assert {word for line in recorded(record, "pkcs12") for word in line if "fd:" in word or "pass:" in word} == {
        line[line.index("-passout") + 1] for line in recorded(record, "pkcs12")[:1]
    }
    assert SECRET not in record.read_text()
    look(ssl)
    (ssl / STORE).unlink()
    with (ssl.parent / "secret").open() as file:
        descriptor = os.dup(file.fileno())
        made = export(ssl, "--new-passphrase-fd", str(descriptor), pass_fds=(descriptor,), environment=given)
        os.close(descriptor)
    assert made.code == 0, made.messages
    look(ssl)
    (ssl / STORE).unlink()

    def answer(shown: str) -> str | None:
        return f"{SECRET}\n" if re.search(r"(p12|more): $", shown) else None

    command = (sys.executable, "-m", "dbca_openssl", "export", NAME, "--format", "pkcs12", "--ssl-dir", str(ssl))
    code, seen = converse(*command, answer=answer, directory=ssl.parent, environment=given)
    assert code == 0, seen
    assert SECRET not in seen
    look(ssl)


def test_in_the_script_openssl_asks_at_the_terminal(ssl: Path) -> None:
    script = export(ssl, "--print").output

    def answer(shown: str) -> str | None:
        return f"{SECRET}\n" if shown.endswith("assword:") else None

    code, seen = converse("sh", "-c", script, answer=answer, directory=ssl.parent)
    assert code == 0, seen
    look(ssl)


def _there_already(ssl: Path) -> str:
    (ssl / STORE).write_text("mine\n")
    return "exists already, and nothing is overwritten"


def _dangling(ssl: Path) -> str:
    (ssl / STORE).symlink_to("nowhere")
    return "exists already, and nothing is overwritten"


def _without_key(ssl: Path) -> str:
    (ssl / f"private/{NAME}.key.pem").unlink()
    return f"{NAME}.key.pem"


def _of_another_key(ssl: Path) -> str:
    openssl("genrsa", "-out", f"private/{NAME}.key.pem", "2048", directory=ssl)
    return "does not belong to"


def _encrypted(ssl: Path) -> str:
    key = f"private/{NAME}.key.pem"
    openssl("pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", "encrypted", directory=ssl)
    (ssl / "encrypted").replace(ssl / key)
    return f"{NAME}.key.pem"


def _not_in_pem(ssl: Path) -> str:
    key = f"private/{NAME}.key.pem"
    openssl("pkey", "-in", key, "-outform", "DER", "-out", "binary", directory=ssl)
    (ssl / "binary").replace(ssl / key)
    return f"{NAME}.key.pem cannot be read"


def _open_to_others(ssl: Path) -> str:
    ssl.chmod(0o777)
    return "other users can write in"


@pytest.mark.parametrize("way", ["here", "script"])
@pytest.mark.parametrize(
    "prepare", [_there_already, _dangling, _without_key, _of_another_key, _encrypted, _not_in_pem, _open_to_others]
)
def test_a_refusal_leaves_everything_as_it_was(ssl: Path, prepare: Callable[[Path], str], way: str) -> None:
    why = prepare(ssl)
    before = snapshot(ssl, without=(".lock",))
    refused = export(ssl, *from_file(ssl), *(["--print"] if way == "script" else []))
    if way == "script":
        refused = shell(refused.output, ssl.parent)
    assert refused.code == 1
    assert why in refused.messages, refused.messages
    assert snapshot(ssl, without=(".lock",)) == before


def test_a_script_without_its_directory_makes_none(tmp_path: Path) -> None:
    printed = done(
        "export", NAME, "--format", "pem-bundle", "--ssl-dir", tmp_path / "none", "--print", directory=tmp_path
    )
    before = snapshot(tmp_path)
    refused = shell(printed.output, tmp_path)
    assert (refused.code, "there is no " in refused.messages) == (1, True)
    assert snapshot(tmp_path) == before


def test_no_directory_makes_a_line_of_the_script(tmp_path: Path) -> None:
    command = ("export", NAME, "--format", "pem-bundle", "--ssl-dir", "/x\ntouch pwned #", "--print")
    refused = tool(*command, directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")


@pytest.mark.parametrize(
    "words",
    [
        (),
        (NAME,),
        (NAME, "--public", "copy"),
        ("--public", "copy", "--format", "pkcs12"),
        (NAME, "--format", "pem-bundle", "--legacy"),
        (NAME, "--format", "pem-bundle", "--new-passphrase-fd", "0"),
    ],
)
def test_what_does_not_go_together(words: tuple[str, ...], tmp_path: Path) -> None:
    assert tool("export", *words, directory=tmp_path).code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_short_pass_phrase_and_no_terminal_are_refused(ssl: Path) -> None:
    before = snapshot(ssl.parent, without=(".lock",))
    assert "there is no terminal" in export(ssl).messages
    assert snapshot(ssl.parent, without=(".lock",)) == before
    (ssl.parent / "secret").write_text("abc\n")
    assert "has 4 to 1023 bytes" in export(ssl, *from_file(ssl)).messages
    assert PASSPHRASE not in (ssl.parent / "secret").read_text()
    assert not (ssl / STORE).exists()
