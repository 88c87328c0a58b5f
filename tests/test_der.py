"""The DER reader against `openssl asn1parse`: the same verdict and the same tree, whatever the bytes are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dbca_openssl import der
from tools import asn1parse
from tools.hostile_requests import REQUESTS
from tools.request_builder import sequence, unpem
from tools.workshop import Workshop

MUTATIONS = 2000
Node = tuple[int, int, int, int]
"""An element: offset, length with its header, length of its content, tag."""


def ours(data: bytes) -> list[Node] | None:
    try:
        return list(_nodes(der.read(data), 0))
    except der.UnreadableError:
        return None


def _nodes(element: der.Element, offset: int) -> Iterator[Node]:
    yield offset, len(element.encoded), len(element.content), element.tag
    offset += len(element.encoded) - len(element.content)
    for part in element.parts:
        yield from _nodes(part, offset)
        offset += len(part.encoded)


def test_agrees_with_asn1parse_on_every_hostile_request(workshop: Workshop) -> None:
    read = refused = 0
    for hostile in REQUESTS:
        made = hostile.make(workshop)
        if not isinstance(made, bytes):
            continue
        try:
            data = unpem(made)
        except ValueError:
            data = made
        expected = asn1parse.nodes(data)
        assert ours(data) == expected, hostile.name
        read, refused = read + (expected is not None), refused + (expected is None)
    assert read > 100
    assert refused > 5


def _mutated(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        place = chance.randrange(len(changed)) if chance.random() < 0.5 else chance.randrange(min(80, len(changed)))
        kind = chance.randrange(5)
        if kind == 0:
            changed[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            changed[place] = chance.choice((0, 1, 2, 0x1F, 0x24, 0x30, 0x31, 0x7F, 0x80, 0x81, 0x82, 0x84, 0xA0, 0xFF))
        elif kind == 2:
            del changed[place : place + chance.choice((1, 2, 9, 10_000))]
        elif kind == 3:
            changed[place:place] = chance.choice((b"\0", b"\x80", b"\x05\0", b"\x81\x05", b"\0\0", b"\x30\0"))
        else:
            element = chance.choice([node for node in ours(data) or () if node[0] < len(changed)])
            changed[element[0] + 1 : element[0] + 2] = chance.choice(
                (bytes((changed[place],)), b"\x81" + bytes((element[2] & 0x7F,)), b"\x80", b"\x88" + bytes(7) + b"\x05")
            )
        if not changed:
            return b""
    return bytes(changed)


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_asn1parse_on_mutated_requests_and_certificates(seed: int, workshop: Workshop) -> None:
    chance = random.Random(seed)
    originals = [
        unpem(workshop.good()),
        unpem(workshop.req(key=workshop.host_key, ext="subjectAltName = DNS:a.example.net, IP:192.0.2.7")),
        unpem(workshop.req("-x509", ext="basicConstraints = CA:TRUE")),
    ]
    mutated = [_mutated(chance.choice(originals), chance) for _ in range(MUTATIONS // 4)]
    with ThreadPoolExecutor(2) as pool:
        expected = list(pool.map(asn1parse.nodes, mutated))
    for data, nodes in zip(mutated, expected, strict=True):
        assert ours(data) == nodes, data.hex()
    accepted = sum(nodes is not None for nodes in expected)
    assert MUTATIONS // 4 // 20 < accepted < MUTATIONS // 4 * 19 // 20


@pytest.mark.parametrize("depth", [100, 127, 128, 129, 130, 131, 500, 15_000])
def test_reads_as_deep_as_asn1parse_and_no_deeper(depth: int) -> None:
    data = b""
    for _ in range(depth):
        data = sequence(data)
    assert ours(data) == asn1parse.nodes(data)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [("020100", 0), ("02017f", 127), ("02020080", 128), ("020180", -128), ("0202ff7f", -129), ("0201ff", -1),
     ("0200", None), ("02020001", None), ("0202ff80", None), ("0202ffff", None), ("0a0101", None),
     ("0203000000", None)],
)  # fmt: skip
def test_reads_a_number_in_its_one_encoding(encoded: str, value: int | None) -> None:
    element = der.read(bytes.fromhex(encoded))
    if value is not None:
        assert element.number() == value
        return
    with pytest.raises(der.UnreadableError):
        element.number()
