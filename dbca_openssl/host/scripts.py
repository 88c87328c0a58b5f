"""The scripts that hosts run: POSIX sh, from `templates/*.sh.j2`, which need nothing there but openssl.

What a script reports are lines `dbca WORD ...`, and `dbca end` once all of its work is done.
"""

from __future__ import annotations

import os

from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.host import request
from dbca_openssl.host.request import NewRequest
from dbca_openssl.render import rendered


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
    return script("fetch", f"The request of {host.name}", host.name, host.directory)


def _make_pair(template: str, title: str, new: NewRequest, **values: object) -> str:
    work = work_directory()
    return script(
        template,
        title,
        new.name,
        str(new.directory),
        work=work,
        plan=request.plan_beside(new, work).script(),
        plan_with_key=request.plan_beside(new, work, existing_key=True).script(),
        **values,
    )


def script(template: str, title: str, name: str, directory: str, **values: object) -> str:
    """The script of a template that includes `host.sh.j2`, for the files of `name` in a directory."""
    common = {
        "title": title,
        "name": name,
        "directory": directory,
        "owner": None,
        "people": template in ("kit", "export"),
    }
    return rendered(f"{template}.sh.j2", **common | {"work": work_directory()} | values)


def work_directory() -> str:
    """The name of a directory beside the files, where a script works; one that a killed script left is removed."""
    return f".dbca.{os.urandom(4).hex()}"
