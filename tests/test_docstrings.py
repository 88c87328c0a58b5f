"""The docstrings of the Python API: what a function raises is said in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from test_architecture import modules, name_of, part, tree

ROOMS = [path for path in modules() if part(path) not in ("cli", "__main__")]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(nodes: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, Function]]:
    """The functions of a module and the methods of its classes, by their dotted names."""
    for node in nodes:
        if isinstance(node, Function):
            yield owner + node.name, node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node.body, f"{owner}{node.name}.")


def inside(node: ast.AST) -> Iterator[ast.AST]:
    """What is in a function, apart from functions in it, and from a `try` that catches our error."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            continue
        if isinstance(child, ast.Try) and any(
            one.type and ast.unparse(one.type) == "DatabaseCaError" for one in child.handlers
        ):
            for part in (*child.handlers, *child.orelse, *child.finalbody):
                yield from inside(part)
        else:
            yield child
            yield from inside(child)


def raised(function: Function, helpers: dict[str, Function], seen: frozenset[str] = frozenset()) -> set[str]:
    """The errors that a function, or a private helper of its module, raises itself."""
    found = set()
    for node in inside(function):
        if isinstance(node, ast.Raise) and node.exc:
            made = ast.unparse(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
            if made in helpers:  # a function that returns the error
                made = ast.unparse(helpers[made].returns or node.exc)
            found.add(made if made[0].isupper() else "DatabaseCaError")
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func).removeprefix("self.")
            if name in helpers and name not in seen:
                found |= raised(helpers[name], helpers, seen | {name})
    return found


@pytest.mark.parametrize("path", ROOMS, ids=name_of)
def test_a_public_function_says_what_it_raises(path: Path) -> None:
    every = dict(functions(tree(path).body))
    helpers = {name.rpartition(".")[2]: one for name, one in every.items() if name.rpartition(".")[2][0] == "_"}
    for name, function in every.items():
        if any(word[0] == "_" and word != "__init__" for word in name.split(".")):
            continue
        docstring = ast.get_docstring(function) or ""
        for error in raised(function, helpers):
            said = error in docstring and "raise" in docstring.lower()
            assert said, f"{name_of(path)}:{function.lineno}: {name} raises {error}, and its docstring does not say so"
