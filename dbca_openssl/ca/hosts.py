"""`database-ca.hosts`: the hosts that the CA serves, in a text file that Ansible reads as an INI inventory too.

One host a line under `[databases]`, one client a line under `[clients]`, with variables behind the name: those of
Ansible (`ansible_user`) and our own (`dbca_owner`). Lines are edited in place: comments, order, groups and variables
that are not ours stay as they are.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dbca_openssl.ca.host_variables import BY_STATEMENT, VARIABLES
from dbca_openssl.ca.layout import HOSTS, Authority
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import entity_name, shown, user_name
from dbca_openssl.render import SSL_DIR
from dbca_openssl.transaction import Transaction

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

MODERN = f"{HEAD}\n[all:vars]\ndbca_profile=modern\n"
"""The list of a new CA whose certificates have SANs unless they are told not to."""


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
    profile: str = "guide"
    alternative_names: tuple[tuple[str, str], ...] = ()

    @property
    def destination(self) -> str:
        """What ssh is given: `[USER@]ADDRESS`."""
        address = self.address or self.name
        return f"{self.user}@{address}" if self.user else address

    def changed(self, **asked: Any) -> KnownHost:
        """The host with those values that are not None. Raises DatabaseCaError for one that no host can have."""
        given = {field: value for field, value in asked.items() if value is not None}
        for variable in VARIABLES.values():
            if variable.field in given:
                variable.read(variable.write(given[variable.field]))
        return self._replace(**given)


class Hosts(NamedTuple):
    """The list as it was read: the text, and what is in it by name, in its order.

    `inherited` are the values that each of them has from its groups, and those of a new one by `[databases]` and
    `[clients]`, which no host is called.
    """

    text: str
    hosts: Mapping[str, KnownHost]
    inherited: Mapping[str, Mapping[str, Any]]

    def new(self, name: str, *, is_client: bool = False) -> KnownHost:
        """A host or client that is not in the list, with what its group says."""
        return KnownHost(name, is_client, **self.inherited[f"[{CLIENTS if is_client else SERVERS}]"])

    def named(self, words: Sequence[str]) -> list[KnownHost]:
        """The hosts that `[USER@]NAME` mean, each once. Raises DatabaseCaError for a name that no host can have."""
        found: dict[str, KnownHost] = {}
        for text in words:
            user, at, name = text.rpartition("@")
            name = entity_name(name)
            host = self.hosts.get(name) or self.new(name)
            host = host._replace(is_client=False, user=user_name(user) if at else host.user)
            if found.setdefault(name, host) != host:
                raise DatabaseCaError(f"{name} is named twice, as {found[name].destination} and {host.destination}")
        return list(found.values())

    def servers(self) -> list[KnownHost]:
        """All hosts that are no clients. Raises DatabaseCaError where there are none."""
        found = [host for host in self.hosts.values() if not host.is_client]
        if not found:
            raise DatabaseCaError(
                f"there is no host in {HOSTS}", "name hosts: enroll, deploy and fetch enter those that they reached"
            )
        return found

    def with_hosts(self, *hosts: KnownHost) -> Hosts:
        """The list with `hosts` as they are now, each in its line or a new one. Raises DatabaseCaError as `parse`."""
        changed = [host for host in hosts if self.hosts.get(host.name) != host]
        if not changed:
            return self
        text = (self.text or HEAD).removesuffix("\n") + "\n"
        lines, found = _split(text), _lines(text)
        lines_of: dict[str, list[_Line]] = {host.name: [] for host in changed}
        for line in found:
            if line.kind == "host" and line.name in lines_of:
                lines_of[line.name].append(line)
        added: dict[str, str] = {SERVERS: "", CLIENTS: ""}
        for host in changed:
            before, places = self.hosts.get(host.name), lines_of[host.name]
            if before and before.is_client == host.is_client:
                changes = self._changes(before, host, self.inherited[host.name])
                for place in places:
                    lines[place.number - 1] = _edited(lines[place.number - 1], changes)
                said = {field for place in places for field in place.values}
                more = {key: value for key, value in changes.items() if VARIABLES[key].field not in said}
                lines[places[0].number - 1] = _edited(lines[places[0].number - 1], more, add=True)
                continue
            for place in places:
                lines[place.number - 1] = ""
            group = CLIENTS if host.is_client else SERVERS
            start = self.new(host.name, is_client=host.is_client)
            changes = self._changes(start, host, self.inherited[f"[{group}]"])
            added[group] += _edited(f"{host.name}\n", changes, add=True)
        for group, new in added.items():
            ends = [line.number for line in found if line.group == group and line.kind in ("host", "section")]
            if new and ends:
                lines[ends[-1] - 1] += new
            elif new:
                lines.append(f"\n[{group}]\n{new}")
        return parse("".join(lines))

    def _changes(self, before: KnownHost, host: KnownHost, inherited: Mapping[str, Any]) -> dict[str, str | None]:
        """The variables that must be written for a host (None: left out, since that says the same)."""
        unsaid = {**KnownHost(host.name)._asdict(), **inherited}
        changes: dict[str, str | None] = {}
        for key, variable in VARIABLES.items():
            value = getattr(host, variable.field)
            if value != getattr(before, variable.field):
                is_said = value is not None and value != unsaid[variable.field]
                changes[key] = variable.write(value) if is_said else None
        return changes


def parse(text: str) -> Hosts:
    """The hosts in the text of a list. Raises DatabaseCaError with the number of the first line that is not right."""
    of_groups: dict[str, dict[str, Any]] = {}
    parents: dict[str, str] = {}
    own: dict[str, dict[str, Any]] = {}
    groups: dict[str, list[str]] = {}
    spellings: dict[str, str] = {}
    for line in _lines(text):
        if line.kind == "vars":
            of_groups.setdefault(line.group, {}).update(line.values)
        elif line.kind == "children":
            parents[line.name] = line.group
        elif line.kind == "host":
            if spellings.setdefault(line.name.lower(), line.name) != line.name:
                raise _wrong(line.number, f"{shown(line.name)} is there twice, in two spellings")
            if "@" in line.name and line.group != CLIENTS:
                user, _, name = line.name.rpartition("@")
                raise _wrong(line.number, f"{shown(line.name)} is not a host", f"a user is {name} ansible_user={user}")
            own.setdefault(line.name, {}).update(line.values)
            groups.setdefault(line.name, []).append(line.group)

    def of_group(group: str, depth: int = 0) -> dict[str, Any]:
        if depth > len(parents):
            raise DatabaseCaError(f"{HOSTS}: the group {shown(group)} contains itself")
        above = of_group(parents[group], depth + 1) if group in parents else of_groups.get("all", {})
        return above | of_groups.get(group, {})

    inherited = {f"[{group}]": of_group(group) for group in (SERVERS, CLIENTS)}
    for name, its_groups in groups.items():
        inherited[name] = {}
        for group in its_groups:
            inherited[name] |= of_group(group)
    hosts = {name: KnownHost(name, CLIENTS in groups[name], **inherited[name] | values) for name, values in own.items()}
    return Hosts(text, hosts, inherited)


def read(authority: Authority) -> Hosts:
    """The list of a CA; an empty one where there is none. Raises DatabaseCaError as `parse` and `Authority.read` do."""
    return of_bytes(authority.read(HOSTS) if os.path.lexists(authority.path(HOSTS)) else None)


def stage(change: Transaction, hosts: Sequence[KnownHost]) -> tuple[str, ...]:
    """Stage the list with `hosts` as they are now in a change that compares it; the names that are to be committed.

    Raises DatabaseCaError as `parse` does.
    """
    known = of_bytes(change.base[HOSTS])
    new = known.with_hosts(*hosts)
    if new is known:
        return ()
    change.write(HOSTS, new.text.encode())
    return (HOSTS,)


def of_bytes(data: bytes | None) -> Hosts:
    """The list in the bytes of the file (None: there is none). Raises DatabaseCaError where it cannot be read."""
    if data is None:
        return parse("")
    if len(data) > LARGEST:
        raise DatabaseCaError(f"{HOSTS} has more than {LARGEST // 1024**2} MiB", "nothing was done")
    try:
        return parse(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _wrong(data.count(b"\n", 0, error.start) + 1, "not UTF-8") from None


class _Line(NamedTuple):
    """A line that says something: the head of a section with hosts, or what stands in one: host, vars or children."""

    number: int
    kind: str
    group: str
    name: str
    values: Mapping[str, Any]


_SECTION = re.compile(r"\[([A-Za-z0-9_.-]{1,64})(?::(vars|children))?\]\s*(?:[#;].*)?")
_WORD = re.compile(r"""(\s*)(\#.*|(?:[^\s"'\\]|\\.|"(?:[^"\\]|\\.)*"|'[^']*')+)""")
"""A word of a host's line with its quotes, as shlex divides the line, and the blanks before it; or its comment."""


def _split(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _lines(text: str) -> list[_Line]:
    found = []
    group, kind = "ungrouped", "host"
    for number, raw in enumerate(_split(text), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if not line.replace("\t", " ").isprintable():
            raise _wrong(number, "a character that is not printable")
        if line[0] == "[":
            section = _SECTION.fullmatch(line)
            if not section:
                raise _wrong(number, f"not a section: {shown(line)}")
            group, kind = section[1], section[2] or "host"
            if kind == "host":
                found.append(_Line(number, "section", group, "", {}))
        elif kind == "vars":
            key, equals, value = (part.strip() for part in line.partition("="))
            if not equals or not key:
                raise _wrong(number, f"not VARIABLE=VALUE: {shown(line)}")
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":  # as Ansible takes them off
                value = value[1:-1]
            found.append(_Line(number, kind, group, "", _values(number, [(key, value)])))
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
    pairs = (word.partition("=") for word in words)
    return _Line(number, kind, group, name, _values(number, [(key, value) for key, _, value in pairs]))


def _values(number: int, pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The values that variables give to the fields of a host; others are Ansible's, or the administrator's own."""
    values: dict[str, Any] = {}
    for key, text in pairs:
        if (variable := VARIABLES.get(key)) is not None:
            try:
                values[variable.field] = variable.read(text)
            except (DatabaseCaError, ValueError, KeyError):
                raise _wrong(number, f"{key}={shown(text)} is not {variable.expected}") from None
        elif key.startswith("dbca_"):
            raise _wrong(number, f"unknown variable {shown(key)}", f"known: {', '.join(VARIABLES)}")
    return values


def _edited(line: str, changes: Mapping[str, str | None], add: bool = False) -> str:
    """The line of a host with those variables changed, or also added, or left out; its comment and end stay."""
    text = comment = ""
    for gap, word in _WORD.findall(line.rstrip()):
        key = word.partition("=")[0]
        if word.startswith("#"):
            comment = gap + word
        elif key not in changes or not text:
            text += gap + word
        elif (value := changes[key]) is not None:
            text += f"{gap}{key}={shlex.quote(value)}"
    if add:
        text += "".join(f" {key}={shlex.quote(value)}" for key, value in changes.items() if value is not None)
    return text + comment + line[len(line.rstrip()) :]


def _wrong(number: int, what: str, *hints: str) -> DatabaseCaError:
    return DatabaseCaError(f"{HOSTS}, line {number}: {what}", *(hints or ("nothing was done; correct the line",)))
