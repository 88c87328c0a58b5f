"""What an attacker tries, and the refusal: nothing is signed, believed or changed.

One table. Each attack prepares a place, then a command is run in it, which must refuse for the reason given.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools import request_builder as der
from tools.damage import sign_plainly
from tools.request_builder import bits, common_name, information, pem, sequence
from tools.support import HOSTS, done, plain_request, refusal, snapshot, tool
from tools.workshop import Workshop

AIKEN, MARGARET, GANNIBAL = HOSTS
OTHER = "other.example.net"
COMPROMISED = f"the request of {OTHER} has a key that was revoked as compromised"


@dataclass(frozen=True)
class Ground:
    """Where an attack is tried: a CA with certificates of the guide's three hosts, and keys of every kind."""

    ca: Path
    workshop: Workshop
    phrase: Path
    programs: Path
    """A directory at the front of PATH."""

    @property
    def environment(self) -> dict[str, str]:
        return {"DBCA_PASSPHRASE_FILE": str(self.phrase), "PATH": f"{self.programs}:{os.environ['PATH']}"}

    def put(self, name: str, request: bytes) -> None:
        (self.ca / f"certreqs/{name}.req.pem").write_bytes(request)

    def run(self, *arguments: str) -> None:
        done(*arguments, "--yes", directory=self.ca, environment=self.environment)


@dataclass(frozen=True)
class Attack:
    """What is prepared, the command that is run then, and how the refusal starts."""

    name: str
    prepare: Callable[[Ground], None]
    command: tuple[str, ...]
    refusal: str

    def __str__(self) -> str:
        return self.name


# --- a compromised key, written in another way


def _ec_key(point: bytes) -> bytes:
    algorithm = sequence(der.oid(bytes.fromhex("2A8648CE3D0201")), der.oid(bytes.fromhex("2A8648CE3D030107")))
    return sequence(algorithm, bits(point))


def _same(ground: Ground) -> bytes:
    return ground.workshop.ec_public


def _compressed(ground: Ground) -> bytes:
    point = ground.workshop.ec_public[-65:]
    return _ec_key(bytes((2 + point[-1] % 2,)) + point[1:33])


def _hybrid(ground: Ground) -> bytes:
    point = ground.workshop.ec_public[-65:]
    return _ec_key(bytes((6 + point[-1] % 2,)) + point[1:])


def _negated(ground: Ground) -> bytes:
    """The other point with the same x: its private key is n - d."""
    point = ground.workshop.ec_public[-65:]
    return _ec_key(bytes((3 - point[-1] % 2,)) + point[1:33])


def _other_exponent(ground: Ground) -> bytes:
    key = der.public_key(ground.workshop.host_key)
    modulus = int.from_bytes(key[33 : 33 + 256], "big")
    assert key == der.rsa_key(modulus, 65537)
    return der.rsa_key(modulus, 65539)


def compromised(key: Callable[[Ground], bytes]) -> Callable[[Ground], None]:
    """Both keys of the workshop are revoked as compromised; a request comes with `key`."""

    def prepare(ground: Ground) -> None:
        for number, one in enumerate((ground.workshop.ec_key, ground.workshop.host_key)):
            plain_request(ground.ca, f"lost{number}", one)
            ground.run("sign", f"lost{number}")
            ground.run("revoke", f"lost{number}", "--reason", "keyCompromise")
        ground.put(OTHER, pem(der.signed(information(common_name(OTHER), key(ground)), ground.workshop.ec_key)))

    return prepare


def renewed_with(key: Callable[[Ground], bytes]) -> Callable[[Ground], None]:
    """The stored request of a host that has a valid certificate is replaced by one with `key`."""

    def prepare(ground: Ground) -> None:
        plain_request(ground.ca, OTHER, ground.workshop.key("EC", "ec_paramgen_curve:P-384"))
        ground.run("sign", OTHER, "--yes")
        compromised(key)(ground)

    return prepare


def answering(state: str, key: Callable[[Ground], bytes]) -> Callable[[Ground], None]:
    """A host that says that it is in a state, and asks for its certificate with `key`."""

    def prepare(ground: Ground) -> None:
        compromised(key)(ground)
        path = ground.ca / f"certreqs/{OTHER}.req.pem"
        request = path.read_bytes()
        path.unlink()
        _answering(ground, state, request)

    return prepare


