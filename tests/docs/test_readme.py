"""The commands of the README run as they are written."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from tools.conversation import converse
from tools.support import PASSPHRASE, ROOT, run

README = (ROOT / "README.md").read_text()
PROGRAM = Path(sys.executable).parent / "dbca-openssl"

SHIM = """#!/bin/sh
# what belongs to the host is done in a directory of the test
case "$*" in request*--ssl-dir*) ;; request*) set -- "$@" --ssl-dir "$HOSTS/$2/etc/mysql/ssl" ;; esac
exec {program} "$@"
"""
SCP = """#!/bin/sh
# copies between the directory and the hosts of the test
set -eu
for last; do :; done
while [ $# -gt 1 ]; do
    case $1 in *:*) from=$HOSTS/${1%%:*}${1#*:} ;; *) from=$1 ;; esac
    case $last in *:*) to=$HOSTS/${last%%:*}${last#*:} ;; *) to=$last ;; esac
    cp "$from" "$to"
    shift
done
"""


def walk(place: Path, program: str = str(PROGRAM)) -> str:
    """Type the README's main path in `place`, where the hosts are in `hosts/`; returns what was on the screen."""
    directory = place / "programs"
    directory.mkdir()
    for name, text in (
        ("dbca-openssl", SHIM.format(program=program)),
        ("scp", SCP),
        ("sudo", '#!/bin/sh\nexec "$@"\n'),
        ("mariadb", '#!/bin/sh\necho "$@"\n'),  # on a real server: tests/database/test_drivers.py
    ):
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    guide = README.split("## Through the guide\n")[1].split("\n## ")[0]
    script = "set -eu\n" + "".join(re.findall(r"^```sh\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL))
    (place / "walk.sh").write_text(script)

    def answer(shown: str) -> str | None:
        if shown.endswith(("key: ", "more: ")):
            return f"{PASSPHRASE}\n"
        return "y\n" if shown.endswith("[y/N] ") else None

    more = {"PATH": f"{directory}:{os.environ['PATH']}", "HOSTS": str(place / "hosts")}
    code, seen = converse("sh", "walk.sh", answer=answer, directory=place, environment=more)
    assert code == 0, seen
    return seen


def test_the_commands_of_the_readme_run_at_a_terminal(tmp_path: Path) -> None:
    seen = walk(tmp_path)
    assert "certs/aiken.example.net.cert.pem: OK" in seen
    assert "signed    2 valid, 0 expired, 0 revoked" in seen
    settings = re.findall(r"^ssl-\w+ *= (\S+)$", (tmp_path / ".my.cnf").read_text(), re.MULTILINE)
    assert [Path(file).is_file() for file in settings] == [True] * 4
    delivered = tmp_path / "hosts/aiken.example.net/etc/mysql/ssl"
    assert {path.name for path in delivered.iterdir() if path.is_file() and path.name[0] != "."} == {
        "aiken.example.net.cert.pem",
        "aiken.example.net.req.pem",
        "database-ca.cert.pem",
        "database-ca.crl",
        "openssl.cnf",
    }


def test_make_demo_makes_three_verified_certificates(tmp_path: Path) -> None:
    finished = run("sh", ROOT / "tests/tools/demo.sh", PROGRAM, "demo", directory=tmp_path)
    assert finished.code == 0, finished.messages
    assert finished.output.count(".cert.pem: OK") == 3
    assert "\033" not in finished.output
