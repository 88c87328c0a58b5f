"""The scripts that hosts run: POSIX sh, from `templates/*.sh.j2`, which need nothing there but openssl.

What a script reports are lines `dbca WORD ...`, and `dbca end` once all of its work is done.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import request
from dbca_openssl.host.request import NewRequest
from dbca_openssl.render import rendered

if TYPE_CHECKING:
    from dbca_openssl.ca.check import Limits

MARK = "dbca "
"""How each line begins that a script reports."""


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


def fetch(host: KnownHost) -> str:
    """Print the request of a host."""
    return _script("fetch", f"The request of {host.name}", host.name, host.directory)


def deploy(
    host: KnownHost,
    files: Sequence[PublicFile],
    server: Mapping[str, object] | None = None,
    *,
    alone: bool = False,
) -> str:
    """Put files into their place, all of them or none, each by a rename.

    A certificate for a new pair that `enroll` with `rekey` has made puts this pair into the place of the older one.
    Only `alone` do files of one CA replace those of two. A `server`, with the values of `server.asked`, reads its files
    again, and is looked at as by `look`.
    """
    title = f"Certificates and CRL for {host.name}"
    return _script(
        "deploy", title, host.name, host.directory, owner=host.owner, files=files, server=server, alone=alone
    )


def look(host: KnownHost, server: Mapping[str, object], *, reload: bool = False) -> str:
    """Say what lies on a host, and what its server serves, after it has read its files again where `reload`."""
    title = f"The files of {host.name}, and what its server has loaded"
    return _script("look", title, host.name, host.directory, server=server, reload=reload)


def check(directory: str, limits: Limits, openssl: str, *, people: bool) -> str:
    """Say what is wrong, or soon will be, with the files of a host; for `people` as monitoring plugins say it."""
    title = "Checks the certificates, CRLs and keys of a database server" + (" by openssl alone" if people else "")
    return rendered("check.sh.j2", title=title, directory=directory, limits=limits, openssl=openssl, people=people)


def make_bundle(name: str, directory: Path, bundle: str, command: Callable[[str], str] | None) -> str:
    """Make the file `bundle` of key and certificate: by the `command` for a target, or one after the other."""
    title = f"Makes one file of the key of {name} and its certificate"
    work = _work()
    made = command(f"{work}/bundle") if command else ""
    return _script("export", title, name, str(directory), work=work, bundle=bundle, command=made)


def _make_pair(template: str, title: str, new: NewRequest, **values: object) -> str:
    work = _work()
    return _script(
        template,
        title,
        new.name,
        str(new.directory),
        work=work,
        plan=request.plan_beside(new, work).script(),
        plan_with_key=request.plan_beside(new, work, existing_key=True).script(),
        **values,
    )


def _script(template: str, title: str, name: str, directory: str, **values: object) -> str:
    common = {
        "title": title,
        "name": name,
        "directory": directory,
        "owner": None,
        "people": template in ("kit", "export"),
    }
    return rendered(f"{template}.sh.j2", **common | {"work": _work()} | values)


def _work() -> str:
    """The name of a directory beside the files, where a script works; one that a killed script left is removed."""
    return f".dbca.{os.urandom(4).hex()}"
