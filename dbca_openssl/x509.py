"""Requests and certificates as data, out of the outline that `openssl asn1parse` gives of them (RFC 2986, RFC 5280).

Object identifiers are compared as their bytes, in hex, since openssl's names for them differ between versions.
"""

from __future__ import annotations

import binascii
import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from dbca_openssl import der
from dbca_openssl.dates import asn1_time
from dbca_openssl.der import Element, UnreadableError
from dbca_openssl.openssl import OpenSSL

COMMON_NAME, ORGANIZATION = "550403", "55040A"

EXTENSION_REQUEST = "2A864886F70D01090E"
CHALLENGE_PASSWORD, UNSTRUCTURED_NAME = "2A864886F70D010907", "2A864886F70D010902"

BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE = "551D13", "551D0F", "551D25"
SUBJECT_KEY_IDENTIFIER, ALTERNATIVE_NAME, AUTHORITY_KEY_IDENTIFIER = "551D0E", "551D11", "551D23"

RSA = "2A864886F70D010101"

_PEM = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)^-----END \1-----", re.DOTALL | re.MULTILINE)

AlternativeNames = tuple[tuple[str, str], ...]
"""The names in a subjectAltName: `DNS` or `IP` and the name; other kinds as `kind N` and an empty text."""


class Extension(NamedTuple):
    """An extension's `extnValue` (DER), and whether it is critical."""

    critical: bool
    value: bytes


class Request(NamedTuple):
    """A certificate request: its subject as pairs of type and text, key, attributes, extensions, signature.

    `key_algorithm` is an identifier and its parameter: another identifier (of a curve), or the tag of what is there.
    """

    subject: tuple[tuple[str, str], ...]
    multi_valued: bool
    public_key: bytes
    key_algorithm: tuple[str, ...]
    key_bits: bytes
    attributes: tuple[str, ...]
    extensions: tuple[tuple[str, Extension], ...]
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
    extensions: tuple[tuple[str, Extension], ...]

    @property
    def common_name(self) -> str:
        """The last common name in the subject, or an empty text."""
        return next((text for kind, text in reversed(self.subject_parts) if kind == COMMON_NAME), "")

    def extension(self, kind: str) -> bytes | None:
        """The value of an extension, or None where the certificate has none of that kind."""
        return next((extension.value for oid, extension in self.extensions if oid == kind), None)


def pem_blocks(data: bytes) -> list[tuple[str, bytes]]:
    """The label and the DER bytes of every PEM block; text around the blocks is passed over.

    Raises UnreadableError where a block is not plain base64 (it has headers, for example).
    """
    blocks = []
    for label, body in _PEM.findall(data):
        try:
            blocks.append((label.decode(), binascii.a2b_base64(b"".join(body.split()), strict_mode=True)))
        except binascii.Error:
            raise UnreadableError("its PEM block is not plain base64") from None
    if len(blocks) != data.count(b"-----BEGIN "):
        raise UnreadableError("a PEM block in it is not complete")
    return blocks


def pem(label: str, encoded: bytes) -> bytes:
    """One PEM block of DER bytes, and nothing else."""
    text = binascii.b2a_base64(encoded, newline=False).decode("ascii")
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()


def certificate_der(data: bytes) -> bytes:
    """The DER bytes of the one certificate in a file. Raises UnreadableError where there is none, or more."""
    blocks = [der for label, der in pem_blocks(data) if label in ("CERTIFICATE", "X509 CERTIFICATE")]
    if len(blocks) != 1:
        raise UnreadableError("it does not hold exactly one certificate")
    return blocks[0]


def crl_der(data: bytes) -> bytes:
    """The DER bytes of the one revocation list in a file. Raises UnreadableError where there is none, or more."""
    blocks = [der for label, der in pem_blocks(data) if label == "X509 CRL"]
    if len(blocks) != 1:
        raise UnreadableError("it does not hold exactly one revocation list")
    return blocks[0]


def revoked_serials(openssl: OpenSSL, encoded: bytes) -> list[int]:
    """The serials in a revocation list (RFC 5280, 5.1.2.6). Raises UnreadableError."""
    (element,) = der.read(openssl, [encoded])
    information = element.parts[0]
    times = [number for number, part in enumerate(information.parts) if part.tag in ("UTCTIME", "GENERALIZEDTIME")]
    if not times:
        raise UnreadableError("it has no dates")
    following = information.parts[times[-1] + 1 : times[-1] + 2]
    if not following or following[0].tag != "SEQUENCE":  # none is revoked, and its extensions follow at once
        return []
    return [entry.parts[0].number() for entry in following[0].parts]


def requests_and_certificates(
    openssl: OpenSSL, requests: Sequence[bytes], certificates: Sequence[bytes]
) -> tuple[list[Request], list[Certificate]]:
    """The requests and the certificates in DER bytes, by one openssl for all. Raises UnreadableError."""
    elements = der.read(openssl, (*requests, *certificates))
    return list(map(_request, elements[: len(requests)])), list(map(_certificate, elements[len(requests) :]))


def certificates(openssl: OpenSSL, encoded: Sequence[bytes]) -> list[Certificate]:
    """The certificates in `encoded` (DER each), by one openssl for all. Raises UnreadableError."""
    return requests_and_certificates(openssl, (), encoded)[1]


def keys_and_names(
    openssl: OpenSSL, keys: Sequence[bytes], values: Sequence[bytes]
) -> tuple[list[tuple[int, int]], list[AlternativeNames]]:
    """Modulus and exponent of each RSA key (the content of its BIT STRING), and the names in each subjectAltName.

    By one openssl for all. Raises UnreadableError.
    """
    elements = der.read(openssl, (*keys, *values))
    return list(map(_rsa_numbers, elements[: len(keys)])), list(map(_alternative_names, elements[len(keys) :]))


