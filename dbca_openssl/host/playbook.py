"""An Ansible playbook for a fleet that one machine's ssh cannot serve: requests there, signing here, delivery."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host.request import NewRequest
from dbca_openssl.names import shown
from dbca_openssl.render import rendered

_GROUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:!&,*~-]{0,200}")


class Fleet(NamedTuple):
    """The hosts of an inventory, and how the CA in the directory `authority` on the control node enrolls them."""

    hosts: str
    authority: Path
    where: KnownHost
    profile: str
    bits: int


def playbook(fleet: Fleet) -> str:
    """The text of the playbook. Raises DatabaseCaError where `hosts` is no pattern that Ansible has."""
    if not _GROUP.fullmatch(fleet.hosts):
        raise DatabaseCaError(f"not a group of an inventory: {shown(fleet.hosts)}", "for example --hosts databases")
    # the name comes from CN in the environment, so one text is right for every host
    configuration = NewRequest("localhost", profile=fleet.profile, bits=fleet.bits).configuration()
    return rendered(
        "playbook.yml.j2",
        hosts=fleet.hosts,
        authority=str(fleet.authority),
        directory=fleet.where.directory,
        owner=fleet.where.owner or "root",
        configuration=configuration,
    )
