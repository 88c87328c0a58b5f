"""An Ansible role for a fleet: requests on the hosts, signing on the control node, delivery, reload."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import read_file


def write_role(directory: Path) -> list[Path]:
    """Write the files of the role into `directory`; returns those that were not there yet.

    Raises DatabaseCaError, before anything is written, where a file is there with another text, and OSError.
    """
    source = resources.files("dbca_openssl") / "templates/role"  # also in a zip file
    texts = {path: file.read_bytes() for path, file in sorted(_files(source, directory))}
    missing = [path for path in texts if not os.path.lexists(path)]
    differ = [str(path) for path in texts if path not in missing and not _has(path, texts[path])]
    if differ:
        raise DatabaseCaError(
            f"not the files of this role, and nothing is overwritten: {', '.join(differ)}",
            f"keep your values in the inventory, and move it away first: {shlex.quote(str(directory))}",
        )
    for path in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "xb") as file:
            file.write(texts[path])
    return missing


def _files(source: Traversable, directory: Path) -> Iterator[tuple[Path, Traversable]]:
    """The files below `source`, and where they belong in `directory`."""
    for one in source.iterdir():
        if one.is_dir():
            yield from _files(one, directory / one.name)
        else:
            yield directory / one.name, one


def _has(path: Path, text: bytes) -> bool:
    try:
        return read_file(path) == text
    except OSError:
        return False
