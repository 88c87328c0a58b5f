"""The outline of DER data as `openssl asn1parse` reads it: which element lies where, of how many bytes.

openssl does the parsing; what is kept here are offsets into the bytes, so that two structures can be compared
and a value taken out without believing any text that openssl prints of it. A string inside a request may hold
anything, also lines that look like output of asn1parse: the reader steps over every string by its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from dbca_openssl.openssl import OpenSSL

_LINE = re.compile(rb" *(\d+):d=\d+ +hl=(\d+) l= *(\d+) (cons|prim): (.{18})")
_PRINTED_AS_THEY_ARE = {
    b"PRINTABLESTRING", b"T61STRING", b"IA5STRING", b"VISIBLESTRING", b"NUMERICSTRING", b"UTF8STRING",
    b"UTCTIME", b"GENERALIZEDTIME", b"OCTET STRING",
}  # fmt: skip


_CONSTRUCTED, _CLASS, _NUMBER = 0x20, 0xC0, 0x1F
_SEQUENCE, _SET = 0x10, 0x11
"""Parts of the first byte of an element (X.690, 8.1.2)."""


class UnreadableError(ValueError):
    """The bytes are not one well-formed DER structure."""


class Element(NamedTuple):
    """One element: its tag as asn1parse calls it, its bytes, its content, and the elements in it."""

    tag: str
    encoded: bytes
    content: bytes
    parts: tuple[Element, ...]

    @property
    def constructed(self) -> bool:
        """Whether it consists of elements, and is not a plain value."""
        return bool(self.encoded[0] & _CONSTRUCTED)

    def text(self) -> str:
        """The content of a string, decoded as UTF-8; raises UnreadableError where it is none."""
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError:
            raise UnreadableError("a string is not UTF-8") from None

    def number(self) -> int:
        """The content of an INTEGER; raises UnreadableError where it is none."""
        if self.tag != "INTEGER":
            raise UnreadableError("there is no number where one should be")
        return int.from_bytes(self.content, "big", signed=True)


def read(openssl: OpenSSL, structures: Iterable[bytes]) -> list[Element]:
    """One outline for each of `structures`, by a single `openssl asn1parse` over all of them (asn1parse(1)).

    Raises UnreadableError where any of them is not exactly one DER structure.
    """
    encoded = list(structures)
    if not encoded:
        return []
    data = b"".join(encoded)
    result = openssl.run(("asn1parse", "-inform", "DER"), directory=Path("/"), data=data)
    if result.code != 0:
        raise UnreadableError("openssl asn1parse cannot read it")
    elements = _nested(data, list(_headers(data, result.output))[::-1], len(data))
    if [element.encoded for element in elements] != encoded:
        raise UnreadableError("it is not one structure")
    return elements


class _Header(NamedTuple):
    offset: int
    begin: int
    length: int
    constructed: bool
    tag: bytes


def _headers(data: bytes, output: bytes) -> Iterator[_Header]:
    """The lines of asn1parse, each checked against the place where the one before it ends."""
    position = expected = 0
    while position < len(output):
        match = _LINE.match(output, position)
        if not match:
            raise UnreadableError("openssl asn1parse printed what it should not")
        digits, header_digits, length_digits, kind, padded_tag = match.groups()
        offset, header, length = int(digits), int(header_digits), int(length_digits)
        constructed, tag = kind == b"cons", padded_tag.rstrip()
        if offset != expected:
            raise UnreadableError("an element is not where it should be")
        if not _is_distinguished(data[offset], header, length):
            raise UnreadableError("it is not in DER form")
        position, begin = match.end(), offset + header
        if not constructed and tag in _PRINTED_AS_THEY_ARE:
            content = data[begin : begin + length]
            if output.startswith(b":" + content, position):
                position += 1 + length
        end = output.find(b"\n", position)
        position = len(output) if end < 0 else end + 1
        expected = begin if constructed else begin + length
        yield _Header(offset, begin, length, constructed, tag)
    if expected != len(data):
        raise UnreadableError("it ends too early")


def _is_distinguished(first: int, header: int, length: int) -> bool:
    """Whether an element is as DER has it: its length in the shortest form, and no string put together from pieces.

    Where two encodings mean the same, two programs may see two different requests (X.690, 10.1 and 10.2).
    """
    if header != (2 if length < 128 else 2 + (length.bit_length() + 7) // 8) or first & _NUMBER == _NUMBER:
        return False
    return bool(first & _CLASS) or bool(first & _CONSTRUCTED) == (first & _NUMBER in (_SEQUENCE, _SET))


def _nested(data: bytes, headers: list[_Header], end: int) -> list[Element]:
    """The elements before the offset `end`; takes their headers from the end of the list, where the first one is."""
    elements = []
    while headers and headers[-1].offset < end:
        offset, begin, length, constructed, tag = headers.pop()
        finish = begin + length
        parts = tuple(_nested(data, headers, finish)) if constructed else ()
        elements.append(Element(tag.decode(), data[offset:finish], data[begin:finish], parts))
    return elements
