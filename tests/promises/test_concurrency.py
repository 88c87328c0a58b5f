"""Many at once: the lock, its release, and a plain openssl that takes none."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tools.kept import NAMES, check_authority
from tools.killing import PLAIN, World
from tools.support import Finished, MakeRequest, shell, snapshot

AIKEN, MARGARET, _ = NAMES
SIGN_PLAIN = f"""set -e
export OPENSSL_CONF=./database-ca.cnf
openssl ca -batch -passin file:../keys/phrase -in ../requests/{PLAIN}.req.pem -out certs/{PLAIN}.cert.pem \\
    -extensions cert_ext -policy cert_policy
"""


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    return world.copy(tmp_path / "world")


class Held:
    """A tool whose `openssl ca` (or `req`) stands still at a FIFO until it is let go."""

    def __init__(self, world: World, *arguments: str | Path, after: bool = False) -> None:
        self.here, self.gate = world.root / "here", world.root / "gate"
        for fifo in (self.here, self.gate):
            os.mkfifo(fifo)
        program = world.root / "held-openssl"
        stop = f"echo > {self.here}; read line < {self.gate}"
        work = f'openssl "$@"; code=$?; {stop}; exit $code' if after else f'{stop}; exec openssl "$@"'
        program.write_text(f'#!/bin/sh\ncase "$1" in ca | req) {work} ;; *) exec openssl "$@" ;; esac\n')
        program.chmod(0o755)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dbca_openssl", *map(str, arguments), "--openssl", str(program)],
            cwd="/",
            env={"PATH": os.environ["PATH"]} | world.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.here.read_text()  # returns once openssl has come there

    def let_go(self) -> None:
        self.gate.write_text("go\n")

    def finish(self) -> Finished:
        output, messages = self.process.communicate()
        return Finished(self.process.returncode, output, messages)


@contextmanager
def held(world: World, *arguments: str | Path, after: bool = False) -> Iterator[Held]:
    one = Held(world, *arguments, after=after)
    try:
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.finish()


def _sign(world: World, name: str = AIKEN) -> tuple[str | Path, ...]:
    return ("sign", name, "--yes", "--ca", world.ca)


def test_fifty_sign_fifty_at_once(own: World, make_request: MakeRequest) -> None:
    names = [f"host{number}.example.net" for number in range(50)]
    for name in names:
        make_request(name, to=own.ca / "certreqs")
    with ThreadPoolExecutor(50) as pool:
        finished = list(pool.map(lambda name: own.tool(*_sign(own, name)), names))
    assert [one.code for one in finished] == [0] * 50, [one.messages for one in finished if one.code]
    assert check_authority(own.root) == []
    rows = [line.split("\t") for line in (own.ca / "database-ca.index").read_text().splitlines()]
    assert len(rows) == 52 and len({row[3] for row in rows}) == 52
    assert len(list((own.ca / "certs").iterdir())) == 51


@pytest.mark.slow
def test_fifty_beside_one_plain_openssl(own: World, make_request: MakeRequest) -> None:
    """What plain openssl did is in the index, or it failed; each of the tool's is in it, or plain overwrote it."""
    names = [f"host{number}.example.net" for number in range(50)]
    for name in names:
        make_request(name, to=own.ca / "certreqs")
    plain: list[Finished] = []
    thread = threading.Thread(target=lambda: plain.append(shell(SIGN_PLAIN, own.ca)))
    with ThreadPoolExecutor(50) as pool:
        running = [pool.submit(own.tool, *_sign(own, name)) for name in names]
        thread.start()
        finished = {name: one.result() for name, one in zip(names, running, strict=True)}
    thread.join()
    index = (own.ca / "database-ca.index").read_text()
    certificate = own.ca / f"certs/{PLAIN}.cert.pem"
    if plain[0].code == 0:
        [row] = [line.split("\t") for line in index.splitlines() if line.endswith(f"/CN={PLAIN}")]
        assert certificate.read_bytes() == (own.ca / f"newcerts/{row[3]}.pem").read_bytes()
    signed = {name for name, one in finished.items() if one.code == 0}
    assert signed == {path.name.removesuffix(".cert.pem") for path in (own.ca / "certs").glob("host*")}
    lost = {name for name in signed if f"/CN={name}\n" not in index}
    assert not lost or plain[0].code == 0, "only plain openssl, which writes back what it read before, loses rows"
    reasons = ("meanwhile", "is not in the index", "is in the index already", "exists already")
    for one in finished.values():
        assert one.code == 0 or any(reason in one.messages for reason in reasons), one.messages


@pytest.mark.parametrize(("seconds", "told"), [("0", False), ("0.2", True)])
def test_the_lock_is_not_waited_for_longer_than_told(own: World, seconds: str, told: bool) -> None:
    with held(own, *_sign(own)) as first:
        before = snapshot(own.root)
        second = own.tool(*_sign(own, MARGARET), "--lock-timeout", seconds)
        assert snapshot(own.root) == before
        first.let_go()
        assert first.finish().code == 0
    assert second.code == 1 and second.output == ""
    *lines, message, hint = second.messages.splitlines()
    assert message.startswith(f"dbca-openssl: another process is changing {own.ca}")
    assert hint.startswith(f"hint: fuser {own.ca}/.lock tells which")
    assert (f"dbca-openssl: waiting for another process that is changing {own.ca}" in lines) == told


