"""Requests become certificates: the guide's "Sign Certificates"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from dbca_openssl import complaints, validity
from dbca_openssl.authority import commands, index, structures, vetting
from dbca_openssl.authority.change import BACKUPS, Change
from dbca_openssl.authority.paths import (
    CERTIFICATE,
    CONFIGURATION,
    DATABASE,
    INDEX,
    Authority,
    certificate_of,
    issued,
    request_of,
)
from dbca_openssl.authority.structures import Certificate
from dbca_openssl.authority.vetting import Vetted
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import Result
from dbca_openssl.outline import UnreadableError
from dbca_openssl.passphrase import Passphrase
from dbca_openssl.render import DAYS
from dbca_openssl.steps import CopyFile, Plan, Section, Step

CERTIFICATE_AUTHORITY_FALSE = {b"\x30\x00", b"\x30\x03\x01\x01\x00"}


@dataclass(frozen=True)
class Proposal:
    """A vetted request, the file it was read from, and until when its certificate would be good."""

    request: Vetted
    source: Path | None
    end: datetime

    @property
    def name(self) -> str:
        """The name of the host or client."""
        return self.request.name


@dataclass(frozen=True)
class Period:
    """How long certificates are to be good: `days` (None: the configuration's); `cap` ends them with the authority."""

    days: int | None = None
    cap: bool = False


@dataclass(frozen=True)
class Signed:
    """A certificate that was issued: its name, its file relative to the authority, its serial in hex, its end."""

    name: str
    path: str
    serial: str
    end: datetime


def propose(authority: Authority, what: Sequence[str], period: Period) -> list[Proposal]:
    """What `sign` would do with names (of `certreqs/NAME.req.pem`) and files, after vetting each.

    Raises DatabaseCaError for the first that cannot be signed; nothing is touched.
    """
    authority.require()
    files = [None if _is_name(authority, text) else Path(text) for text in what]
    sources = []
    for text, file in zip(what, files, strict=True):
        path = file or authority.path(request_of(text))
        sources.append((str(path), vetting.read_file(path)))
    requests = vetting.vet(authority.openssl, sources)
    for text, file, request in zip(what, files, requests, strict=True):
        if file is None and request.name != text:
            raise DatabaseCaError(
                f"{authority.path(request_of(text))} asks for the name {request.name}, not {text}",
                f"sign the file itself if that is what you want: dbca-openssl sign {request_of(text)}",
            )
    own = own_certificate(authority)
    _require_free(index.rows(authority.read(INDEX)), requests, own)
    at = validity.now()
    end = at + timedelta(days=period.days or default_days(authority))
    if end > own.end and not period.cap:
        raise _outlives(end, own.end)
    return [Proposal(request, file, min(end, own.end)) for file, request in zip(files, requests, strict=True)]


def plan(authority: Authority, proposals: Sequence[Proposal], period: Period) -> Plan:
    """The guide's commands for the same, for a printed script: one `openssl ca` for each request."""
    steps: list[Step] = []
    for proposal in proposals:
        if proposal.source:
            steps.append(CopyFile(proposal.source.absolute(), request_of(proposal.name)))
        steps.append(commands.sign([proposal.name], days=period.days, end=_explicit_end(proposal, period)))
    return Plan("Sign certificates", authority.directory, (Section("Sign Certificates", tuple(steps)),))


def sign(
    authority: Authority, proposals: Sequence[Proposal], period: Period, passphrase: Passphrase | None
) -> list[Signed]:
    """Sign all proposals in one transaction and one openssl process, all or none.

    Raises DatabaseCaError, and then nothing has changed.
    """
    names = [proposal.name for proposal in proposals]
    own = own_certificate(authority)
    with Change(authority, *map(certificate_of, names), *map(request_of, names)) as change:
        _require_free(change.rows, [proposal.request for proposal in proposals], own)
        for proposal in proposals:  # nothing but what was vetted, whatever another reader finds in the file
            change.write(request_of(proposal.name), structures.pem(vetting.PEM_LABEL, proposal.request.encoded))
        end = _explicit_end(proposals[0], period)
        command = commands.sign(names, home=change.stage, days=period.days, end=end, fresh=False)
        for name in names:
            _require_copy_in_newcerts(change, name)
        result = change.run(command, passphrase)
        rows = change.new_rows(result)
        certificates = _check(change, proposals, rows, own, result)
        for proposal, row in zip(proposals, rows, strict=True):
            copy = change.staged(issued(row.serial)).read_bytes()
            if len(names) > 1:
                change.write(certificate_of(proposal.name), copy)
            elif change.staged(certificate_of(proposal.name)).read_bytes() != copy:
                raise DatabaseCaError("openssl wrote two different certificates", "is the disk full?")
        new = {request_of(proposal.name): proposal.request.pem for proposal in proposals if _is_new(change, proposal)}
        for name, pem in new.items():
            change.write(name, pem)
            if (old := change.base[name]) is not None:
                change.write(f"{name}.old", old)
        change.commit(
            (*(issued(row.serial) for row in rows), *DATABASE),
            (*new, *map(certificate_of, names)),
            (*BACKUPS, *(f"{name}.old" for name in new)),
        )
    return [
        Signed(proposal.name, certificate_of(proposal.name), row.serial, certificate.end)
        for proposal, row, certificate in zip(proposals, rows, certificates, strict=True)
    ]


def own_certificate(authority: Authority) -> Certificate:
    """The authority's own certificate. Raises DatabaseCaError where it cannot be read."""
    return read_certificate(authority, CERTIFICATE)


def read_certificate(authority: Authority, name: str) -> Certificate:
    """The certificate in a file of the authority. Raises DatabaseCaError where it cannot be read."""
    try:
        der = structures.certificate_der(authority.read(name))
        return structures.certificates(authority.openssl, [der])[0]
    except UnreadableError as error:
        raise DatabaseCaError(f"{authority.path(name)} is no certificate that can be read: {error}") from None


def default_days(authority: Authority) -> int:
    """The `default_days` of the authority's configuration, for showing the end before signing."""
    match = re.search(r"^\s*default_days\s*=\s*(\d+)", authority.read(CONFIGURATION).decode("utf-8", "replace"), re.M)
    return int(match.group(1)) if match else DAYS


def _is_name(authority: Authority, text: str) -> bool:
    if "/" in text or text.endswith((".pem", ".csr", ".req")):
        return False
    return authority.path(request_of(text)).exists() or not Path(text).exists()


def _require_free(rows: Sequence[index.Row], requests: Sequence[Vetted], own: Certificate) -> None:
    taken = {row.name: row for row in rows if row.state == index.VALID}
    seen: set[str] = set()
    for request in requests:
        if request.name.lower() == own.common_name.lower():  # as the names of issuers are compared (RFC 5280, 7.1)
            raise DatabaseCaError(f"{request.name} is the name of the authority itself")
        if request.name in seen:
            raise DatabaseCaError(f"{request.name} is asked for twice")
        seen.add(request.name)
        if row := taken.get(request.name):
            raise DatabaseCaError(
                f"{request.name} has a valid certificate already: serial {row.serial}, until {validity.shown(row.end)}",
                "it is in certs/; a second one of the same name is not issued while it is valid",
            )


def _explicit_end(proposal: Proposal, period: Period) -> datetime | None:
    return proposal.end if period.cap else None


def _is_new(change: Change, proposal: Proposal) -> bool:
    return change.base[request_of(proposal.name)] != proposal.request.pem


def _require_copy_in_newcerts(change: Change, name: str) -> None:
    """Refuse to replace `certs/NAME.cert.pem` where it is anything but an older generation that is kept anyway."""
    there = change.base[certificate_of(name)]
    generations = [change.directory / issued(row.serial) for row in change.rows if row.name == name]
    if there is not None and not any(path.is_file() and path.read_bytes() == there for path in generations):
        raise DatabaseCaError(
            f"{certificate_of(name)} is not a copy of a certificate in newcerts/, and nothing is overwritten",
            "move it away first",
        )


def _check(
    change: Change, proposals: Sequence[Proposal], rows: list[index.Row], own: Certificate, result: Result
) -> list[Certificate]:
    """The issued certificates, each compared with its request before anything counts."""
    change.require_intact(*DATABASE)
    signed = {row.name for row in rows}
    if missing := [proposal.name for proposal in proposals if proposal.name not in signed]:
        known = complaints.said(result.messages) or DatabaseCaError("openssl did not sign the request")
        raise DatabaseCaError(f"{known.message}: {', '.join(missing)}", *known.hints, detail=result.messages)
    serials = [index.serial_text(change.serial + number) for number in range(len(proposals))]
    if [row.serial for row in rows] != serials:
        raise index.damaged("the serials of the new certificates are not the next ones")
    try:
        encoded = [structures.certificate_der(change.staged(issued(serial)).read_bytes()) for serial in serials]
        certificates = structures.certificates(change.authority.openssl, encoded)
    except (OSError, UnreadableError) as error:
        raise DatabaseCaError(
            f"openssl wrote a certificate that cannot be read: {error}", "is the disk full?"
        ) from None
    for proposal, row, certificate in zip(proposals, rows, certificates, strict=True):
        request = proposal.request
        wrong = (
            certificate.serial != int(row.serial, 16)
            or certificate.issuer != own.subject
            or certificate.subject_parts != ((structures.COMMON_NAME, request.name),)
            or certificate.public_key != request.public_key
            or certificate.extension(structures.ALTERNATIVE_NAME) != request.alternative_names_value
            or certificate.extension(structures.BASIC_CONSTRAINTS) not in CERTIFICATE_AUTHORITY_FALSE
            or _may_sign_certificates(certificate)
        )
        if wrong:
            raise DatabaseCaError(
                f"the certificate that openssl made for {request.name} is not what was asked for, and is thrown away",
                f"look at [ cert_ext ] and [ cert_policy ] in {CONFIGURATION}",
            )
        if certificate.end > own.end:
            raise _outlives(certificate.end, own.end)
    return certificates


def _may_sign_certificates(certificate: Certificate) -> bool:
    """Whether its keyUsage has keyCertSign or cRLSign, the sixth and seventh bit (RFC 5280, 4.2.1.3)."""
    value = certificate.extension(structures.KEY_USAGE) or b""
    return len(value) > 3 and bool(value[3] & 0x06)


def _outlives(end: datetime, limit: datetime) -> DatabaseCaError:
    return DatabaseCaError(
        f"the certificate would be good until {validity.shown(end)}, the authority only until {validity.shown(limit)}",
        "--cap shortens it to the authority's end; --days N gives another period",
    )
