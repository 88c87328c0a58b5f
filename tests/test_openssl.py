"""The one door to openssl: exact arguments and environments, each faked once and run once for real; and refusals."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pytest_subprocess import FakeProcess

from dbca_openssl.ca import guide_commands
from dbca_openssl.ca.key import Key
from dbca_openssl.ca.layout import DIRECTORIES
from dbca_openssl.command import Command
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import request
from dbca_openssl.host.request import NewRequest
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.passphrase import Passphrase
from tools.recorder import Recorder
from tools.support import (
    HOSTS,
    ORGANIZATION,
    PASSPHRASE,
    MakeRequest,
    done,
    recorded,
    recording_openssl,
    snapshot,
    tool,
)

AIKEN, MARGARET, _ = HOSTS
STAGE = ".stage.01234567"
KEY, CERTIFICATE = "private/database-ca.key.pem", "database-ca.cert.pem"
AUTHORITY = {"OPENSSL_CONF": "./database-ca.cnf"}
STAGED = AUTHORITY | {"CA_HOME": STAGE}

START, END = datetime(2026, 11, 23, tzinfo=UTC), datetime(2031, 11, 25, tzinfo=UTC)

STRAY = {
    "CA_HOME": "/stray",
    "CN": "stray",
    "OPENSSL_CONF": "/stray/openssl.cnf",
    "RANDFILE": "/stray/.rnd",
    "OPENSSL_MODULES": "/stray/modules",
    "LC_ALL": "C.UTF-8",
    "SSL_CERT_FILE": "/stray/cert.pem",
}


@dataclass(frozen=True)
class Case:
    """One command as a value, the exact call that it must become, and the tool's call that runs it for real.

    In `expected` PHRASE stands for the descriptor of the pass phrase; in `run` {ca} and {keys} are directories.
    """

    command: Command
    expected: str
    environment: dict[str, str]
    run: str
    passphrase: bool = True
    made: tuple[str, ...] = field(default=())


HOST_REQUEST = request.plan(NewRequest(AIKEN, Path("/nowhere"))).sections[0].steps[2]
assert isinstance(HOST_REQUEST, Command)

CASES = {
    "the request of a host": Case(
        HOST_REQUEST,
        f"req -new -out {AIKEN}.req.pem",
        {"OPENSSL_CONF": "./openssl.cnf", "CN": AIKEN},
        f"request {AIKEN} --ssl-dir ssl --bits 2048",
        passphrase=False,
    ),
    "a new authority's key and request": Case(
        guide_commands.new_key_and_request(encrypted=True),
        "req -passout PHRASE -new -out database-ca.req.pem",
        AUTHORITY,
        "init -o example.net --bits 2048 --ca new",
    ),
    "a new authority's key and request without a pass phrase": Case(
        guide_commands.new_key_and_request(encrypted=False),
        "req -new -nodes -out database-ca.req.pem",
        AUTHORITY,
        "init -o example.net --bits 2048 --ca new --no-passphrase",
        passphrase=False,
    ),
    "a new authority's request with a key": Case(
        guide_commands.request_with_key(),
        f"req -passin PHRASE -new -key {KEY} -out database-ca.req.pem",
        AUTHORITY,
        "init -o example.net --key {keys}/ca.key.pem --ca new",
    ),
    "self-signing": Case(
        guide_commands.self_sign(START, END, ""),
        f"ca -passin PHRASE -batch -selfsign -in database-ca.req.pem -out {CERTIFICATE} -extensions ca_ext"
        " -policy ca_policy -startdate 20261123000000Z -enddate 20311125000000Z",
        AUTHORITY,
        "init -o example.net --key {keys}/ca.key.pem --ca new",
    ),
    "signing": Case(
        guide_commands.sign([AIKEN], home=STAGE),
        f"ca -passin PHRASE -batch -keyfile {KEY} -cert {CERTIFICATE} -in {STAGE}/certreqs/{AIKEN}.req.pem"
        f" -out {STAGE}/certs/{AIKEN}.cert.pem -extensions cert_ext -policy cert_policy",
        STAGED,
        f"sign {AIKEN} --yes --ca {{ca}}",
    ),
    "signing several": Case(
        guide_commands.sign([AIKEN, MARGARET], home=STAGE, days=30),
        f"ca -passin PHRASE -batch -keyfile {KEY} -cert {CERTIFICATE} -extensions cert_ext -policy cert_policy"
        f" -days 30 -infiles {STAGE}/certreqs/{AIKEN}.req.pem {STAGE}/certreqs/{MARGARET}.req.pem",
        STAGED,
        f"sign {AIKEN} {MARGARET} --days 30 --yes --ca {{ca}}",
    ),
    "a revocation list": Case(
        guide_commands.revocation_list(home=STAGE),
        f"ca -passin PHRASE -batch -keyfile {KEY} -cert {CERTIFICATE} -gencrl -out {STAGE}/crl/database-ca.crl",
        STAGED,
        "crl --ca {ca}",
    ),
    "a revocation list for some days": Case(
        guide_commands.revocation_list(home=STAGE, days=7),
        f"ca -passin PHRASE -batch -keyfile {KEY} -cert {CERTIFICATE} -gencrl -out {STAGE}/crl/database-ca.crl"
        " -crldays 7",
        STAGED,
        "crl --days 7 --ca {ca}",
    ),
}

cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


@cases
def test_the_faked_call_is_exact(case: Case, fp: FakeProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in STRAY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/openssl/lib")
    for folder in ("", f"{STAGE}/"):
        for name in DIRECTORIES:
            (tmp_path / folder / name).mkdir(parents=True)
    handed: list[bytes] = []

    def make_files(process: subprocess.Popen[bytes]) -> None:
        for name in case.command.creates:
            (tmp_path / name).write_text("-----BEGIN ANYTHING-----\n-----END ANYTHING-----\n")
        assert isinstance(process.args, (list, tuple))
        handed.extend(os.read(int(word[3:]), 2000) for word in process.args if word.startswith("fd:"))

    fp.register(["openssl", "version"], stdout="OpenSSL 3.0.19 27 Jan 2026\n")
    expected: list[Any] = [fp.regex(r"fd:\d+") if word == "PHRASE" else word for word in case.expected.split()]
    recorder = fp.register(["openssl", *expected], callback=make_files)

    commands = Key(KEY, Passphrase(PASSPHRASE.encode())).given_to(case.command)
    OpenSSL().make(commands, tmp_path, keep_open=(99,))

    (call,) = recorder.calls
    assert call.kwargs is not None
    inherited = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": "/opt/openssl/lib"}
    assert call.kwargs["env"] == inherited | case.environment
    assert call.kwargs["cwd"] == tmp_path
    assert call.kwargs["stdin"] == subprocess.DEVNULL
    assert call.kwargs["start_new_session"] is True
    assert call.kwargs["umask"] == 0o022
    assert handed == ([f"{PASSPHRASE}\n".encode()] if case.passphrase else [])
    assert len(call.kwargs["pass_fds"]) == 1 + case.passphrase


@cases
def test_the_real_call_is_the_same(case: Case, ca: Path, tmp_path: Path, keys: Path, make_request: MakeRequest) -> None:
    for name in (AIKEN, MARGARET):
        make_request(name, to=ca / "certreqs")
    recorder = Recorder(tmp_path / "recorder")
    environment = STRAY | {"DBCA_PASSPHRASE_FILE": str(keys / "phrase")}
    words = case.run.format(ca=ca, keys=keys).split()
    done(*words, "--openssl", recorder.program, directory=tmp_path, environment=environment)

    expected = _without_dates(case.expected)
    found = [call for call in recorder.calls() if _normal(" ".join(call.arguments)) == expected]
    assert len(found) == 1, [call.arguments for call in recorder.calls()]
    normal = {name: _normal(value) for name, value in found[0].environment.items()}
    assert normal == {"PATH": os.environ["PATH"]} | case.environment
    for call in recorder.calls():
        assert not set(call.environment) & (set(STRAY) - set(case.environment) - {"OPENSSL_CONF"})
        assert "stray" not in str(call.environment)
        assert PASSPHRASE not in str(call)


def _normal(text: str) -> str:
    return _without_dates(re.sub(r"fd:\d+", "PHRASE", re.sub(r"\.stage\.[0-9a-f]{8}", STAGE, text)))


def _without_dates(text: str) -> str:
    return re.sub(r"\b\d{14}Z", "DATE", text)


# --- which openssl -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ("OpenSSL 1.1.1  11 Sep 2018", "1.1.1"),
        ("OpenSSL 1.1.1w  11 Sep 2023", "1.1.1w"),
        ("OpenSSL 3.0.19 27 Jan 2026 (Library: OpenSSL 3.0.19 27 Jan 2026)", "3.0.19"),
        ("OpenSSL 4.0.3 1 Nov 2026", "4.0.3"),
        ("OpenSSL 10.0.0-dev  1 Nov 2036", "10.0.0-dev"),
    ],
)
def test_accepts_every_openssl_from_1_1_1_on(banner: str, version: str, fp: FakeProcess) -> None:
    fp.register(["openssl", "version"], stdout=f"{banner}\n")
    door = OpenSSL()
    assert (door.version, door.version) == (version, version)
    assert fp.call_count(["openssl", "version"]) == 1


def test_the_real_openssl_has_a_version() -> None:
    banner = subprocess.run(["openssl", "version"], capture_output=True, text=True, check=True).stdout
    assert banner.startswith(f"OpenSSL {OpenSSL().version}")


REFUSED = {
    "LibreSSL 3.3.6": "'LibreSSL 3.3.6'",
    "OpenSSL 1.0.2u  20 Dec 2019": "'OpenSSL 1.0.2u  20 Dec 2019'",
    "OpenSSL 1.1.0l  10 Sep 2019": "'OpenSSL 1.1.0l  10 Sep 2019'",
    "Python 3.11.2": "'Python 3.11.2'",
    "": "no openssl",
}


@pytest.mark.parametrize("banner", REFUSED)
def test_the_faked_banner_is_refused(banner: str, fp: FakeProcess) -> None:
    fp.register(["openssl", "version"], stdout=f"{banner}\n")
    with pytest.raises(DatabaseCaError) as refused:
        OpenSSL().run(("ca",), directory=Path("/"))
    assert refused.value.message == f"openssl is {REFUSED[banner]}"
    assert "1.1.1 or newer" in refused.value.hints[0]


def _script(text: str) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_text(text)
        path.chmod(0o755)

    return make


def _not_executable(path: Path) -> None:
    shutil.copyfile(shutil.which("openssl") or "", path)
    path.chmod(0o644)


UNUSABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    **{
        banner or "silence": (_script(f"#!/bin/sh\necho '{banner}'\n"), f"PROGRAM is {said}")
        for banner, said in REFUSED.items()
    },
    "missing": (lambda path: None, "cannot run PROGRAM: there is no such program"),
    "a directory": (lambda path: path.mkdir(), "cannot run PROGRAM: it may not be executed"),
    "not executable": (_not_executable, "cannot run PROGRAM: it may not be executed"),
    "no program at all": (_script("neither a script nor a binary\n"), "cannot run PROGRAM: Exec format error"),
    "a missing interpreter": (_script("#!/nowhere/sh\n"), "cannot run PROGRAM: there is no such program"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_is_no_usable_openssl_is_refused(
    kind: str, ca: Path, tmp_path: Path, environment: dict[str, str], make_request: MakeRequest
) -> None:
    make, message = UNUSABLE[kind]
    program = tmp_path / "program"
    make(program)
    make_request(AIKEN, to=ca / "certreqs")
    before = snapshot(tmp_path, without=(".lock",))
    for arguments in (
        ("sign", AIKEN, "--yes", "--ca", ca),
        ("init", "-o", ORGANIZATION, "--ca", "new"),
        ("request", AIKEN, "--ssl-dir", "ssl"),
    ):
        refused = tool(*arguments, "--openssl", program, directory=tmp_path, environment=environment)
        assert refused.code == 1
        said, hint = refused.messages.splitlines()
        assert said == f"dbca-openssl: {message}".replace("PROGRAM", str(program))
        assert hint.startswith("hint: ")
        assert refused.output == ""
    as_json = tool("crl", "--json", "--ca", ca, "--openssl", program, directory=tmp_path, environment=environment)
    assert as_json.code == 1
    assert as_json.document["error"] == message.replace("PROGRAM", str(program))
    assert as_json.document["hints"]
    assert snapshot(tmp_path, without=(".lock",)) == before


def test_a_missing_openssl_is_refused_before_anybody_is_asked(
    fleet: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Requests and certificates are read without it, so what would be done could be shown, and could not be done."""
    before = snapshot(fleet, without=(".lock",))
    for command in (("renew", AIKEN), ("revoke", AIKEN)):
        refused = tool(
            *(*command, "--yes", "--openssl", tmp_path / "missing"), directory=fleet, environment=environment
        )
        assert refused.code == 1
        said, hint = refused.messages.splitlines()
        assert said == f"dbca-openssl: cannot run {tmp_path}/missing: there is no such program"
        assert hint.startswith("hint: ")
    assert snapshot(fleet, without=(".lock",)) == before


