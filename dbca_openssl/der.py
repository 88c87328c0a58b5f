"""A strict reader of DER, the encoding of requests, certificates and CRLs (X.690): tag, length, value.

Where two encodings mean the same, two programs may see two different requests, so only the one that DER allows is
read (X.690, 10.1 and 10.2): tags of one byte, the shortest definite length, no string put together from pieces.
"""

from __future__ import annotations

from typing import NamedTuple

BOOLEAN, INTEGER, BIT_STRING, OCTET_STRING, OBJECT, UTF8_STRING = 0x01, 0x02, 0x03, 0x04, 0x06, 0x0C
PRINTABLE_STRING, IA5_STRING, UTC_TIME, GENERALIZED_TIME = 0x13, 0x16, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31

DEEPEST = 128
"""Levels of elements within elements, as many as `openssl asn1parse` reads; a certificate has about ten."""

_CLASS, _CONSTRUCTED, _NUMBER = 0xC0, 0x20, 0x1F
"""The parts of a tag (X.690, 8.1.2)."""


class UnreadableError(ValueError):
    """The bytes are not one well-formed DER element, or not the structure that they should be."""


class Element(NamedTuple):
    """One element: its tag, its bytes, its content, and the elements in it."""

    tag: int
    encoded: bytes
    content: bytes
    parts: tuple[Element, ...]

    def text(self) -> str:
        """The content of a string, decoded as UTF-8. Raises UnreadableError where it is not UTF-8."""
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError:
            raise UnreadableError("a string is not UTF-8") from None

    def number(self) -> int:
        """The value of an INTEGER. Raises UnreadableError where it is none, or longer than it need be (8.3.2)."""
        value = int.from_bytes(self.content, "big", signed=True)
        if self.tag != INTEGER or len(self.content) != (value + (value < 0)).bit_length() // 8 + 1:
            raise UnreadableError("there is no number where one should be")
        return value


def read(data: bytes, levels: int = DEEPEST + 1) -> Element:
    """The one element in `data`, with all that is in it, or so many `levels` of it. Raises UnreadableError."""
    element, end = _element(data, 0, len(data), 0, levels)
    if end != len(data):
        raise UnreadableError("something follows it")
    return element


def _element(data: bytes, start: int, limit: int, depth: int, levels: int) -> tuple[Element, int]:
    """The element that starts at an offset, and the offset behind it; `limit` is where it must end at the latest."""
    if limit - start < 2 or depth > DEEPEST:
        raise UnreadableError("it is incomplete" if depth <= DEEPEST else "it has too many levels")
    tag, length, begin = data[start], data[start + 1], start + 2
    is_made_of_parts = tag | _CONSTRUCTED in (SEQUENCE, SET)
    if tag & _NUMBER == _NUMBER or not (tag & _CLASS or bool(tag & _CONSTRUCTED) == is_made_of_parts):
        raise UnreadableError("it is not in DER form")
    if length > 0x7F:
        begin += length & 0x7F
        length = int.from_bytes(data[start + 2 : begin], "big")
        if begin - start != 2 + (length.bit_length() + 7) // 8 or length < 0x80:
            raise UnreadableError("it is not in DER form")
    end = begin + length
    if end > limit:
        raise UnreadableError("it is incomplete")
    parts, position = [], begin
    while tag & _CONSTRUCTED and position < end and depth < levels:
        part, position = _element(data, position, end, depth + 1, levels)
        parts.append(part)
    return Element(tag, data[start:end], data[begin:end], tuple(parts)), end
