"""The certificate files in `newcerts/` and `certs/`, compared with the index; openssl itself never looks back at them.

`newcerts/` has each certificate that was ever signed, also the one that a killed openssl had no time to enter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dbca_openssl import x509
from dbca_openssl.ca import index
from dbca_openssl.ca.certificates import read_certificate
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import CERTIFICATE, CONFIGURATION, Authority, certificate_of, issued
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.finding import CRITICAL, FROM_A_COPY, REPAIR, WARNING, Finding
from dbca_openssl.names import is_entity_name, shown
from dbca_openssl.x509 import Certificate

READ_AT_MOST = 1000
"""How many certificate files are opened and compared with the index, the newest first, unless all are asked for."""


class Unindexed(NamedTuple):
    """A certificate file that is not in the index; with `why` it can't be entered and `mend`, or else it can."""

    serial: str
    certificate: Certificate | None
    why: str = ""
    mend: str = REPAIR


def serials(authority: Authority) -> list[str]:
    """The serials of the files in `newcerts/`, as the index has them, in no order."""
    try:
        names = os.listdir(authority.path("newcerts"))  # noqa: PTH208  # pathlib is ten times slower on 100,000 files
    except OSError:
        return []
    is_one = re.compile(r"(?:[0-9A-F]{2})+\.pem").fullmatch
    return [name[:-4] for name in names if is_one(name)]


def highest(files: Iterable[str], rows: Iterable[Row]) -> int:
    """The highest serial that is taken, by one of the `files` in `newcerts/` or in the index; -1 where none is."""
    return max((int(serial, 16) for serial in (*files, *(row.serial for row in rows))), default=-1)


def unindexed(authority: Authority, files: Iterable[str], rows: Sequence[Row], own: Certificate) -> list[Unindexed]:
    """The `files` in `newcerts/` that the index does not know, and what can be done about each."""
    known = {row.serial for row in rows}
    missing = sorted((serial for serial in files if serial not in known), key=lambda text: int(text, 16))
    if not missing:
        return []
    valid = {row.name for row in rows if row.state == index.VALID}
    signed = _signed(authority, missing)
    found = []
    for serial, certificate in sorted(_read(authority, missing), key=lambda pair: int(pair[0], 16)):
        file = issued(serial)
        if certificate is None:
            found.append(Unindexed(serial, None, f"{file} is no certificate and not in the index", "move it away"))
        elif certificate.subject == own.subject:
            why = f"{file} is of the authority itself and not in the index"
            found.append(Unindexed(serial, certificate, why, "bring back the index from a copy of the authority"))
        elif serial not in signed or certificate.serial != int(serial, 16) or certificate.issuer != own.subject:
            why = f"{file} is not in the index and not of this authority"
            found.append(Unindexed(serial, certificate, why, "move it away"))
        elif (name := certificate.common_name) in valid or len(certificate.subject_parts) != 1 or not _safe(name):
            why = f"{file} is not in the index, and {shown(name)} can't be entered as a second valid one, or at all"
            by_hand = f"OPENSSL_CONF=./{CONFIGURATION} openssl ca -revoke {file} enters it as revoked; then: "
            found.append(Unindexed(serial, certificate, why, f"{by_hand}dbca-openssl crl"))
        else:
            valid.add(name)
            found.append(Unindexed(serial, certificate))
    return found


def undelivered(authority: Authority, rows: Sequence[Row], own: Certificate) -> list[Row]:
    """The rows whose certificate lies in `newcerts/` alone: the file in `certs/` is missing, or empty."""
    wanted = {
        row.serial: row
        for row in _newest(rows)
        if row.state == index.VALID and _safe(row.name) and _size(authority, certificate_of(row.name)) == 0
    }
    return [
        wanted[serial]
        for serial, certificate in _read(authority, list(wanted))
        if certificate and certificate.issuer == own.subject and certificate.common_name == wanted[serial].name
    ]


def mended_index(authority: Authority, data: bytes) -> bytes | None:
    """An index without its blank lines and with the final line end, or None where that is not all.

    Its last line may have been cut anywhere, so its name must be the one in the certificate's file.
    """
    lines = [line for line in data.split(b"\n") if line.strip()]
    mended = b"".join(line + b"\n" for line in lines)
    try:
        rows = index.rows(mended)
        if data.endswith(b"\n") or not rows:
            return mended
        cut = read_certificate(authority, issued(rows[-1].serial)).common_name != rows[-1].name
    except DatabaseCaError:
        return None
    return None if cut else mended