def test_a_missing_directory_is_not_taken_for_a_missing_openssl(tmp_path: Path) -> None:
    with pytest.raises(DatabaseCaError, match="there is no directory"):
        OpenSSL().run(("version",), directory=tmp_path / "missing")


def test_a_relative_program_is_the_callers(ca: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    """Whatever directory openssl runs in: one of that name in the CA's directory must not be run."""
    program, record = recording_openssl(tmp_path)
    (ca / program.name).write_text("#!/bin/sh\nexit 9\n")
    (ca / program.name).chmod(0o755)
    done("crl", "--ca", ca, "--openssl", f"./{program.name}", directory=tmp_path, environment=environment)
    assert recorded(record, "ca")


def test_of_very_long_messages_the_certificates_are_left_out(tmp_path: Path) -> None:
    """And the requests that were read so far are counted all the same."""
    program = tmp_path / "openssl"
    program.write_text(f"""#!{sys.executable}
import os, sys, time
if sys.argv[1] == "version":
    print("OpenSSL 3.0.0")
else:
    for number in range(3000):
        os.write(2, b"Signature ok\\n        Subject: " + b"x" * 600 + b"\\n")
    while not os.path.exists("counted"):
        time.sleep(0.05)
""")
    program.chmod(0o755)
    counts: list[int] = []

    def watch(count: int) -> None:
        counts.append(count)
        if count == 3000:
            (tmp_path / "counted").touch()

    [result] = OpenSSL(str(program)).make([Command(("ca",))], tmp_path, watch=watch)
    assert [line for line in result.messages.split("\n") if line] == ["Signature ok"] * 3000
    assert counts == sorted(counts) and counts[-1] == 3000
