"""The certificate files in `newcerts/` and `certs/`, compared with the index; openssl itself never reads them again.

`newcerts/` has every certificate that was ever signed, also one that a killed openssl had no time to enter.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dbca_openssl.ca import index
from dbca_openssl.ca.certificates import read_certificate
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import CERTIFICATE, CONFIGURATION, INDEX, Authority, certificate_of, issued
from dbca_openssl.ca.survey import Survey
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.finding import CRITICAL, FROM_A_BACKUP, REPAIR, WARNING, Finding
from dbca_openssl.names import is_entity_name, shown
from dbca_openssl.x509 import Certificate

READ_AT_MOST = 1000
"""How many certificate files are opened and compared with the index, the newest first, unless all are asked for."""


REBUILT = b"\trebuilt\t"
"""What marks a row as rebuilt, in the field of the file's name, where openssl itself always has `unknown`."""


class Unindexed(NamedTuple):
    """A certificate file that is not in the index; with `why` it can't be entered, and `fix` is left to people."""

    serial: str
    certificate: Certificate | None
    why: str = ""
    fix: str = REPAIR


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
    """The `files` in `newcerts/` that the index does not have, and what can be done about each."""
    missing = sorted(set(files) - {row.serial for row in rows}, key=_number)
    valid = {row.name for row in rows if row.state == index.VALID}
    signed = signed_by(authority, missing)
    found = []
    for serial, certificate in read(authority, missing):
        file, why, fix = issued(serial), "", REPAIR
        if certificate is None:
            why, fix = f"{file} is no certificate and not in the index", "move it away"
        elif certificate.subject == own.subject:
            why, fix = f"{file} is of the CA itself and not in the index", "bring back the index from a backup"
        elif serial not in signed or not is_issued(certificate, serial, own):
            why, fix = f"{file} is not in the index and not of this CA", "move it away"
        elif (
            (name := certificate.common_name) in valid
            or len(certificate.subject_parts) != 1
            or not is_entity_name(name)
        ):
            why = f"{file} is not in the index, and {shown(name)} can't be entered as a second valid one, or at all"
            by_hand = f"OPENSSL_CONF=./{CONFIGURATION} openssl ca -revoke {file} enters it as revoked; then: "
            fix = f"{by_hand}dbca-openssl crl"
        else:
            valid.add(name)
        found.append(Unindexed(serial, certificate, why, fix))
    return found


def undelivered(authority: Authority, rows: Sequence[Row], own: Certificate) -> list[Row]:
    """The rows whose certificate is in `newcerts/` alone: the file in `certs/` is missing, or empty."""
    wanted = {
        row.serial: row
        for row in _newest(rows)
        if row.state == index.VALID and is_entity_name(row.name) and _size(authority, certificate_of(row.name)) == 0
    }
    return [
        wanted[serial]
        for serial, certificate in read(authority, list(wanted))
        if certificate and certificate.issuer == own.subject and certificate.common_name == wanted[serial].name
    ]


def repaired_index(authority: Authority, data: bytes) -> bytes | None:
    """An index without its blank lines and with the final line end, or None where that is not all that is wrong.

    Its last line may have been cut anywhere, so its name must be the one in the certificate's file.
    """
    repaired = b"".join(line + b"\n" for line in data.split(b"\n") if line.strip())
    try:
        rows = index.rows(repaired)
        if not data.endswith(b"\n") and rows:
            last = rows[-1]
            return repaired if read_certificate(authority, issued(last.serial)).common_name == last.name else None
    except DatabaseCaError:
        return None
    return repaired


def findings(authority: Authority, survey: Survey, own: Certificate) -> Iterator[Finding]:
    """What is wrong with the files of `newcerts/` and with those of `certs/`."""
    if survey.not_in_index:
        for one in unindexed(authority, survey.not_in_index, index.rows(authority.read(INDEX)), own):
            text = one.why or f"{issued(one.serial)} is not in the index: it can't be revoked"
            yield Finding(CRITICAL, "not-in-index", text, one.fix)
    for serial in sorted(survey.without_copy, key=_number):
        yield Finding(
            WARNING,
            "no-copy",
            f"{survey.without_copy[serial].name} (serial {serial}) has no copy in newcerts/, which revoking it needs",
            f"copy the certificate from certs/ or its host to {issued(serial)}",
        )
    yield from _copies(authority, survey.chosen, own)
    yield from _delivered(authority, list(survey.newest.values()), own)


def _copies(authority: Authority, rows: Mapping[str, Row], own: Certificate) -> Iterator[Finding]:
    chosen = sorted(rows, key=_number, reverse=True)
    signed = signed_by(authority, chosen)
    for serial, certificate in read(authority, chosen):
        file, row = issued(serial), rows[serial]
        if certificate is None:
            yield Finding(CRITICAL, "copy", f"{file} is no certificate", "copy it from certs/ or its host")
        elif certificate.subject == own.subject and certificate.public_key == own.public_key:
            continue  # the CA's own, also one that init --renew has replaced
        elif serial not in signed or not is_issued(certificate, serial, own):
            yield Finding(CRITICAL, "copy", f"{file} is not of this CA", f"the right one: {FROM_A_BACKUP}")
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
        file, copy = certificate_of(row.name), issued(row.serial)
        if row in missing:
            yield Finding(WARNING, "certs", f"{file} is missing or empty", REPAIR)
        elif row.state != index.VALID or not is_entity_name(row.name) or not _size(authority, file):
            continue
        elif authority.read(file) != authority.read(copy):
            text = f"{file} is not the newest certificate of {row.name}"
            yield Finding(WARNING, "certs", text, f"compare it with {copy}")


def is_issued(certificate: Certificate, serial: str, own: Certificate) -> bool:
    """Whether a certificate has the serial of its file's name, and the CA's name as its issuer."""
    return certificate.serial == int(serial, 16) and certificate.issuer == own.subject


def _newest(rows: Sequence[Row]) -> list[Row]:
    return list({row.name: row for row in rows}.values())


def _number(serial: str) -> int:
    return int(serial, 16)


def _size(authority: Authority, name: str) -> int:
    try:
        return authority.path(name).stat().st_size
    except OSError:
        return 0


def signed_by(authority: Authority, chosen: Sequence[str]) -> set[str]:
    """The serials whose files have the CA's signature, by one `openssl verify` for a thousand (verify(1))."""
    found = set()
    for begin in range(0, len(chosen), READ_AT_MOST):
        files = [issued(serial) for serial in chosen[begin : begin + READ_AT_MOST]]
        command = ("verify", "-no_check_time", "-CAfile", CERTIFICATE, *files)
        output = authority.openssl.run(command, directory=authority.directory).output.decode("utf-8", "replace")
        found |= set(re.findall(r"^newcerts/([0-9A-F]+)\.pem: OK$", output, re.MULTILINE))
    return found


def read(authority: Authority, chosen: Sequence[str]) -> Iterator[tuple[str, Certificate | None]]:
    """The certificates in `newcerts/`; None for a file that is none."""
    for serial in chosen:
        try:
            yield serial, read_certificate(authority, issued(serial))
        except DatabaseCaError:
            yield serial, None
