"""`rollover` on three real hosts with a database server each: proven stage by stage, and no client is refused."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from host.conftest import CLIENT, Client, Site, deliver, rollover
from tools.database_servers import Server, eventually
from tools.ssh_hosts import Fleet
from tools.support import HOSTS, Finished, MakeRequest, done, frozen_tool, openssl, run, snapshot, tool

AIKEN, MARGARET, GANNIBAL = HOSTS
STAGES = ("trusts the old CA", "trusts both", "serves a certificate of the new CA", "trusts the new CA only")


def proven(site: Site, new: Path) -> set[str]:
    """The stages that the hosts have proven."""
    shown = rollover(site, new, "--json")
    assert shown.code == 0, shown.messages
    return {one["state"] for one in shown.document["hosts"]}


def replicate(site: Site) -> Server:
    """Have margaret follow aiken over TLS, as `server replication` says."""
    source = site.servers[AIKEN]
    printed = done(
        *("server", "replication", "--source", source.address, "--replica", MARGARET, "--account-host", "%"),
        *("--flavor", source.programs.flavor, "--ca", site.ca, "--json"),
        directory=site.ca.parent,
    ).document
    source.sql(printed["source"])
    on_replica = printed["replica"].replace("VERIFY_SERVER_CERT = 1", "VERIFY_SERVER_CERT = 0")  # it is 127.0.0.1 here
    site.servers[MARGARET].sql(on_replica)
    return site.servers[MARGARET]


def connected(replica: Server) -> str:
    """How it fares when a replica connects anew."""
    replica.sql("STOP REPLICA IO_THREAD; START REPLICA IO_THREAD")
    said = ""

    def is_known() -> bool:
        nonlocal said
        shown = tool("server", "replication", "--check", *replica.connection, "--json", directory=replica.directory)
        said = next(one["text"] for one in shown.document["findings"] if one["code"] == "Replica_IO_Running")
        return said == "Yes" or "error connecting" in said

    assert eventually(is_known), said
    return said


@pytest.mark.slow
def test_no_client_is_refused_from_the_first_stage_to_the_last_and_back(site: Site, new: Path) -> None:
    assert proven(site, new) == {STAGES[0]}
    both = site.ca.parent / "both"
    with Client(site) as client:
        replica = replicate(site)
        for stage in (1, 2):
            if stage == 2:
                refused_and_loosened(site, new, "--advance")
            advanced = rollover(site, new, "--advance")
            assert advanced.code == 0, advanced.messages
            assert proven(site, new) == {STAGES[stage]}
            assert rollover(site, new, "--output", str(both)).code == 0
            client.trusted = both / "database-ca.cert.pem"
            assert connected(replica) == "Yes"
        site.servers[AIKEN].sql((site.ca.parent / f"--advance/{AIKEN}.after.sql").read_text())
        assert connected(replica) == "Yes"
        refused_and_loosened(site, new, "--back")
        assert rollover(site, new, "--back").code == 0
        assert proven(site, new) == {STAGES[1]}
        assert connected(replica) == "Yes"
        assert rollover(site, new, "--advance").code == 0
        last = ("rollover", site.ca, "--ca", new, "--ssh-config", site.fleet.config, "--advance")
        asked = tool(*last, directory=site.ca.parent, environment=site.environment)
        assert asked.code == 1 and f"who has no certificate of the new CA will be refused: {CLIENT}" in asked.messages
        done("sign", site.ca / f"certreqs/{CLIENT}.req.pem", "--yes", "--ca", new, directory=site.ca.parent)
        before = client.connections
        client.certificate = new / f"certs/{CLIENT}.cert.pem"
        while client.connections < before + 2 * len(HOSTS):
            assert client.is_running()
            time.sleep(0.05)
        assert rollover(site, new, "--advance").code == 0
        assert proven(site, new) == {STAGES[3]}
    site.servers[AIKEN].sql((site.ca.parent / f"--advance/{AIKEN}.after.sql").read_text())
    assert connected(replica) == "Yes"
    site.servers[AIKEN].sql((site.ca.parent / f"--back/{AIKEN}.after.sql").read_text())
    assert "Access denied" in connected(replica), "as it would have been with the old ISSUER"
    assert client.refused == []
    assert client.connections > 10
    records = [ca / "database-ca.rollover" for ca in (site.ca, new)]
    assert [record.exists() and record.read_text() for record in records] == ["left ../new-ca\n", False]
    refused = site.rotate()
    assert refused.code == 1 and f"have left this CA, and trust the one in '{new}'" in refused.messages
    assert proven(site, new) == {STAGES[3]}, "a timer that was forgotten does not take them back"
    for record, word in zip(records, ("new ../new-ca", "old ../database-ca"), strict=True):
        record.write_text(f"{word}\n")  # as a run leaves them that was killed behind the last host
    assert rollover(site, new, "--advance").code == 0
    assert [record.exists() for record in records] == [True, False]


def refused_and_loosened(site: Site, new: Path, direction: str) -> None:
    """An account requires the ISSUER that goes, so no host goes on until the statements that are written have run."""
    written = site.ca.parent / direction
    written.mkdir()
    before = snapshot(new, without=(".lock",))
    refused = rollover(site, new, direction, "--sql", str(written))
    assert refused.code == 1
    for name in (AIKEN, MARGARET):  # to which the account was replicated
        assert f"{name}: by their ISSUER, accounts refuse the certificates of this stage: 'repl" in refused.messages
    assert snapshot(new, without=(".lock",)) == before
    assert {path.stat().st_mode & 0o777 for path in written.iterdir()} == {0o600}
    site.servers[AIKEN].sql((written / f"{AIKEN}.before.sql").read_text())
    assert eventually(lambda: "'replication'" not in rollover(site, new).output), "the replica has it from its source"


@pytest.mark.slow
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
    following = rollover(site, new).output
    assert following.index(f"{CLIENT}.req.pem") < following.index("--advance"), "clients come first now"

    before = snapshot(new, without=(".lock",))
    issuer = openssl(
        "x509", "-noout", "-subject", "-nameopt", "compat", "-in", "database-ca.cert.pem", directory=site.ca
    )
    bound = f"bound@'%' REQUIRE ISSUER '{issuer.partition('=')[2].strip()}'"
    site.servers[MARGARET].sql(f"CREATE USER {bound}")
    refused = rollover(site, new, "--advance")
    assert refused.code == 1
    assert (
        f"{MARGARET}: by their ISSUER, accounts refuse the certificates of this stage: 'bound'@'%'" in refused.messages
    )
    assert "\n  ALTER USER 'bound'@'%' REQUIRE X509;\n" in refused.output
    assert "\n  ALTER USER 'bound'@'%' REQUIRE ISSUER '/O=example.net/CN=Database CA 2';\n" in refused.output
    assert snapshot(new, without=(".lock",)) == before

    site.servers[MARGARET].stop()
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


@pytest.mark.slow
def test_a_key_that_the_old_one_knows_as_compromised_is_not_signed(site: Site, new: Path) -> None:
    assert rollover(site, new, "--advance").code == 0
    more = ("--reason", "keyCompromise", "--no-crl", "--yes")  # the key of app is that of the hosts here
    done("revoke", CLIENT, *more, directory=site.ca, environment=site.environment)
    before = snapshot(new, without=(".lock",))
    refused = rollover(site, new, "--advance")
    assert refused.code == 1
    assert "has a key that was revoked as compromised" in refused.messages
    assert snapshot(new, without=(".lock",)) == before


@pytest.mark.slow
def test_rotate_keeps_the_crls_of_both_fresh_for_months(
    ca: Path, new: Path, fleet: Fleet, make_request: MakeRequest, keys: Path, environment: dict[str, str]
) -> None:
    site = Site(ca, fleet, environment)
    (machine,) = fleet.start(AIKEN)
    make_request(AIKEN, to=ca / "certreqs")
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)
    deliver(site, machine, keys)
    (ca / "database-ca.hosts").write_text(f"[databases]\n{AIKEN} dbca_reload=never\n")
    for stage in (1, 2):
        advanced = rollover(site, new, "--advance")
        assert advanced.code == 0, advanced.messages
        assert proven(site, new) == {STAGES[stage]}
    start = datetime.now(UTC)

    def rotate(days: int, of: Path, *more: str | Path) -> Finished:
        clock = f"@{start + timedelta(days):%Y-%m-%d %H:%M:%S}"  # from where it goes on
        options = ("--yes", "--ssh-config", fleet.config, "--ca", of)
        waits = {"DONT_FAKE_MONOTONIC": "1"}  # as threads do
        return frozen_tool(clock, "rotate", *(more or ("--all",)), *options, directory=ca.parent, environment=waits)

    def refused_crls(days: int) -> int:
        """Certificates of the two CAs that a host does not accept then, with the files that it has."""
        at = str(int((start + timedelta(days, minutes=1)).timestamp()))
        files = ("-CAfile", "database-ca.cert.pem", "-CRLfile", "database-ca.crl", "-attime", at)
        certificates = [one / f"certs/{AIKEN}.cert.pem" for one in (ca, new)]
        verified = [run("openssl", "verify", "-crl_check", *files, one, directory=machine.ssl) for one in certificates]
        return [one.code for one in verified].count(2)

    assert refused_crls(0) == 0
    assert refused_crls(70) == 2, "a CRL lasts sixty days"
    phrase = environment["DBCA_PASSPHRASE_FILE"]
    before = (ca / "crl/database-ca.crl").read_bytes()
    alone = rotate(40, new)
    assert alone.code == 1
    assert "the CRL of the other CA in this rollover, valid until" in alone.messages
    assert f"rotate --all --ca {ca}" in alone.messages
    assert (ca / "crl/database-ca.crl").read_bytes() == before
    assert refused_crls(70) == 1, "its own is fresh nevertheless"
    both = rotate(40, new, "--all", "--old-passphrase-file", phrase)
    assert both.code == 0, both.messages
    for days, of in ((80, ca), (120, new)):
        assert refused_crls(days) == 0
        assert rotate(days, of, "--all", "--old-passphrase-file", phrase).code == 0
        assert refused_crls(days + 40) == 0

    done("revoke", AIKEN, "--no-crl", "--yes", directory=ca, environment=environment)
    waits = rotate(160, new, "--all", "--old-passphrase-file", phrase)
    assert waits.code == 1
    assert f"it is to revoke certificates that hosts may still serve: {AIKEN}" in waits.messages
    assert rotate(160, ca, "--all", "--old-passphrase-file", phrase).code == 0
    refused = rotate(161, new, "--all", "--print")
    assert refused.code == 1
    assert "the script would bring those of one" in refused.messages
