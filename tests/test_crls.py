"""Entries of a CRL in openssl's form are read at once, with the same result as by the DER reader."""

from __future__ import annotations

import random
from pathlib import Path

from dbca_openssl import crls, der
from dbca_openssl.pem import pem_blocks
from tools.support import done, openssl

MUTATIONS = 3000
REASONS = ("", ",keyCompromise", ",superseded", ",holdInstruction,holdInstructionNone", ",keyTime,20260101000000Z")
SERIALS = ("01", "7F", "80", "0100", "FF" * 18, "7F" * 19 + "FF", "170D" + "31" * 12 + "5A" + "01")
"""The last one has in it what follows a serial."""


def entries_in(path: Path) -> der.Element:
    [(_, encoded)] = pem_blocks(path.read_bytes())
    return der.read(encoded).parts[0].parts[5]


def slowly(entries: der.Element) -> dict[int, tuple[str, str]]:
    return dict(map(crls._revocation, der.read(entries.encoded).parts))


def outcome(read: object, entries: der.Element) -> object:
    try:
        return read(entries)  # type: ignore[operator]
    except der.UnreadableError:
        return None


def test_it_has_the_entries_that_the_reader_has(ca: Path, environment: dict[str, str]) -> None:
    serials = [(serial, reason) for serial in SERIALS for reason in REASONS[:1]]
    serials += [(f"20{number:02X}", reason) for number, reason in enumerate(REASONS[1:])]
    with open(ca / "database-ca.index", "a") as index:
        for serial, reason in serials:
            index.write(f"R\t281231120000Z\t260102030405Z{reason}\t{serial}\tunknown\t/CN=host{serial}.example.net\n")
    arguments = ("ca", "-batch", "-gencrl", "-out", "crl/made.crl", "-passin")
    openssl(
        *(*arguments, f"file:{environment['DBCA_PASSPHRASE_FILE']}"),
        directory=ca,
        environment={"OPENSSL_CONF": "./database-ca.cnf"},
    )
    entries = entries_in(ca / "crl/made.crl")
    found = crls.crl_in((ca / "crl/made.crl").read_bytes()).revoked
    assert set(found) == {int(serial, 16) for serial, _ in serials}
    assert found == slowly(entries)
    assert found[0x2000] == ("260102030405Z", "keyCompromise")
    chance, content = random.Random(1), entries.content
    same = refused = 0
    for _ in range(MUTATIONS):
        changed = bytearray(content)
        for _ in range(chance.choice((1, 1, 2))):
            place = chance.randrange(len(changed))
            if chance.random() < 0.5:
                changed[place] ^= 1 << chance.randrange(8)
            else:
                changed[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        length = len(changed).to_bytes(2, "big")
        one = der.Element(der.SEQUENCE, b"\x30\x82" + length + changed, bytes(changed), ())
        expected = outcome(slowly, one)
        assert outcome(crls._revocations, one) == expected
        same, refused = same + (expected is not None), refused + (expected is None)
    assert same > 100
    assert refused > 100


def test_a_crl_without_entries_has_none(ca: Path) -> None:
    assert crls.crl_in((ca / "crl/database-ca.crl").read_bytes()).revoked == {}
    done("check", directory=ca)
