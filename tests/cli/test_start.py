"""What a short command costs: the packages that it imports, and the openssl that it starts."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tools.support import HOSTS, MakeRequest, done, recording_openssl, run

AIKEN = HOSTS[0]

HEAVY = ("asyncio", "jinja2", "pydantic", "rich", "sh", "ssl")

AFTERWARDS = f"""
import os, sys
from dbca_openssl.cli.main import main
def leave(code):
    print(sorted(set({HEAVY}) & set(sys.modules)), file=sys.stderr)
    sys.exit(code)
os._exit = leave
main()
leave(0)
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        (),
        ("sign", AIKEN, "--yes"),
        ("sign", AIKEN, "--yes", "--json"),
        ("list",),
        ("check",),
        ("crl",),
        ("show", HOSTS[1]),
        ("verify", HOSTS[1]),
        ("revoke", HOSTS[1], "--yes"),
        ("renew", HOSTS[1], "--yes"),
    ],
    ids=lambda arguments: " ".join(arguments) or "bare",
)
def test_nothing_heavy_is_imported(
    arguments: tuple[str, ...],
    pristine_fleet: Path,
    tmp_path: Path,
    environment: dict[str, str],
    make_request: MakeRequest,
) -> None:
    ca = Path(shutil.copytree(pristine_fleet, tmp_path / "database-ca"))
    if arguments[:1] == ("sign",):
        done("revoke", AIKEN, "--yes", directory=tmp_path, environment=environment)
        make_request(AIKEN, to=ca / "certreqs")
    finished = run(sys.executable, "-c", AFTERWARDS, *arguments, directory=tmp_path, environment=environment)
    assert finished.code == 0, finished.messages
    assert finished.messages.splitlines()[-1] == "[]"


def test_signing_starts_two_openssl(
    ca: Path, tmp_path: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    """Which one it is, and the signature; requests and certificates are read without one."""
    make_request(AIKEN, to=ca / "certreqs")
    program, record = recording_openssl(tmp_path)
    done("sign", AIKEN, "--yes", "--openssl", program, directory=tmp_path, environment=environment)
    assert [json.loads(line)[0] for line in record.read_text().splitlines()] == ["version", "ca"]
