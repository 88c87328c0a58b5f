"""`playbook --role`, by the real ansible-playbook against real hosts."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.agreement import on_hosts, require_agreement
from tools.database_servers import Programs, Server
from tools.ssh_hosts import MYSQL, Fleet, Machine
from tools.support import HOSTS, ORGANIZATION, ROOT, Finished, done, index_rows, openssl, run, snapshot, tool

AIKEN, MARGARET, GANNIBAL = HOSTS
Recap = dict[str, dict[str, int]]
RECORDED = """cd /etc/mysql/ssl && exec >> /etc/reloaded
echo $(openssl x509 -in {name}.cert.pem -noout -serial) $(openssl crl -in database-ca.crl -noout -crlnumber)"""
PLAY = "- name: Certificates\n  hosts: databases\n  gather_facts: false\n  roles: [dbca]\n"
LONG_AGO = ("faketime", "-f", "-400d")


class Ansible:
    """The role, an inventory in the directory of the CA, and the ansible-playbook of this environment."""

    def __init__(self, ca: Path, fleet: Fleet, keys: Path, directory: Path) -> None:
        self.ca, self.fleet, self.directory = ca, fleet, directory
        self.clock: tuple[str, ...] = ()  # the program that sets it
        self.sockets = tempfile.mkdtemp()  # the path of a socket must be short
        self.play = directory / "site.yml"
        self.play.write_text(f"---\n{PLAY}")
        self.host_variables: dict[str, str] = {}
        self.variables: dict[str, object] = {
            "dbca_passphrase_file": str(keys / "phrase"),
            "dbca_command": str(program("dbca-openssl")),
            "dbca_bits": 2048,
            "dbca_reload": RECORDED.format(name="{{ inventory_hostname }}"),
        }
        done("playbook", "--role", "roles/dbca", directory=directory)

    def run(self, *options: str, **variables: object) -> Finished:
        """Run the role, on all hosts that the fleet ever had."""
        inventory = self.ca / "database-ca.hosts"
        lines = [f"{name} {self.host_variables.get(name, '')}".rstrip() for name in self.fleet.machines]
        inventory.write_text(
            "\n".join(["[databases]", *lines, "[databases:vars]", "ansible_become=false"])
            + f"\nansible_python_interpreter={sys.executable}\nansible_ssh_common_args=-F {self.fleet.config}\n"
        )
        given = json.dumps(self.variables | variables)
        command = (program("ansible-playbook"), "-i", inventory, self.play, "-e", given)
        return run(
            *self.clock,
            *command,
            *options,
            directory=self.directory,
            environment={
                "ANSIBLE_HOME": str(self.directory / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": self.sockets,
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "LC_ALL": "C.UTF-8",
            }
            | ({"DBCA_OPENSSL": str(self.directory / "openssl-then")} if self.clock else {}),
        )

    def changes(self, *options: str, **variables: object) -> list[int]:
        """Run the role, which must succeed; how many tasks changed something, for each host."""
        finished = self.run(*options, **variables)
        assert finished.code == 0, finished.output + finished.messages
        return [counts["changed"] for counts in recap(finished).values()]

    def require_nothing_is_done(self, *options: str, **variables: object) -> None:
        """The role finds nothing to do, and does nothing."""
        before = self.everything()
        changed = self.changes(*options, **variables)
        assert (set(changed), self.everything()) == ({0}, before)

    def everything(self) -> tuple[object, object]:
        """What is in the CA and on the hosts that run."""
        machines = [one for one in self.fleet.machines.values() if one.process.poll() is None]
        return on_hosts(machines), snapshot(self.ca)


def program(name: str) -> Path:
    """A program of this environment."""
    path = Path(sys.executable).with_name(name)
    assert path.exists(), f"{name} is missing: pip install -e '.[test,hosts]'"
    return path


def recap(finished: Finished) -> Recap:
    """The figures that Ansible ends with, for each host."""
    lines = finished.output[finished.output.index("PLAY RECAP") :].splitlines()[1:]
    return {
        line.split()[0]: {word: int(count) for word, count in re.findall(r"(\w+)=(\d+)", line)}
        for line in lines
        if line.strip()
    }


def reloads(machine: Machine) -> list[list[str]]:
    """The serial and the number of the CRL that a server of a host found, each time that it was reloaded."""
    path = machine.etc / "reloaded"
    lines = path.read_text().splitlines() if path.exists() else []
    return [re.findall(r"=(?:0x)?(\w+)", line) for line in lines]


@pytest.fixture
def control(ca: Path, fleet: Fleet, keys: Path, tmp_path: Path) -> Iterator[Callable[..., Ansible]]:
    """A function that starts hosts, and gives the control node."""
    made = []

    def start(*names: str) -> Ansible:
        fleet.start(*names)
        directory = tmp_path / "control"
        directory.mkdir()
        made.append(Ansible(ca, fleet, keys, directory))
        return made[0]

    yield start
    for one in made:
        shutil.rmtree(one.sockets)


def made_long_ago(ca: Path, ansible: Ansible, keys: Path) -> None:
    """Make the CA anew, and run the role, 400 days ago."""
    shutil.rmtree(ca)
    ansible.clock = LONG_AGO
    then = ansible.directory / "openssl-then"
    then.write_text(f'#!/bin/sh\nexec {" ".join(LONG_AGO)} {shutil.which("openssl")} "$@"\n')
    then.chmod(0o755)
    options = ("--organization", ORGANIZATION, "--key", keys / "ca.key.pem", "--passphrase-file", keys / "phrase")
    made = run(
        *(*LONG_AGO, sys.executable, "-m", "dbca_openssl", "init", "--ca", ca, "--openssl", then, *options),
        directory=ansible.directory,
    )
    assert made.code == 0, made.messages
    assert all(ansible.changes())
    ansible.clock = ()


@pytest.mark.slow
def test_the_role_does_it_once_and_check_is_honest(
    ca: Path, fleet: Fleet, control: Callable[..., Ansible], keys: Path, make_request: Any
) -> None:
    ansible = control(AIKEN, MARGARET)
    machines = list(fleet.machines.values())
    ansible.host_variables[MARGARET] = "dbca_alt_names=DNS:db.example.net,IP:192.0.2.7 dbca_profile=modern"
    make_request("stray.example.net", to=ca / "certreqs")
    empty = on_hosts(machines), snapshot(ca, without=("database-ca.hosts",))
    assert all(ansible.changes("--check", "--diff"))
    assert (on_hosts(machines), snapshot(ca, without=("database-ca.hosts",))) == empty

    assert all(ansible.changes())
    require_agreement(ca, machines)
    assert sorted(row[5] for row in index_rows(ca)[1:]) == [f"/CN={AIKEN}", f"/CN={MARGARET}"]
    for machine in machines:
        assert machine.mode(f"private/{machine.name}.key.pem") == ("-rw-r-----", 0, MYSQL)
        assert machine.mode("private") == ("drwx--x---", 0, MYSQL)
        assert len(reloads(machine)) == 1
    shown = openssl("x509", "-in", ca / f"certs/{MARGARET}.cert.pem", "-noout", "-text", directory=ca)
    assert f"DNS:{MARGARET}, DNS:db.example.net, IP Address:192.0.2.7" in shown
    ansible.require_nothing_is_done()

    done("crl", directory=ca, environment={"DBCA_PASSPHRASE_FILE": str(keys / "phrase")})
    before = ansible.everything()
    checked = ansible.run("--check", "--diff")
    assert [counts["changed"] for counts in recap(checked).values()] == [1, 1], checked.output
    assert "--- before: /etc/mysql/ssl/database-ca.crl" in checked.output
    assert ansible.everything() == before


@pytest.mark.slow
def test_after_a_year_certificates_come_first_and_the_crl_afterwards(
    ca: Path, fleet: Fleet, control: Callable[..., Ansible], keys: Path
) -> None:
    ansible = control(*HOSTS)
    made_long_ago(ca, ansible, keys)
    machines = list(fleet.machines.values())
    first = {machine.name: reloads(machine)[-1] for machine in machines}
    before = ansible.everything()
    assert all(ansible.changes("--check", "--diff"))
    assert ansible.everything() == before

    assert all(ansible.changes())
    require_agreement(ca, machines)
    for machine in machines:
        (old_serial, old_number), (serial, number), again = reloads(machine)[-3:]
        assert [old_serial, old_number] == first[machine.name]
        assert (serial > old_serial, number) == (True, old_number)
        assert (again[0], again[1] > number) == (serial, True)
    ansible.require_nothing_is_done()


@pytest.mark.slow
def test_the_crl_waits_for_a_host_that_still_has_what_was_replaced(
    ca: Path, fleet: Fleet, control: Callable[..., Ansible]
) -> None:
    ansible = control(AIKEN, MARGARET)
    ansible.changes()
    # margaret's key cannot be read, so its new certificate is not delivered
    margaret = fleet.machines[MARGARET]
    key = margaret.ssl / f"private/{MARGARET}.key.pem"
    text = key.read_text()
    key.write_text("nothing\n")
    crl = (ca / "crl/database-ca.crl").read_bytes()
    finished = ansible.run(dbca_renew_now=True)
    assert finished.code == 2, finished.output
    figures = recap(finished)
    assert (figures[AIKEN]["failed"], figures[MARGARET]["failed"]) == (0, 1)
    assert f"no new CRL: these hosts have their new certificate not yet: {MARGARET}" in finished.output
    assert (ca / "crl/database-ca.crl").read_bytes() == crl
    require_agreement(ca, [fleet.machines[AIKEN]])

    # then it is delivered, and its server does not read it
    key.write_text(text)
    finished = ansible.run(dbca_reload=f"test {MARGARET} != {{{{ inventory_hostname }}}}")
    assert [counts["failed"] for counts in recap(finished).values()] == [0, 1], finished.output
    assert (ca / "crl/database-ca.crl").read_bytes() == crl

    before = len(reloads(margaret))
    assert all(ansible.changes())
    (old_serial, old_number), (serial, number) = reloads(margaret)[before:]
    assert (old_serial, old_number < number) == (serial, True)
    assert (ca / "crl/database-ca.crl").read_bytes() != crl
    require_agreement(ca, fleet.machines.values())
    ansible.require_nothing_is_done()


@pytest.mark.slow
def test_what_a_host_claims_fails_that_host_alone(ca: Path, fleet: Fleet, control: Callable[..., Ansible]) -> None:
    ansible = control(*HOSTS)
    ansible.changes("--limit", AIKEN)
    aiken, margaret = fleet.machines[AIKEN], fleet.machines[MARGARET]
    # aiken was reinstalled, and margaret asks for the name of aiken
    shutil.rmtree(aiken.ssl / "private")
    done("request", MARGARET, "--alt-name", AIKEN, "--bits", "2048", "--ssl-dir", margaret.ssl, directory=ca)
    signed = (ca / f"certreqs/{AIKEN}.req.pem").read_bytes()
    finished = ansible.run()
    failed = {name for name, counts in recap(finished).items() if counts["failed"]}
    assert failed == {AIKEN, MARGARET}, finished.output
    assert "has another request than the one that was signed" in finished.output
    assert f"asks for the name {AIKEN} too, which nobody has allowed" in finished.output.replace("\n", " ")
    assert (ca / f"certreqs/{AIKEN}.req.pem").read_bytes() == signed
    assert [row[5] for row in index_rows(ca)[1:]] == [f"/CN={AIKEN}", f"/CN={GANNIBAL}"]
    require_agreement(ca, [fleet.machines[GANNIBAL]])

    ansible.changes("--limit", AIKEN, "-e", "dbca_renew_now=true")
    require_agreement(ca, [aiken])
    done("revoke", AIKEN, "--yes", "--passphrase-file", str(ansible.variables["dbca_passphrase_file"]), directory=ca)
    before = snapshot(ca, without=("crl", "database-ca.hosts"))
    finished = ansible.run("--limit", AIKEN)
    assert recap(finished)[AIKEN]["failed"] == 1
    assert f"the certificate of {AIKEN} is revoked" in finished.output
    assert snapshot(ca, without=("crl", "database-ca.hosts")) == before


@pytest.mark.slow
def test_a_real_server_serves_the_new_certificate(
    fleet: Fleet, control: Callable[..., Ansible], tmp_path: Path
) -> None:
    ansible = control(AIKEN)
    ssl = fleet.machines[AIKEN].ssl
    programs = Programs(
        "mariadb", *(str(shutil.which(name, path="/usr/sbin:/usr/bin")) for name in ("mariadbd", "mariadb"))
    )
    directory = Path(ansible.sockets)
    programs.install(directory / "data")
    settings = directory / "server.cnf"
    settings.write_text(
        f"[mariadbd]\nssl_ca={ssl}/database-ca.cert.pem\nssl_cert={ssl}/{AIKEN}.cert.pem\n"
        f"ssl_key={ssl}/private/{AIKEN}.key.pem\nssl_crl={ssl}/database-ca.crl\n"
    )
    server = Server(programs, directory, settings)
    variables = {"dbca_reload": "statement", "dbca_socket": str(server.socket)}
    ansible.changes(**variables)  # nothing answers there yet
    server.start()
    try:
        old = served(server)
        ansible.changes(dbca_renew_now=True, **variables)
        assert served(server) != old
        assert served(server) == openssl(
            "x509", "-in", ssl / f"{AIKEN}.cert.pem", "-noout", "-serial", directory=tmp_path
        )
    finally:
        server.stop()


def served(server: Server) -> str:
    """The serial of the certificate that a server serves."""
    shown = run(
        "openssl", "s_client", "-starttls", "mysql", "-connect", server.address, directory=server.directory, stdin=""
    )
    return run("openssl", "x509", "-noout", "-serial", directory=server.directory, stdin=shown.output).output


@pytest.mark.slow
def test_ansible_lint_has_no_complaint(tmp_path: Path) -> None:
    done("playbook", "--role", "roles/dbca", directory=tmp_path)
    (tmp_path / "site.yml").write_text(f"---\n{PLAY}")
    finished = run(
        *(program("ansible-lint"), "--offline", "--nocolor", "--profile", "production", "site.yml", "roles/dbca"),
        directory=tmp_path,
        environment={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
    )
    assert finished.code == 0, finished.output + finished.messages
    assert "Passed: 0 failure(s), 0 warning(s)" in finished.output + finished.messages


def test_the_role_is_written_once_and_never_over_other_files(tmp_path: Path) -> None:
    role = tmp_path / "roles/dbca"
    written = done("playbook", "--role", role, "--json", directory=tmp_path).document["written"]
    source = ROOT / "templates/role"
    assert sorted(written) == sorted(str(role / path.relative_to(source)) for path in source.rglob("*.*"))
    before = snapshot(role)
    assert done("playbook", "--role", role, "--json", directory=tmp_path).document["written"] == []
    assert snapshot(role) == before

    (role / "defaults/main.yml").write_text("---\ndbca_owner: postgres\n")
    (role / "tasks/crl.yml").unlink()
    (role / "README.md").unlink()
    (role / "README.md").symlink_to("nowhere")
    before = snapshot(role)
    refused = tool("playbook", "--role", role, directory=tmp_path)
    assert (refused.code, refused.output) == (1, "")
    assert f"{role}/README.md, {role}/defaults/main.yml" in refused.messages
    assert snapshot(role) == before
    assert tool("playbook", directory=tmp_path).messages.startswith("dbca-openssl: missing option --role")


def test_each_variable_is_declared_and_is_one_of_the_inventory(tmp_path: Path) -> None:
    yaml: Any = importlib.import_module("yaml")
    role = ROOT / "templates/role"
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text())
    declared = yaml.safe_load((role / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]
    assert list(defaults) == list(declared)
    used = {name for path in role.rglob("*.yml") for name in re.findall(r"(?<!_)\bdbca_\w+", path.read_text())}
    assert used - {"dbca_openssl"} == set(defaults)
