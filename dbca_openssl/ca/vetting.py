"""What a request must be before the CA signs it: openssl itself signs nearly anything (ca(1), "WARNINGS").

With the guide's `copy_extensions = copy` every extension that `[ cert_ext ]` does not name is taken over from the
request, so only the guide's own are let through, and SANs only with the signer's consent. The request's signature is
checked by `openssl ca` when it signs; all else is decided here, before any file is changed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import files, pem, x509
from dbca_openssl.algorithm import LARGEST_RSA, SMALLEST_RSA
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError, of_system
from dbca_openssl.names import RESERVED, alternative_name, is_entity_name, shown
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.x509 import AlternativeNames, Certificate, Request

PEM_LABEL = "CERTIFICATE REQUEST"

LARGEST_FILE = 64 * 1024
"""Bytes: a request of the largest accepted key with dozens of names has less than 8 KiB."""

SMALLEST_EXPONENT, LARGEST_EXPONENT = 65537, 2**256
"""FIPS 186-5, 5.1: an odd exponent between 2**16 and 2**256."""

_SIGNATURES = {
    *("2A864886F70D01010B", "2A864886F70D01010C", "2A864886F70D01010D"),  # RSA with SHA-256, -384, -512
    *("2A8648CE3D040302", "2A8648CE3D040303", "2A8648CE3D040304"),  # ECDSA with the same
    *(x509.ED25519, x509.ML_DSA_44, x509.ML_DSA_65),
}
_WEAK_SIGNATURES = {
    "2A864886F70D010102": "MD2",
    "2A864886F70D010104": "MD5",
    "2A864886F70D010105": "SHA-1",
    "2B0E03021D": "SHA-1",
    "2A8648CE3D0401": "SHA-1",
    "2A8648CE380403": "SHA-1",
}

_NO_AUTHORITY = {b"\x30\x00", b"\x30\x03\x01\x01\x00"}
"""basicConstraints with CA:FALSE, as openssl and as others write it."""

_STRONG_PREFIX = "6086480165030403"
"""NIST's own identifiers of signatures: with SHA-2 and SHA-3, ML-DSA, SLH-DSA."""
_OTHERS_BY_AN_AUTHORITY = {"2B6571", "2A864886F70D01010F", "2A864886F70D010110"}  # Ed448, RSA with SHA-512/224, /256
_PSS, _SHA2 = "2A864886F70D01010A", "6086480165030402"

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
    alternative_names: AlternativeNames = ()
    alternative_names_value: bytes | None = None

    @property
    def names_beyond_its_own(self) -> tuple[str, ...]:
        """The SANs that need the signer's consent: all but the common name itself."""
        return tuple(name for _, name in self.alternative_names if name != self.name)


def read_file(path: Path) -> bytes:
    """The bytes of a request file. Raises DatabaseCaError where it is no readable regular file of at most 64 KiB."""
    try:
        return files.read_file(path, LARGEST_FILE)
    except OSError as error:
        hint = "a request is NAME.req.pem, made on the host"
        raise of_system(f"cannot read the request {path}", error, hint) from None


def vet(openssl: OpenSSL, label: str, data: bytes) -> Vetted:
    """The request in the bytes of a file, which messages call `label`.

    Raises DatabaseCaError with the reason where it may not be signed.
    """
    try:
        encoded = _one_request(label, data)
        request = x509.request(encoded)
        name = _common_name(label, request)
        key = _key(openssl, label, request)
        _check_signature(label, request)
        _check_extensions(label, request)
        value = dict(request.extensions).get(x509.ALTERNATIVE_NAME)
        names = () if value is None else _alternative_names(label, x509.alternative_names(value))
    except UnreadableError as error:
        raise DatabaseCaError(f"{label} is no request that can be read: {error}", _NEW_REQUEST) from None
    return Vetted(name, data, encoded, request.public_key, key, names, value)


