"""Attacks by files: what another user put in the place of ours is refused in one line, with nothing changed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.support import Finished, run, snapshot

DIGEST = "0" * 64
SECRET = "a file of the victim's\n"

FOREIGN = "from dbca_openssl import files, transaction; files.believed = transaction.believed = lambda: (4242,)"
"""To the tool, all files are then another user's, whoever runs this test."""


@dataclass(frozen=True)
class Attack:
    """What is put into the CA directory, the verbs that meet it, and the reason that is given."""

    put: Callable[[Path], object]
    reason: str
    verbs: tuple[str, ...] = ("list", "crl")
    prepare: str = ""


def record(name: str = "certs/aiken.example.net.cert.pem", kind: str = "new") -> Callable[[Path], None]:
    def put(ca: Path) -> None:
        staged = ca / ".commit/certs"
        staged.mkdir(parents=True)
        (staged / "aiken.example.net.cert.pem").write_text("forged\n")
        (ca / ".commit/manifest").write_text(f"{kind} - {DIGEST} {name}\n")
        (ca / ".commit").chmod(0o700)

    return put


def writable(ca: Path) -> None:
    record()(ca)
    (ca / ".commit").chmod(0o777)


def linked(ca: Path) -> None:
    record()(ca)
    (ca / ".commit").rename(ca.parent / "elsewhere")
    (ca / ".commit").symlink_to(ca.parent / "elsewhere")


def linked_manifest(ca: Path) -> None:
    record()(ca)
    (ca / ".commit/manifest").rename(ca.parent / "elsewhere")
    (ca / ".commit/manifest").symlink_to(ca.parent / "elsewhere")


def staged(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def put(ca: Path) -> None:
        record()(ca)
        path = ca / ".commit/certs/aiken.example.net.cert.pem"
        path.unlink()
        make(path)

    return put


def instead(name: str, make: Callable[[Path], object]) -> Callable[[Path], None]:
    def put(ca: Path) -> None:
        (ca / name).unlink(missing_ok=True)
        make(ca / name)

    return put


def link_to_secret(path: Path) -> None:
    path.symlink_to(next(parent for parent in path.parents if parent.name == "database-ca").parent / "secret")


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 41)


INDEX, SERIAL = "database-ca.index", "database-ca.serial"

ATTACKS = {
    "a record of another user": Attack(record(), "belongs to another user", prepare=FOREIGN),
    "a record that others can write": Attack(writable, "other users may change"),
    "a record behind a link": Attack(linked, "neither file nor directory"),
    "a manifest behind a link": Attack(linked_manifest, "neither file nor directory"),
    "a manifest that is a FIFO": Attack(instead(".commit/manifest", lambda _: None), "neither file nor directory"),
    "a link among what is moved": Attack(staged(link_to_secret), "neither file nor directory"),
    "a FIFO among what is moved": Attack(staged(os.mkfifo), "neither file nor directory"),
    "a record of another kind": Attack(record(kind="remove"), "manifest is damaged"),
    "a record that leads above": Attack(record("../secret"), "no change has a file called"),
    "a record that leads above by a directory": Attack(record("certs/../../secret"), "no change has a file called"),
    "a record that leads above by a name": Attack(record("certs/../x.pem"), "no change has a file called"),
    "a record of an absolute path": Attack(record("/etc/cron.d/x.pem"), "no change has a file called"),
    "a record of the configuration": Attack(record("database-ca.cnf"), "no change has a file called"),
    "a record of the lock": Attack(record(".lock"), "no change has a file called"),
    "a lock that is a link": Attack(instead(".lock", link_to_secret), "cannot write in", ("crl",)),
    "a lock that is a device": Attack(instead(".lock", zero), "cannot write in", ("crl",)),
    "a lock that is a FIFO": Attack(instead(".lock", os.mkfifo), "is not a regular file", ("crl",)),
    "a lock that is a directory": Attack(instead(".lock", Path.mkdir), "cannot write in", ("crl",)),
    "an index that is a FIFO": Attack(instead(INDEX, os.mkfifo), "it is not a regular file"),
    "an index that is a device": Attack(instead(INDEX, zero), "it is not a regular file"),
    "an index without an end": Attack(instead(INDEX, huge), "it has more than"),
    "an index that is another user's link": Attack(
        instead(INDEX, link_to_secret), "it is a symbolic link of another user", prepare=FOREIGN
    ),
    "a serial that is a FIFO": Attack(instead(SERIAL, os.mkfifo), "it is not a regular file", ("crl",)),
    "a serial that is another user's link": Attack(
        instead(SERIAL, link_to_secret), "it is a symbolic link of another user", ("crl",), FOREIGN
    ),
}  # fmt: skip


def _run(attack: Attack, verb: str, ca: Path, environment: dict[str, str]) -> Finished:
    program = f"{attack.prepare}\nfrom dbca_openssl.cli.main import main\nmain()"
    return run(sys.executable, "-c", program, verb, "--ca", ca, directory=Path("/"), environment=environment)


@pytest.mark.parametrize("name", ATTACKS)
def test_what_another_user_put_there_is_refused(name: str, ca: Path, environment: dict[str, str]) -> None:
    attack = ATTACKS[name]
    (ca.parent / "secret").write_text(SECRET)
    if name == "a manifest that is a FIFO":
        record()(ca)
        (ca / ".commit/manifest").unlink()
        os.mkfifo(ca / ".commit/manifest")
    else:
        attack.put(ca)
    before = snapshot(ca.parent, without=() if name.startswith("a lock") else (".lock",)) if "end" not in name else {}
    for verb in attack.verbs:
        refused = _run(attack, verb, ca, environment)
        assert refused.code == 1 and attack.reason in refused.messages, refused
        assert "should not happen" not in refused.messages and not refused.output
    if before:
        assert snapshot(ca.parent, without=() if name.startswith("a lock") else (".lock",)) == before
    assert (ca.parent / "secret").read_text() == SECRET
    checked = _run(attack, "check", ca, environment)
    assert checked.code in (2, 3) or name.startswith("a lock")
    assert "should not happen" not in checked.messages
