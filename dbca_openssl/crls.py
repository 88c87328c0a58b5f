"""CRLs as data (RFC 5280, 5), by the DER reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import der
from dbca_openssl.dates import asn1_time
from dbca_openssl.der import Element, UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.x509 import all_blocks, extensions_in

_NUMBER, _REASON = "551D14", "551D15"
_REASONS = {
    **dict(enumerate(("unspecified", "keyCompromise", "CACompromise", "affiliationChanged", "superseded"))),
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
}
"""The reasons of a revocation, by their numbers in a CRL and in openssl's words."""


class Crl(NamedTuple):
    """A CRL: its issuer's name (DER), from when until when it is valid, its number (-1: it has none), and what it
    revokes, with date and reason as in the index. `left_out` is how many expired certificates its maker left out.
    """

    encoded: bytes
    issuer: bytes
    start: datetime
    end: datetime
    number: int
    revoked: Mapping[int, tuple[str, str]]
    left_out: int = 0


def crl_in(data: bytes) -> Crl:
    """The only CRL in a PEM file. Raises UnreadableError."""
    crls = crls_in(data)
    if len(crls) != 1:
        raise UnreadableError("it holds more than one CRL")
    return crls[0]


def crls_in(data: bytes) -> list[Crl]:
    """All CRLs in a PEM file, such as those of two CAs. Raises UnreadableError, also where there is none."""
    return [_crl(block) for block in all_blocks(data, "CRLs", "X509 CRL")]


def require_signed(crl: Crl, openssl: OpenSSL, authorities: Path, label: str, *hints: str) -> None:
    """Raise DatabaseCaError unless a CA whose certificate is in the file `authorities` has signed it (crl(1))."""
    # of PEM on its standard input openssl reads each byte by itself, which takes seconds for 100,000 entries
    command = ("crl", "-inform", "DER", "-noout", "-CAfile", str(authorities.absolute()))
    result = openssl.run(command, directory=Path("/"), data=crl.encoded)
    if "verify OK" not in result.messages:
        raise DatabaseCaError(f"{label} is not a CRL of this CA", *hints, detail=result.messages)


def _crl(encoded: bytes) -> Crl:
    """The CRL in DER bytes (RFC 5280, 5.1.2)."""
    signed = der.read(encoded, levels=2).parts
    if len(signed) != 3:
        raise UnreadableError("it does not have the parts that it should have")
    parts = list(signed[0].parts)
    times = [number for number, part in enumerate(parts) if part.tag in (der.UTC_TIME, der.GENERALIZED_TIME)]
    if len(times) != 2 or times[0] == 0:
        raise UnreadableError("it does not have the two dates of a CRL")
    try:
        start, end = (asn1_time(parts[number].text()) for number in times)
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    more = parts[times[1] + 1 :]
    revoked = _revocations(more.pop(0)) if more and more[0].tag == der.SEQUENCE else {}
    wrapped = der.read(more[0].encoded).parts if more else ()
    extensions = dict(one for sequence in wrapped for one in extensions_in(sequence))
    number = der.read(extensions[_NUMBER]).number() if _NUMBER in extensions else -1
    return Crl(encoded, parts[times[0] - 1].encoded, start, end, number, revoked)


_ENTRY = re.compile(
    rb"\x30(.)\x02(.)((?!\0[\0-\x7f]|\xff[\x80-\xff]).{1,20}?)\x17\x0d(\d{12}Z)"
    rb"(?:\x30\x0c\x30\x0a\x06\x03\x55\x1d\x15\x04\x03\x0a\x01(.))?",
    re.DOTALL,
)
"""An entry of a CRL as openssl writes it: lengths, a serial in its shortest form, a date, and perhaps a reason."""


def _revocations(entries: Element) -> Mapping[int, tuple[str, str]]:
    """What the entries of a CRL revoke; the form of openssl's own is read twenty times faster than any other."""
    found, size = {}, 0
    for length, digits, serial, date, reason in _ENTRY.findall(entries.content):
        inner = 17 + len(serial) + 14 * len(reason)
        if (length[0], digits[0]) == (inner, len(serial)):
            size += inner + 2
            number = int.from_bytes(serial, "big", signed=True)
            found[number] = date.decode("ascii"), _REASONS.get(reason[0], "") if reason else ""
    if size == len(entries.content):  # nothing in it was skipped
        return found
    return dict(map(_revocation, der.read(entries.encoded).parts))


def _revocation(entry: Element) -> tuple[int, tuple[str, str]]:
    """The serial that an entry of a CRL revokes, and date and reason as the index has them (RFC 5280, 5.3.1)."""
    if len(entry.parts) < 2:
        raise UnreadableError("an entry in it has no serial, or no date")
    serial, date, *extensions = entry.parts
    values = dict(extensions_in(extensions[0])) if extensions else {}
    number = der.read(values[_REASON]).content[-1] if _REASON in values else -1
    return serial.number(), (date.text(), _REASONS.get(number, ""))
