"""Keys and requests are never overwritten, and a new key is for its owner alone from its first byte."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.support import PASSPHRASE, Finished, MakeRequest, done, openssl, run, snapshot, tool

AIKEN = "aiken.example.net"
KEY, REQUEST = f"private/{AIKEN}.key.pem", f"{AIKEN}.req.pem"


def _file(path: Path) -> None:
    path.write_text("precious\n")


def _empty(path: Path) -> None:
    path.touch()


def _directory(path: Path) -> None:
    path.mkdir()


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    elsewhere.write_text("precious\n")
    path.symlink_to(elsewhere)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


WAYS = [_file, _empty, _directory, _dangling, _link, _fifo]


@pytest.mark.parametrize("make", WAYS)
@pytest.mark.parametrize("target", [KEY, REQUEST])
def test_request_overwrites_nothing(make: Callable[[Path], None], target: str, tmp_path: Path) -> None:
    ssl = tmp_path / "ssl"
    (ssl / "private").mkdir(parents=True)
    make(ssl / target)
    before = snapshot(tmp_path)
    refused = tool("request", AIKEN, "--ssl-dir", ssl, "--bits", "2048", directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")
    assert refused.messages.splitlines() == [
        f"dbca-openssl: {ssl / target} exists already, and nothing is overwritten",
        "hint: move it away first",
    ]
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("make", [_directory, _dangling, _link, _fifo])
def test_request_replaces_no_configuration_that_is_not_a_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    ssl = tmp_path / "ssl"
    (ssl / "private").mkdir(parents=True)
    make(ssl / "openssl.cnf")
    before = snapshot(ssl)
    done("request", AIKEN, "--ssl-dir", ssl, "--bits", "2048", directory=tmp_path)
    after = snapshot(ssl)
    assert {name: after[name] for name in before if name != "private"} == {
        name: what for name, what in before.items() if name != "private"
    }
    assert f"{AIKEN}.openssl.cnf" in after


def test_request_a_second_time_leaves_the_first_pair(tmp_path: Path) -> None:
    ssl = tmp_path / "ssl"
    done("request", AIKEN, "--ssl-dir", ssl, "--bits", "2048", directory=tmp_path)
    before = snapshot(ssl)
    assert tool("request", AIKEN, "--ssl-dir", ssl, directory=tmp_path).code == 1
    (ssl / REQUEST).rename(tmp_path / "request")
    assert tool("request", AIKEN, "--ssl-dir", ssl, directory=tmp_path).code == 1
    (tmp_path / "request").rename(ssl / REQUEST)
    assert snapshot(ssl) == before


def test_a_key_that_comes_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """It is put there after the look at the directory, while openssl makes the new one."""
    ssl = tmp_path / "ssl"
    program = tmp_path / "slow-openssl"
    program.write_text(
        f'#!/bin/sh\n[ "$1" != req ] || echo precious > {ssl}/{KEY}\nexec {shutil.which("openssl")} "$@"\n'
    )
    program.chmod(0o755)
    refused = tool("request", AIKEN, "--ssl-dir", ssl, "--bits", "2048", "--openssl", program, directory=tmp_path)
    assert refused.code == 1
    assert f"dbca-openssl: {ssl / KEY} exists already, and nothing is overwritten\n" in refused.messages
    assert (ssl / KEY).read_text() == "precious\n"
    assert snapshot(ssl, without=(".lock",)).keys() == {"private", KEY}
    assert [path.name for path in (ssl / "private").iterdir()] == [Path(KEY).name]


@pytest.mark.parametrize(
    "path", ["database-ca/private/database-ca.key.pem", "database-ca/database-ca.req.pem", "database-ca/anything"]
)
@pytest.mark.parametrize("make", [_file, _dangling, _link])
def test_init_overwrites_nothing(make: Callable[[Path], None], path: str, tmp_path: Path, keys: Path) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    make(tmp_path / path)
    before = snapshot(tmp_path)
    refused = _init(tmp_path, keys)
    assert refused.messages.splitlines()[0] == (
        f"dbca-openssl: {tmp_path}/database-ca exists already, and nothing is overwritten"
    )
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("make", [_file, _dangling, _fifo])
def test_init_makes_no_authority_in_place_of_something_else(
    make: Callable[[Path], None], tmp_path: Path, keys: Path
) -> None:
    make(tmp_path / "database-ca")
    before = snapshot(tmp_path)
    assert "exists already, and nothing is overwritten\n" in _init(tmp_path, keys).messages
    assert snapshot(tmp_path) == before


def test_init_follows_no_link_to_another_directory(tmp_path: Path, keys: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "database-ca").symlink_to("empty")
    before = snapshot(tmp_path)
    assert "exists already, and nothing is overwritten\n" in _init(tmp_path, keys).messages
    assert snapshot(tmp_path) == before


def test_init_overwrites_no_authority_and_no_key_that_it_was_given(ca: Path, keys: Path) -> None:
    before = snapshot(ca), snapshot(keys)
    assert _init(ca.parent, keys).code == 1
    assert (snapshot(ca), snapshot(keys)) == before


def _init(directory: Path, keys: Path) -> Finished:
    refused = tool(
        *("init", "--organization", "x", "--key", keys / "ca.key.pem", "--passphrase-file", keys / "phrase"),
        directory=directory,
    )
    assert (refused.code, refused.output) == (1, "")
    return refused


def test_sign_replaces_no_certificate_that_is_not_kept_elsewhere(
    ca: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    (ca / f"certs/{AIKEN}.cert.pem").write_text("precious\n")
    before = snapshot(ca, without=(".lock",))
    refused = tool("sign", AIKEN, "--yes", directory=ca, environment=environment)
    assert refused.code == 1
    assert "is not a copy of a certificate in newcerts/, and nothing is overwritten\n" in refused.messages
    assert snapshot(ca, without=(".lock",)) == before


def test_sign_replaces_the_certificate_of_an_older_generation(
    ca: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)
    index = ca / "database-ca.index"
    lines = index.read_text().splitlines(keepends=True)
    index.write_text(lines[0] + lines[1].replace("V", "E", 1))  # as `openssl ca -updatedb` marks what is over
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)
    assert (ca / f"certs/{AIKEN}.cert.pem").read_bytes() == (ca / "newcerts/02.pem").read_bytes()


# --- from the first byte


def _traced(directory: Path, *arguments: str | Path) -> str:
    """The calls by which the tool and its children open, rename and create."""
    trace = directory / "trace"
    calls = "trace=open,openat,creat,rename,renameat,renameat2,umask,mkdir,mkdirat,chmod,fchmod,fchmodat"
    finished = run(
        *("strace", "-f", "-qq", "-e", calls, "-o", trace, "sh", "-c", 'umask 0 && exec "$0" "$@"'),
        *(sys.executable, "-m", "dbca_openssl", *arguments),
        directory=directory,
    )
    assert finished.code == 0, finished.messages
    return trace.read_text()


def _made_private(trace: str, key: str) -> list[str]:
    """Every opening for writing of a file called `key`, checked to be made new for its owner alone."""
    opened = re.findall(rf'open(?:at)?\([^"]*"([^"]*{re.escape(key)})", ([A-Z_|]+)(?:, (\d+))?\)', trace)
    written = [(path, mode) for path, flags, mode in opened if "O_WRONLY" in flags or "O_RDWR" in flags]
    assert written and all(mode == "0600" for _, mode in written)
    return [path for path, _ in written]


def test_a_hosts_key_is_private_from_its_first_byte(tmp_path: Path) -> None:
    ssl = tmp_path / "ssl"
    trace = _traced(tmp_path, "request", AIKEN, "--ssl-dir", ssl, "--bits", "2048")
    (written,) = set(_made_private(trace, f"{AIKEN}.key.pem"))
    assert written == f"./{KEY}"  # of openssl in the stage
    renamed = re.findall(rf'rename(?:at2?)?\(.*"([^"\n]*)".*"{ssl / KEY}"', trace)
    assert renamed == [f"{ssl}/.commit/{KEY}"]
    assert len(re.findall(rf'mkdir\("{ssl}/(?:.stage[^/]*/)?private", 0700\)', trace)) == 2
    assert stat.S_IMODE((ssl / KEY).stat().st_mode) == 0o600
    assert stat.S_IMODE((ssl / "private").stat().st_mode) == 0o700
    assert "PRIVATE KEY" in (ssl / KEY).read_text()


@pytest.mark.parametrize("given", [False, True], ids=["a new key", "a key that is given"])
def test_an_authoritys_key_is_private_from_its_first_byte(given: bool, tmp_path: Path, keys: Path) -> None:
    key = ("--key", keys / "ca.key.pem") if given else ("--bits", "2048")
    trace = _traced(tmp_path, "init", "--organization", "x", *key, "--passphrase-file", keys / "phrase")
    _made_private(trace, "private/database-ca.key.pem")
    (moved,) = re.findall(rf'rename(?:at2?)?\(.*"([^"]*)".*"{tmp_path}/database-ca"', trace)
    assert Path(moved).parent == tmp_path and Path(moved).name.startswith(".database-ca.")
    assert f'mkdir("{moved}", 0700)' in trace
    made = tmp_path / "database-ca/private/database-ca.key.pem"
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert f'mkdir("{moved}/private", 0700)' in trace
    assert PASSPHRASE not in trace
    openssl("pkey", "-in", made, "-passin", f"file:{keys / 'phrase'}", "-noout", directory=tmp_path)


@pytest.mark.parametrize("umask", ["000", "777"])
def test_files_that_are_replaced_keep_their_modes(
    umask: str, ca: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    """In an authority for its owner alone, as an earlier version made it; new files are public."""
    make_request(AIKEN, to=ca / "certreqs")
    for path in (ca, *ca.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    before = snapshot(ca)
    for verb in ("sign", "renew", "crl"):
        command = f'umask {umask} && exec "$0" -m dbca_openssl "$@"'
        arguments = (verb, *((AIKEN, "--yes") if verb != "crl" else ()))
        finished = run("sh", "-c", command, sys.executable, *arguments, directory=ca, environment=environment)
        assert finished.code == 0, finished.messages
    after = snapshot(ca)
    assert [name for name in before if after[name][0] != before[name][0]] == []
    assert {name: after[name][0] for name in after.keys() - before.keys()} == {
        ".lock": "0o600",
        "database-ca.index.attr.old": "0o600",  # the copy of a file that was private
        f"certs/{AIKEN}.cert.pem": "0o644",
        "newcerts/01.pem": "0o644",
        "newcerts/02.pem": "0o644",
    }
