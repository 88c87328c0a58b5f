"""`sign` of many at once: one transaction, one `openssl ca`, all or nothing."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dbca_openssl.ca import parallel, sign, sign_many
from dbca_openssl.ca.layout import Authority
from dbca_openssl.errors import DatabaseCaError
from tools.conversation import converse
from tools.support import (
    HOSTS,
    done,
    index_rows,
    on_a_terminal,
    openssl,
    plain_request,
    recorded,
    recording_openssl,
    refusal,
    run,
    snapshot,
    tool,
)

NAMES = tuple(f"host{number:02}.example.net" for number in range(1, 7))


@pytest.fixture
def queue(ca: Path, keys: Path) -> Path:
    """An authority with six requests that wait."""
    for name in NAMES:
        plain_request(ca, name, keys / "host.key.pem")
    return ca


def names_in_index(ca: Path) -> list[str]:
    return [row[5].rpartition("/CN=")[2] for row in index_rows(ca)[1:]]


def tampered(path: Path) -> None:
    """A request whose signature does not fit any more."""
    first, *body, last = path.read_text().splitlines()
    der = bytearray(base64.b64decode("".join(body)))
    der[-1] ^= 1
    path.write_text(f"{first}\n{base64.encodebytes(bytes(der)).decode()}{last}\n")


def test_all_of_them_by_one_openssl(queue: Path, environment: dict[str, str], tmp_path: Path) -> None:
    program, record = recording_openssl(tmp_path)
    signed = done(
        "sign", "--all", "--yes", "--json", "--openssl", program, directory=queue, environment=environment
    ).document["signed"]
    assert [(one["name"], one["serial"]) for one in signed] == [
        (name, f"{number:02X}") for number, name in enumerate(NAMES, 1)
    ]
    (arguments,) = recorded(record, "ca")
    assert arguments[arguments.index("-infiles") + 1 :] == [
        f"{arguments[-1].partition('/')[0]}/certreqs/{name}.req.pem" for name in NAMES
    ]
    assert names_in_index(queue) == list(NAMES)
    assert (queue / "database-ca.serial").read_text() == "07\n"
    for number, name in enumerate(NAMES, 1):
        assert (queue / f"certs/{name}.cert.pem").read_bytes() == (queue / f"newcerts/{number:02X}.pem").read_bytes()
    verified = openssl(
        *("verify", "-x509_strict", "-crl_check", "-CAfile", "database-ca.cert.pem"),
        *("-CRLfile", "crl/database-ca.crl", *(f"certs/{name}.cert.pem" for name in NAMES)),
        directory=queue,
    )
    assert verified.splitlines() == [f"certs/{name}.cert.pem: OK" for name in NAMES]
    assert done("sign", "--all", directory=queue).output == "no request in certreqs/ is waiting\n"


def test_several_names_are_one_openssl_too(queue: Path, environment: dict[str, str], tmp_path: Path) -> None:
    program, record = recording_openssl(tmp_path)
    wanted = (NAMES[4], NAMES[1], NAMES[4])
    done("sign", *wanted, "--yes", "--openssl", program, directory=queue, environment=environment)
    assert len(recorded(record, "ca")) == 1
    assert names_in_index(queue) == [NAMES[4], NAMES[1]]
    done("sign", "--all", "--yes", directory=queue, environment=environment)
    assert sorted(names_in_index(queue)) == list(NAMES)


def test_a_bad_signature_in_the_middle_spoils_all(queue: Path, environment: dict[str, str]) -> None:
    """openssl itself would skip it and exit 0."""
    tampered(queue / f"certreqs/{NAMES[2]}.req.pem")
    before = snapshot(queue, without=(".lock",))
    refused = tool("sign", "--all", "--yes", directory=queue, environment=environment)
    assert refusal(refused) == (f"the signature of the request does not match its key: {NAMES[2]}")
    assert snapshot(queue, without=(".lock",)) == before


def test_the_offender_is_named(queue: Path, environment: dict[str, str], tmp_path: Path) -> None:
    request = queue / f"certreqs/{NAMES[3]}.req.pem"
    good = request.read_bytes()
    copy = tmp_path / "copy.req.pem"
    shutil.copy(queue / f"certreqs/{NAMES[1]}.req.pem", copy)
    for content, more, why in (
        (b"garbage\n", (), f"{request} is not a certificate request in PEM form"),
        (b"", (), f"{request} is not a certificate request in PEM form"),
        (good.replace(b"MII", b"AAA", 1), (), f"{request} is no request that can be read: "),
        (copy.read_bytes(), (), f"{request} asks for the name {NAMES[1]}, not {NAMES[3]}"),
        (good, (copy,), f"{NAMES[1]} is asked for twice"),
        (good, ("nobody.example.net",), f"cannot read the request {queue}/certreqs/nobody.example.net.req.pem: "),
    ):
        request.write_bytes(content)
        before = snapshot(queue)
        refused = tool("sign", *NAMES, *more, "--yes", directory=queue, environment=environment)
        assert refusal(refused).startswith(why)
        assert snapshot(queue) == before


def test_what_is_valid_already_spoils_all(queue: Path, environment: dict[str, str]) -> None:
    done("sign", NAMES[0], "--yes", directory=queue, environment=environment)
    before = snapshot(queue)
    refused = tool("sign", *NAMES, "--yes", directory=queue, environment=environment)
    assert refusal(refused).startswith(f"{NAMES[0]} has a valid certificate already: serial 01")
    assert snapshot(queue) == before


def test_what_was_revoked_is_not_signed_again_by_the_way(fleet: Path, keys: Path, environment: dict[str, str]) -> None:
    done("revoke", HOSTS[0], "--yes", directory=fleet, environment=environment)
    assert done("sign", "--all", "--yes", "--json", directory=fleet).document == {"signed": []}
    plain_request(fleet, NAMES[0], keys / "host.key.pem")
    signed = done("sign", "--all", "--yes", "--json", directory=fleet, environment=environment).document["signed"]
    assert [one["name"] for one in signed] == [NAMES[0]]
    done("sign", HOSTS[0], "--yes", directory=fleet, environment=environment)


def test_all_and_names_do_not_go_together(queue: Path) -> None:
    before = snapshot(queue)
    assert tool("sign", "--all", NAMES[0], directory=queue).code == 2
    assert tool("sign", directory=queue).code == 2
    assert "there is no terminal to ask at" in refusal(tool("sign", "--all", directory=queue))
    assert snapshot(queue) == before


def test_very_many_are_signed_in_parts(queue: Path, environment: dict[str, str]) -> None:
    """What a part has signed remains, and the next run goes on with the others."""
    in_parts = (
        "from dbca_openssl.ca import sign_many; sign_many.AT_ONCE = 2; from dbca_openssl.cli.main import main; main()"
    )
    request = queue / f"certreqs/{NAMES[4]}.req.pem"
    good = request.read_bytes()
    tampered(request)
    command = (sys.executable, "-c", in_parts, "sign", "--all", "--yes", "--json")
    refused = run(*command, directory=queue, environment=environment)
    error = json.loads(refused.output)
    assert (refused.code, error["error"]) == (1, f"the signature of the request does not match its key: {NAMES[4]}")
    assert error["hints"][-1] == "4 are signed, the others are not; run it again for those"
    assert names_in_index(queue) == list(NAMES[:4])
    request.write_bytes(good)
    signed = json.loads(run(*command, directory=queue, environment=environment).output)["signed"]
    assert [(one["name"], one["serial"]) for one in signed] == [(NAMES[4], "05"), (NAMES[5], "06")]
    assert names_in_index(queue) == list(NAMES)


def test_how_long_it_takes_is_shown_for_all_parts_together(queue: Path, environment: dict[str, str]) -> None:
    slow = queue.parent / "slow-openssl"
    slow.write_text(f"""#!/bin/sh
