"""What a request must be before the authority signs it. openssl itself signs nearly anything (see ca(1), "WARNINGS").

With the guide's `copy_extensions = copy` every extension that `[ cert_ext ]` does not name is taken over from the
request, so only the guide's own are let through, and alternative names only with the signer's consent. The request's
signature is checked by `openssl ca` when it signs; all else is decided here, before any file is touched.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import x509
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import RESERVED, alternative_name, is_entity_name, shown
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.x509 import Certificate, Request

PEM_LABEL = "CERTIFICATE REQUEST"

LARGEST_FILE = 64 * 1024
"""Bytes: a request of the largest accepted key with dozens of names has less than 8 KiB."""

SMALLEST_RSA, LARGEST_RSA = 2048, 8192
SMALLEST_EXPONENT, LARGEST_EXPONENT = 65537, 2**256
"""FIPS 186-5, 5.1: an odd exponent between 2**16 and 2**256."""

_EC = "2A8648CE3D0201"
_CURVES = {"2A8648CE3D030107": "P-256", "2B81040022": "P-384", "2B81040023": "P-521"}
_ED25519 = "2B6570"

_USUAL_KEYS = {  # the bytes around a modulus of so many bits, with the exponent 65537
    2048: (bytes.fromhex("3082010A0282010100"), bytes.fromhex("0203010001")),
    3072: (bytes.fromhex("3082018A0282018100"), bytes.fromhex("0203010001")),
    4096: (bytes.fromhex("3082020A0282020100"), bytes.fromhex("0203010001")),
}

_SIGNATURES = {
    *("2A864886F70D01010B", "2A864886F70D01010C", "2A864886F70D01010D"),  # RSA with SHA-256, -384, -512
    *("2A8648CE3D040302", "2A8648CE3D040303", "2A8648CE3D040304"),  # ECDSA with the same
    _ED25519,
}
_WEAK_SIGNATURES = {
    "2A864886F70D010102": "MD2",
    "2A864886F70D010104": "MD5",
    "2A864886F70D010105": "SHA-1",
    "2B0E03021D": "SHA-1",
    "2A8648CE3D0401": "SHA-1",
    "2A8648CE380403": "SHA-1",
}

_SERVER, _CLIENT = "06082B06010505070301", "06082B06010505070302"
_ALLOWED_VALUES = {
    x509.KEY_USAGE: {"030205A0", "03020780", "03020520"},  # digitalSignature, keyEncipherment, or one of them
    x509.EXTENDED_KEY_USAGE: {
        "3014" + _SERVER + _CLIENT,
        "3014" + _CLIENT + _SERVER,
        "300A" + _SERVER,
        "300A" + _CLIENT,
    },
    x509.BASIC_CONSTRAINTS: {"3000", "3003010100"},  # CA:FALSE, by default or in so many words
}
_EXTENSION_NAMES = {
    x509.KEY_USAGE: "keyUsage",
    x509.EXTENDED_KEY_USAGE: "extendedKeyUsage",
    x509.BASIC_CONSTRAINTS: "basicConstraints",
    x509.SUBJECT_KEY_IDENTIFIER: "subjectKeyIdentifier",
    x509.ALTERNATIVE_NAME: "subjectAltName",
    "551D1E": "nameConstraints",
    "551D1F": "crlDistributionPoints",
    "551D20": "certificatePolicies",
    "551D12": "issuerAltName",
    "551D23": "authorityKeyIdentifier",
    "2B06010505070101": "authorityInfoAccess",
    "2B06010505070118": "tlsfeature",
    "6086480186F8420101": "nsCertType",
    "6086480186F842010D": "nsComment",
}
_NEW_REQUEST = "make a new one on the host: dbca-openssl request NAME"


class Vetted(NamedTuple):
    """A request that may be signed: whose it is, its file's bytes and the DER in it, what the certificate must have."""

    name: str
    pem: bytes
    encoded: bytes
    public_key: bytes
    key: str
    alternative_names: tuple[tuple[str, str], ...] = ()
    alternative_names_value: bytes | None = None

    @property
    def names_beyond_its_own(self) -> tuple[str, ...]:
        """The alternative names that need the signer's consent: all but the common name itself."""
        return tuple(name for _, name in self.alternative_names if name != self.name)


def read_file(path: Path) -> bytes:
    """The bytes of a request file. Raises DatabaseCaError where it is no readable regular file of at most 64 KiB."""
    try:
        _require_regular(path, path.stat())  # before it is opened, which a device may take for an order
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)  # a FIFO must not hang
        with open(descriptor, "rb") as file:
            _require_regular(path, os.fstat(descriptor))
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise DatabaseCaError(
            f"cannot read the request {path}: {error.strerror}", "a request is NAME.req.pem, made on the host"
        ) from None
    if len(data) > LARGEST_FILE:
        raise DatabaseCaError(f"{path} has more than {LARGEST_FILE // 1024} KiB: that is no request", _NEW_REQUEST)
    return data


