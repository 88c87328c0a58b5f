"""`playbook`, by the real ansible-playbook against real hosts."""

from __future__ import annotations

import importlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.agreement import on_hosts, require_agreement
from tools.ssh_hosts import MYSQL, Fleet
from tools.support import HOSTS, Finished, done, run, snapshot, tool

AIKEN, MARGARET, _ = HOSTS
Recap = dict[str, dict[str, int]]


class Ansible:
    """A playbook, an inventory, and the ansible-playbook of this environment."""

    def __init__(self, ca: Path, fleet: Fleet, keys: Path, directory: Path) -> None:
        self.directory = directory
        self.sockets = tempfile.mkdtemp()  # the path of a socket must be short
        self.inventory = directory / "inventory"
        self.inventory.write_text(
            "[databases]\n"
            + "".join(f"{name}\n" for name in fleet.machines)
            + "[databases:vars]\nansible_become=false\n"
            + f"ansible_python_interpreter={sys.executable}\nansible_ssh_common_args=-F {fleet.config}\n"
        )
        self.playbook = directory / "databases.yml"
        self.playbook.write_text(done("playbook", "--ca", ca, "--bits", "2048", directory=directory).output)
        self.variables: dict[str, object] = {
            "dbca_passphrase_file": str(keys / "phrase"),
            "dbca_command": str(Path(sys.executable).with_name("dbca-openssl")),
            "dbca_reload": "date >> /etc/reloaded",
        }

    def run(self, *options: str, **variables: object) -> Finished:
        """Run the playbook."""
        program = Path(sys.executable).with_name("ansible-playbook")
        assert program.exists(), "install ansible-core: pip install -e '.[test]'"
        given = json.dumps(self.variables | variables)
        return run(
            *(str(program), "-i", str(self.inventory), str(self.playbook), "-e", given, *options),
            directory=self.directory,
            environment={
                "ANSIBLE_HOME": str(self.directory / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_SSH_CONTROL_PATH_DIR": self.sockets,
                "ANSIBLE_LOCALHOST_WARNING": "0",
                "LC_ALL": "C.UTF-8",
            },
        )


def recap(finished: Finished) -> Recap:
    """The figures that Ansible ends with, for each host."""
    lines = finished.output[finished.output.index("PLAY RECAP") :].splitlines()[1:]
    return {
        line.split()[0]: {word: int(count) for word, count in re.findall(r"(\w+)=(\d+)", line)}
        for line in lines
        if line.strip()
    }


@pytest.fixture
def ansible(ca: Path, fleet: Fleet, keys: Path, tmp_path: Path) -> Iterator[Ansible]:
    fleet.start(AIKEN, MARGARET)
    directory = tmp_path / "control"
    directory.mkdir()
    control = Ansible(ca, fleet, keys, directory)
    yield control
    shutil.rmtree(control.sockets)


@pytest.mark.slow
def test_the_playbook_does_it_once_and_check_is_honest(ca: Path, fleet: Fleet, ansible: Ansible, keys: Path) -> None:
    machines = list(fleet.machines.values())
    before, here = on_hosts(machines), snapshot(ca)
    checked = ansible.run("--check")
    assert checked.code == 0, checked.output + checked.messages
    assert all(counts["changed"] for counts in recap(checked).values()), checked.output
    assert (on_hosts(machines), snapshot(ca)) == (before, here)

    first = ansible.run()
    assert first.code == 0, first.output + first.messages
    assert all(counts["changed"] for counts in recap(first).values())
    require_agreement(ca, machines)
    for machine in machines:
        assert machine.mode(f"private/{machine.name}.key.pem") == ("-rw-r-----", 0, MYSQL)
        assert machine.mode("private") == ("drwx--x---", 0, MYSQL)
        assert len((machine.etc / "reloaded").read_text().splitlines()) == 1

    before, here = on_hosts(machines), snapshot(ca)
    again = ansible.run()
    assert again.code == 0, again.output + again.messages
    assert [counts["changed"] for counts in recap(again).values()] == [0, 0], again.output
    assert (on_hosts(machines), snapshot(ca)) == (before, here)

    done("crl", directory=ca, environment={"DBCA_PASSPHRASE_FILE": str(keys / "phrase")})
    checked = ansible.run("--check")
    assert [counts["changed"] for counts in recap(checked).values()] == [1, 1], checked.output
    assert "changed: [aiken.example.net] => (item=crl/database-ca.crl)" in checked.output
    assert on_hosts(machines) == before


def test_what_the_playbook_is_made_for(ca: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a {{ b }} \"c\" 'd'"
    odd.mkdir()
    text = done("playbook", "--ca", odd, "--hosts", "db:!old", directory=tmp_path).output
    yaml: Any = importlib.import_module("yaml")
    yaml.SafeLoader.add_constructor("!unsafe", lambda loader, node: loader.construct_scalar(node))
    plays = yaml.safe_load(text)
    assert [play["hosts"] for play in plays] == ["db:!old"] * 3
    assert plays[0]["vars"]["dbca_ca"] == str(odd)
    for arguments in (("--hosts", "a b"), ("--hosts", "x\n- hosts: all"), ("--ssl-dir", "ssl"), ("--owner", "a b")):
        refused = tool("playbook", *arguments, directory=ca)
        assert (refused.code, refused.output) == (1, "")