[ "$1" != ca ] || {{ echo "Signature ok" >&2; sleep 1; }}
exec {shutil.which("openssl")} "$@"
""")
    slow.chmod(0o755)
    # three parts, each with more requests than are signed without a bar
    in_parts = "from dbca_openssl.ca import change, sign_many; sign_many.AT_ONCE, change.FEW = 2, 1; "
    command = (
        sys.executable,
        "-c",
        f"{in_parts}from dbca_openssl.cli.main import main; main()",
        "sign",
        "--all",
        "--yes",
    )
    code, shown = converse(
        *(*command, "--openssl", slow),
        answer=lambda shown: None,
        directory=queue,
        environment=environment | {"TERM": "xterm"},
    )
    assert code == 0
    assert re.findall(r"\.+ ([135]/6), about \d+ s left", shown)
    assert not re.search(r"\d/2", shown)
    assert names_in_index(queue) == list(NAMES)


def test_a_part_is_signed_only_as_it_was_shown(queue: Path) -> None:
    authority, period = Authority(queue), sign.Period()
    shown = sign_many.digest(sign.propose(authority, NAMES[:1], period))
    shutil.copy(queue / f"certreqs/{NAMES[1]}.req.pem", queue / "other.req.pem")
    before = snapshot(queue)
    with pytest.raises(DatabaseCaError, match="a request was replaced after it had been shown"):
        list(sign_many.sign_parts(authority, [[str(queue / "other.req.pem")]], [shown], period))
    assert snapshot(queue) == before


@pytest.fixture
def long_queue(ca: Path, keys: Path) -> tuple[Path, list[str]]:
    """An authority with as many requests as are shared out, and their names."""
    names = [f"host{number:02}.example.net" for number in range(2 * parallel.LEAST + 1)]
    for name in names:
        plain_request(ca, name, keys / "host.key.pem")
    return ca, names


def test_many_are_shared_out_to_the_processors(
    long_queue: tuple[Path, list[str]], environment: dict[str, str], tmp_path: Path
) -> None:
    ca, names = long_queue
    program, record = recording_openssl(tmp_path)
    done("sign", "--all", "--yes", "--openssl", program, directory=ca, environment=environment)
    shared = [arguments[arguments.index("-infiles") + 1 :] for arguments in recorded(record, "ca")]
    assert len(shared) == min(2, len(os.sched_getaffinity(0)))
    assert sum(map(len, shared)) == len(names)
    assert names_in_index(ca) == names


def test_where_nobody_tells_of_processors_it_is_one_share_or_as_many_as_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on macOS and the BSDs."""
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert parallel.part_sizes(1000) == [1000]
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert (parallel.part_sizes(1), parallel.part_sizes(1001)) == ([1], [251, 250, 250, 250])