def _one_request(label: str, data: bytes) -> bytes:
    """The DER bytes of the only PEM block. Raises UnreadableError where it is damaged, else DatabaseCaError."""
    begins = re.findall(rb"-----BEGIN ([^-\n]*)-----", data)
    if any(b"PRIVATE KEY" in kind for kind in begins):
        hint = "keys stay on their host; only NAME.req.pem is copied, so make a new pair"
        raise DatabaseCaError(f"there is a private key in {label}", hint)
    if any(b"CERTIFICATE" in kind and b"REQUEST" not in kind for kind in begins):
        raise DatabaseCaError(f"there is a certificate in {label}, not a request", "a request is NAME.req.pem")
    if len(begins) > 1:
        raise DatabaseCaError(f"there is more than one request in {label}", "a file has one request")
    blocks = pem.pem_blocks(data)
    if not blocks or blocks[0][0] not in (PEM_LABEL, f"NEW {PEM_LABEL}"):
        hint = _NEW_REQUEST
        if data.startswith(b"0\x82"):
            hint = "if it is one in DER form: openssl req -inform DER -in FILE -out NAME.req.pem"
        raise DatabaseCaError(f"{label} is not a certificate request in PEM form", hint)
    return blocks[0][1]


def _common_name(label: str, request: Request) -> str:
    kinds = [kind for kind, _ in request.subject]
    names = [text for kind, text in request.subject if kind == x509.COMMON_NAME]
    if len(names) != 1:
        raise DatabaseCaError(f"{label} has {len(names) or 'no'} common name{'s' if names else ''} where one is needed")
    unknown = set(kinds) - {x509.COMMON_NAME, x509.ORGANIZATION}
    if request.multi_valued or kinds.count(x509.ORGANIZATION) > 1 or unknown:
        raise DatabaseCaError(
            f"the subject of {label} has more in it than a common name and an organization",
            "the certificate would have the common name only; " + _NEW_REQUEST,
        )
    if names[0].lower() == RESERVED or not is_entity_name(names[0]):
        raise DatabaseCaError(
            f"{label} asks for the common name {shown(names[0])}, which is no name of a host or a client"
        )
    return names[0]


def is_harmless(certificate: Certificate) -> bool:
    """Whether an issued certificate is what a server or client needs: no CA's, for TLS alone, and well signed.

    What it may do is the configuration's decision, and a careless one is noticed here (RFC 5280, 4.2.1).
    """
    algorithm, *parameters = certificate.signature_algorithm
    well_signed = (
        algorithm in _SIGNATURES | _OTHERS_BY_AN_AUTHORITY
        or algorithm.startswith(_STRONG_PREFIX)
        or (algorithm == _PSS and _SHA2 in "".join(parameters))
    )
    usage = certificate.extension(x509.KEY_USAGE) or b""
    netscape = certificate.extension(x509.NETSCAPE_TYPE) or b""
    extended = certificate.extension(x509.EXTENDED_KEY_USAGE)
    try:
        purposes = x509.purposes(extended) if extended is not None else []
    except UnreadableError:
        return False
    return (
        well_signed
        and certificate.extension(x509.BASIC_CONSTRAINTS) in _NO_AUTHORITY
        and not (len(usage) > 3 and usage[3] & 0x06)  # keyCertSign and cRLSign
        and not (len(netscape) > 3 and netscape[3] & 0x3F)  # all but sslClient and sslServer
        and {_SERVER[4:], _CLIENT[4:]}.issuperset(purposes)
    )


def _check_signature(label: str, request: Request) -> None:
    if weak := _WEAK_SIGNATURES.get(request.signature_algorithm):
        raise DatabaseCaError(f"{label} is signed with {weak}, which can be forged", _NEW_REQUEST)
    if request.signature_algorithm not in _SIGNATURES:
        raise DatabaseCaError(
            f"{label} is signed in a way that is not accepted",
            "accepted: RSA or ECDSA with SHA-256, SHA-384 or SHA-512; Ed25519; ML-DSA-44 or -65",
        )


