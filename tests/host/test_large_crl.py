"""A CRL of 100,000 entries comes to three real hosts and is proven to be loaded: slow."""

from __future__ import annotations

import pytest

from host.conftest import CANARY, Site
from tools.support import HOSTS, done, openssl, tool

MANY = 100_000


@pytest.mark.slow
def test_hosts_get_and_load_a_crl_of_100_000_entries(site: Site) -> None:
    with open(site.ca / "database-ca.index", "a") as index:
        index.writelines(
            f"R\t401231120000Z\t260101000000Z\t{number:06X}\tunknown\t/CN=former{number}.example.net\n"
            for number in range(0x100000, 0x100000 + MANY)
        )
    done("crl", directory=site.ca, environment=site.environment)
    rotated = site.rotate()
    assert rotated.code == 0, rotated.messages + rotated.output
    assert all(state.startswith("proven") for state in site.states(rotated).values())
    for name in HOSTS:
        crl = site.fleet.machines[name].ssl / "database-ca.crl"
        assert crl.stat().st_size > 25 * MANY
        assert openssl("crl", "-in", crl, "-noout", "-text", directory=site.ca).count("Serial Number: ") > MANY
        assert site.admitted(name)
        assert not site.admitted(name, CANARY)
    assert site.report()[0] == 0
    checked = ("server", "check", "--all", "--ssh-config", site.fleet.config)
    assert tool(*checked, directory=site.ca).output.count("OK        ssl_crl: ") == len(HOSTS)
    # one that is not the CA's own is neither read nor taken for it
    done("crl", directory=site.ca, environment=site.environment)
    for command in (checked, ("server", "check", HOSTS[0], *site.servers[HOSTS[0]].connection)):
        assert "is too large to be read through the server, and is not the CRL of the CA: deploy it" in (
            tool(*command, directory=site.ca).output
        )
    done("server", "reload", HOSTS[0], *site.servers[HOSTS[0]].connection, directory=site.ca)
