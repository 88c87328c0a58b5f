"""`rollover` on three real hosts with a database server each: proven stage by stage, and no client is refused."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from host.conftest import CLIENT, Client, Site
from tools.support import HOSTS, ORGANIZATION, Finished, done, openssl, snapshot, tool

AIKEN, MARGARET, GANNIBAL = HOSTS
STAGES = ("trusts the old CA", "trusts both", "serves a certificate of the new CA", "trusts the new CA only")


@pytest.fixture
def new(site: Site) -> Path:
    """The CA that is to take over, without a pass phrase."""
    ca = site.ca.parent / "new-ca"
    openssl("genrsa", "-out", "new.key.pem", "2048", directory=site.ca.parent)
    done(
        *("init", "-o", ORGANIZATION, "--common-name", "Database CA 2", "--key", site.ca.parent / "new.key.pem"),
        *("--no-passphrase", "--ca", ca),
        directory=site.ca.parent,
    )
    return ca


def rollover(site: Site, new: Path, *more: str) -> Finished:
    return tool(
        *("rollover", site.ca, "--ca", new, "--ssh-config", site.fleet.config, "--yes"),
        *more,
        directory=site.ca.parent,
        environment=site.environment,
    )


def proven(site: Site, new: Path) -> set[str]:
    """The stages that the hosts have proven."""
    shown = rollover(site, new, "--json")
    assert shown.code == 0, shown.messages
    return {one["state"] for one in shown.document["hosts"]}


@pytest.mark.slow
def test_no_client_is_refused_from_the_first_stage_to_the_last_and_back(site: Site, new: Path) -> None:
    assert proven(site, new) == {STAGES[0]}
    both = site.ca.parent / "both"
    done("sign", site.ca / f"certreqs/{CLIENT}.req.pem", "--yes", "--ca", new, directory=site.ca.parent)
    with Client(site) as client:
        for stage in (1, 2):
            advanced = rollover(site, new, "--advance")
            assert advanced.code == 0, advanced.messages
            assert proven(site, new) == {STAGES[stage]}
            assert rollover(site, new, "--output", str(both)).code == 0
            client.trusted = both / "database-ca.cert.pem"
        assert rollover(site, new, "--back").code == 0
        assert proven(site, new) == {STAGES[1]}
        assert rollover(site, new, "--advance").code == 0
        before = client.connections
        client.certificate = new / f"certs/{CLIENT}.cert.pem"
        while client.connections < before + 2 * len(HOSTS):
            assert client.is_running()
            time.sleep(0.05)
        assert rollover(site, new, "--advance").code == 0
        assert proven(site, new) == {STAGES[3]}
    assert client.refused == []
    assert client.connections > 10
    records = [ca / "database-ca.rollover" for ca in (site.ca, new)]
    assert not any(record.exists() for record in records)
    for record, word in zip(records, ("new ../new-ca", "old ../database-ca"), strict=True):
        record.write_text(f"{word}\n")  # as a run leaves them that was killed behind the last host
    assert rollover(site, new, "--advance").code == 0
    assert not any(record.exists() for record in records)


def test_no_host_goes_on_while_another_is_behind(site: Site, new: Path) -> None:
    listed = site.ca / "database-ca.hosts"
    listed.write_text(listed.read_text().replace(f"\n{MARGARET} ", f"\n{MARGARET} dbca_reload=true "))
    first = rollover(site, new, "--advance")
    assert first.code == 1
    assert f"{MARGARET}: after the reload it trusts the old CA" in first.messages
    again = rollover(site, new, "--advance", "--json")
    assert {one["name"]: one.get("stage") for one in again.document["hosts"]} == {AIKEN: 1, MARGARET: None, GANNIBAL: 1}
    for ca in (site.ca, new):
        listed = ca / "database-ca.hosts"
        listed.write_text(listed.read_text().replace("dbca_reload=true", ""))
    assert rollover(site, new, "--advance").code == 0
    assert proven(site, new) == {STAGES[1]}

    site.servers[MARGARET].stop()
    before = snapshot(new, without=(".lock",))
    refused = rollover(site, new, "--advance")
    assert refused.code == 1
    assert f"no host goes on before all can: {MARGARET}: " in refused.messages
    assert snapshot(new, without=(".lock",)) == before


@pytest.mark.slow
def test_nothing_destroys_the_files_of_both(site: Site, new: Path) -> None:
    assert rollover(site, new, "--advance").code == 0
    machine = site.fleet.machines[AIKEN]
    names = ("database-ca.cert.pem", "database-ca.crl")
    both = [(machine.ssl / name).read_bytes() for name in names]
    assert [data.count(b"-----BEGIN") for data in both] == [2, 2]
    for ca in (site.ca, new):
        more = ("deploy", f"root@{AIKEN}", "--ssh-config", site.fleet.config, "--ca", ca)
        done(*more, directory=site.ca.parent, environment=site.environment)
        assert [(machine.ssl / name).read_bytes() for name in names] == both
    done("crl", "--ca", site.ca, directory=site.ca.parent, environment=site.environment)
    assert site.rotate().code == 0
    assert proven(site, new) == {STAGES[1]}
    assert (machine.ssl / "database-ca.crl").read_bytes() != both[1]

    (site.ca / "database-ca.rollover").unlink()
    refused = tool(
        *("deploy", f"root@{AIKEN}", "--ssh-config", site.fleet.config, "--ca", site.ca),
        directory=site.ca.parent,
        environment=site.environment,
    )
    assert refused.code == 1
    assert "database-ca.cert.pem is of two CAs, and would be replaced by that of one" in refused.messages
    assert (machine.ssl / names[0]).read_bytes() == both[0]


def test_a_key_that_the_old_one_knows_as_compromised_is_not_signed(site: Site, new: Path) -> None:
    assert rollover(site, new, "--advance").code == 0
    more = ("--reason", "keyCompromise", "--no-crl", "--yes")  # the key of app is that of the hosts here
    done("revoke", CLIENT, *more, directory=site.ca, environment=site.environment)
    before = snapshot(new, without=(".lock",))
    refused = rollover(site, new, "--advance")
    assert refused.code == 1
    assert "has a key that was revoked as compromised" in refused.messages
    assert snapshot(new, without=(".lock",)) == before
