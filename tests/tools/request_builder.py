"""Certificate requests put together by hand, element by element (X.690, RFC 2986), for what openssl will not write."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from tools.support import openssl, run

COMMON_NAME, ORGANIZATION, COUNTRY = bytes.fromhex("550403"), bytes.fromhex("55040A"), bytes.fromhex("550406")
EXTENSION_REQUEST = bytes.fromhex("2A864886F70D01090E")
MICROSOFT_EXTENSION_REQUEST = bytes.fromhex("2B06010401823702010E")
CHALLENGE_PASSWORD = bytes.fromhex("2A864886F70D010907")

BASIC_CONSTRAINTS, KEY_USAGE, ALTERNATIVE_NAME = (bytes.fromhex(text) for text in ("551D13", "551D0F", "551D11"))
SUBJECT_KEY_IDENTIFIER, NAME_CONSTRAINTS = bytes.fromhex("551D0E"), bytes.fromhex("551D1E")
PRIVATE_EXTENSION = bytes.fromhex("2B0601040186F77E01")
"""An identifier that nobody knows."""

ECDSA_WITH_SHA256, RSA_WITH_SHA256 = bytes.fromhex("2A8648CE3D040302"), bytes.fromhex("2A864886F70D01010B")
RSA = bytes.fromhex("2A864886F70D010101")

FAKE_LINES = "\n   13:d=2  hl=2 l=   1 prim: INTEGER           :00\n   16:d=2  hl=2 l=   0 cons: SEQUENCE          \n"
"""What a careless reader of `openssl asn1parse` would take for two of its lines."""


def der(tag: int, *contents: bytes) -> bytes:
    """One element."""
    content = b"".join(contents)
    if len(content) < 128:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def sequence(*parts: bytes) -> bytes:
    return der(0x30, *parts)


def set_of(*parts: bytes) -> bytes:
    return der(0x31, *parts)


def oid(content: bytes) -> bytes:
    return der(0x06, content)


def integer(value: int) -> bytes:
    return der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def utf8(text: str) -> bytes:
    return der(0x0C, text.encode())


def bits(content: bytes, unused: int = 0) -> bytes:
    return der(0x03, bytes((unused,)), content)


def name(*attributes: tuple[bytes, bytes]) -> bytes:
    """A subject of single-valued parts, each of a type and a string element."""
    return sequence(*(set_of(sequence(oid(kind), value)) for kind, value in attributes))


def common_name(text: str) -> bytes:
    return name((COMMON_NAME, utf8(text)))


def extension(kind: bytes, value: bytes, *, critical: bool = False) -> bytes:
    return sequence(oid(kind), der(0x01, b"\xff") if critical else b"", der(0x04, value))


def alternative_names(*names: bytes) -> bytes:
    return extension(ALTERNATIVE_NAME, sequence(*names))


def dns(text: str) -> bytes:
    return der(0x82, text.encode())


def attribute(kind: bytes, *values: bytes) -> bytes:
    return sequence(oid(kind), set_of(*values))


def asking_for(*extensions: bytes) -> bytes:
    return attribute(EXTENSION_REQUEST, sequence(*extensions))


def rsa_key(modulus: int, exponent: int) -> bytes:
    return sequence(sequence(oid(RSA), der(0x05)), bits(sequence(integer(modulus), integer(exponent))))


def information(subject: bytes, key: bytes, *attributes: bytes, version: int = 0, without: bool = False) -> bytes:
    """The part of a request that is signed; `without` leaves its field of attributes out."""
    return sequence(integer(version), subject, key, b"" if without else der(0xA0, *attributes))


def public_key(key: Path) -> bytes:
    return base64.b64decode("".join(openssl("pkey", "-in", key, "-pubout", directory=key.parent).splitlines()[1:-1]))


def signed(signed_part: bytes, key: Path, algorithm: bytes = ECDSA_WITH_SHA256, digest: str = "sha256") -> bytes:
    """The request, with openssl's signature by `key`."""
    source, target = key.parent / "to-be-signed", key.parent / "signature"
    source.write_bytes(signed_part)
    done = run("openssl", "dgst", f"-{digest}", "-sign", key, "-out", target, source, directory=key.parent)
    assert done.code == 0, done.messages
    return sequence(signed_part, sequence(oid(algorithm)), bits(target.read_bytes()))


def signed_by_exponent_one(signed_part: bytes, modulus: int) -> bytes:
    """The signature of an RSA key whose exponent is 1: anybody can make it, since it is the padded hash itself."""
    hashed = sequence(sequence(oid(bytes.fromhex("608648016503040201")), der(0x05)), der(0x04, _sha256(signed_part)))
    size = (modulus.bit_length() + 7) // 8
    padded = b"\x00\x01" + b"\xff" * (size - len(hashed) - 3) + b"\x00" + hashed
    return sequence(signed_part, sequence(oid(RSA_WITH_SHA256), der(0x05)), bits(padded))


def pem(encoded: bytes, label: str = "CERTIFICATE REQUEST") -> bytes:
    body = base64.encodebytes(encoded).replace(b"\n", b"")
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return b"\n".join((f"-----BEGIN {label}-----".encode(), *lines, f"-----END {label}-----".encode(), b""))


def unpem(data: bytes) -> bytes:
    return base64.b64decode(b"".join(line for line in data.splitlines() if not line.startswith(b"-----")))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
