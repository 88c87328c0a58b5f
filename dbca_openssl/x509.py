"""Requests and certificates as data (RFC 2986, RFC 5280), by the DER reader.

Object identifiers are compared as their bytes, in hex: openssl's names for them differ between versions.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from typing import NamedTuple

from dbca_openssl import der
from dbca_openssl.dates import asn1_time
from dbca_openssl.der import Element, UnreadableError
from dbca_openssl.pem import pem_blocks

COMMON_NAME, ORGANIZATION = "550403", "55040A"

EXTENSION_REQUEST = "2A864886F70D01090E"
CHALLENGE_PASSWORD, UNSTRUCTURED_NAME = "2A864886F70D010907", "2A864886F70D010902"

BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE = "551D13", "551D0F", "551D25"
SUBJECT_KEY_IDENTIFIER, ALTERNATIVE_NAME, AUTHORITY_KEY_IDENTIFIER = "551D0E", "551D11", "551D23"

NETSCAPE_TYPE = "6086480186F8420101"

RSA, EC, ED25519 = "2A864886F70D010101", "2A8648CE3D0201", "2B6570"
ML_DSA_44, ML_DSA_65 = "608648016503040311", "608648016503040312"

KEYS = {
    (RSA, "0500"): "RSA",
    (EC, "06082A8648CE3D030107"): "EC P-256",
    (EC, "06052B81040022"): "EC P-384",
    (EC, "06052B81040023"): "EC P-521",
    (ED25519,): "Ed25519",
    (ML_DSA_44,): "ML-DSA-44",
    (ML_DSA_65,): "ML-DSA-65",
}
"""The accepted algorithms with their parameters (RFC 3279, RFC 5480, RFC 8410, RFC 9881)."""

_KEY_USAGES = (
    *("digitalSignature", "nonRepudiation", "keyEncipherment", "dataEncipherment", "keyAgreement"),
    *("keyCertSign", "cRLSign", "encipherOnly", "decipherOnly"),
)
"""By the number of their bit (RFC 5280, 4.2.1.3)."""
_NAMES = {
    "2.5.4.3": "CN",
    "2.5.4.10": "O",
    "1.3.6.1.5.5.7.3.1": "serverAuth",
    "1.3.6.1.5.5.7.3.2": "clientAuth",
    "1.3.6.1.5.5.7.3.3": "codeSigning",
}
"""What openssl calls some identifiers."""

AlternativeNames = tuple[tuple[str, str], ...]
"""The names in a subjectAltName: `DNS` or `IP` and the name; other kinds as `kind N` and an empty text."""


class Request(NamedTuple):
    """A certificate request: its subject as pairs of type and text, key, attributes, extensions, signature.

    `key_algorithm` is an identifier and its parameters, which are DER in hex.
    """

    subject: tuple[tuple[str, str], ...]
    multi_valued: bool
    public_key: bytes
    key_algorithm: tuple[str, ...]
    key_bits: bytes
    attributes: tuple[str, ...]
    extensions: tuple[tuple[str, bytes], ...]
    signature_algorithm: str


class Certificate(NamedTuple):
    """A certificate: what is needed to compare it with its request and its issuer, and to show it."""

    encoded: bytes
    serial: int
    issuer: bytes
    subject: bytes
    subject_parts: tuple[tuple[str, str], ...]
    start: datetime
    end: datetime
    public_key: bytes
    extensions: tuple[tuple[str, bytes], ...]
    alternative_names: AlternativeNames
    signature_algorithm: tuple[str, ...]
    """Its identifier and parameters, as a request's `key_algorithm`."""
    names_issuers_serial: bool
    """Whether its authorityKeyIdentifier has the serial of the issuer's certificate (RFC 5280, 4.2.1.1)."""

    @property
    def common_name(self) -> str:
        """The last common name in the subject, or an empty text."""
        return next((text for kind, text in reversed(self.subject_parts) if kind == COMMON_NAME), "")

    @property
    def issuer_text(self) -> str:
        """The issuer's name in one line, as openssl-namedisplay-options(1) has it. Raises UnreadableError."""
        return ", ".join(f"{_named(kind)}={text}" for kind, text in _name(der.read(self.issuer)))

    @property
    def key(self) -> tuple[str, int | None]:
        """The kind of its key and the bits (None: its name says all). Raises UnreadableError."""
        algorithm, content = _key_parts(der.read(self.public_key))
        kind = KEYS.get(algorithm, "another kind")
        if kind == "RSA":
            return kind, rsa_numbers(content)[0].bit_length()
        return kind, int(kind.removeprefix("EC P-")) if algorithm[0] == EC and algorithm in KEYS else None

    @property
    def usages(self) -> tuple[list[str], list[str]]:
        """The names in its keyUsage and its extendedKeyUsage. Raises UnreadableError."""
        usage, extended = self.extension(KEY_USAGE), self.extension(EXTENDED_KEY_USAGE)
        bits = "".join(f"{byte:08b}" for byte in der.read(usage).content[1:]) if usage else ""
        names = [name for name, bit in zip(_KEY_USAGES, bits, strict=False) if bit == "1"]
        return names, [_named(kind) for kind in purposes(extended)] if extended else []

    def extension(self, kind: str) -> bytes | None:
        """The value of an extension, or None where the certificate has none of that kind."""
        return next((value for oid, value in self.extensions if oid == kind), None)


