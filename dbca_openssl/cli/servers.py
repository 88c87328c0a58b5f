"""How the server verbs reach one server, or those of all hosts in the CA's list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from dbca_openssl import finding
from dbca_openssl.ca import canary as canaries
from dbca_openssl.ca.host_variables import NEVER
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import certificate_of
from dbca_openssl.cli.options import Run, UsageError
from dbca_openssl.database.client import Client, Reached
from dbca_openssl.database.handshake import ClientCertificate, Target, target
from dbca_openssl.errors import DatabaseCaError, UnreachableError
from dbca_openssl.finding import Finding
from dbca_openssl.names import entity_name

T = TypeVar("T")


def named(run: Run, text: str) -> tuple[str, Target]:
    """The name in the certificate of the server HOST[:PORT], and where the server is, maybe by --connect."""
    given = target(text)
    return entity_name(given.host), target(run.connect) if run.connect else given


def client(run: Run, where: Target | None = None) -> Client:
    """The database client; it connects to `where`, unless --socket or --host was given."""
    host, port = run.host, run.port
    if where is not None and run.socket is None and host is None:
        host, port = where.host, port or where.port
    return Client(run.client_program, run.flavor, run.defaults_file, run.socket, host, port, run.user)


def reached(run: Run, text: str) -> Reached:
    """The server HOST[:PORT], and the client that reaches it; --socket and --host may lead to another address."""
    name, where = named(run, text)
    elsewhere = run.connect is None and (run.socket or run.host)
    return Reached(name, None if elsewhere else where, client(run, where))


def canary(run: Run, given: tuple[Path, Path] | None) -> ClientCertificate | None:
    """The canary that was given, or the CA's own, if it has one. Raises DatabaseCaError where that is not trusted."""
    if given:
        return ClientCertificate(*given)
    authority = run.authority()
    if not canaries.is_kept(authority):
        return None
    return ClientCertificate(authority.path(certificate_of(canaries.NAME)), authority.path(canaries.KEY))


def each(run: Run, ask: Callable[[Reached, KnownHost], T]) -> dict[KnownHost, T | DatabaseCaError]:
    """What `ask` gives of the server of each host in the CA's list, or its error.

    The client is the host's own, and so are the files of --socket and --defaults-file. Raises DatabaseCaError where
    there is no such list.
    """
    from dbca_openssl.host.remote import OnHost

    if any(given is not None for given in (run.host, run.port, run.connect)):
        raise UsageError("with --all, database-ca.hosts says where each server is: no --host, --port, --connect")
    found, ssh = run.hosts(run.existing_authority(), [])
    found = [host for host in found if host.reload != NEVER]

    def one(host: KnownHost) -> T:
        flavor: Any = run.flavor or host.flavor
        defaults_file, socket = run.defaults_file or host.defaults_file, run.socket or host.socket
        its_client = Client(run.client_program, flavor, defaults_file, socket, user=run.user, there=OnHost(ssh, host))
        try:
            return ask(Reached(host.name, target(host.connect) if host.connect else None, its_client), host)
        except DatabaseCaError as error:
            message = f"{host.name}: {error.message.removeprefix(f'{host.name}: ')}"
            raise type(error)(message, *error.hints, detail=error.detail) from None

    return ssh.each(found, one)


def findings(run: Run, ask: Callable[[Reached], list[Finding]]) -> dict[str, list[Finding]]:
    """What `ask` finds of the server of each host in the CA's list, by its name; where it cannot be asked, why."""
    found = {}
    for host, outcome in each(run, lambda reached, _: ask(reached)).items():
        if isinstance(outcome, DatabaseCaError):
            level = finding.CRITICAL if isinstance(outcome, UnreachableError) else finding.UNKNOWN
            outcome = [Finding(level, "server", outcome.message, "; ".join(outcome.hints))]
        found[host.name] = outcome
    return found


def with_names(found: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """The findings of many hosts, each with the name of its host in front."""
    return [
        one._replace(text=f"{name}: {one.text.removeprefix(f'{name}: ')}")
        for name, of_host in found.items()
        for one in of_host
    ]
