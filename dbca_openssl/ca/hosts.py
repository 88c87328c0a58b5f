"""`database-ca.hosts`: the hosts that the CA serves, in a text file that Ansible reads as an INI inventory too.

One host a line under `[databases]`, one client a line under `[clients]`, with variables behind the name: those of
Ansible (`ansible_user`) and our own (`dbca_owner`). Lines are edited in place: comments, order, groups and variables
that are not ours stay as they are.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import alternative_name, entity_name, host_name, shown
from dbca_openssl.render import SSL_DIR

HOSTS = "database-ca.hosts"

LARGEST = 4 * 1024 * 1024
"""Bytes: some 20,000 hosts."""

SERVERS, CLIENTS = "databases", "clients"
"""The groups of hosts with a database server, and of clients that are no hosts."""

HEAD = f"""\
# The hosts of this CA, one a line; dbca-openssl and Ansible read it:
#     ansible-inventory -i {HOSTS} --list
# Edit it as you like: comments, groups and variables of your own are kept.

[{SERVERS}]

[{CLIENTS}]
"""

BY_STATEMENT, NEVER = "statement", "never"
"""How a server is reloaded, other than by a command: by its own client's statement; not at all."""


class KnownHost(NamedTuple):
    """A host or client, and how it is reached and served. None is what the tool does without being told.

    `address`, `user` and `port` are what ssh is given in place of the name; `owner` is the user of the server,
    `directory` where the files are, `connect` where the server listens as its host sees it, `reload` a command or one
    of the two words above; `profile` and `alternative_names` are those that it was enrolled with.
    """

    name: str
    is_client: bool = False
    address: str | None = None
    user: str | None = None
    port: int | None = None
    sudo: bool = False
    owner: str | None = None
    directory: str = SSL_DIR
    flavor: str | None = None
    connect: str | None = None
    socket: str | None = None
    defaults_file: str | None = None
    reload: str = BY_STATEMENT
    profile: str | None = None
    alternative_names: tuple[tuple[str, str], ...] = ()

    @property
    def destination(self) -> str:
        """What ssh is given: `[USER@]ADDRESS`."""
        address = self.address or self.name
        return f"{self.user}@{address}" if self.user else address


class Hosts(NamedTuple):
    """The list as it was read: the text, and what is in it by name, in its order."""

    text: str
    hosts: Mapping[str, KnownHost]

    def with_host(self, host: KnownHost) -> Hosts:
        """The list with `host` as it is now: its line edited, or a new line at the end of its group."""
        before = self.hosts.get(host.name)
        if before == host:
            return self
        text = self.text or HEAD
        lines = text.splitlines(keepends=True)
        numbers = [line.number for line in _lines(text) if line.kind == "host" and line.name == host.name]
        if before is None or not numbers or before.is_client != host.is_client:
            for number in reversed(numbers):
                del lines[number - 1]
            lines = _appended(lines, host)
        else:
            lines[numbers[0] - 1] = _edited(lines[numbers[0] - 1], before, host)
        return parse("".join(lines))


def parse(text: str) -> Hosts:
    """The hosts in the text of a list. Raises DatabaseCaError with the number of the first line that is not right."""
    inherited: dict[str, dict[str, str]] = {}
    children: dict[str, list[str]] = {}
    own: dict[str, dict[str, str]] = {}
    groups: dict[str, list[str]] = {}
    numbers: dict[str, int] = {}
    for line in _lines(text):
        if line.kind == "vars":
            inherited.setdefault(line.group, {}).update(line.variables)
        elif line.kind == "children":
            children.setdefault(line.group, []).append(line.name)
        elif line.kind == "host":
            if line.name.lower() in {name.lower() for name in own if name != line.name}:
                raise _wrong(line.number, f"{shown(line.name)} is there twice, in two spellings")
            own.setdefault(line.name, {}).update(line.variables)
            groups.setdefault(line.name, []).append(line.group)
            numbers.setdefault(line.name, line.number)
    parents = {child: group for group, below in children.items() for child in below}

    def of_group(group: str, depth: int = 0) -> dict[str, str]:
        if depth > len(parents):
            raise DatabaseCaError(f"{HOSTS}: the group {shown(group)} contains itself")
        above = of_group(parents[group], depth + 1) if group in parents else dict(inherited.get("all", {}))
        return above | inherited.get(group, {})

    hosts = {}
    for name, variables in own.items():
        merged: dict[str, str] = {}
        for group in groups[name]:
            merged |= of_group(group)
        hosts[name] = _host(numbers[name], name, CLIENTS in groups[name], merged | variables)
    return Hosts(text, hosts)