def _check_extensions(label: str, request: Request) -> None:
    accepted = {x509.EXTENSION_REQUEST, x509.CHALLENGE_PASSWORD, x509.UNSTRUCTURED_NAME}
    if set(request.attributes) - accepted:
        raise DatabaseCaError(f"{label} has attributes that are not accepted", _NEW_REQUEST)
    if request.attributes.count(x509.EXTENSION_REQUEST) > 1:
        raise DatabaseCaError(f"{label} asks for its extensions twice", _NEW_REQUEST)
    seen = set()
    for kind, value in request.extensions:
        name = _EXTENSION_NAMES.get(kind, f"with the identifier {kind}")
        if kind in seen:
            raise DatabaseCaError(f"{label} has the extension {name} twice")
        seen.add(kind)
        if kind == x509.ALTERNATIVE_NAME:
            continue
        if kind == x509.SUBJECT_KEY_IDENTIFIER:
            if len(value) == 22 and value.startswith(b"\x04\x14"):
                continue
        elif value.hex().upper() in _ALLOWED_VALUES.get(kind, ()):
            continue
        elif kind == x509.BASIC_CONSTRAINTS:
            raise DatabaseCaError(f"{label} asks to be a CA")
        raise DatabaseCaError(
            f"{label} asks for the extension {name} in a way that the guide's requests do not", _NEW_REQUEST
        )


def _key(openssl: OpenSSL, label: str, request: Request) -> str:
    """What the key is, in words; raises DatabaseCaError where it is a weak one or none."""
    kind = x509.KEYS.get(request.key_algorithm)
    if kind is None:
        raise DatabaseCaError(
            f"{label} has a key of a kind that is not accepted",
            f"accepted: RSA of {SMALLEST_RSA} to {LARGEST_RSA} bits; EC on P-256, P-384 or P-521; Ed25519; "
            "ML-DSA-44 or -65",
        )
    if kind != "RSA":
        _require_loadable(openssl, label, request, kind)
        return kind
    modulus, exponent = x509.rsa_numbers(request.key_bits)
    bits = modulus.bit_length()
    if not SMALLEST_RSA <= bits <= LARGEST_RSA:
        raise DatabaseCaError(
            f"{label} has an RSA key of {bits} bits; {SMALLEST_RSA} to {LARGEST_RSA} are accepted", _NEW_REQUEST
        )
    if not SMALLEST_EXPONENT <= exponent < LARGEST_EXPONENT or exponent % 2 == 0:
        raise DatabaseCaError(f"{label} has an RSA key with the unsafe exponent {exponent}"[:200], _NEW_REQUEST)
    return f"RSA {bits} bits"


def _require_loadable(openssl: OpenSSL, label: str, request: Request, kind: str) -> None:
    """Raise DatabaseCaError where openssl takes the key for none: its point is not on the curve, or too long.

    `openssl ca` fails on such a key without naming the request, and with it everybody who is signed at the same time.
    """
    key = pem.pem("PUBLIC KEY", request.public_key)
    result = openssl.run(("pkey", "-pubin"), directory=Path("/"), data=key)
    if result.code != 0 or b"PUBLIC KEY" not in result.output:
        newer = ("openssl version tells: ML-DSA needs OpenSSL 3.5 or newer",) if kind.startswith("ML-DSA") else ()
        message = f"{label} has a key that is not valid on {kind}"
        raise DatabaseCaError(message, *newer, _NEW_REQUEST, detail=result.messages)


def _alternative_names(label: str, names: AlternativeNames) -> AlternativeNames:
    if not names:
        raise DatabaseCaError(f"{label} has a subjectAltName without names")
    for kind, text in names:
        if kind not in ("DNS", "IP"):
            raise DatabaseCaError(
                f"{label} asks for a SAN that is neither DNS nor IP", "databases compare only DNS names and addresses"
            )
        try:
            plain = alternative_name(f"{kind}:{text}")
        except DatabaseCaError:
            plain = None
        if plain != (kind, text):
            raise DatabaseCaError(f"{label} asks for the SAN {shown(text)}, which is no host name")
    if len(set(names)) != len(names):
        raise DatabaseCaError(f"{label} asks for the same SAN twice")
    return names
