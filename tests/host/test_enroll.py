"""`enroll`, over real sshd."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dbca_openssl.cli.main import run as main
from host.conftest import Reach
from tools.agreement import Wire, on_hosts, require_agreement
from tools.ssh_hosts import MYSQL, Fleet, read_all
from tools.support import HOSTS, WRONG_PASSPHRASES, MakeRequest, done, openssl, run, shell, snapshot

AIKEN, MARGARET, GANNIBAL = HOSTS
QUICK = ("--bits", "2048")


def test_three_hosts_from_nothing_and_a_second_run(ca: Path, fleet: Fleet, reach: Reach, tmp_path: Path) -> None:
    machines = fleet.start(*HOSTS)
    enrolled = reach("enroll", *HOSTS, *QUICK, "--owner", "mysql", "--json")
    assert enrolled.code == 0, enrolled.output
    assert [(host["name"], host["state"], host["serial"]) for host in enrolled.document["hosts"]] == [
        (name, "enrolled", f"0{number}") for number, name in enumerate(HOSTS, 1)
    ]
    require_agreement(ca, machines)
    for name in ("database-ca.cert.pem", f"{AIKEN}.cert.pem"):
        (machines[0].ssl / name).unlink()
    shown = reach("enroll", AIKEN, *QUICK, "--owner", "mysql")
    assert f"next:\n  dbca-openssl server settings {AIKEN} > 99-tls.cnf" in shown.output, "its server has no TLS yet"
    for machine in machines:
        assert machine.mode(f"private/{machine.name}.key.pem") == ("-rw-r-----", 0, MYSQL)
        assert machine.mode("private") == ("drwx--x---", 0, MYSQL)
        for name in ("database-ca.cert.pem", "database-ca.crl", f"{machine.name}.cert.pem"):
            assert machine.mode(name) == ("-rw-r--r--", 0, 0)  # or the server could replace them
        assert machine.mode(".")[0] == "drwxr-xr-x"

    before, here = on_hosts(machines), snapshot(ca)
    wrong = tmp_path / "wrong"
    wrong.write_text("never used\n")
    wrong.chmod(0o600)
    again = reach("enroll", *HOSTS, *QUICK, "--owner", "mysql", "--passphrase-file", wrong)
    assert again.code == 0, again.messages
    assert [line.split()[:3] for line in again.output.splitlines()[1:]] == [[name, "left", "alone"] for name in HOSTS]
    assert (on_hosts(machines), snapshot(ca)) == (before, here)


def test_what_openssl_says_of_a_signature_may_come_on_either_output(
    ca: Path, fleet: Fleet, reach: Reach, tmp_path: Path
) -> None:
    """1.1.1 and 3.0 say `verify OK` on stderr, 3.5 and newer on stdout."""
    machines = fleet.start(AIKEN, MARGARET)
    for machine, redirection in zip(machines, ("2>&1", "1>&2"), strict=True):
        program = tmp_path / "openssl"
        real = f'{shutil.which("openssl")} "$@"'
        program.write_text(f'#!/bin/sh\n[ "$1 $2" != "req -verify" ] || exec {real} {redirection}\nexec {real}\n')
        program.chmod(0o755)
        enrolled = reach("enroll", machine.name, *QUICK, "--openssl", str(program))
        assert enrolled.code == 0, enrolled.messages
    require_agreement(ca, machines)


def test_no_private_key_crosses_the_wire(ca: Path, fleet: Fleet, reach: Reach, tmp_path: Path, keys: Path) -> None:
    machines = fleet.start(AIKEN, MARGARET)
    wire = Wire(tmp_path / "wire")
    environment = {"PATH": f"{wire.directory}:{os.environ['PATH']}", "DBCA_PASSPHRASE_FILE": str(keys / "phrase")}
    assert reach("enroll", AIKEN, MARGARET, *QUICK, environment=environment).code == 0
    assert reach("fetch", AIKEN, MARGARET, environment=environment).code == 0
    (machines[0].ssl / "database-ca.crl").unlink()
    assert reach("deploy", AIKEN, MARGARET, "--owner", "mysql", environment=environment).code == 0

    # somebody keeps the key in the file of the request, and even that stays there
    request, key = machines[1].ssl / f"{MARGARET}.req.pem", machines[1].ssl / f"private/{MARGARET}.key.pem"
    request.write_bytes(key.read_bytes() + request.read_bytes())
    reach("fetch", MARGARET, environment=environment)
    assert wire.count() == 9
    assert b"BEGIN CERTIFICATE REQUEST" in wire.everything()
    private = read_all(machines)
    assert len(private) == 2
    wire.require_without(
        [*private.values(), (keys / "ca.key.pem").read_bytes(), (keys / "plain-ca.key.pem").read_bytes()]
    )


@pytest.mark.parametrize(
    "name",
    [
        "-oProxyCommand=touch owned",
        "root@-oProxyCommand=touch owned",
        "-oProxyCommand=touch owned@aiken.example.net",
        "aiken.example.net;touch owned",
        "aiken.example.net touch owned",
        " aiken.example.net",
        "aiken.example.net\ntouch owned",
        "$(touch owned)",
        "`touch owned`@aiken.example.net",
        "a b@aiken.example.net",
        "../aiken",
        "/etc/passwd",
        "aiken.example.net:22",
        "[::1]",
        "database-ca",
        "",
        "@",
        "root@",
    ],
)
def test_hostile_names_never_reach_ssh(
    ca: Path, tmp_path: Path, keys: Path, name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wire = Wire(tmp_path / "wire")
    monkeypatch.setenv("PATH", f"{wire.directory}:{os.environ['PATH']}")
    monkeypatch.setenv("DBCA_PASSPHRASE_FILE", str(keys / "phrase"))
    monkeypatch.chdir(ca)
    before = snapshot(ca)
    for verb in ("enroll", "deploy", "fetch"):
        for arguments in ((AIKEN, "--", name), (name, AIKEN)):
            assert main([verb, *arguments]) in (1, 2)
            assert capfd.readouterr().err.startswith("dbca-openssl: ")
    assert wire.count() == 0
    assert snapshot(ca) == before
    assert not list(tmp_path.rglob("owned"))


def test_names_beside_its_own_and_the_modern_profile(ca: Path, fleet: Fleet, reach: Reach) -> None:
    (aiken,) = fleet.start(AIKEN)
    names = ("--alt-name", "db.example.net", "--alt-name", "192.0.2.7")
    assert reach("enroll", AIKEN, *QUICK, *names, "--profile", "modern").code == 0
    shown = done("show", AIKEN, "--json", directory=ca).document
    assert shown["alternative_names"] == [f"DNS:{AIKEN}", "DNS:db.example.net", "IP:192.0.2.7"]
    require_agreement(ca, [aiken])


def test_a_waiting_request_gets_no_name_that_was_not_given(ca: Path, fleet: Fleet, reach: Reach) -> None:
    aiken, margaret = fleet.start(AIKEN, MARGARET)
    kit = done("request", AIKEN, *QUICK, "--alt-name", "db.example.net", "--kit", directory=ca).output
    assert fleet.shell(aiken, kit).code == 0
    before, here = on_hosts([aiken]), snapshot(ca)
    refused = reach("enroll", AIKEN, *QUICK)
    assert refused.code == 1
    assert "asks for the name db.example.net too, which is not allowed" in refused.messages
    refused = reach("enroll", AIKEN, *QUICK, "--alt-name", "other.example.net")
    assert "does not ask for the name other.example.net" in refused.messages
    assert (on_hosts([aiken]), snapshot(ca)) == (before, here)
    key = read_all([aiken])
    assert reach("enroll", AIKEN, MARGARET, *QUICK, "--alt-name", "db.example.net").code == 0
    assert read_all([aiken]) == key
    require_agreement(ca, [aiken, margaret])


def test_a_key_without_a_request_is_kept(ca: Path, fleet: Fleet, reach: Reach, keys: Path) -> None:
    (aiken,) = fleet.start(AIKEN)
    (aiken.ssl / "private").mkdir(mode=0o700)
    key = aiken.ssl / f"private/{AIKEN}.key.pem"
    key.write_bytes((keys / "host.key.pem").read_bytes())
    assert reach("enroll", AIKEN, *QUICK).code == 0
    assert key.read_bytes() == (keys / "host.key.pem").read_bytes()
    require_agreement(ca, [aiken])


def test_what_a_host_has_of_others_is_left_alone(
    ca: Path, fleet: Fleet, reach: Reach, keys: Path, make_request: MakeRequest, environment: dict[str, str]
) -> None:
    aiken, margaret, gannibal = fleet.start(*HOSTS)
    for machine in (aiken, margaret):
        (machine.ssl / "private").mkdir(mode=0o700)
    (aiken.ssl / f"private/{AIKEN}.key.pem").write_bytes((keys / "host.key.pem").read_bytes())
    openssl(
        *("req", "-x509", "-new", "-key", keys / "host.key.pem", "-subj", f"/CN={AIKEN}"),
        *("-out", aiken.ssl / f"{AIKEN}.cert.pem"),
        directory=ca,
    )
    (margaret.ssl / f"private/{MARGARET}.key.pem").write_text("")
    (margaret.ssl / f"{MARGARET}.req.pem").write_text("")
    make_request(GANNIBAL, to=gannibal.ssl)
    before, here = on_hosts(fleet.machines.values()), snapshot(ca)
    refused = reach("enroll", *HOSTS, *QUICK)
    assert refused.code == 1
    for message in (
        f"{AIKEN}: it has a certificate that is not a valid one of this CA, and is left alone",
        f"{MARGARET}: the key in /etc/mysql/ssl/private/{MARGARET}.key.pem cannot be read",
        f"{GANNIBAL}: there is /etc/mysql/ssl/{GANNIBAL}.req.pem, but no key for it",
    ):
        assert f"dbca-openssl: {message}" in refused.messages.splitlines()
    assert (on_hosts(fleet.machines.values()), snapshot(ca)) == (before, here)


def test_a_name_that_is_valid_with_another_key(
    ca: Path, fleet: Fleet, reach: Reach, make_request: MakeRequest, environment: dict[str, str]
) -> None:
    aiken, margaret = fleet.start(AIKEN, MARGARET)
    make_request(AIKEN, to=ca / "certreqs")
    done("sign", AIKEN, "--yes", directory=ca, environment=environment)
    refused = reach("enroll", AIKEN, MARGARET, *QUICK)
    assert refused.code == 1
    assert f"{AIKEN} has a valid certificate already: serial 01" in refused.messages
    assert not (aiken.ssl / f"{AIKEN}.cert.pem").exists()
    require_agreement(ca, [margaret])


def test_a_host_that_lies_spoils_only_its_own_enrolment(
    ca: Path, fleet: Fleet, reach: Reach, make_request: MakeRequest
) -> None:
    machines = fleet.start(*HOSTS, "endless.example.net", "mute.example.net")
    foreign = make_request("other.example.net").read_text()
    body = make_request(MARGARET).read_text().splitlines()
    body[-3] = body[-3][::-1]
    telling = "echo 'dbca state waiting'; cat /etc/told; echo 'dbca end'"
    fleet.lie(machines[0], telling, foreign)
    fleet.lie(machines[1], telling, "\n".join(body) + "\n")
    fleet.lie(machines[3], "yes 'dbca state'")
    fleet.lie(machines[4], "printf '\\033[2Jyou are owned\\n' >&2; exit 3")
    enrolled = reach("enroll", *(machine.name for machine in machines), *QUICK)
    assert enrolled.code == 1
    assert f"{AIKEN}: its request asks for the name other.example.net" in enrolled.messages
    assert f"{MARGARET}: its request has a signature that does not match its key" in enrolled.messages
    assert "endless.example.net: sent more than 256 KiB" in enrolled.messages
    assert "mute.example.net: \\x1b[2Jyou are owned" in enrolled.messages
    assert "\x1b" not in enrolled.messages
    require_agreement(ca, [machines[2]])
    assert {path.name for path in (ca / "certs").iterdir()} == {f"{GANNIBAL}.cert.pem"}


def test_sudo(ca: Path, fleet: Fleet, reach: Reach) -> None:
    (aiken,) = fleet.start(AIKEN)
    refused = reach("enroll", f"admin@{AIKEN}", *QUICK)
    assert f"dbca-openssl: {AIKEN}: cannot write in /etc/mysql/ssl as admin" in refused.messages
    assert f"hint: log in as root (root@{AIKEN}), or use --sudo" in refused.messages
    refused = reach("enroll", f"guest@{AIKEN}", *QUICK, "--sudo")
    assert f"dbca-openssl: {AIKEN}: sudo asks for a password there" in refused.messages
    assert not list(aiken.ssl.iterdir())
    assert reach("enroll", f"admin@{AIKEN}", *QUICK, "--sudo", "--owner", "mysql").code == 0
    assert aiken.mode(f"private/{AIKEN}.key.pem") == ("-rw-r-----", 0, MYSQL)
    require_agreement(ca, [aiken])


def test_a_wrong_passphrase_signs_nothing_and_the_next_run_goes_on(
    ca: Path, fleet: Fleet, reach: Reach, tmp_path: Path
) -> None:
    (aiken,) = fleet.start(AIKEN)
    wrong = tmp_path / "wrong"
    wrong.write_text(f"{WRONG_PASSPHRASES[0]}\n")
    wrong.chmod(0o600)
    here = snapshot(ca, without=(".lock",))
    refused = reach("enroll", AIKEN, *QUICK, "--passphrase-file", wrong)
    assert refused.code == 1
    assert "dbca-openssl: the pass phrase is wrong" in refused.messages.splitlines()
    assert snapshot(ca, without=(".lock",)) == here
    key = read_all([aiken])
    assert reach("enroll", AIKEN, *QUICK).code == 0
    assert read_all([aiken]) == key
    require_agreement(ca, [aiken])


@pytest.mark.slow
def test_the_printed_script_enrolls_as_well(ca: Path, fleet: Fleet, reach: Reach, tmp_path: Path) -> None:
    machines = fleet.start(AIKEN, MARGARET)
    before, here = on_hosts(machines), snapshot(ca)
    hosts = (AIKEN, f"admin@{MARGARET}")
    for host, more in zip(hosts, ((), ("--sudo", "--owner", "mysql")), strict=True):
        script = reach("enroll", host, *QUICK, *more, "--print").output
        if host == AIKEN:
            assert (on_hosts(machines), snapshot(ca)) == (before, here)
        finished = shell(script, tmp_path)
        assert finished.code == 0, finished.messages
    require_agreement(ca, machines)
    assert machines[1].mode(f"private/{MARGARET}.key.pem") == ("-rw-r-----", 0, MYSQL)
    assert reach("enroll", AIKEN, MARGARET).output.count("left alone") == 2


def test_an_interrupt_ends_every_ssh(ca: Path, fleet: Fleet, keys: Path) -> None:
    machines = fleet.start(AIKEN, MARGARET)
    for machine in machines:
        fleet.delay(machine, "req -new", seconds=30)
    here = snapshot(ca)
    process = subprocess.Popen(
        [sys.executable, "-m", "dbca_openssl", "enroll", AIKEN, MARGARET, "--ssh-config", fleet.config],
        cwd=ca,
        env={"PATH": os.environ["PATH"], "DBCA_PASSPHRASE_FILE": str(keys / "phrase")},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for machine in machines:
        machine.wait_for("bin/done")
    process.send_signal(signal.SIGINT)
    _, messages = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in messages
    assert run("pgrep", "--session", str(process.pid), directory=ca).output == ""
    assert snapshot(ca) == here