class _Line(NamedTuple):
    """A line that says something; `kind` is the kind of section that it stands in: host, vars or children."""

    number: int
    kind: str
    group: str
    name: str
    variables: Mapping[str, str]


_SECTION = re.compile(r"\[([A-Za-z0-9_.-]{1,64})(?::(vars|children))?\]\s*(?:[#;].*)?")
_WORD = re.compile(r"""(\s*)(\#.*|(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+)""")
"""A word of a host's line with its quotes, as shlex divides the line, and the blanks before it; or its comment."""


def _lines(text: str) -> list[_Line]:
    found = []
    group, kind = "ungrouped", "host"
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if not line.isprintable() and not line.replace("\t", " ").isprintable():
            raise _wrong(number, "a character that is not printable")
        if line[0] == "[":
            section = _SECTION.fullmatch(line)
            if not section:
                raise _wrong(number, f"not a section: {shown(line)}")
            group, kind = section[1], section[2] or "host"
        elif kind == "vars":
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals or not key:
                raise _wrong(number, f"not VARIABLE=VALUE: {shown(line)}")
            found.append(_Line(number, kind, group, "", {key: _unquoted(value)}))
        else:
            found.append(_definition(number, kind, group, line))
    return found


def _definition(number: int, kind: str, group: str, line: str) -> _Line:
    """A line with a name, of a host with its variables."""
    try:
        name, *words = shlex.split(line, comments=True)
    except ValueError as error:
        raise _wrong(number, f"{error} in {shown(line)}".lower()) from None
    if kind == "children":
        return _Line(number, kind, group, name, {})
    if re.search(r"[\[\]*:]", name):
        raise _wrong(number, f"{shown(name)} is not one host; ranges, patterns and ports are not read")
    try:
        plain = entity_name(name)
    except DatabaseCaError as error:
        raise _wrong(number, error.message) from None
    if plain != name:
        raise _wrong(number, f"{shown(name)} must be written {plain}")
    if wrong := next((word for word in words if "=" not in word[1:]), None):
        raise _wrong(number, f"not VARIABLE=VALUE: {shown(wrong)}")
    return _Line(number, kind, group, name, dict(word.split("=", 1) for word in words))


def _host(number: int, name: str, is_client: bool, variables: Mapping[str, str]) -> KnownHost:
    values: dict[str, Any] = {}
    for key, variable in VARIABLES.items():
        if key in variables:
            try:
                values[variable.field] = variable.read(variables[key])
            except (DatabaseCaError, ValueError):
                raise _wrong(number, f"{key}={shown(variables[key])} is not {variable.expected}") from None
    if unknown := next((key for key in variables if key.startswith("dbca_") and key not in VARIABLES), None):
        raise _wrong(number, f"unknown variable {shown(unknown)}", f"known: {', '.join(VARIABLES)}")
    return KnownHost(name, is_client, **values)


def _appended(lines: Sequence[str], host: KnownHost) -> list[str]:
    """The lines with one more behind the last host of its group; the group is made where it is missing."""
    group = CLIENTS if host.is_client else SERVERS
    new = " ".join((host.name, *(_word(key, value) for key, value in _written(host).items()))) + "\n"
    place, inside = None, False
    for number, line in enumerate(lines):
        if line.lstrip().startswith("["):
            inside = re.match(rf"\s*\[{group}\]", line) is not None
        if inside and line.strip():
            place = number + 1
    made = [line if line.endswith("\n") else f"{line}\n" for line in lines]
    if place is None:
        return [*made, *(["\n"] if made else []), f"[{group}]\n", new]
    return [*made[:place], new, *made[place:]]