def certificate_in(data: bytes) -> Certificate:
    """The certificate in a PEM file. Raises UnreadableError, also where there are more.

    Of several, openssl would take one and we another.
    """
    certificates = certificates_in(data)
    if len(certificates) != 1:
        raise UnreadableError("it does not hold one certificate and nothing else")
    return certificates[0]


def certificates_in(data: bytes) -> list[Certificate]:
    """All certificates in a PEM file, such as those of two CAs. Raises UnreadableError, also where there is none."""
    return [certificate(block) for block in all_blocks(data, "certificates", "CERTIFICATE", "X509 CERTIFICATE")]


def alternative_names(value: bytes) -> AlternativeNames:
    """The names in a subjectAltName. Raises UnreadableError."""
    element = der.read(value)
    if element.tag != der.SEQUENCE:
        raise UnreadableError("its subjectAltName is no list of names")
    return tuple(map(_alternative_name, element.parts))


def purposes(value: bytes) -> list[str]:
    """The identifiers in an extendedKeyUsage (RFC 5280, 4.2.1.12). Raises UnreadableError."""
    return [_oid(part) for part in der.read(value).parts]


def rsa_numbers(key_bits: bytes) -> tuple[int, int]:
    """Modulus and exponent of an RSA key, the content of its BIT STRING. Raises UnreadableError."""
    modulus, exponent = (part.number() for part in _exactly(der.read(key_bits).parts, 2))
    if min(modulus, exponent) < 0:
        raise UnreadableError("its RSA key has a negative number")
    return modulus, exponent


def secret_of(public_key: bytes) -> tuple[object, ...]:
    """What all public keys have in common whose private keys follow from one another; to compare two of them.

    RSA: the modulus, which one private key is enough to factor. EC: the curve and the point's x: a point may be written
    compressed (RFC 5480, 2.2), and the private key of the one with the same x and the other y is n - d.
    Of a key that cannot be read it is all its bytes; UnreadableError is not raised.
    """
    try:
        algorithm, bits = _key_parts(der.read(public_key))
        if algorithm[0] == RSA:
            return RSA, rsa_numbers(bits)[0]
    except UnreadableError:
        return (public_key,)
    size = len(bits) - 1 if bits[:1] in (b"\x02", b"\x03") else len(bits) // 2
    return (*algorithm, bits[1 : 1 + size] if algorithm[0] == EC else bits)


def request(encoded: bytes) -> Request:
    """The request in DER bytes (RFC 2986, 4). Raises UnreadableError."""
    information, algorithm, _ = _exactly(der.read(encoded).parts, 3)
    parts = information.parts  # some programs leave out the attributes
    version, subject, key, *attributes = parts if len(parts) == 4 else _exactly(parts, 3)
    if version.number() != 0:
        raise UnreadableError("its version is not 1")
    kinds, extensions = [], []
    for attribute in attributes[0].parts if attributes else ():
        kind, values = _exactly(attribute.parts, 2)
        kinds.append(_oid(kind))
        if kinds[-1] == EXTENSION_REQUEST:
            if not values.parts:
                raise UnreadableError("it asks for extensions, but for none")
            kinds += kinds[-1:] * (len(values.parts) - 1)
            extensions += [one for sequence in values.parts for one in extensions_in(sequence)]
    key_algorithm, bits = _key_parts(key)
    return Request(
        subject=_name(subject),
        multi_valued=any(len(part.parts) != 1 for part in subject.parts),
        public_key=key.encoded,
        key_algorithm=key_algorithm,
        key_bits=bits,
        attributes=tuple(kinds),
        extensions=tuple(extensions),
        signature_algorithm=_oid(*algorithm.parts[:1]),
    )


