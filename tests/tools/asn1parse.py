"""DER data as `openssl asn1parse` sees it: the oracle for the package's own reader.

openssl does the parsing; what is kept are offsets into the bytes. A string inside a request may hold anything, also
lines that look like output of asn1parse: the text is stepped over by the length of each string.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

_LINE = re.compile(rb" *(\d+):d=\d+ +hl=(\d+) l= *(\d+) (cons|prim): (.{18})")
_PRINTED_AS_THEY_ARE = {
    b"PRINTABLESTRING", b"T61STRING", b"IA5STRING", b"VISIBLESTRING", b"NUMERICSTRING", b"UTF8STRING",
    b"UTCTIME", b"GENERALIZEDTIME", b"OCTET STRING",
}  # fmt: skip


_CONSTRUCTED, _CLASS, _NUMBER = 0x20, 0xC0, 0x1F
_SEQUENCE, _SET = 0x10, 0x11
"""Parts of the first byte of an element (X.690, 8.1.2)."""


def nodes(data: bytes) -> list[tuple[int, int, int, int]] | None:
    """Offset, length with the header, length of the content and tag of every element; None where `data` is refused."""
    result = subprocess.run(
        ("openssl", "asn1parse", "-inform", "DER"), input=data, capture_output=True, check=False, timeout=60
    )
    if result.returncode != 0 or not data:
        return None
    try:
        headers = list(_headers(data, result.stdout))
    except ValueError:
        return None
    if headers[0].begin + headers[0].length != len(data):
        return None
    return [(one.offset, one.begin - one.offset + one.length, one.length, data[one.offset]) for one in headers]


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
            raise ValueError("openssl asn1parse printed what it should not")
        digits, header_digits, length_digits, kind, padded_tag = match.groups()
        offset, header, length = int(digits), int(header_digits), int(length_digits)
        constructed, tag = kind == b"cons", padded_tag.rstrip()
        if offset != expected:
            raise ValueError("an element is not where it should be")
        if not _is_distinguished(data[offset], header, length):
            raise ValueError("it is not in DER form")
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
        raise ValueError("it ends too early")


def _is_distinguished(first: int, header: int, length: int) -> bool:
    """Whether an element is as DER has it: its length in the shortest form, and no string put together from pieces.

    Where two encodings mean the same, two programs may see two different requests (X.690, 10.1 and 10.2).
    """
    if header != (2 if length < 128 else 2 + (length.bit_length() + 7) // 8) or first & _NUMBER == _NUMBER:
        return False
    return bool(first & _CLASS) or bool(first & _CONSTRUCTED) == (first & _NUMBER in (_SEQUENCE, _SET))
