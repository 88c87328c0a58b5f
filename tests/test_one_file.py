"""`make pyz` and `make deb`: the same bytes twice, and nothing else is needed than Python and openssl."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
from pathlib import Path

import pytest

from dbca_openssl import __version__
from docs.test_readme import walk
from packages import deb, pyz
from tools.support import Finished, run, snapshot, tool

pytestmark = pytest.mark.wheel

PYTHON = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info[1]}"
"""Not the one of the tests, so that no package of the tests is found."""


@pytest.fixture(scope="module")
def one_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("one file") / "dbca-openssl.pyz"
    pyz.write(path)
    return path


def run_file(path: Path, *arguments: str | Path, directory: Path) -> Finished:
    return run(PYTHON, "-I", path, *arguments, directory=directory)


def test_the_same_bytes_are_made_twice(one_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyz.write(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == one_file.read_bytes()
    for name in ("one.deb", "two.deb"):
        deb.write(tmp_path / name)
    assert (tmp_path / "one.deb").read_bytes() == (tmp_path / "two.deb").read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    pyz.write(tmp_path / "later")
    assert (tmp_path / "later").read_bytes() != one_file.read_bytes()


def test_it_tells_its_own_sum(one_file: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256(one_file.read_bytes()).hexdigest()
    shown = run_file(one_file, "--version", directory=tmp_path).output
    assert shown == f"dbca-openssl {__version__}\n{digest}  {one_file}\n"
    assert tool("--version", directory=tmp_path).output == f"dbca-openssl {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("init", "--help"),
        ("sing",),
        ("guide",),
        ("completion", "fish"),
        ("__complete", "bash", "dbca-openssl", "re"),
        ("render", "database-ca.cnf"),
        ("server", "settings", "aiken.example.net"),
        ("playbook", "--role", "role"),
    ],
    ids=" ".join,
)
def test_it_does_what_the_installed_command_does(arguments: tuple[str, ...], one_file: Path, tmp_path: Path) -> None:
    places = tmp_path / "one", tmp_path / "other"
    for place in places:
        place.mkdir()
    assert run_file(one_file, *arguments, directory=places[0]) == tool(*arguments, directory=places[1])
    assert snapshot(places[0]) == snapshot(places[1])


@pytest.mark.slow
def test_the_guides_walk_runs_on_it(one_file: Path, tmp_path: Path) -> None:
    seen = walk(tmp_path, f'{PYTHON} -I "{one_file}"')
    assert "certs/aiken.example.net.cert.pem: OK" in seen
    assert "signed    2 valid, 0 expired, 0 revoked" in seen


def test_it_runs_where_it_lies_and_loads_nothing_from_there(one_file: Path, tmp_path: Path) -> None:
    for module in ("jinja2", "re", "rich", "sh", "typer", "dbca_openssl"):
        (tmp_path / f"{module}.py").write_text("open('pwned', 'w')\n")
    (tmp_path / "templates/client").mkdir(parents=True)
    (tmp_path / "templates/client/python.j2").write_text("pwned")
    shutil.copy(one_file, tmp_path / "dbca-openssl.pyz")
    before = snapshot(tmp_path)
    command = ("client", "settings", "app.example.net", "--for", "python")
    there = {"PYTHONPATH": f":{tmp_path}", "PATH": f"{PYTHON.parent}:{os.environ['PATH']}"}
    ran = run("./dbca-openssl.pyz", *command, directory=tmp_path, environment=there)
    assert (ran.code, ran.output) == (0, tool(*command, directory=one_file.parent).output), ran.messages
    assert snapshot(tmp_path) == before


def test_an_older_python_is_told_of(one_file: Path, tmp_path: Path) -> None:
    script = "import runpy, sys; sys.version_info = (3, 10); runpy.run_path(sys.argv[1], run_name='__main__')"
    finished = run(PYTHON, "-I", "-c", script, one_file, directory=tmp_path)
    assert (finished.code, finished.output) == (1, "")
    assert finished.messages.startswith("dbca-openssl: Python 3.11 or newer is needed")


def test_the_debian_package_comes_and_goes(tmp_path: Path) -> None:
    package, root = tmp_path / "dbca-openssl.deb", tmp_path / "root"
    deb.write(package)
    database = root / "var/lib/dpkg"
    for directory in ("info", "updates"):
        (database / directory).mkdir(parents=True)
    (database / "status").touch()
    path = {"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}

    def dpkg(*arguments: str | Path) -> None:
        # python3 and openssl are not in this root, but on the machine
        options = (f"--root={root}", "--force-depends", "--force-not-root")
        finished = run("dpkg", *options, *arguments, directory=tmp_path, environment=path)
        assert finished.code == 0, finished.messages

    dpkg("--install", package)
    program = root / "usr/bin/dbca-openssl"
    assert stat.S_IMODE(program.stat().st_mode) == 0o755
    assert program.read_bytes().startswith(b"#!/usr/bin/python3 -I\n")
    finished = run_file(program, "render", "openssl.cnf", directory=tmp_path)
    assert finished == tool("render", "openssl.cnf", directory=tmp_path)
    units = {path.name for path in (root / "usr/lib/systemd/system").iterdir()}
    timers = {f"dbca-{name}" for name in ("check.timer", "rotate.timer")}
    assert units == timers | {f"dbca-{name}.service" for name in ("check", "check-failed", "rotate")}
    assert not (root / "etc").exists()  # where a started timer would have its link
    man = run("man", "-w", "-M", root / "usr/share/man", "dbca-openssl", directory=tmp_path).output.strip()
    assert Path(man) == root / "usr/share/man/man1/dbca-openssl.1.gz"
    assert "License" in (root / "usr/share/doc/dbca-openssl/copyright").read_text()

    dpkg("--remove", "dbca-openssl")
    assert not (root / "usr").exists()
