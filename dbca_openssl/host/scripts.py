"""The scripts that hosts run: POSIX sh, from `templates/*.sh.j2`, which need nothing there but openssl.

What a script reports are lines `dbca WORD ...`, and `dbca end` once all of its work is done.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import request
from dbca_openssl.host.request import NewRequest
from dbca_openssl.names import shown
from dbca_openssl.render import SSL_DIR, rendered

MARK = "dbca "
"""How each line begins that a script reports."""

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}\$?")


class Place(NamedTuple):
    """Where the files are on a host, and which user's group must be able to read the key (None: as it is made)."""

    directory: Path = Path(SSL_DIR)
    owner: str | None = None


class PublicFile(NamedTuple):
    """A file to be sent to a host: what it is called there, and its bytes."""

    name: str
    data: bytes

    @property
    def sha256(self) -> str:
        """The digest of its bytes, in hex."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def text(self) -> str:
        """The bytes as text, such that `surrogateescape` gives them back."""
        return self.data.decode("utf-8", "surrogateescape")


def place(directory: str, owner: str | None = None) -> Place:
    """A place on a host. Raises DatabaseCaError for a relative directory, or a user that no host can have."""
    if not directory.startswith("/") or not directory.isprintable():
        raise DatabaseCaError(f"not an absolute directory: {shown(directory)}", f"the guide's is {SSL_DIR}")
    return Place(Path(directory), None if owner is None else user_name(owner))


def user_name(text: str) -> str:
    """`text`, if it can be the name of a user on a host. Raises DatabaseCaError if not."""
    if not _USER.fullmatch(text):
        raise DatabaseCaError(f"not the name of a user: {shown(text)}", "for example --owner mysql, or root@HOST")
    return text


def public_file(name: str, data: bytes) -> PublicFile:
    """A file that may be sent. Raises DatabaseCaError where there is a private key in it, or no PEM text."""
    if b"PRIVATE KEY" in data:
        raise DatabaseCaError(f"there is a private key in what should be {name}", "no private key is ever sent")
    if not data.endswith(b"\n") or b"\0" in data or b"-----BEGIN " not in data:
        raise DatabaseCaError(f"what should be {name} is not a file in PEM form")
    return PublicFile(name, data)


def enroll(new: NewRequest, owner: str | None = None, rekey: bool = False, compromised: bool = False) -> str:
    """Make key and request where there are none, and print the request, or the certificate that is there.

    With `rekey` a new pair is made beside whatever is there, which is kept; one that waits from an earlier run is used,
    unless the host is `compromised`.
    """
    title = f"A key and a certificate signing request for {new.name}"
    return _make_pair("enroll", title, new, owner=owner, rekey=rekey, compromised=compromised)


def kit(new: NewRequest) -> str:
    """Make key and request, and say what to do with them."""
    return _make_pair("kit", f"Makes the key of {new.name} and a certificate signing request, by openssl alone", new)


def fetch(name: str, where: Place) -> str:
    """Print the request of a host."""
    return _script("fetch", f"The request of {name}", name, where.directory)


def deploy(name: str, where: Place, files: Sequence[PublicFile]) -> str:
    """Put files into their place, all of them or none, each by a rename.

    A certificate for a new pair that `enroll` with `rekey` has made puts this pair into the place of the older one.
    """
    title = f"Certificates and revocation list for {name}"
    return _script("deploy", title, name, where.directory, owner=where.owner, files=files)


def _make_pair(template: str, title: str, new: NewRequest, **values: object) -> str:
    work = _work()
    return _script(
        template,
        title,
        new.name,
        new.directory,
        work=work,
        plan=request.plan_beside(new, work).script(),
        plan_with_key=request.plan_beside(new, work, existing_key=True).script(),
        **values,
    )


def _script(template: str, title: str, name: str, directory: Path, **values: object) -> str:
    common = {"title": title, "name": name, "directory": str(directory), "owner": None, "people": template == "kit"}
    return rendered(f"{template}.sh.j2", **common | {"work": _work()} | values)


def _work() -> str:
    """The name of a directory beside the files, where a script works; one that a killed script left is removed."""
    return f".dbca.{os.urandom(4).hex()}"
