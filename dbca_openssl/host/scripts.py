"""The scripts that hosts run: POSIX sh, from `templates/*.sh.j2`, which need nothing there but openssl.

What a script tells of its work are lines `dbca WORD ...`, and `dbca end` once all of it is done.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import request as requests
from dbca_openssl.host.request import NewRequest
from dbca_openssl.names import shown
from dbca_openssl.render import SSL_DIR, rendered

MARK = "dbca "
"""How each line begins that a script tells."""

_USER = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}\$?")
_END_OF_FILE = b"END_OF_FILE"


class Place(NamedTuple):
    """Where the files are on a host, and which user of it has to read them (None: as they are made)."""

    directory: Path = Path(SSL_DIR)
    owner: str | None = None


class PublicFile(NamedTuple):
    """A file on its way to a host: what it is called there, and its bytes."""

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
    """The name of a user on a host. Raises DatabaseCaError for what is none."""
    if not _USER.fullmatch(text):
        raise DatabaseCaError(f"not the name of a user: {shown(text)}", "for example --owner mysql, or root@HOST")
    return text


def public_file(name: str, data: bytes) -> PublicFile:
    """A file that may be sent. Raises DatabaseCaError where there is a private key in it, or no PEM text."""
    if b"PRIVATE KEY" in data:
        raise DatabaseCaError(f"there is a private key in what should be {name}", "no private key is ever sent")
    if not data.endswith(b"\n") or b"\0" in data or _END_OF_FILE in data or b"-----BEGIN " not in data:
        raise DatabaseCaError(f"what should be {name} is not a file in PEM form")
    return PublicFile(name, data)


def enroll(new: NewRequest, rekey: bool = False) -> str:
    """Make key and request where there are none, and tell what there is.

    With `rekey` a new pair is made beside the one of a host that has its certificate.
    """
    return _pair("enroll", f"A key and a certificate signing request for {new.name}", new, rekey=rekey)


def kit(new: NewRequest) -> str:
    """Make key and request, and tell a person what to do with them."""
    return _pair("kit", f"Makes the key of {new.name} and a certificate signing request, by openssl alone", new)


def fetch(name: str, where: Place) -> str:
    """Tell the request of a host."""
    return _script("fetch", f"The request of {name}", name, where.directory)


def deploy(name: str, where: Place, files: Sequence[PublicFile], rekey: bool = False) -> str:
    """Put files into their place, all of them or none, each by a rename.

    With `rekey` the certificate is for the pair that was made beside the older one, which it replaces now.
    """
    return _script(
        "deploy",
        f"Certificates and revocation list for {name}",
        name,
        where.directory,
        owner=where.owner,
        files=files,
        rekey=rekey,
    )


def _pair(template: str, title: str, new: NewRequest, **values: object) -> str:
    work = _work()
    return _script(
        template,
        title,
        new.name,
        new.directory,
        work,
        plan=requests.plan_beside(new, work).script(),
        plan_with_key=requests.plan_beside(new, work, existing_key=True).script(),
        **values,
    )


def _script(template: str, title: str, name: str, directory: Path, work: str | None = None, **values: object) -> str:
    return rendered(
        f"{template}.sh.j2",
        title=title,
        name=name,
        directory=str(directory),
        work=work or _work(),
        people=template == "kit",
        **values,
    )


def _work() -> str:
    """A directory beside the files, where a script works; what others of that form a killed script left is removed."""
    return f".dbca.{os.urandom(4).hex()}"