def test_who_waits_says_so_and_then_goes_on(own: World) -> None:
    with held(own, *_sign(own)) as first:
        second = subprocess.Popen(
            [sys.executable, "-m", "dbca_openssl", *map(str, _sign(own, MARGARET))],
            env={"PATH": os.environ["PATH"]} | own.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert second.stderr
        said = iter(second.stderr)
        assert any("waiting for another process" in line for line in said)
        first.let_go()
        assert first.finish().code == 0
        assert second.wait() == 0
        second.stderr.close()
    assert check_authority(own.root) == []


def test_who_waited_for_a_lock_that_was_removed_meanwhile_waits_for_the_new_one(own: World) -> None:
    with held(own, *_sign(own)) as first:
        second = subprocess.Popen(
            [sys.executable, "-m", "dbca_openssl", *map(str, _sign(own, MARGARET))],
            env={"PATH": os.environ["PATH"]} | own.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert second.stderr
        said = iter(second.stderr)
        assert any("waiting for another process" in line for line in said)
        (own.ca / ".lock").unlink()
        with (own.ca / ".lock").open("w") as third:
            fcntl.flock(third, fcntl.LOCK_EX)
            first.let_go()
            assert first.finish().code == 0
            assert any("waiting for another process" in line for line in said), "it went on beside another"
        assert second.wait() == 0
        second.stderr.close()


@pytest.mark.parametrize("verb", ["sign", "request"])
def test_an_orphaned_openssl_goes_on_holding_the_lock(own: World, verb: str) -> None:
    arguments: tuple[str | Path, ...] = _sign(own)
    other: tuple[str | Path, ...] = _sign(own, MARGARET)
    if verb == "request":
        arguments, other = (("request", name, "--bits", "2048", "--ssl-dir", own.ssl) for name in (AIKEN, MARGARET))
    with held(own, *arguments) as killed:
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
        refused = own.tool(*other, "--lock-timeout", "0")
        assert refused.code == 1 and "another process is changing" in refused.messages
        killed.let_go()
    finished = own.tool(*other)  # waits for the orphan's end, if need be
    assert finished.code == 0, finished.messages
    directory = own.ssl if verb == "request" else own.ca
    assert [path.name for path in directory.glob(".*")] == [".lock"]


def test_a_second_init_leaves_the_first_alone_and_the_next_cleans_up_after_it(own: World) -> None:
    new = own.root / "new"
    arguments = ("init", "-o", "example.net", "--key", own.root / "keys/ca.key.pem", "--ca", new)
    with held(own, *arguments) as killed:
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait()
        [work] = own.root.glob(".new.*")
        left = snapshot(work)
        other = own.tool(*arguments)
        assert other.code == 0, other.messages
        assert snapshot(work) == left, "its openssl is still at work"
        shutil.rmtree(new)
        killed.let_go()
        killed.finish()
    finished = own.tool(*arguments)
    assert finished.code == 0, finished.messages
    assert not work.exists() and new.is_dir()


def test_a_plain_openssl_that_signs_meanwhile_is_seen(own: World) -> None:
    with held(own, *_sign(own), after=True) as first:
        plain = shell(SIGN_PLAIN, own.ca)
        assert plain.code == 0, plain.messages
        before = snapshot(own.ca)
        first.let_go()
        refused = first.finish()
    assert refused.code == 1 and refused.output == ""
    assert f"another program changed {own.ca}" in refused.messages and "meanwhile" in refused.messages
    assert {k: v for k, v in snapshot(own.ca).items() if ".stage." not in k} == {
        k: v for k, v in before.items() if ".stage." not in k
    }
    assert check_authority(own.root) == []
    assert own.tool(*_sign(own)).code == 0
    assert check_authority(own.root) == []


@pytest.mark.parametrize("what", ["-gencrl -out crl/database-ca.crl", "-revoke certs/old.example.net.cert.pem"])
def test_a_plain_openssl_that_revokes_or_lists_meanwhile_is_seen(own: World, what: str) -> None:
    plain = f"OPENSSL_CONF=./database-ca.cnf openssl ca -passin file:../keys/phrase {what}"
    with held(own, "crl", "--ca", own.ca, after=True) as first:
        assert shell(plain, own.ca).code == 0
        index, crl = ((own.ca / name).read_bytes() for name in ("database-ca.index", "crl/database-ca.crl"))
        first.let_go()
        refused = first.finish()
    assert refused.code == 1 and "meanwhile" in refused.messages
    assert (own.ca / "database-ca.index").read_bytes() == index
    assert (own.ca / "crl/database-ca.crl").read_bytes() == crl


def test_reading_needs_neither_the_lock_nor_leave_to_write(own: World) -> None:
    with held(own, *_sign(own)) as one:
        for arguments in (("list",), ("show", "01"), ("verify", "old.example.net"), ()):
            finished = own.tool(*arguments, "--ca", own.ca)
            assert finished.code == 0, finished.messages
        one.let_go()