def findings(
    authority: Authority, files: Sequence[str], rows: Sequence[Row], own: Certificate, deep: bool
) -> Iterator[Finding]:
    """What is wrong with the `files` of `newcerts/` and with those of `certs/`."""
    for one in unindexed(authority, files, rows, own):
        text = one.why or f"{issued(one.serial)} is not in the index: it can't be revoked"
        yield Finding(CRITICAL, "not-in-index", text, one.mend)
    by_serial = {row.serial: row for row in rows}
    for serial in sorted(by_serial.keys() - set(files), key=lambda text: int(text, 16)):
        yield Finding(
            WARNING,
            "no-copy",
            f"{by_serial[serial].name} (serial {serial}) has no copy in newcerts/, which revoking it needs",
            f"copy the certificate from certs/ or its host to {issued(serial)}",
        )
    known = sorted((serial for serial in files if serial in by_serial), key=lambda text: int(text, 16), reverse=True)
    chosen = dict.fromkeys(known if deep else known[:READ_AT_MOST])
    yield from _copies(authority, list(chosen), by_serial, own)
    yield from _delivered(authority, [row for row in _newest(rows) if row.serial in chosen], own)


def _copies(
    authority: Authority, chosen: Sequence[str], by_serial: dict[str, Row], own: Certificate
) -> Iterator[Finding]:
    signed = _signed(authority, chosen)
    for serial, certificate in _read(authority, chosen):
        file, row = issued(serial), by_serial[serial]
        if certificate is None:
            yield Finding(CRITICAL, "copy", f"{file} is no certificate", "copy it from certs/ or its host")
        elif certificate.subject == own.subject and certificate.public_key == own.public_key:
            continue  # the authority's own, also one that init --renew has replaced
        elif serial not in signed or certificate.serial != int(serial, 16) or certificate.issuer != own.subject:
            yield Finding(CRITICAL, "copy", f"{file} is not of this authority", f"the right one: {FROM_A_COPY}")
        elif certificate.common_name != row.name:
            yield Finding(
                CRITICAL,
                "copy",
                f"{file} is of {shown(certificate.common_name)}, in the index it is {shown(row.name)}",
                "two openssl ran at the same time: revoke and replace both",
            )


def _delivered(authority: Authority, rows: Sequence[Row], own: Certificate) -> Iterator[Finding]:
    missing = set(undelivered(authority, rows, own))
    for row in rows:
        file = certificate_of(row.name)
        if row in missing:
            yield Finding(WARNING, "certs", f"{file} is missing or empty", REPAIR)
        elif (
            row.state == index.VALID
            and _safe(row.name)
            and _size(authority, file)
            and authority.read(file) != authority.read(issued(row.serial))
        ):
            yield Finding(
                WARNING,
                "certs",
                f"{file} is not the newest certificate of {row.name}",
                f"compare it with {issued(row.serial)}",
            )


def _newest(rows: Sequence[Row]) -> list[Row]:
    return list({row.name: row for row in rows}.values())


def _safe(name: str) -> bool:
    return is_entity_name(name)


def _size(authority: Authority, name: str) -> int:
    try:
        return authority.path(name).stat().st_size
    except OSError:
        return 0


def _signed(authority: Authority, chosen: Sequence[str]) -> set[str]:
    """The serials whose files bear the authority's signature, by one `openssl verify` for a thousand (verify(1))."""
    found = set()
    for begin in range(0, len(chosen), READ_AT_MOST):
        files = [issued(serial) for serial in chosen[begin : begin + READ_AT_MOST]]
        command = ("verify", "-no_check_time", "-CAfile", CERTIFICATE, *files)
        output = authority.openssl.run(command, directory=authority.directory).output.decode("utf-8", "replace")
        found |= set(re.findall(r"^newcerts/([0-9A-F]+)\.pem: OK$", output, re.MULTILINE))
    return found


def _read(authority: Authority, chosen: Sequence[str]) -> Iterator[tuple[str, Certificate | None]]:
    """The certificates in `newcerts/`, by one openssl; None for what is none."""
    encoded = {}
    for serial in chosen:
        try:
            encoded[serial] = x509.certificate_der(authority.read(issued(serial)))
        except (DatabaseCaError, UnreadableError):
            yield serial, None
    try:
        yield from zip(encoded, x509.certificates(authority.openssl, list(encoded.values())), strict=True)
    except UnreadableError:
        for serial, der in encoded.items():
            try:
                yield serial, x509.certificates(authority.openssl, [der])[0]
            except UnreadableError:
                yield serial, None
