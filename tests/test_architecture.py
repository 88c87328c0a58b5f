"""The house: imports go downwards only, one door to subprocess, and logic that neither prints nor exits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.support import ROOT

PACKAGE = ROOT / "dbca_openssl"

LEVELS = (
    ("__main__",),
    ("cli", "testing"),
    ("host",),
    ("database",),
    ("ca",),
    ("plan", "transaction"),
    ("lock", "crls"),
    ("x509",),
    ("pem",),
    ("der",),
    ("openssl",),
    ("diagnosis",),
    ("command",),
    ("finding", "passphrase", "render"),
    ("algorithm", "names", "dates", "errata"),
    ("files",),
    ("ownership",),
    ("errors", "__init__"),
)
"""A module imports from its own package and from the levels below it, never from beside or above."""

HEAVY = {"jinja2", "sh", "asyncio", "ssl", "rich", "pydantic"}
"""What makes every command slow, so it is imported in the functions that need it."""

ONLY_IN_CLI = {"typer", "getpass"}


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """The package or module directly below dbca_openssl that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def level(name: str) -> int:
    return next(number for number, names in enumerate(LEVELS) if name in names)


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imported(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Every imported module in full, and for `from package import name` also `package.name`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import_time(module: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: not those in functions, nor under TYPE_CHECKING."""
    for node in ast.iter_child_nodes(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from at_import_time(node)


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_every_module_has_its_level() -> None:
    parts = {part(path) for path in modules()}
    assert parts <= {name for names in LEVELS for name in names}


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_downwards_only(path: Path) -> None:
    own = part(path)
    for name in imported(ast.walk(tree(path))):
        words = name.split(".")
        if words[0] != "dbca_openssl" or len(words) == 1:
            continue
        other = words[1] if (PACKAGE / words[1]).is_dir() or (PACKAGE / f"{words[1]}.py").is_file() else "__init__"
        assert other == own or level(other) > level(own), f"{name_of(path)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_only_the_door_starts_processes(path: Path) -> None:
    names = set(imported(ast.walk(tree(path))))
    if name_of(path) == "openssl.py":
        assert "subprocess" in names
    else:
        assert not names & {"subprocess", "multiprocessing", "pty"}
        assert not [
            node
            for node in ast.walk(tree(path))
            if _begins_with(node, "os", "exec", "fork", "popen", "spawn", "system")
        ]


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_heavy_packages_are_imported_where_they_are_used(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(at_import_time(tree(path)))}
    assert not roots & HEAVY
    if part(path) not in ("cli", "__main__"):
        roots = {name.split(".")[0] for name in imported(ast.walk(tree(path)))}
        assert not roots & ONLY_IN_CLI


def test_pytest_is_no_dependency_but_of_the_fixtures() -> None:
    users = {name_of(path) for path in modules() if "pytest" in set(imported(ast.walk(tree(path))))}
    assert users == {"testing/fixtures.py"}


@pytest.mark.parametrize("path", [path for path in modules() if part(path) not in ("cli", "__main__")], ids=name_of)
def test_logic_neither_prints_nor_exits_nor_reads_the_environment(path: Path) -> None:
    for node in ast.walk(tree(path)):
        where = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "input", "exit", "quit", "breakpoint"), where
        assert not _is_attribute(node, "sys", "exit", "stdout", "stderr", "stdin", "argv"), where
        assert not _is_attribute(node, "os", "_exit"), where
        if name_of(path) != "openssl.py":  # it hands on PATH and LD_LIBRARY_PATH
            assert not _is_attribute(node, "os", "environ", "environb", "getenv"), where
        if isinstance(node, ast.Name):
            assert node.id != "SystemExit", where


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_every_module_says_what_it_is_for_and_stays_small(path: Path) -> None:
    text = path.read_text()
    docstring = ast.get_docstring(tree(path))
    assert docstring and len(docstring.splitlines()[0]) <= 120
    assert len(text.splitlines()) <= 400


def test_dates_are_read_and_written_in_one_place() -> None:
    for path in modules():
        if path.name != "dates.py":
            for node in ast.walk(tree(path)):
                assert not _is_attribute(node, "datetime", "now", "utcnow", "today", "strptime", "fromtimestamp"), path
                assert not (isinstance(node, ast.Attribute) and node.attr in ("strftime", "strptime")), path


def test_the_templates_are_at_the_top_level() -> None:
    link = PACKAGE / "templates"
    assert link.is_symlink()
    assert link.readlink() == Path("../templates")
    assert {"database-ca.cnf.j2", "openssl.cnf.j2"} <= {path.name for path in (ROOT / "templates").iterdir()}


def _is_attribute(node: ast.AST, owner: str, *names: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in names
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
    )


def _begins_with(node: ast.AST, owner: str, *beginnings: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr.startswith(beginnings)
        and isinstance(node.value, ast.Name)
        and node.value.id == owner
    )
