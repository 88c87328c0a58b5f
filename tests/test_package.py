"""What is shipped: the wheel and an editable install, each in a fresh environment, render the guide's bytes."""

from __future__ import annotations

import shutil
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from dbca_openssl import __version__
from manual import grammar, page
from tools.support import GUIDE, ORGANIZATION, ROOT, Finished, openssl, run

pytestmark = pytest.mark.wheel

DEPENDENCIES = {"PYTHONPATH": sysconfig.get_paths()["purelib"]}
"""The packages that are installed beside the tests; an editable install there is not found in this way."""


def python(*arguments: str | Path, directory: Path, program: str | Path = sys.executable) -> Finished:
    finished = run(program, *arguments, directory=directory, environment=DEPENDENCIES)
    assert finished.code == 0, finished.messages
    return finished


def source(place: Path) -> Path:
    """A copy of the sources, as a clone would have them: without what a build makes."""
    hidden = shutil.ignore_patterns(".*", "__pycache__", "demo", "dist", "build", "man", "grammar.json")
    return Path(shutil.copytree(ROOT, place / "source", symlinks=True, ignore=hidden))


def fresh(place: Path, *what: str | Path) -> Path:
    """A fresh environment in which `what` is installed; returns its `bin`."""
    python("-m", "venv", "--without-pip", place / "venv", directory=place)
    programs = place / "venv/bin"
    python(
        *("-m", "pip", "--disable-pip-version-check", "--python", programs / "python", "install", "--quiet"),
        *("--no-index", "--no-deps", "--no-build-isolation", *what),
        directory=place,
    )
    return programs


def require_working(programs: Path, place: Path, package: Path) -> None:
    """The installed command, from a directory elsewhere, is the one of `package` and renders the guide's bytes."""
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    where = "import dbca_openssl.render; print(dbca_openssl.render.__file__)"
    found = python("-c", where, directory=elsewhere, program=programs / "python").output.strip()
    assert Path(found) == package / "render.py"

    command = programs / "dbca-openssl"
    assert python("--version", directory=elsewhere, program=command).output == f"dbca-openssl {__version__}\n"
    rendered = python("render", "database-ca.cnf", directory=elsewhere, program=command).output
    assert rendered.startswith((GUIDE / "database-ca.cnf").read_text())
    rendered = python("render", "openssl.cnf", directory=elsewhere, program=command).output
    assert rendered == (GUIDE / "openssl.cnf").read_text()

    # where man, bash-completion, zsh and fish look by themselves
    environment = {"PATH": f"{programs}:/usr/bin:/bin"}
    found = run("man", "-w", "dbca-openssl", directory=elsewhere, environment=environment).output.strip()
    assert Path(found).read_text() == page.page(grammar.verbs())
    assert Path(found).is_relative_to(programs.parent)
    for name in ("bash-completion/completions/dbca-openssl", "zsh/site-functions/_dbca-openssl"):
        assert (programs.parent / "share" / name).is_file()
    script = "set fish_complete_path $SHARE/fish/vendor_completions.d; complete -C 'dbca-openssl completion z'"
    environment["SHARE"] = str(programs.parent / "share")
    assert run("fish", "--no-config", "-c", script, directory=elsewhere, environment=environment).output == "zsh\n"

    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem", directory=elsewhere)
    options = ("-o", ORGANIZATION, "--no-passphrase", "--key", "key.pem")
    python("init", *options, directory=elsewhere, program=command)
    assert (elsewhere / "database-ca/crl/database-ca.crl").exists()


def test_the_wheel_is_complete(tmp_path: Path) -> None:
    python("-m", "build", "--no-isolation", "--outdir", tmp_path / "dist", source(tmp_path), directory=tmp_path)
    (archive,) = (tmp_path / "dist").glob("*.tar.gz")
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    for name in ("database-ca.cnf.j2", "openssl.cnf.j2", "report.js", "role/README.md", "role/tasks/main.yml"):
        assert f"dbca_openssl/templates/{name}" in packed  # once, at the place that the link stands for
        with zipfile.ZipFile(wheel) as members:
            assert members.read(f"dbca_openssl/templates/{name}") == (ROOT / "templates" / name).read_bytes()
    man_page = "share/man/man1/dbca-openssl.1"
    with zipfile.ZipFile(wheel) as members:
        assert [name for name in members.namelist() if name.endswith(".1")] == [
            f"dbca_openssl-{__version__}.data/data/{man_page}"
        ]
        assert not [name for name in members.namelist() if "manual" in name or "hook" in name]  # only builds use them
    assert not packed & {f"dbca_openssl/{man_page}", "dbca_openssl/cli/grammar.json"}  # each build makes them
    assert {"pyproject.toml", "README.md", "LICENSE", "Makefile", "docs/errata.md", "tests/guide/openssl.cnf"} <= packed
    shutil.rmtree(tmp_path / "source")

    programs = fresh(tmp_path, wheel)
    (package,) = (tmp_path / "venv/lib").glob("python*/site-packages/dbca_openssl")
    require_working(programs, tmp_path, package)


def test_an_editable_install_renders_the_same(tmp_path: Path) -> None:
    clone = source(tmp_path)
    require_working(fresh(tmp_path, "--editable", clone), tmp_path, clone / "dbca_openssl")
