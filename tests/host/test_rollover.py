"""`rollover` on three real hosts with a database server each: proven stage by stage, and no client is refused."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from host.conftest import CLIENT, Site
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


class Client:
    """A client that connects to each server in turn, all the time, with the files that it was given last."""

    def __init__(self, site: Site) -> None:
        self.site, self.connections, self.refused = site, 0, list[str]()
        self.trusted, self.certificate = site.ca / "database-ca.cert.pem", site.ca / f"certs/{CLIENT}.cert.pem"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._connect)

    def __enter__(self) -> Client:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _connect(self) -> None:
        while not self._stop.is_set():
            for name in HOSTS:
                options = (f"--ssl-ca={self.trusted}", f"--ssl-cert={self.certificate}")
                key = f"--ssl-key={self.site.ca}/{CLIENT}.key.pem"
                connected = self.site.servers[name].over_tcp("--user=app", *options, key)
                self.connections += 1
                if connected.code != 0:
                    self.refused.append(f"{name}: {connected.messages}")


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
            pass
        assert rollover(site, new, "--advance").code == 0
        assert proven(site, new) == {STAGES[3]}
    assert client.refused == []
    assert client.connections > 10
    assert "nothing" not in rollover(site, new, "--advance").messages
    assert not list(site.ca.parent.glob("*/database-ca.rollover"))


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
