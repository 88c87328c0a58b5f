"""The page about disasters, typed as it is written; `enroll --rekey --compromised` and `rotate` are in tests/host."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tools.support import HOSTS, PASSPHRASE, ROOT, Finished, done, plain_request, recipe, run, tool

AIKEN, MARGARET, _ = HOSTS
KEY = "private/database-ca.key.pem"


def typed(script: str, ca: Path) -> Finished:
    """Run commands beside the CA, with the pass phrase in the file `phrase`; scp copies from the directory `hosts`."""
    directory = ca.parent
    scp = directory / "programs/scp"
    scp.parent.mkdir(exist_ok=True)
    scp.write_text(f'#!/bin/sh\nhost=${{1%%:*}}\nexec cp "{directory}/hosts/${{host#root@}}/${{1##*/}}" "$2"\n')
    scp.chmod(0o755)
    environment = {
        "PATH": f"{scp.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "DBCA_PASSPHRASE_FILE": str(directory / "phrase"),
    }
    finished = run("sh", "-eu", "-c", script, directory=directory, environment=environment)
    assert finished.code == 0, finished.output + finished.messages
    return finished


@pytest.fixture
def saved(fleet: Path) -> Path:
    """A CA with a backup beside it."""
    for name, secret in (("phrase", PASSPHRASE), ("new-phrase", "another pass phrase")):
        (fleet.parent / name).write_text(f"{secret}\n")
        (fleet.parent / name).chmod(0o600)
    typed(recipe("A backup"), fleet)
    return fleet


def test_the_key_is_lost(saved: Path, keys: Path) -> None:
    (saved / KEY).unlink()
    found = tool("check", directory=saved).output
    assert f"there is no {KEY}, or it is empty\n" in found
    assert (
        "fix: bring it back from a backup; without one make a new CA and move the hosts: dbca-openssl rollover" in found
    )
    assert typed(recipe("The key is lost"), saved).output == "OK: 0 findings\n"
    assert (saved / KEY).read_bytes() == (keys / "ca.key.pem").read_bytes()
    assert (saved / KEY).stat().st_mode & 0o777 == 0o600


def test_a_new_ca_needs_no_key_of_the_old_one(saved: Path) -> None:
    (saved / KEY).unlink()
    page = (ROOT / "docs/disasters.md").read_text().partition("# The key is lost\n")[2]
    new, rollover = re.findall(r"^    (dbca-openssl .*)$", page, re.MULTILINE)[:2]
    typed(f"{new} --bits 2048", saved)
    assert AIKEN in typed(rollover, saved).output


def test_the_index_is_lost(saved: Path) -> None:
    for name in ("database-ca.index", "database-ca.index.old"):
        (saved / name).unlink()
    assert (
        "dbca-openssl repair rebuild it from newcerts/ and crl/database-ca.crl" in tool("check", directory=saved).output
    )
    assert typed(recipe("The index is lost"), saved).output.endswith("\nOK: 0 findings\n")


def test_the_crl_is_lost(saved: Path) -> None:
    (saved / "crl/database-ca.crl").unlink()
    assert "fix: dbca-openssl crl" in tool("check", directory=saved).output
    typed(recipe("The CRL is lost"), saved)
    assert tool("check", directory=saved).output == "OK: 0 findings\n"


def test_the_device_is_lost(saved: Path, environment: dict[str, str], keys: Path) -> None:
    plain_request(saved, "new.example.net", keys / "host.key.pem")
    done("sign", "new.example.net", "--yes", directory=saved, environment=environment)
    done("renew", MARGARET, "--yes", directory=saved, environment=environment)
    serial, number = ((saved / f"database-ca.{name}").read_text() for name in ("serial", "crlnum"))
    for name in (AIKEN, MARGARET):
        host = saved.parent / "hosts" / name
        host.mkdir(parents=True)
        shutil.copy(saved / f"certs/{name}.cert.pem", host)
        shutil.copy(saved / "crl/database-ca.crl", host)
    shutil.rmtree(saved)
    restore, follow = re.findall(
        r"^```sh\n(.*?)^```$",
        (ROOT / "docs/disasters.md").read_text().partition("# The device is lost\n")[2],
        re.MULTILINE | re.DOTALL,
    )[:2]
    assert typed(restore, saved).output == "OK: 0 findings\n"
    found = typed(follow, saved).output
    (lost,) = set(re.findall(r"fix: dbca-openssl revoke (\w+), or the next CRL takes it back", found))
    done("revoke", lost, "--no-crl", "--yes", directory=saved, environment=environment)
    done("repair", "--yes", directory=saved)
    codes = {one["code"] for one in tool("check", "--json", directory=saved).document["findings"]}
    assert codes <= {"backup"}
    assert (saved / "database-ca.serial").read_text() == serial
    assert (saved / "database-ca.crlnum").read_text() == number


def test_an_administrator_leaves(saved: Path) -> None:
    typed(recipe("An administrator leaves"), saved)
    done("crl", "--passphrase-file", saved.parent / "new-phrase", directory=saved)
    assert tool("check", directory=saved).output == "OK: 0 findings\n"
