"""PEM: blocks of base64 between two lines with a label (RFC 7468)."""

from __future__ import annotations

import binascii
import re

from dbca_openssl.der import UnreadableError

_PEM = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----[ \t]*\r?\n(.*?)^-----END \1-----", re.DOTALL | re.MULTILINE)


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
        raise UnreadableError("a PEM block in it is incomplete")
    return blocks


def pem(label: str, encoded: bytes) -> bytes:
    """One PEM block of DER bytes, and nothing else."""
    text = binascii.b2a_base64(encoded, newline=False).decode("ascii")
    lines = (text[start : start + 64] for start in range(0, len(text), 64))
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", "")).encode()
