"""`make pyz`: the tool and the packages that it needs in one file, which any Python 3.11 or newer runs.

It is made of the packages beside the running Python. Only their Python files go into it: what is compiled fits one
version of Python and one machine, and markupsafe, the only one that has such a part, does without.
"""

from __future__ import annotations

import os
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).parents[2]

PACKAGES = ("annotated-doc", "jinja2", "markupsafe", "sh", "shellingham", "typer")
"""All that the tool needs but rich, which typer imports only where a help is to have colours."""

STUB = """\
import os
import sys

if sys.version_info < (3, 11):
    sys.exit("dbca-openssl: Python 3.11 or newer is needed, and this is " + sys.version.split()[0])

sys.path[0] = os.path.abspath(sys.path[0])  # jinja2 finds no template in ./dbca-openssl.pyz

from dbca_openssl.cli.main import main

main()
"""

INTERPRETER = "/usr/bin/env -S python3 -I"
"""Without what the environment has Python load, such as the current directory by an empty entry of PYTHONPATH."""


def epoch() -> int:
    """The time that made files get: SOURCE_DATE_EPOCH, or the first that a zip file knows."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", "315532800"))


def write(target: Path, interpreter: str = INTERPRETER) -> None:
    """Write the file; the same sources and packages make the same bytes, with every Python."""
    files = dict(sorted((*_own(), *_others(), ("__main__.py", STUB.encode()))))
    with open(target, "wb") as file:
        file.write(f"#!{interpreter}\n".encode())
        # not compressed, since the bytes would depend on the version of zlib
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in files.items():
                member = zipfile.ZipInfo(name, time.gmtime(max(epoch(), 315532800))[:6])
                member.external_attr = 0o100644 << 16
                archive.writestr(member, data)
    target.chmod(0o755)


def _own() -> Iterator[tuple[str, bytes]]:
    package = ROOT / "dbca_openssl"
    for top in (package, package / "templates"):  # which is a link, and no walk follows one
        for path in top.rglob("*"):
            name = str(path.relative_to(ROOT))
            if path.is_file() and path.suffix != ".pyc" and "/man/" not in name:
                yield name, path.read_bytes()
    yield "dbca_openssl/LICENSE", (ROOT / "LICENSE").read_bytes()


def _others() -> Iterator[tuple[str, bytes]]:
    for name in PACKAGES:
        for path in distribution(name).files or ():
            about = ".dist-info" in path.parts[0] and (path.name == "METADATA" or "LICENSE" in path.name)
            if path.suffix == ".py" or about:
                yield str(path), path.read_binary()


if __name__ == "__main__":
    write(Path(sys.argv[1]))