@pytest.mark.parametrize("number", [3, -3])
def test_a_bad_signature_in_a_share_spoils_all(
    number: int, long_queue: tuple[Path, list[str]], environment: dict[str, str]
) -> None:
    ca, names = long_queue
    tampered(ca / f"certreqs/{names[number]}.req.pem")
    before = snapshot(ca, without=(".lock",))
    refused = tool("sign", "--all", "--yes", directory=ca, environment=environment)
    assert refusal(refused) == f"the signature of the request does not match its key: {names[number]}"
    assert snapshot(ca, without=(".lock",)) == before


def test_an_interrupt_ends_every_share(
    long_queue: tuple[Path, list[str]], environment: dict[str, str], slow: Path
) -> None:
    ca, _ = long_queue
    before = snapshot(ca, without=(".lock",))
    command = (sys.executable, "-m", "dbca_openssl", "sign", "--all", "--yes", "--openssl", str(slow))
    with subprocess.Popen(
        command, cwd=ca, env=dict(os.environ) | environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        while not list(ca.glob(".stage.*/**/database-ca.index")) or _openssl_of(ca) < 2:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert snapshot(ca, without=(".lock",)) == before
    while _openssl_of(ca):  # what was killed may take a moment to be gone
        pass


def _openssl_of(ca: Path) -> int:
    """How many processes work in the authority's directory, with a stage for their home."""
    found = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += (
                process.joinpath("cwd").readlink() == ca and b"CA_HOME=.stage." in (process / "environ").read_bytes()
            )
        except OSError:  # it has ended meanwhile
            continue
    return found


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """An openssl that takes a while over each signature, as far as one can see."""
    path = tmp_path / "slow-openssl"
    path.write_text(
        f"#!{sys.executable} -IS\n"
        "import os, subprocess, sys, time\n"
        f"command = [{shutil.which('openssl')!r}, *sys.argv[1:]]\n"
        "if sys.argv[1] != 'ca': os.execv(command[0], command)\n"
        "done = subprocess.run(command, stderr=subprocess.PIPE, close_fds=False)\n"
        "time.sleep(0.3)\n"  # longer than until it is looked at for the first time
        "for line in done.stderr.splitlines(keepends=True):\n"
        "    os.write(2, line)\n"
        "    if b'Signature ok' in line: time.sleep(0.04)\n"
        "sys.exit(done.returncode)\n"
    )
    path.chmod(0o755)
    return path


def test_a_bar_on_a_terminal_and_nothing_of_it_in_a_pipe(
    ca: Path, keys: Path, environment: dict[str, str], slow: Path
) -> None:
    names = [f"host{number:02}.example.net" for number in range(30)]
    for name in names:
        plain_request(ca, name, keys / "host.key.pem")
    arguments = ("sign", "--all", "--yes", "--openssl", slow)
    pristine = shutil.copytree(ca, ca.parent / "again")

    code, shown = on_a_terminal(*arguments, directory=ca, environment=environment)
    assert code == 0, shown
    *bars, result = re.split(r"\r\x1b\[K(?!\r)", shown.partition("\r\x1b[K")[2])
    assert bars, shown
    for bar in bars:
        match = re.fullmatch(r"([#.]{40}) (\d+)/30(, about \d+ s left)?", bar)
        assert match, bar
        assert match[1].count("#") == 40 * int(match[2]) // 30
    assert result.startswith("certs/"), "the bar is removed before the result is printed"

    piped = done(*arguments, directory=pristine, environment=environment)
    assert "#" not in piped.messages + piped.output.replace("# ", "")
    assert "\r" not in piped.messages + piped.output


def test_the_bar_is_wiped_out_before_a_refusal(queue: Path, environment: dict[str, str], slow: Path) -> None:
    for name in NAMES[3:]:
        tampered(queue / f"certreqs/{name}.req.pem")
    code, shown = on_a_terminal("sign", "--all", "--yes", "--openssl", slow, directory=queue, environment=environment)
    assert code == 1
    assert re.search(r"#*\.+ \d/\d", shown)
    assert "\r\x1b[Kdbca-openssl: " in shown