def alternative_names(openssl: OpenSSL, values: Sequence[bytes]) -> list[AlternativeNames]:
    """The names in each subjectAltName, by one openssl for all. Raises UnreadableError."""
    return keys_and_names(openssl, (), values)[1]


def name_a_serial(openssl: OpenSSL, values: Sequence[bytes]) -> list[bool]:
    """Whether each authorityKeyIdentifier names its issuer's certificate by the serial too (RFC 5280, 4.2.1.1).

    Raises UnreadableError.
    """
    return [any(part.tag == "cont [ 2 ]" for part in element.parts) for element in der.read(openssl, values)]


def _request(element: Element) -> Request:
    information, algorithm, _ = _exactly(element.parts, 3)
    if len(information.parts) == 3:  # without attributes, which some programs leave out
        information = Element("", b"", b"", (*information.parts, Element("cont [ 0 ]", b"", b"", ())))
    version, subject, key, attributes = _exactly(information.parts, 4)
    if version.number() != 0:
        raise UnreadableError("its version is not 1")
    key_algorithm, bits = _exactly(key.parts, 2)
    if bits.tag != "BIT STRING" or bits.content[:1] != b"\0":  # the number of bits to be cut off at the end
        raise UnreadableError("its key is not in whole bytes")
    kinds, extensions = [], []
    for attribute in attributes.parts:
        kind, values = _exactly(attribute.parts, 2)
        kinds.append(_oid(kind))
        if kinds[-1] == EXTENSION_REQUEST:
            if not values.parts:
                raise UnreadableError("it asks for extensions, but for none")
            kinds += kinds[-1:] * (len(values.parts) - 1)
            extensions += [one for sequence in values.parts for one in _extensions(sequence)]
    return Request(
        subject=_name(subject),
        multi_valued=any(len(part.parts) != 1 for part in subject.parts),
        public_key=key.encoded,
        key_algorithm=_algorithm(key_algorithm),
        key_bits=bits.content[1:],
        attributes=tuple(kinds),
        extensions=tuple(extensions),
        signature_algorithm=_oid(*algorithm.parts[:1]),
    )


def _certificate(element: Element) -> Certificate:
    information, _, _ = _exactly(element.parts, 3)
    parts = [part for part in information.parts if not part.tag.startswith("cont [ 0")]  # the version
    if len(parts) < 6:
        raise UnreadableError("it is no certificate")
    serial, _, issuer, validity, subject, key, *more = parts
    start, end = _exactly(validity.parts, 2)
    extensions = next((part for part in more if part.tag == "cont [ 3 ]"), None)
    try:
        period = asn1_time(start.text()), asn1_time(end.text())
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    return Certificate(
        encoded=element.encoded,
        serial=serial.number(),
        issuer=issuer.encoded,
        subject=subject.encoded,
        subject_parts=_name(subject),
        start=period[0],
        end=period[1],
        public_key=key.encoded,
        extensions=tuple(_extensions(_exactly(extensions.parts, 1)[0])) if extensions else (),
    )


def _name(element: Element) -> tuple[tuple[str, str], ...]:
    pairs = []
    for part in element.parts:
        if not part.parts:
            raise UnreadableError("there is a part without a value in its subject")
        for attribute in part.parts:
            kind, value = _exactly(attribute.parts, 2)
            if value.tag not in ("UTF8STRING", "PRINTABLESTRING", "IA5STRING"):
                raise UnreadableError(f"its subject has a {value.tag or 'text'} of a kind that is no longer used")
            pairs.append((_oid(kind), value.text()))
    return tuple(pairs)


def _extensions(sequence: Element) -> list[tuple[str, Extension]]:
    found = []
    for extension in sequence.parts:
        if len(extension.parts) not in (2, 3):
            raise UnreadableError("an extension in it is not well-formed")
        kind, *critical, value = extension.parts
        if value.tag != "OCTET STRING" or any(flag.tag != "BOOLEAN" for flag in critical):
            raise UnreadableError("an extension in it is not well-formed")
        found.append((_oid(kind), Extension(bool(critical) and critical[0].content != b"\0", value.content)))
    return found


def _rsa_numbers(element: Element) -> tuple[int, int]:
    modulus, exponent = (part.number() for part in _exactly(element.parts, 2))
    if min(modulus, exponent) < 0:
        raise UnreadableError("its RSA key has a negative number")
    return modulus, exponent


def _alternative_names(element: Element) -> AlternativeNames:
    if element.tag != "SEQUENCE":
        raise UnreadableError("its subjectAltName is no list of names")
    return tuple(map(_alternative_name, element.parts))


def _alternative_name(element: Element) -> tuple[str, str]:
    if element.constructed:
        return element.tag.replace("cont", "kind"), ""
    if element.tag == "cont [ 2 ]":
        return "DNS", element.text()
    if element.tag == "cont [ 7 ]" and len(element.content) in (4, 16):
        return "IP", str(ipaddress.ip_address(element.content))
    return element.tag.replace("cont", "kind"), ""


def _algorithm(element: Element) -> tuple[str, ...]:
    kind, *parameters = element.parts or (None,)
    return (_oid(kind), *(_oid(part) if part.tag == "OBJECT" else part.tag for part in parameters))


def _oid(element: Element | None = None) -> str:
    if element is None or element.tag != "OBJECT":
        raise UnreadableError("there is no identifier where one should be")
    return element.content.hex().upper()


def _exactly(parts: tuple[Element, ...], count: int) -> tuple[Element, ...]:
    if len(parts) != count:
        raise UnreadableError("it does not have the parts that it should have")
    return parts
