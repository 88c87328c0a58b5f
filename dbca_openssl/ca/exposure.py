"""What in a CA's directory lets others decide: who may write it, and what its configuration allows (config(5))."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain

from dbca_openssl.ca.layout import CONFIGURATION, Authority
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.finding import CRITICAL, WARNING, Finding
from dbca_openssl.names import shown
from dbca_openssl.ownership import believed, is_fat

_LOADING = re.compile(
    r"(?:[\w.;-]+\s*::\s*)?(\.include|openssl_conf|engines|engine_id|providers|module|dynamic_path|SO_PATH|oid_file)\b"
)
"""What names code, or a further file, for openssl to load, at the beginning of a line."""

_STRONG = {"sha256", "sha384", "sha512", "sha512-256", "sha3-256", "sha3-384", "sha3-512", "default", "null"}
_GUIDES_EXTENSIONS = {
    *("basicConstraints", "keyUsage", "extendedKeyUsage", "subjectKeyIdentifier", "authorityKeyIdentifier"),
    *("subjectAltName", "issuerAltName", "authorityInfoAccess", "crlDistributionPoints"),
}
_GUIDES_USAGES = {"critical", "serverAuth", "clientAuth"}


def writable(authority: Authority) -> Iterator[Finding]:
    """Every file and directory that others may write, or that another user than the directory's owns.

    A group may write where the directory has the setgid bit: it is one of administrators. On FAT there are no modes.
    """
    top = authority.directory.stat()
    by_mode = not is_fat(authority.directory)
    shared = top.st_gid if top.st_mode & stat.S_ISGID and top.st_mode & stat.S_IWGRP else None
    users = believed(top.st_uid)
    for name, status in chain([("", top)], _everything(str(authority.directory))):
        is_foreign = status.st_uid not in users and status.st_gid != shared
        open_to = 0 if stat.S_ISLNK(status.st_mode) or not by_mode else status.st_mode & (stat.S_IWOTH | stat.S_IWGRP)
        if not is_foreign and not open_to:
            continue
        what, path = name or "the directory", shlex.quote(str(authority.path(name)))
        if not path.isprintable():
            what, path = shown(name), shown(path)
        if is_foreign:
            yield Finding(CRITICAL, "owner", f"{what} belongs to another user", f"see what is in it, then chown {path}")
        if open_to & stat.S_IWOTH:
            text = f"everyone may write {what}"
            yield Finding(CRITICAL, "writable", text, f"see what is in it, then chmod go-w {path}")
        elif open_to and status.st_gid not in (0, shared):
            text = f"its group may write {what}"
            yield Finding(
                WARNING, "writable", text, f"chmod g-w {path}; for a group of administrators chmod g+s the CA"
            )


def _everything(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    """All names below a directory with their status; in no order. What vanishes meanwhile, or is closed
    to us, is left out.
    """
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with suppress(OSError), os.scandir(f"{directory}/{folder}") as entries:
            for entry in entries:
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    name = f"{folder}{entry.name}"
                    yield name, status
                    if stat.S_ISDIR(status.st_mode):
                        waiting.append(f"{name}/")


def configuration(authority: Authority) -> Iterator[Finding]:
    """Lines of the configuration that load code, sign with a weak digest, or certify more than the guide's do."""
    try:
        text = authority.read(CONFIGURATION).decode("utf-8-sig", "replace")
    except DatabaseCaError:  # that is another finding
        return
    fix = f"remove it from {CONFIGURATION}, unless you put it there"
    section = "default"
    for line in map(str.strip, re.sub(r"\\\r?\n", "", text).splitlines()):
        if heading := re.match(r"\[\s*(.*?)\s*\]", line):
            section = heading.group(1)
        elif loading := _LOADING.match(line):
            text = f"{CONFIGURATION} has openssl load something: {loading.group(1)} in [ {shown(section)} ]"
            yield Finding(WARNING, "loads-code", text, fix)
        elif entry := re.match(r"([\w.;:-]+)\s*=\s*([^#]*)", line):
            name, value = entry.group(1).rpartition("::")[2], entry.group(2).strip().strip("\"'")
            where = entry.group(1).rpartition("::")[0] or section
            if name == "default_md" and value.lower() not in _STRONG:
                text = f"default_md in [ {shown(where)} ] is {shown(value)}"
                yield Finding(WARNING, "weak-digest", text, f"default_md = sha256 in {CONFIGURATION}")
            elif where == "cert_ext":
                yield from _beyond(name, value, fix)


def _beyond(name: str, value: str, fix: str) -> Iterator[Finding]:
    """What a line of [ cert_ext ] gives the certificates beyond the guide's."""
    if name not in _GUIDES_EXTENSIONS:
        yield Finding(
            WARNING, "extension", f"certificates get the extension {shown(name)}, which the guide's have not", fix
        )
    elif name == "extendedKeyUsage" and (usages := {one.strip() for one in value.split(",")} - _GUIDES_USAGES):
        text = f"certificates get the usage {shown(', '.join(sorted(usages)))}, which the guide's have not"
        yield Finding(WARNING, "extension", text, fix)
