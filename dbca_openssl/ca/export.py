"""A copy of what of a CA may be public, for monitoring: everything but the keys and the requests."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from dbca_openssl.ca.certificates import own_certificate
from dbca_openssl.ca.layout import (
    ATTRIBUTES,
    CERTIFICATE,
    CONFIGURATION,
    CRL,
    CRL_NUMBER,
    HOSTS,
    INDEX,
    PUBLIC_COPY,
    PUBLIC_DIRECTORIES,
    SERIAL,
    Authority,
)
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import replace, write_new
from dbca_openssl.lock import Lock
from dbca_openssl.plan import MakeDirectories

_FILES = (CONFIGURATION, CERTIFICATE, HOSTS, CRL_NUMBER, CRL, SERIAL, ATTRIBUTES, INDEX)
_SECRET = re.compile(rb"PRIVATE KEY|^\s*(?:in|out)put_password\s*=", re.MULTILINE)
_MARK = b"A public copy of a CA, made by dbca-openssl export --public. Its key is elsewhere.\n"


def export(authority: Authority, copy: Authority) -> list[str]:
    """Make the directory of `copy` a public copy of the CA, or bring such a copy up to date; returns what has changed.

    Each file is replaced by a rename, and no other than those that such a copy has. Both directories are locked.
    Raises DatabaseCaError, with nothing changed, where something else is in the directory, the copy of another CA for
    example, or where there is a secret in what should be public.
    """
    authority.require()
    own = own_certificate(authority)
    with ExitStack() as stack:
        if os.access(authority.directory, os.W_OK):  # or else nobody can change it through us
            stack.callback(Lock(authority.directory, authority.tell, authority.lock_timeout).release)
        if copy.directory.exists():
            stack.callback(Lock(copy.directory, authority.tell, authority.lock_timeout, itself=True).release)
            _require_ours(copy)
            if copy.path(CERTIFICATE).exists() and own_certificate(copy).public_key != own.public_key:
                raise DatabaseCaError(f"{copy.directory} is the copy of another CA")
        names = list(_public(authority))
        changed = [name for name in names if authority.read(name) != _content(copy, name)]
        for name in names:
            if _SECRET.search(authority.read(name)):
                raise DatabaseCaError(f"there is a secret in {authority.path(name)}", "nothing was copied")
        gone = sorted(set(_public(copy)) - set(names))
        if not copy.path(PUBLIC_COPY).is_file():
            copy.directory.mkdir(exist_ok=True)
            write_new(copy.path(PUBLIC_COPY), _MARK)
        MakeDirectories(PUBLIC_DIRECTORIES).run(copy.directory)
        for name in changed:
            replace(copy.path(name), authority.read(name))
        for name in gone:
            copy.path(name).unlink()
    return [*changed, *gone]


def _public(authority: Authority) -> Iterator[str]:
    """The files that may be public, by names relative to the CA directory; the index, which names others, is last."""
    for folder in ("newcerts", "certs"):
        with suppress(OSError), os.scandir(authority.path(folder)) as found:
            yield from sorted(f"{folder}/{one.name}" for one in found if re.fullmatch(r"[^.].*\.pem", one.name))
    yield from (name for name in _FILES if os.path.lexists(authority.path(name)))


def _content(copy: Authority, name: str) -> bytes | None:
    return copy.read(name) if os.path.lexists(copy.path(name)) else None


def _require_ours(copy: Authority) -> None:
    is_empty = copy.directory.is_dir() and not any(copy.directory.iterdir())
    if not copy.is_public() and not is_empty:
        raise DatabaseCaError(
            f"{copy.directory} is not a copy that export --public has made", "name a new or an empty directory"
        )