def _require_regular(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise DatabaseCaError(f"{path} is not a regular file", "a request is NAME.req.pem, made on the host")


def vet(openssl: OpenSSL, sources: Sequence[tuple[str, bytes]]) -> list[Vetted]:
    """The requests in `sources`, pairs of what to call it in a message and its bytes, by an openssl or two for all.

    Raises DatabaseCaError with the reason for the first that may not be signed.
    """
    return vet_beside(openssl, sources, ())[0]


def vet_beside(
    openssl: OpenSSL, sources: Sequence[tuple[str, bytes]], certificates: Sequence[bytes]
) -> tuple[list[Vetted], list[Certificate]]:
    """The same, and certificates in DER bytes that the first openssl reads along: a process less.

    Raises DatabaseCaError as well, and UnreadableError where one of the certificates cannot be read.
    """
    encoded = [_one_request(label, data) for label, data in sources]
    try:
        return _vetted(openssl, sources, encoded, certificates)
    except UnreadableError:
        for (label, data), der in zip(sources, encoded, strict=True):
            try:
                _vetted(openssl, [(label, data)], [der], ())
            except UnreadableError as error:
                raise DatabaseCaError(f"{label} is no request that can be read: {error}", _NEW_REQUEST) from None
        raise


def _one_request(label: str, data: bytes) -> bytes:
    begins = re.findall(rb"-----BEGIN ([^-\n]*)-----", data)
    if any(b"PRIVATE KEY" in kind for kind in begins):
        raise DatabaseCaError(
            f"there is a private key in {label}",
            "keys stay on their host; only NAME.req.pem is copied, so make a new pair",
        )
    if any(b"CERTIFICATE" in kind and b"REQUEST" not in kind for kind in begins):
        raise DatabaseCaError(f"there is a certificate in {label}, not a request", "a request is NAME.req.pem")
    if len(begins) > 1:
        raise DatabaseCaError(f"there is more than one request in {label}", "one file, one request")
    try:
        blocks = x509.pem_blocks(data)
    except UnreadableError as error:
        raise DatabaseCaError(f"{label} is no request that can be read: {error}", _NEW_REQUEST) from None
    if not blocks or blocks[0][0] not in (PEM_LABEL, f"NEW {PEM_LABEL}"):
        hint = _NEW_REQUEST
        if data.startswith(b"0\x82"):
            hint = "if it is one in DER form: openssl req -inform DER -in FILE -out NAME.req.pem"
        raise DatabaseCaError(f"{label} is not a certificate request in PEM form", hint)
    return blocks[0][1]


def _vetted(
    openssl: OpenSSL, sources: Sequence[tuple[str, bytes]], encoded: Sequence[bytes], certificates: Sequence[bytes]
) -> tuple[list[Vetted], list[Certificate]]:
    found, read_along = x509.requests_and_certificates(openssl, encoded, certificates)
    for (label, _), request in zip(sources, found, strict=True):
        _check_subject(label, request)
        _check_key_kind(label, request)
        _check_signature(label, request)
        _check_extensions(label, request)
    usual = {request.key_bits: bits for request in found if (bits := _usual_bits(request))}
    rsa = [
        request.key_bits for request in found if request.key_algorithm[0] == x509.RSA and request.key_bits not in usual
    ]
    values = [_value(request, x509.ALTERNATIVE_NAME) for request in found]
    keys_read, names_read = x509.keys_and_names(openssl, rsa, [value for value in values if value is not None])
    numbers, names = iter(keys_read), iter(names_read)
    vetted = []
    for (label, data), der, request, value in zip(sources, encoded, found, values, strict=True):
        bits = usual.get(request.key_bits)
        key = f"RSA {bits} bits" if bits else _key(label, request, numbers)
        alternative = _alternative_names(label, next(names)) if value is not None else ()
        name = next(text for kind, text in request.subject if kind == x509.COMMON_NAME)
        vetted.append(Vetted(name, data, der, request.public_key, key, alternative, value))
    return vetted, read_along


def _check_subject(label: str, request: Request) -> None:
    kinds = [kind for kind, _ in request.subject]
    names = [text for kind, text in request.subject if kind == x509.COMMON_NAME]
    if len(names) != 1:
        raise DatabaseCaError(f"{label} has {len(names) or 'no'} common name{'s' if names else ''} where one is needed")
    if (
        request.multi_valued
        or kinds.count(x509.ORGANIZATION) > 1
        or set(kinds)
        - {
            x509.COMMON_NAME,
            x509.ORGANIZATION,
        }
    ):
        raise DatabaseCaError(
            f"the subject of {label} has more in it than a common name and an organisation",
            "the certificate would carry the common name only; " + _NEW_REQUEST,
        )
    if names[0].lower() == RESERVED or not is_entity_name(names[0]):
        raise DatabaseCaError(
            f"{label} asks for the common name {shown(names[0])}, which is no name of a host or a client"
        )


def _check_key_kind(label: str, request: Request) -> None:
    accepted = {(x509.RSA, "NULL"), *((_EC, curve) for curve in _CURVES), (_ED25519,)}
    if request.key_algorithm not in accepted:
        raise DatabaseCaError(
            f"{label} has a key of a kind that is not accepted",
            f"accepted: RSA of {SMALLEST_RSA} to {LARGEST_RSA} bits; EC on P-256, P-384 or P-521; Ed25519",
        )


def _check_signature(label: str, request: Request) -> None:
    if weak := _WEAK_SIGNATURES.get(request.signature_algorithm):
        raise DatabaseCaError(f"{label} is signed with {weak}, which can be forged", _NEW_REQUEST)
    if request.signature_algorithm not in _SIGNATURES:
        raise DatabaseCaError(
            f"{label} is signed in a way that is not accepted",
            "accepted: RSA, ECDSA or Ed25519 with SHA-256, SHA-384 or SHA-512",
        )


def _check_extensions(label: str, request: Request) -> None:
    accepted = {x509.EXTENSION_REQUEST, x509.CHALLENGE_PASSWORD, x509.UNSTRUCTURED_NAME}
    if set(request.attributes) - accepted:
        raise DatabaseCaError(f"{label} has attributes that are not accepted", _NEW_REQUEST)
    if request.attributes.count(x509.EXTENSION_REQUEST) > 1:
        raise DatabaseCaError(f"{label} asks for its extensions twice", _NEW_REQUEST)
    seen = set()
    for kind, extension in request.extensions:
        name = _EXTENSION_NAMES.get(kind, f"with the identifier {kind}")
        if kind in seen:
            raise DatabaseCaError(f"{label} has the extension {name} twice")
        seen.add(kind)
        if kind == x509.ALTERNATIVE_NAME:
            continue
        if kind == x509.SUBJECT_KEY_IDENTIFIER:
            if len(extension.value) == 22 and extension.value.startswith(b"\x04\x14"):
                continue
        elif extension.value.hex().upper() in _ALLOWED_VALUES.get(kind, ()):
            continue
        elif kind == x509.BASIC_CONSTRAINTS:
            raise DatabaseCaError(f"{label} asks to be a certificate authority")
        raise DatabaseCaError(
            f"{label} asks for the extension {name} in a way that the guide's requests do not", _NEW_REQUEST
        )


def _usual_bits(request: Request) -> int | None:
    """The size of an RSA key of a usual size and exponent, as its bytes show; of others openssl reads the numbers."""
    key = request.key_bits
    if request.key_algorithm[0] == x509.RSA:
        for bits, (before, after) in _USUAL_KEYS.items():
            whole = len(key) == len(before) + bits // 8 + len(after)
            if whole and key.startswith(before) and key.endswith(after) and key[len(before)] & 0x80:
                return bits
    return None


def _key(label: str, request: Request, rsa_numbers: Iterator[tuple[int, int]]) -> str:
    algorithm = request.key_algorithm
    if algorithm[0] == x509.RSA:
        modulus, exponent = next(rsa_numbers)
        bits = modulus.bit_length()
        if not SMALLEST_RSA <= bits <= LARGEST_RSA:
            raise DatabaseCaError(
                f"{label} has an RSA key of {bits} bits; {SMALLEST_RSA} to {LARGEST_RSA} are accepted", _NEW_REQUEST
            )
        if not SMALLEST_EXPONENT <= exponent < LARGEST_EXPONENT or exponent % 2 == 0:
            raise DatabaseCaError(f"{label} has an RSA key with the unsafe exponent {exponent}"[:200], _NEW_REQUEST)
        return f"RSA {bits} bits"
    return f"EC {_CURVES[algorithm[1]]}" if algorithm[0] == _EC else "Ed25519"


def _alternative_names(label: str, names: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    if not names:
        raise DatabaseCaError(f"{label} has a subjectAltName without names")
    for kind, text in names:
        if kind not in ("DNS", "IP"):
            raise DatabaseCaError(
                f"{label} asks for an alternative name that is neither DNS nor IP", "databases compare only those"
            )
        try:
            plain = alternative_name(f"{kind}:{text}")
        except DatabaseCaError:
            plain = None
        if plain != (kind, text):
            raise DatabaseCaError(f"{label} asks for the alternative name {shown(text)}, which is no host name")
    if len(set(names)) != len(names):
        raise DatabaseCaError(f"{label} asks for an alternative name twice")
    return names


def _value(request: Request, kind: str) -> bytes | None:
    return next((extension.value for oid, extension in request.extensions if oid == kind), None)
