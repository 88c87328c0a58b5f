"""The list of hosts: kept by what reaches them, over real sshd, and taken from there afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dbca_openssl.ca.hosts import KnownHost, parse
from dbca_openssl.ca.layout import HOSTS as LIST
from host.conftest import Reach
from tools.agreement import on_hosts, require_agreement
from tools.ssh_hosts import MYSQL, Fleet
from tools.support import HOSTS, MakeRequest, done, refusal, run, snapshot

AIKEN, MARGARET, GANNIBAL = HOSTS
QUICK = ("--bits", "2048")


def listed(ca: Path) -> dict[str, KnownHost]:
    """What the list of the CA says."""
    return dict(parse((ca / LIST).read_text()).hosts)


@pytest.mark.slow
def test_what_was_asked_for_once_holds_from_then_on(ca: Path, fleet: Fleet, reach: Reach) -> None:
    machines = fleet.start(AIKEN, MARGARET)
    fleet.write_config(gannibal_example_net=1)  # refuses the connection
    given = ("--owner", "mysql", "--ssl-dir", "/etc/ssl/db", "--alt-name", "db.example.net", "--profile", "modern")
    reached = reach("enroll", f"root@{AIKEN}", GANNIBAL, *QUICK, *given)
    assert reached.code == 1
    assert listed(ca) == {  # and not the host that was not reached
        AIKEN: KnownHost(
            AIKEN,
            user="root",
            owner="mysql",
            directory="/etc/ssl/db",
            profile="modern",
            alternative_names=(("DNS", "db.example.net"),),
        )
    }
    start, end = (ca / LIST).read_text().split(f"{AIKEN} ")
    by_hand = f"{start}# the first one\n{AIKEN}  rack=7 {end}".replace(
        "[clients]", f"{MARGARET} # the second\n[clients]"
    )
    (ca / LIST).write_text(by_hand)

    there = Path(f"/proc/{machines[0].pid}/root/etc/ssl/db")
    (there / "database-ca.crl").unlink()
    assert reach("deploy", "--all").code == 0
    assert (there / "database-ca.crl").exists()
    assert (there / "private").stat().st_gid == MYSQL
    assert (machines[1].ssl / "database-ca.crl").exists()
    assert reach("enroll", "--all", "--rekey", *QUICK, "--owner", "mysql").code == 0
    assert "DNS:db.example.net" in done("show", AIKEN, directory=ca).output
    assert (ca / LIST).read_text() == by_hand.replace("# the second", "dbca_owner=mysql # the second")
    before = snapshot(ca)
    assert reach("enroll", "--all").code == 0
    assert snapshot(ca) == before


def test_a_host_is_reached_as_the_list_says(ca: Path, fleet: Fleet, reach: Reach) -> None:
    [aiken] = fleet.start(AIKEN)
    fleet.config.write_text(fleet.config.read_text().replace(f"Host {AIKEN}", "Host elsewhere.example.net"))
    assert reach("deploy", AIKEN).code == 1
    line = f"{AIKEN} ansible_host=127.0.0.1 ansible_port={aiken.port} ansible_user=root\n"
    (ca / LIST).write_text(f"[databases]\n{line}[clients]\napp\n")
    assert reach("enroll", "--all", *QUICK).code == 0
    require_agreement(ca, [aiken])
    assert (ca / LIST).read_text() == f"[databases]\n{line}[clients]\napp\n"
    for verb in ("fetch", "deploy"):
        printed = reach(verb, AIKEN, "--print")
        assert f"-p {aiken.port} " in printed.output
        assert "root@127.0.0.1 " in printed.output


@pytest.mark.parametrize("line", ["-oProxyCommand=id", f"{AIKEN} ansible_port=x", f"{MARGARET} dbca_what=x"])
def test_a_line_that_is_not_right_stops_everything(
    line: str, ca: Path, fleet: Fleet, reach: Reach, make_request: MakeRequest
) -> None:
    machines = fleet.start(AIKEN)
    make_request(AIKEN, to=machines[0].ssl)
    (ca / LIST).write_text(f"[databases]\n{line}\n")
    before, here = on_hosts(machines), snapshot(ca)
    for verb in ("enroll", "fetch", "deploy"):
        for what in (AIKEN, "--all"):
            assert f"{LIST}, line 2: " in refusal(reach(verb, what))
    assert (on_hosts(machines), snapshot(ca)) == (before, here)


def test_a_list_that_is_no_file_of_ours_is_not_read(ca: Path, reach: Reach, tmp_path: Path) -> None:
    (ca / LIST).symlink_to("/dev/zero")
    before = snapshot(ca)
    assert "not a regular file" in refusal(reach("deploy", AIKEN))
    assert snapshot(ca) == before


def test_all_needs_a_list_and_no_names(ca: Path, reach: Reach) -> None:
    before = snapshot(ca)
    for verb in ("enroll", "fetch", "deploy"):
        assert f"there is no host in {LIST}" in refusal(reach(verb, "--all"))
        for wrong in ((), ("--all", AIKEN)):
            refused = reach(verb, *wrong)
            assert refused.code == 2
            assert "name a HOST, or give --all" in refused.messages
    assert snapshot(ca) == before


def test_a_client_is_known_by_its_files_here(ca: Path, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    done("deploy", "--local", directory=ca, environment=home)
    done("deploy", "--local", "app", "--ssl-dir", str(tmp_path / "ssl"), directory=ca, environment=home)
    assert not (ca / LIST).exists()  # neither a name, nor the place of a client's files
    done("deploy", "--local", "backup@margaret", directory=ca, environment=home)
    assert listed(ca) == {"backup@margaret": KnownHost("backup@margaret", is_client=True)}
    before = snapshot(ca)
    done("deploy", "--local", "backup@margaret", directory=ca, environment=home)
    assert snapshot(ca) == before


def test_a_medium_that_is_read_only_does_not_hinder_a_delivery(ca: Path, tmp_path: Path) -> None:
    (ca / ".lock").unlink(missing_ok=True)
    (ca / ".lock").mkdir()  # no lock can be had
    said = done("deploy", "--local", "app", directory=ca, environment={"HOME": str(tmp_path)})
    assert f"{LIST} is not kept: " in said.messages
    assert (tmp_path / ".mysql/ssl/database-ca.crl").exists()
    assert not (ca / LIST).exists()


def test_hosts_lists_what_is_known(
    ca: Path, make_request: MakeRequest, environment: dict[str, str], tmp_path: Path
) -> None:
    assert done("hosts", directory=ca).output == ""
    make_request(AIKEN, to=ca / "certreqs")
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)
    (ca / LIST).write_text(
        f"[databases]\n{AIKEN} ansible_user=root ansible_port=22 dbca_connect=localhost:3307 ansible_become=yes\n"
        f"{MARGARET}\n[clients]\napp\n"
    )
    heads, *rows = done("hosts", directory=ca).output.splitlines()
    assert heads.split()[:3] == ["NAME", "SSH", "OWNER"]
    cells = [cell.strip() for cell in rows[0].split("  ") if cell]
    ssh = f"root@{AIKEN} port 22 sudo"
    assert cells[:-1] == [AIKEN, ssh, "-", "/etc/mysql/ssl", "-", "localhost:3307", "statement", "guide", "01"]
    assert rows[1].split()[-2:] == ["-", "-"]
    assert rows[2].split()[:2] == ["app", "client"]
    aiken, _, app = done("hosts", "--json", directory=ca).document["hosts"]
    assert (aiken["serial"], aiken["status"], aiken["connect"]) == ("01", "valid", "localhost:3307")
    assert app["is_client"]
    theirs = run(
        Path(sys.executable).with_name("ansible-inventory"), "-i", LIST, "--list", directory=ca, environment=environment
    ).document
    assert theirs["databases"]["hosts"] == [AIKEN, MARGARET]
    assert theirs["clients"]["hosts"] == ["app"]
    assert theirs["_meta"]["hostvars"][AIKEN]["dbca_connect"] == "localhost:3307"
