"""`server reload`, `check`, `accounts` and `probe` with `--all`: each host's own programs ask its server, over ssh."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from database.conftest import AIKEN, CLIENT, MARGARET, REVOKED, Site, StartServer, settings_of
from host.conftest import fleet, ssh_keys  # noqa: F401  # fixtures
from tools.database_servers import Programs, Server
from tools.ssh_hosts import Fleet
from tools.support import Finished, snapshot, tool

SOCKET = "/etc/mysql/mysqld.sock"
"""Where each host has its server's socket; there is nothing of that name here."""


class Hosts:
    """Two hosts with a server each, which the list knows."""

    def __init__(self, site: Site, fleet: Fleet, programs: Programs, servers: dict[str, Server]) -> None:  # noqa: F811
        self.site, self.fleet, self.programs, self.servers = site, fleet, programs, servers
        fleet.start(*servers)
        for name, server in servers.items():
            self.lead(name, server)
        self.write()

    def lead(self, name: str, server: Server) -> None:
        """Have the socket of a host lead to a server."""
        link = self.fleet.machines[name].etc / SOCKET.removeprefix("/etc/")
        link.unlink(missing_ok=True)
        link.symlink_to(server.socket)

    def write(self, more: str = "", **variables: str) -> None:
        """Write the list; `variables` are those of margaret."""
        words = {name: f"dbca_connect={server.address}" for name, server in self.servers.items()}
        words[MARGARET] += "".join(f" {key}='{value}'" for key, value in variables.items())
        lines = "".join(f"{name} {word}\n" for name, word in words.items())
        (self.site.authority / "database-ca.hosts").write_text(
            f"[all:vars]\ndbca_socket={SOCKET}\n[databases]\n{lines}{more}[clients]\n{CLIENT}\n"
        )

    def all(self, verb: str, *arguments: str | Path) -> Finished:
        """Run a server verb on all of them."""
        program = () if verb == "probe" else self.programs.options
        return tool(
            *("server", verb, "--all", "--ca", self.site.authority, "--ssh-config", self.fleet.config),
            *(*program, *arguments),
            directory=self.site.hosts,
        )

    def canary(self) -> tuple[str | Path, ...]:
        """The revoked client."""
        ssl = self.site.ssl(REVOKED)
        return "--canary", ssl / f"{REVOKED}.cert.pem", ssl / f"private/{REVOKED}.key.pem"


@pytest.fixture
def hosts(site: Site, fleet: Fleet, programs: Programs, start: StartServer) -> Hosts:  # noqa: F811
    """Both hosts."""
    return Hosts(site, fleet, programs, {name: start(settings_of(site, name)) for name in (AIKEN, MARGARET)})


@pytest.mark.slow
def test_all_servers_load_a_new_crl_and_are_seen_to(hosts: Hosts) -> None:
    site = hosts.site
    site.revoke(REVOKED)
    site.new_list()
    site.deploy(AIKEN, MARGARET)
    assert hosts.all("probe").code == 0, "only the files are looked at"
    before = hosts.all("probe", *hosts.canary(), "--json")
    accepted = [one["text"] for one in before.document["findings"] if one["code"] == "canary"]
    assert (before.code, len(accepted)) == (2, 2)
    assert all("the server accepts a revoked certificate" in text for text in accepted)
    reloaded = hosts.all("reload", "--json")
    assert reloaded.code == 0, reloaded.output
    assert {one["name"]: (one["state"], one["serial"]) for one in reloaded.document["hosts"]} == {
        name: ("reloaded", site.serial(name)) for name in (AIKEN, MARGARET)
    }
    for verb in ("probe", "check"):
        checked = hosts.all(verb, *hosts.canary())
        assert checked.code == 0, checked.output
        assert f"canary: {MARGARET}: {REVOKED}.cert.pem is refused as revoked" in checked.output


def test_the_accounts_of_all_servers(hosts: Hosts) -> None:
    hosts.servers[MARGARET].sql("CREATE USER `dbca end\ndbca x`@localhost REQUIRE X509")
    listed = hosts.all("accounts", "--json")
    assert listed.code == 0, listed.messages
    names = {
        host["name"]: {one["user"]: one["requires"] for one in host["accounts"]} for host in listed.document["hosts"]
    }
    assert names[MARGARET]["dbca end\ndbca x"] == ["x509"]
    assert "root" in names[AIKEN]
    assert len(names[AIKEN]) < len(names[MARGARET])
    (hosts.fleet.machines[AIKEN].etc / SOCKET.removeprefix("/etc/")).unlink()
    shown = hosts.all("accounts")
    assert shown.code == 1
    assert re.search(rf"server require \S+ --ssl \| ssh {MARGARET} {hosts.programs.flavor}", shown.output)
    rows = [line.split() for line in shown.output.splitlines()]
    assert ["'root'@'localhost'", "open", "-"] in rows, "each row is a line"
    assert f"dbca-openssl: {AIKEN}: {Path(hosts.programs.client).name}: ERROR 2002" in shown.messages
    assert "in database-ca.hosts, dbca_socket" in shown.messages, "no --socket is right for all"