def _edited(line: str, before: KnownHost, host: KnownHost) -> str:
    """The line of a host with only those variables changed that are different now; its comment stays."""
    old, new = _written(before), _written(host)
    changes = {key: new.get(key) for key in (*old, *new) if old.get(key) != new.get(key)}
    text = end = ""
    for gap, word in _WORD.findall(line):
        key = word.partition("=")[0]
        if word.startswith("#"):
            end = gap + word
        elif key not in changes or not text:
            text += gap + word
        elif (value := changes.pop(key)) is not None:
            text += gap + _word(key, value)
    text += "".join(f" {_word(key, value)}" for key, value in changes.items() if value is not None)
    return f"{text}{end}\n"


def _written(host: KnownHost) -> dict[str, str]:
    """The variables of a host that are not what they would be unsaid."""
    values = host._asdict()
    return {
        key: variable.write(values[variable.field])
        for key, variable in VARIABLES.items()
        if values[variable.field] != KnownHost._field_defaults[variable.field]
    }


def _word(key: str, value: str) -> str:
    return f"{key}={shlex.quote(value)}"


def _unquoted(value: str) -> str:
    """A value of a `:vars` section, of which Ansible takes the quotes off."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value


def _wrong(number: int, what: str, *hints: str) -> DatabaseCaError:
    return DatabaseCaError(f"{HOSTS}, line {number}: {what}", *(hints or ("nothing was done; correct the line",)))


def _matching(pattern: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if not re.fullmatch(pattern, text) or "{{" in text or "{%" in text:
            raise ValueError(text)
        return text

    return read


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
        raise ValueError(text)
    return text.lower() in ("true", "yes", "1")


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 0 < int(text) < 65536:
        raise ValueError(text)
    return int(text)


def _address(text: str) -> str:
    kind, address = alternative_name(text)
    return address if kind == "IP" else host_name(text)


def _names(text: str) -> tuple[tuple[str, str], ...]:
    return tuple(alternative_name(one) for one in text.split(",") if one)


_USER = r"[A-Za-z_][A-Za-z0-9._-]{0,31}\$?"
_PATH = r"/[^\0\n{}]*"
_TARGET = r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9][A-Za-z0-9._-]*)(?::[0-9]{1,5})?"


class _Variable(NamedTuple):
    """A variable: the field that it is kept in, how it is read (raises ValueError) and written, and what it must be."""

    field: str
    read: Callable[[str], Any]
    expected: str
    write: Callable[[Any], str] = str


VARIABLES: Mapping[str, _Variable] = {
    "ansible_host": _Variable("address", _address, "a host name or an address"),
    "ansible_user": _Variable("user", _matching(_USER), "the name of a user"),
    "ansible_port": _Variable("port", _port, "a port"),
    "ansible_become": _Variable("sudo", _truth, "true or false", lambda value: "true" if value else "false"),
    "dbca_owner": _Variable("owner", _matching(_USER), "the name of a user"),
    "dbca_ssl_dir": _Variable("directory", _matching(_PATH), "an absolute directory"),
    "dbca_flavor": _Variable("flavor", _matching("mariadb|mysql"), "mariadb or mysql"),
    "dbca_connect": _Variable("connect", _matching(_TARGET), "HOST or HOST:PORT"),
    "dbca_socket": _Variable("socket", _matching(_PATH), "an absolute path"),
    "dbca_defaults_file": _Variable("defaults_file", _matching(_PATH), "an absolute path"),
    "dbca_reload": _Variable("reload", _matching(r"\S.*"), f"{BY_STATEMENT}, {NEVER} or a command"),
    "dbca_profile": _Variable("profile", _matching("guide|modern"), "guide or modern"),
    "dbca_alt_names": _Variable(
        "alternative_names",
        _names,
        "a list of names with commas between them",
        lambda value: ",".join(f"{kind}:{name}" for kind, name in value),
    ),
}
"""The variables that the tool reads and writes; others are Ansible's or the administrator's own."""


def read(path: Path) -> Hosts:
    """The list in a file; an empty one where there is none. Raises DatabaseCaError as `parse` does."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Hosts("", {})
    return parse(decoded(data))


def decoded(data: bytes) -> str:
    """The bytes of a list as text. Raises DatabaseCaError where they are none, or too many."""
    if len(data) > LARGEST:
        raise DatabaseCaError(f"{HOSTS} has more than {LARGEST // 1024**2} MiB", "nothing was done")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _wrong(data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