def certificate(encoded: bytes) -> Certificate:
    """The certificate in DER bytes (RFC 5280, 4.1). Raises UnreadableError."""
    information, _, _ = _exactly(der.read(encoded).parts, 3)
    parts = [part for part in information.parts if part.tag != _context(0, constructed=True)]  # the version
    if len(parts) < 6:
        raise UnreadableError("it is no certificate")
    serial, algorithm, issuer, validity, subject, key, *more = parts
    wrapped = next((part for part in more if part.tag == _context(3, constructed=True)), None)
    extensions = extensions_in(_exactly(wrapped.parts, 1)[0]) if wrapped else []
    values = dict(extensions)
    issuer_key = der.read(values[AUTHORITY_KEY_IDENTIFIER]).parts if AUTHORITY_KEY_IDENTIFIER in values else ()
    try:
        start, end = (asn1_time(time.text()) for time in _exactly(validity.parts, 2))
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    return Certificate(
        encoded=encoded,
        serial=serial.number(),
        issuer=issuer.encoded,
        subject=subject.encoded,
        subject_parts=_name(subject),
        start=start,
        end=end,
        public_key=key.encoded,
        extensions=tuple(extensions),
        alternative_names=alternative_names(values[ALTERNATIVE_NAME]) if ALTERNATIVE_NAME in values else (),
        signature_algorithm=_algorithm(algorithm),
        names_issuers_serial=any(part.tag == _context(2) for part in issuer_key),
    )


def all_blocks(data: bytes, what: str, *labels: str) -> list[bytes]:
    """All PEM blocks in a file, each with one of the labels; `what` should be there. Raises UnreadableError."""
    blocks = pem_blocks(data)
    if not blocks or any(label not in labels for label, _ in blocks):
        raise UnreadableError(f"it does not hold {what} and nothing else")
    return [encoded for _, encoded in blocks]


def _key_parts(key: Element) -> tuple[tuple[str, ...], bytes]:
    """The algorithm of a SubjectPublicKeyInfo with its parameters, and the key itself (RFC 5280, 4.1.2.7)."""
    algorithm, bits = _exactly(key.parts, 2)
    if bits.tag != der.BIT_STRING or bits.content[:1] != b"\0":  # the number of bits to be cut off at the end
        raise UnreadableError("its key is not in whole bytes")
    return _algorithm(algorithm), bits.content[1:]


def _algorithm(element: Element) -> tuple[str, ...]:
    """An AlgorithmIdentifier: its identifier and its parameters, which are DER in hex (RFC 5280, 4.1.1.2)."""
    return _oid(*element.parts[:1]), *(part.encoded.hex().upper() for part in element.parts[1:])


def _name(element: Element) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in element.parts:
        if not part.parts:
            raise UnreadableError("there is a part without a value in its subject")
        for attribute in part.parts:
            kind, value = _exactly(attribute.parts, 2)
            if value.tag not in (der.UTF8_STRING, der.PRINTABLE_STRING, der.IA5_STRING):
                raise UnreadableError("its subject has a string of a kind that is no longer used")
            pairs.append((_oid(kind), value.text()))
    return tuple(pairs)


def extensions_in(sequence: Element) -> list[tuple[str, bytes]]:
    """Kind and value (DER) of the extensions of a request, a certificate, a CRL or an entry of one; critical or not.

    Raises UnreadableError.
    """
    found = []
    for extension in sequence.parts:
        if len(extension.parts) not in (2, 3):
            raise UnreadableError("an extension in it is not well-formed")
        kind, *critical, value = extension.parts
        if value.tag != der.OCTET_STRING or any(flag.tag != der.BOOLEAN for flag in critical):
            raise UnreadableError("an extension in it is not well-formed")
        found.append((_oid(kind), value.content))
    return found


def _alternative_name(element: Element) -> tuple[str, str]:
    if element.tag == _context(2):
        return "DNS", element.text()
    if element.tag == _context(7) and len(element.content) in (4, 16):
        return "IP", str(ipaddress.ip_address(element.content))
    return f"kind {element.tag & 0x1F}", ""


def _context(number: int, *, constructed: bool = False) -> int:
    """The tag `[number]` of the context-specific class (X.690, 8.1.2.2)."""
    return (0xA0 if constructed else 0x80) | number


def _oid(element: Element | None = None) -> str:
    if element is None or element.tag != der.OBJECT:
        raise UnreadableError("there is no identifier where one should be")
    return element.content.hex().upper()


def _named(oid: str) -> str:
    """What openssl calls an identifier, or its numbers (X.690, 8.19)."""
    numbers = [0]
    for byte in bytes.fromhex(oid):
        numbers[-1] = numbers[-1] << 7 | byte & 0x7F
        if byte < 0x80:
            numbers.append(0)
    first = min(numbers[0] // 40, 2)
    dotted = ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:-1])))
    return _NAMES.get(dotted, dotted)


def _exactly(parts: tuple[Element, ...], count: int) -> tuple[Element, ...]:
    if len(parts) != count:
        raise UnreadableError("it does not have the parts that it should have")
    return parts