@pytest.mark.slow
def test_a_host_that_leads_to_the_server_of_another_reloads_nothing(hosts: Hosts) -> None:
    site = hosts.site
    old = hosts.all("probe", "--json").document
    hosts.lead(MARGARET, hosts.servers[AIKEN])
    for name in (AIKEN, MARGARET):
        site.revoke(name)
        site.sign_again(name)
    site.deploy(MARGARET)
    before = snapshot(site.hosts)
    refused = hosts.all("reload")
    assert refused.code == 1
    assert f"is not the server of {MARGARET}: its certificate is that of '{AIKEN}'" in refused.messages
    assert f"not the issued {site.serial(AIKEN)}" in refused.messages, "it was not deployed"
    after = hosts.all("probe", "--json").document
    assert _serials(after) == _serials(old)
    assert snapshot(site.hosts) == before


@pytest.mark.slow
def test_a_host_that_cannot_be_reached_does_not_stop_the_others(hosts: Hosts) -> None:
    hosts.write("gannibal.example.net\nabram.example.net dbca_reload=never\n")
    hosts.fleet.write_config(gannibal_example_net=1)
    probed = hosts.all("probe", "--format", "prometheus")
    facts = {one.name: one.samples for one in text_string_to_metric_families(probed.output)}
    answers = {one.labels["server"]: one.value for one in facts["dbca_probe_server"]}
    assert answers == {AIKEN: 0, MARGARET: 0, "gannibal.example.net": 3}
    assert {one.value for one in facts["dbca_probe_certificate"]} == {0}
    assert len(facts["dbca_probe_certificate_not_after_seconds"]) == 2
    assert [one.value for one in facts["dbca_probe_status"]] == [probed.code]
    reloaded = hosts.all("reload", "--json")
    assert reloaded.code == 1
    assert {one["name"]: one["state"] for one in reloaded.document["hosts"]} == {
        AIKEN: "reloaded",
        MARGARET: "reloaded",
        "gannibal.example.net": "failed",
    }
    checked = hosts.all("check")
    assert checked.code == 3
    assert "server: gannibal.example.net: connection refused" in checked.output.splitlines()[0]
    listed = hosts.all("accounts")
    assert (listed.code, "gannibal.example.net: connection refused" in listed.messages) == (1, True)


@pytest.mark.slow
def test_a_command_reloads_a_server(hosts: Hosts) -> None:
    site = hosts.site
    site.revoke(REVOKED)
    site.new_list()
    site.deploy(AIKEN, MARGARET)
    hosts.write(dbca_reload="echo cannot >&2; exit 3")
    failed = hosts.all("reload", "--verbose")
    assert failed.code == 1
    assert "the server keeps the files that it had loaded: exit code 3 of: echo cannot" in failed.messages
    statement = "FLUSH SSL" if hosts.programs.flavor == "mariadb" else "ALTER INSTANCE RELOAD TLS"
    command = f'{hosts.programs.client} --user=root --socket={SOCKET} -e "{statement}"'
    hosts.write(dbca_reload=command)
    assert hosts.all("reload").code == 0
    assert hosts.all("probe", *hosts.canary()).code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        *[(verb, AIKEN) for verb in ("reload", "check", "probe")],
        *[("reload", "--host", "x"), ("check", "--connect", "x"), ("probe", "--client", "x", "y")],
    ],
)
def test_all_and_one_is_wrong_usage(shared_site: Site, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused = tool("server", *arguments, "--all", "--ca", shared_site.authority, directory=tmp_path)
    assert refused.code == (2 if arguments[0] == "reload" else 3)
    assert "--all" in refused.output + refused.messages


def _serials(document: dict[str, list[dict[str, str]]]) -> list[str]:
    """The serials that servers serve, each behind the name of its host."""
    found = (one["text"].split(",")[0] for one in document["findings"] if one["code"] == "certificate")
    return sorted(text.split(" of ")[0] for text in found)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ("dbca end\n", "its answer cannot be read"),
        ("dbca output bm9uZQ==\ndbca end\n", "its answer cannot be read"),
        ("dbca output CjA=\ndbca end\n", "did not print the rows"),
        ("dbca refused \x1b[2J\n", r"\x1b[2J"),
        ("dbca output QUFB\n" * 20000, "sent more than 256 KiB"),
    ],
)
def test_what_a_host_says_is_a_claim(site: Site, fleet: Fleet, told: str, says: str) -> None:  # noqa: F811
    [machine] = fleet.start(AIKEN)
    (site.authority / "database-ca.hosts").write_text(f"[databases]\n{AIKEN}\n")
    fleet.lie(machine, "cat /etc/told", told)
    before = snapshot(site.hosts)
    refused = tool(
        *("server", "accounts", "--all", "--ca", site.authority, "--ssh-config", fleet.config), directory=site.hosts
    )
    assert (refused.code, refused.output) == (1, "")
    assert says in refused.messages
    assert "\x1b" not in refused.messages
    assert snapshot(site.hosts) == before
