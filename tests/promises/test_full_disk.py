"""A full disk, where a plain openssl exits 0 and leaves empty files: the tool notices, and nothing has changed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.support import HOSTS, ORGANIZATION, MakeRequest, run, snapshot, tool

AIKEN = HOSTS[0]
Words = tuple[str | Path, ...]
VERBS: dict[str, Words] = {"sign": ("sign", AIKEN, "--yes"), "crl": ("crl",)}

FULL = r"dbca-openssl: .*(disk is full|No space left on device|openssl wrote nothing into .*)$"

NAMESPACE: Words = ("unshare", "--mount", *(() if os.geteuid() == 0 else ("--map-root-user",)))
CAN_MOUNT = (
    subprocess.run([*map(str, NAMESPACE), "sh", "-c", "mount -t tmpfs none /mnt"], capture_output=True).returncode == 0
)
"""In a namespace of its own. Where a container forbids it, the openssl below that writes nothing must do."""


if CAN_MOUNT:

    @pytest.mark.parametrize("kilobytes", [4, 16, 32, 48])
    def test_init_on_a_full_disk_leaves_nothing(kilobytes: int, tmp_path: Path, keys: Path) -> None:
        device = tmp_path / "device"
        device.mkdir()
        script = f"""
            mount -t tmpfs -o size={kilobytes}k none "$1" && cd "$1" && shift || exit 99
            "$@"
            code=$?
            find . -mindepth 1
            exit $code"""
        words = (sys.executable, "-m", "dbca_openssl", "init", "-o", ORGANIZATION, "--key", keys / "ca.key.pem")
        finished = run(
            *(*NAMESPACE, "sh", "-c", script, "sh", device, *words, "--passphrase-file", keys / "phrase"),
            directory=tmp_path,
        )
        assert finished.code == 1, finished.messages
        assert re.search(FULL, finished.messages, re.MULTILINE), finished.messages
        assert "hint: " in finished.messages
        assert "Traceback" not in finished.messages
        assert finished.output == ""


def _forgetful_openssl(place: Path, victim: str) -> Path:
    """An openssl that leaves one file empty and exits 0, as the real one does on a full disk."""
    program = place / "forgetful-openssl"
    program.write_text(
        f'#!/bin/sh\n{shutil.which("openssl")} "$@" || exit\n'
        f'file=${{CA_HOME:-.}}/{victim}\n[ ! -f "$file" ] || : > "$file"\n'
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize(
    "victim",
    [
        "private/database-ca.key.pem",
        "database-ca.req.pem",
        "database-ca.cert.pem",
        "database-ca.index",
        "database-ca.index.attr",
        "database-ca.serial",
        "database-ca.crlnum",
        "crl/database-ca.crl",
        "newcerts/00.pem",
    ],
)
def test_init_with_an_openssl_that_writes_nothing_leaves_nothing(victim: str, tmp_path: Path, keys: Path) -> None:
    program = _forgetful_openssl(tmp_path, victim)
    before = snapshot(tmp_path)
    refused = tool(
        *("init", "-o", ORGANIZATION, "--key", keys / "host.key.pem", "--no-passphrase", "--openssl", program),
        directory=tmp_path,
    )
    assert refused.code == 1
    assert refused.messages.startswith("dbca-openssl: ")
    assert "Traceback" not in refused.messages
    assert refused.output == ""
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("verb", ["sign", "crl"])
def test_an_openssl_that_writes_nothing_changes_nothing(
    verb: str, ca: Path, tmp_path: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    make_request(AIKEN, to=ca / "certreqs")
    before = snapshot(ca, without=(".lock",))
    data = ("index", "index.attr", "serial")
    victims = {
        "sign": (*(f"database-ca.{name}" for name in data), f"certs/{AIKEN}.cert.pem", "newcerts/01.pem"),
        "crl": ("database-ca.crlnum", "crl/database-ca.crl"),
    }
    for victim in victims[verb]:
        program = _forgetful_openssl(tmp_path, victim)
        refused = tool(*VERBS[verb], "--openssl", program, directory=ca, environment=environment)
        assert refused.code == 1, victim
        assert "Traceback" not in refused.messages
        assert snapshot(ca, without=(".lock",)) == before, victim
