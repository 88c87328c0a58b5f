"""Work as data: make directories, write or copy a file, run openssl. A plan is run, or printed as a script.

The script is POSIX sh, needs nothing but openssl, and makes the same files. Paths are relative to the plan's directory;
`run` can work in another directory instead, which is moved to its place afterwards.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.command import Command
from dbca_openssl.files import PRIVATE_DIRECTORY, PRIVATE_FILE, PUBLIC_DIRECTORY, PUBLIC_FILE, write_new
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.render import here_document

PRIVATE = "private"
"""What is in this directory is for its owner alone; everything else is public, as under the umask 022."""


class MakeDirectories(NamedTuple):
    """`mkdir -p`; those that exist keep their modes."""

    paths: tuple[str, ...]

    def run(self, root: Path) -> None:
        """Do it inside `root`."""
        for path in self.paths:
            if not (root / path).is_dir():
                (root / path).mkdir(PRIVATE_DIRECTORY if path == PRIVATE else PUBLIC_DIRECTORY, parents=True)

    def script(self) -> str:
        """The lines of shell that do it in the current directory."""
        public = [path for path in self.paths if path != PRIVATE]
        lines = [f"mkdir -p {shlex.join(public)}"] if public else []
        return "\n".join([*lines, *([f"(umask 077 && mkdir -p {PRIVATE})"] if PRIVATE in self.paths else [])])


class WriteFile(NamedTuple):
    """A new public text file; `run` raises DatabaseCaError where it exists already."""

    path: str
    text: str

    def run(self, root: Path) -> None:
        """Do it inside `root`."""
        write_new(root / self.path, self.text.encode())

    def script(self) -> str:
        """The lines of shell that do it in the current directory."""
        path = shlex.quote(self.path)
        if not self.text:
            return f": > {path}"
        if self.text.count("\n") == 1 and self.text.strip().isalnum():
            return f"echo {self.text.strip()} > {path}"
        return f"cat > {path} {here_document(self.text)}"


class CopyFile(NamedTuple):
    """A copy of `source`, which lies elsewhere.

    What `path` names is renamed to its name with `.old` before, where `keep_old`; else `run` raises DatabaseCaError
    where it is there already.
    """

    source: Path
    path: str
    keep_old: bool = False

    def run(self, root: Path) -> None:
        """Do it inside `root`."""
        if self.keep_old:
            (root / self.path).replace(root / f"{self.path}.old")
        write_new(root / self.path, self.source.read_bytes(), PRIVATE_FILE if self._is_private else PUBLIC_FILE)

    def script(self) -> str:
        """The lines of shell that do it in the current directory."""
        path = shlex.quote(self.path)
        copy = f"cat < {shlex.quote(str(self.source))} > {path}"
        if self._is_private:
            copy = f"(umask 077 && {copy})"
        return f"mv -f {path} {path}.old\n{copy}" if self.keep_old else copy

    @property
    def _is_private(self) -> bool:
        return self.path.startswith(f"{PRIVATE}/")


Step = MakeDirectories | WriteFile | CopyFile | Command


class Section(NamedTuple):
    """Steps under one heading of the guide."""

    heading: str
    steps: tuple[Step, ...]


class Plan(NamedTuple):
    """Everything that one verb does, in order, inside `directory`.

    The directory must be new, or is made where it is missing (`make_directory`), or else must be there.
    """

    title: str
    directory: Path
    sections: tuple[Section, ...]
    new_directory: bool = False
    make_directory: bool = False

    def run(self, openssl: OpenSSL, root: Path, keep_open: tuple[int, ...] = ()) -> None:
        """Do all of it inside `root`, which is moved to the plan's directory later.

        openssl inherits the descriptors `keep_open`, such as a lock.
        Raises DatabaseCaError at the first step that fails.
        """
        for step in self._steps():
            if isinstance(step, Command):
                openssl.make([step], root, keep_open=keep_open)
            else:
                step.run(root)

    def _steps(self) -> tuple[Step, ...]:
        return tuple(step for part in self.sections for step in part.steps)

    def script(self) -> str:
        """The POSIX shell script that does the same; openssl asks for a pass phrase that did not come from a file."""
        directory = shlex.quote(str(self.directory))
        lines = [
            "#!/bin/sh",
            f"# {self.title}",
            "set -eu",
            "umask 022",
            "set -C  # '>' never overwrites",
            "unset CA_HOME CN RANDFILE",
        ]
        if self.new_directory or any(isinstance(step, Command) and step.fresh for step in self._steps()):
            lines.append(_ABSENT)
        if self.new_directory:
            lines += [f"absent {directory}", f"mkdir {directory}"]
        if self.make_directory:
            lines.append(f"mkdir -p {directory}")
        lines.append(f"cd {directory}")
        exported: dict[str, str] = {}
        for part in self.sections:
            lines += ["", f"# {part.heading}"]
            for step in part.steps:
                for name, value in step.environment.items() if isinstance(step, Command) else ():
                    if exported.get(name) != value:
                        lines.append(f"export {name}={shlex.quote(value)}")
                        exported[name] = value
                lines.append(step.script())
        return "\n".join(lines) + "\n"


def tell_lost_modes(private: Path, directory: Path, tell: Callable[[str], None]) -> None:
    """Tell the user where `private`, made for its owner alone, can be read by others, as on a FAT file system."""
    if private.stat().st_mode & 0o077:
        tell(f"the file system of {directory} has no modes: who mounts it can read the key, so encrypt the device")


_ABSENT = """absent() {
    for file; do
        [ ! -e "$file" ] && [ ! -h "$file" ] || { echo "$file exists already, and nothing is overwritten" >&2; exit 1; }
    done
}"""
