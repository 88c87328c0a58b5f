"""The variables of a host in `database-ca.hosts`: how each is read, checked and written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import alternative_name, host_name, shown, user_name
from dbca_openssl.render import SSL_DIR

BY_STATEMENT, NEVER = "statement", "never"
"""How a server is reloaded, other than by a command: by its own client's statement; not at all."""


def absolute_directory(text: str) -> str:
    """`text`, if it is an absolute directory that a list can have. Raises DatabaseCaError if not."""
    if not text.startswith("/") or not text.isprintable() or _TEMPLATE.search(text):
        raise DatabaseCaError(f"not an absolute directory: {shown(text)}", f"the guide's is {SSL_DIR}")
    return text


def _matching(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text) or _TEMPLATE.search(text):
            raise ValueError(text)
        return text

    return read


def _truth(text: str) -> bool:
    return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError(text)
    return int(text)


def _address(text: str) -> str:
    kind, address = alternative_name(text)
    return address if kind == "IP" else host_name(text)


_TEMPLATE = re.compile(r"\{[{%#]")
"""Ansible would compute something in its place."""
_TARGET = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::[0-9]{1,5})?"


class Variable(NamedTuple):
    """A variable: the field that it is kept in, how it is read (raises ValueError) and written, and what it must be."""

    field: str
    read: Callable[[str], Any]
    expected: str
    write: Callable[[Any], str] = str


VARIABLES: Mapping[str, Variable] = {
    "ansible_host": Variable("address", _address, "a host name or an address"),
    "ansible_user": Variable("user", user_name, "the name of a user"),
    "ansible_port": Variable("port", _port, "a port"),
    "ansible_become": Variable("sudo", _truth, "true or false", lambda value: "true" if value else "false"),
    "dbca_owner": Variable("owner", user_name, "the name of a user"),
    "dbca_ssl_dir": Variable("directory", absolute_directory, "an absolute directory"),
    "dbca_flavor": Variable("flavor", _matching("mariadb|mysql"), "mariadb or mysql"),
    "dbca_connect": Variable("connect", _matching(_TARGET), "HOST or HOST:PORT"),
    "dbca_socket": Variable("socket", absolute_directory, "an absolute path"),
    "dbca_defaults_file": Variable("defaults_file", absolute_directory, "an absolute path"),
    "dbca_reload": Variable("reload", _matching(r"\S.*"), f"{BY_STATEMENT}, {NEVER} or a command"),
    "dbca_profile": Variable("profile", _matching("guide|modern"), "guide or modern"),
    "dbca_alt_names": Variable(
        "alternative_names",
        lambda text: tuple(alternative_name(one) for one in text.split(",") if one),
        "a list of names with commas between them",
        lambda value: ",".join(f"{kind}:{name}" for kind, name in value),
    ),
}
"""The variables that the tool reads and writes; others are Ansible's or the administrator's own."""
