"""`request --kit`: one script that makes key and request by openssl alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tools.support import HOSTS, Finished, contents, done, openssl, run, shell, snapshot

AIKEN = HOSTS[0]


def kit(directory: Path, *arguments: str) -> str:
    return done(
        "request",
        AIKEN,
        "--bits",
        "2048",
        "--ssl-dir",
        directory / "etc/mysql/ssl",
        "--kit",
        *arguments,
        directory=directory,
    ).output


@pytest.mark.parametrize("arguments", [(), ("--profile", "modern", "--alt-name", "192.0.2.7")], ids=["guide", "modern"])
def test_the_kit_makes_what_request_makes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    script = kit(tmp_path, *arguments)
    made = shell(script, tmp_path)
    assert made.code == 0, made.messages
    assert made.messages == ""
    ssl, other = tmp_path / "etc/mysql/ssl", tmp_path / "other"
    done("request", AIKEN, "--bits", "2048", "--ssl-dir", other, *arguments, directory=tmp_path)

    def look(directory: Path) -> dict[str, tuple[str, str]]:
        return {
            name: (mode, content if name == "openssl.cnf" else "")
            for name, (mode, content) in snapshot(directory, without=(".lock",)).items()
        }

    assert look(ssl) == look(other)
    for option in ("-subject", "-noout"):
        openssl("req", "-in", ssl / f"{AIKEN}.req.pem", "-verify", option, directory=tmp_path)
    assert (tmp_path / "etc").stat().st_mode & 0o777 == 0o755  # or mysqld could not get there
    assert (ssl / f"{AIKEN}.req.pem").read_text() in made.output


def test_the_kit_is_signed_like_any_request(ca: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    assert shell(kit(tmp_path), tmp_path).code == 0
    shutil.copy(tmp_path / f"etc/mysql/ssl/{AIKEN}.req.pem", ca / "certreqs")
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)
    done("verify", AIKEN, "--host", AIKEN, directory=ca)


def test_the_kit_overwrites_nothing(tmp_path: Path) -> None:
    script = kit(tmp_path)
    ssl = tmp_path / "etc/mysql/ssl"
    (ssl / "private").mkdir(parents=True)
    for name in (f"private/{AIKEN}.key.pem", f"{AIKEN}.req.pem"):
        (ssl / name).write_text("of somebody\n")
        before = snapshot(tmp_path)
        refused = shell(script, tmp_path)
        assert refused.code == 1
        assert f"{name} exists already, and nothing is overwritten" in refused.messages
        assert snapshot(tmp_path) == before
        (ssl / name).unlink()
    (ssl / "openssl.cnf").write_text("of somebody\n")
    assert shell(script, tmp_path).code == 0
    assert (ssl / "openssl.cnf").read_text() == "of somebody\n"
    assert (ssl / f"{AIKEN}.openssl.cnf").exists()


def test_a_kit_shows_a_directory_with_a_backslash_as_it_is(tmp_path: Path) -> None:
    place = tmp_path / r"a\cb\ntmp"
    place.mkdir()
    made = run("dash", directory=place, stdin=kit(place))
    assert made.code == 0, made.messages
    assert f"and here, once they come back, into {place}/etc/mysql/ssl:\n" in made.output


def test_a_kit_that_was_cut_short_does_nothing(tmp_path: Path) -> None:
    script = kit(tmp_path).encode()
    places = {*range(200, len(script) - 3, 97), *(len(script) - at for at in range(3, 40))}
    for place in sorted(places):
        finished = run("sh", directory=tmp_path, stdin=script[:place].decode())
        assert finished.code != 0 or place < script.index(b"\n{"), place
        assert not (tmp_path / "etc").exists(), place


def test_a_kit_without_openssl_or_permission(tmp_path: Path) -> None:
    script = kit(tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cat", "mkdir", "id", "rm"):
        (tools / name).symlink_to(shutil.which(name) or "")
    refused = run("/bin/sh", directory=tmp_path, stdin=script, environment={"PATH": str(tools)})
    assert (refused.code, refused.messages) == (1, "/bin/sh: openssl is not installed\n")
    assert not (tmp_path / "etc").exists()

    # another user, who may look but not write
    (tmp_path / "etc").mkdir()
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    refused = as_nobody(script, tmp_path)
    assert refused.code == 1
    assert f"cannot make {tmp_path}/etc/mysql/ssl as nobody" in refused.messages
    assert contents(tmp_path / "etc") == {}


def as_nobody(script: str, directory: Path) -> Finished:
    if os.geteuid() != 0:  # then nobody is privileged here anyway
        (directory / "etc").chmod(0o555)
        return shell(script, directory)
    command = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "sh")
    return run(*command, directory=directory, stdin=script)
