"""The recipes of docs/recipes.md that reach hosts, typed as they are written, over real sshd.

The servers' reloads are left out: no database runs there (`database/test_story.py`).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import pytest

from host.conftest import Reach
from tools.agreement import require_agreement
from tools.ssh_hosts import Fleet, Machine, program
from tools.support import HOSTS, openssl, recipe, run, tool

AIKEN, MARGARET, _ = HOSTS
TOOL = """#!/bin/sh
verb=$1
shift
case $verb in
    deploy | enroll) set -- --ssh-config {config} "$@" ;;
    rollover) set -- --ssh-config {config} --yes "$@" ;;
    renew | sign) set -- --yes "$@" ;;
esac
exec {python} -m dbca_openssl "$verb" "$@"
"""
COPY = """#!/bin/sh
exec {program} -F {config} "$@"
"""


@pytest.fixture
def machines(fleet: Fleet, reach: Reach) -> list[Machine]:
    """Two hosts whose certificates end in 20 days."""
    started = fleet.start(AIKEN, MARGARET)
    enrolled = reach("enroll", AIKEN, MARGARET, "--days", "20", "--bits", "2048")
    assert enrolled.code == 0, enrolled.messages
    return started


def stages(heading: str, ca: Path, fleet: Fleet, environment: dict[str, str]) -> Iterator[int]:
    """Type a recipe beside the authority, and stop after each numbered stage."""
    programs = fleet.directory / "programs"
    programs.mkdir()
    for name, text in (("dbca-openssl", TOOL), ("ssh", COPY), ("scp", COPY)):
        (programs / name).write_text(text.format(config=fleet.config, python=sys.executable, program=program(name)))
        (programs / name).chmod(0o755)
    parts = re.split(r"^# (\d)\. .*\n", recipe(heading), flags=re.MULTILINE)[1:]
    for number, script in zip(parts[::2], parts[1::2], strict=True):
        typed = run(*("sh", "-euc", f"PATH={programs}:$PATH\n{script}"), directory=ca.parent, environment=environment)
        assert typed.code == 0, f"{script}\n{typed.messages}"
        yield int(number)


def accept_each_other(machines: Sequence[Machine]) -> bool:
    """Whether each host accepts each one's certificate with the authorities and lists that it has."""
    return all(accepts(one, other.ssl / f"{other.name}.cert.pem") for one, other in product(machines, repeat=2))


def accepts(machine: Machine, certificate: Path) -> bool:
    trusted = ("-CAfile", machine.ssl / "database-ca.cert.pem", "-CRLfile", machine.ssl / "database-ca.crl")
    verified = run("openssl", "verify", "-x509_strict", "-crl_check", *trusted, certificate, directory=machine.etc)
    return verified.code == 0


def key(machine: Machine) -> str:
    return openssl("pkey", "-in", machine.ssl / f"private/{machine.name}.key.pem", "-pubout", directory=machine.etc)


def test_renewal_day(ca: Path, fleet: Fleet, machines: list[Machine], environment: dict[str, str]) -> None:
    old = [ca / "newcerts/01.pem", ca / "newcerts/02.pem"]
    keys = [key(machine) for machine in machines]
    assert tool("check", directory=ca).code == 1
    for stage in stages("Renewal day", ca, fleet, environment):
        assert accept_each_other(machines), stage
        assert all(accepts(one, two) for one, two in product(machines, old)) == (stage < 3)
    require_agreement(ca, machines)
    assert [key(machine) for machine in machines] == keys
    assert tool("check", directory=ca).output == "OK: 0 findings\n"


@pytest.mark.slow
def test_a_new_ca(ca: Path, fleet: Fleet, machines: list[Machine], environment: dict[str, str]) -> None:
    old = [ca / "newcerts/01.pem", ca / "newcerts/02.pem"]
    keys = [key(machine) for machine in machines]
    listed = ca / "database-ca.hosts"
    listed.write_text(f"{listed.read_text()}[databases:vars]\ndbca_reload=never\n")
    for stage in stages("A new CA", ca, fleet, environment):
        assert accept_each_other(machines), stage
        assert all(accepts(one, two) for one, two in product(machines, old)) == (stage < 4)
    new = ca.parent / "new-ca"
    require_agreement(new, machines)
    assert [key(machine) for machine in machines] == keys
    assert (ca / "database-ca.rollover").read_text() == "left ../new-ca\n"
    assert not (new / "database-ca.rollover").exists()


@pytest.mark.slow
def test_galera(ca: Path, fleet: Fleet, environment: dict[str, str]) -> None:
    machines = fleet.start(AIKEN, MARGARET)
    for machine in machines:
        assert fleet.shell(machine, "mkdir /etc/mysql/mariadb.conf.d").code == 0
    assert list(stages("Galera", ca, fleet, environment)) == [1, 2]
    require_agreement(ca, machines)
    for machine in machines:
        settings = (machine.ssl.parent / "mariadb.conf.d/99-tls.cnf").read_text()
        assert f"/etc/mysql/ssl/{machine.name}.cert.pem" in settings
        assert "wsrep_provider_options" in settings