def _answering(ground: Ground, state: str, request: bytes) -> None:
    answer = shlex.quote(f"{request.decode()}dbca state {state}\ndbca end\n")
    ssh = ground.programs / "ssh"
    ssh.write_text(f"#!/bin/sh\ncat > /dev/null\nprintf %s {answer}\n")
    ssh.chmod(0o755)


KEYS = (
    Attack("the same bytes", compromised(_same), ("sign", OTHER, "--yes"), COMPROMISED),
    Attack("a compressed EC point", compromised(_compressed), ("sign", OTHER, "--yes"), COMPROMISED),
    Attack("a hybrid EC point", compromised(_hybrid), ("sign", OTHER, "--yes"), COMPROMISED),
    Attack("the negated EC point", compromised(_negated), ("sign", OTHER, "--yes"), COMPROMISED),
    Attack("RSA with another exponent", compromised(_other_exponent), ("sign", OTHER, "--yes"), COMPROMISED),
    Attack("among all", compromised(_compressed), ("sign", "--all", "--yes"), COMPROMISED),
    Attack("by renewing", renewed_with(_compressed), ("renew", OTHER, "--yes"), COMPROMISED),
    Attack(
        "by enrolling",
        answering("waiting", _compressed),
        ("enroll", OTHER),
        COMPROMISED,
    ),
    Attack(
        "by enrolling with --rekey",
        answering("rekeyed", _compressed),
        ("enroll", OTHER, "--rekey"),
        COMPROMISED,
    ),
    Attack(
        "by enrolling with --rekey and the same bytes",
        answering("rekeyed", _same),
        ("enroll", OTHER, "--rekey"),
        COMPROMISED,
    ),
)


# --- a name that is another one only for us


def asking_for(*names: str) -> Callable[[Ground], None]:
    def prepare(ground: Ground) -> None:
        for name in names:
            ground.put(name, ground.workshop.req(subject=f"/CN={name}"))

    return prepare


def _revoked_in_capitals(ground: Ground) -> None:
    """A certificate of AIKEN... that was revoked before there was one of aiken..., and its request."""
    name = GANNIBAL.upper()
    ground.run("revoke", GANNIBAL)
    ground.put(name, ground.workshop.req(subject=f"/CN={name}"))
    ground.run("sign", name)
    ground.run("revoke", name)
    ground.run("sign", GANNIBAL)


def _valid_in_capitals(ground: Ground) -> None:
    """A valid certificate of OTHER..., by plain openssl; the host asks for other..., with a sound key."""
    key = ground.workshop.key("EC", "ec_paramgen_curve:P-384")
    plain_request(ground.ca, OTHER.upper(), key)
    sign_plainly(ground.ca, ground.phrase, OTHER.upper())
    _answering(ground, "waiting", ground.workshop.req(subject=f"/CN={OTHER}", key=key))


NAMES = (
    Attack(
        "a name in capitals",
        asking_for(AIKEN.upper()),
        ("sign", AIKEN.upper(), "--yes"),
        f"{AIKEN.upper()} is the same name as {AIKEN}, which has the valid serial 01",
    ),
    Attack(
        "a name with the root's dot",
        asking_for(f"{AIKEN}."),
        ("sign", f"{AIKEN}.", "--yes"),
        f"{AIKEN}. is the same name as {AIKEN}, which has the valid serial 01",
    ),
    Attack(
        "a name in two spellings at once",
        asking_for(OTHER, OTHER.upper()),
        ("sign", OTHER, OTHER.upper(), "--yes"),
        f"{OTHER.upper()} is asked for twice",
    ),
    Attack(
        "renewing a name in capitals",
        _revoked_in_capitals,
        ("renew", GANNIBAL.upper(), "--yes"),
        f"{GANNIBAL.upper()} is the same name as {GANNIBAL}, which has the valid serial 05",
    ),
    Attack(
        "enrolling beside a name in capitals",
        _valid_in_capitals,
        ("enroll", OTHER),
        f"{OTHER} is the same name as {OTHER.upper()}, which has the valid serial 04",
    ),
)

ATTACKS = (*KEYS, *NAMES)


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_is_refused(attack: Attack, fleet: Path, workshop: Workshop, keys: Path, tmp_path: Path) -> None:
    ground = Ground(fleet, workshop, keys / "phrase", tmp_path / "programs")
    ground.programs.mkdir()
    attack.prepare(ground)
    before = snapshot(fleet, without=(".lock",))
    refused = tool(*attack.command, directory=fleet, environment=ground.environment)
    assert "should not happen" not in refused.messages
    assert refusal(refused).startswith(attack.refusal)
    assert snapshot(fleet, without=(".lock",)) == before
