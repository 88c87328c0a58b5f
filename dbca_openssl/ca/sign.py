"""Requests become certificates: the guide's "Sign Certificates"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dbca_openssl import dates, diagnosis, pem, x509
from dbca_openssl.ca import guide_commands, index, parallel, vetting
from dbca_openssl.ca.certificates import is_path, own_certificate, read_certificate
from dbca_openssl.ca.change import BACKUPS, Change
from dbca_openssl.ca.layout import (
    CONFIGURATION,
    DATABASE,
    HOSTS,
    INDEX,
    SERIAL,
    Authority,
    certificate_of,
    issued,
    request_of,
)
from dbca_openssl.ca.vetting import Vetted
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import read_file
from dbca_openssl.names import comparable, is_same_name
from dbca_openssl.render import DAYS
from dbca_openssl.x509 import Certificate

if TYPE_CHECKING:
    from dbca_openssl.ca.hosts import KnownHost
    from dbca_openssl.plan import Plan, Step


class Proposal(NamedTuple):
    """A vetted request, the file it was read from (None: the stored one), and when its certificate would expire."""

    request: Vetted
    source: Path | None
    end: datetime

    @property
    def name(self) -> str:
        """The name of the host or client."""
        return self.request.name


class Period(NamedTuple):
    """The validity of new certificates: `days` (None: the configuration's), with `cap` never longer than the CA's."""

    days: int | None = None
    cap: bool = False


class Signed(NamedTuple):
    """An issued certificate: its name, its file relative to the CA, its serial in hex, and when it expires."""

    name: str
    path: str
    serial: str
    end: datetime


def propose(authority: Authority, what: Sequence[str], period: Period) -> list[Proposal]:
    """What `sign` would do with names (of `certreqs/NAME.req.pem`) and files (by any path), after vetting each.

    Raises DatabaseCaError for the first that cannot be signed; nothing is touched.
    """
    authority.require()
    authority.openssl.ask_version()
    files = [None if _is_name(authority, text) else Path(text) for text in what]
    requests = []
    for text, file in zip(what, files, strict=True):
        path = file or authority.path(request_of(text))
        request = vetting.vet(authority.openssl, str(path), vetting.read_file(path))
        if file is None and request.name != text:
            raise DatabaseCaError(
                f"{path} asks for the name {request.name}, not {text}",
                f"sign the file itself if that is what you want: dbca-openssl sign {request_of(text)}",
            )
        requests.append(request)
    return proposals(authority, requests, files, period)


def proposals(
    authority: Authority,
    requests: Sequence[Vetted],
    files: Sequence[Path | None],
    period: Period,
    superseded: Sequence[index.Row] = (),
) -> list[Proposal]:
    """The proposals for vetted requests, each from its file (None: the stored one); `superseded` rows free their names.

    Raises DatabaseCaError for the first that cannot be signed.
    """
    authority.openssl.version  # noqa: B018  # an unusable openssl is refused before anybody is asked anything
    own = own_certificate(authority)
    require_signable(authority, authority.read(INDEX), requests, own, superseded)
    end = end_of(authority, period, own)
    return [Proposal(request, file, end) for file, request in zip(files, requests, strict=True)]


def require_signable(
    authority: Authority,
    data: bytes,
    requests: Sequence[Vetted],
    own: Certificate,
    superseded: Sequence[index.Row] = (),
) -> None:
    """Raise DatabaseCaError for the first request that may not be signed with the index `data`.

    Every way to a signature comes through here, before anything is asked for and again under the lock: no name is the
    CA's, none is taken (but by the `superseded` rows), and no key was revoked as compromised.
    """
    for request in requests:
        if is_same_name(request.name, own.common_name):  # as the names of issuers are compared (RFC 5280, 7.1)
            raise DatabaseCaError(f"{request.name} is the name of the CA itself")
    rows = index.some(data, names={request.name for request in requests}, revoked=True)
    freed = set(superseded)
    _require_free([row for row in rows if row not in freed], requests)
    _require_uncompromised(authority, rows, requests)


def waiting(authority: Authority) -> list[str]:
    """The names with a request in `certreqs/` that never had a certificate.

    Who had one that was revoked or has expired is signed only by name, or renewed.
    Raises DatabaseCaError where there is no CA, or its index cannot be read.
    """
    authority.require()
    names = {path.name.removesuffix(".req.pem") for path in authority.path("certreqs").glob("*.req.pem")}
    return sorted(names.difference(row.name for row in index.each(authority.read(INDEX)))) if names else []


def end_of(authority: Authority, period: Period, own: Certificate) -> datetime:
    """When a certificate issued now expires. Raises DatabaseCaError where that is after the CA certificate does."""
    end = dates.days_after(dates.now(), period.days or default_days(authority))
    if end > own.end and not period.cap:
        raise _outlives(end, own.end)
    return min(end, own.end)


def plan(authority: Authority, proposals: Sequence[Proposal], period: Period) -> Plan:
    """The guide's commands for the same, for a printed script: one `openssl ca` for each request.

    Raises DatabaseCaError where the index cannot be read.
    """
    from dbca_openssl.plan import CopyFile, Plan, Section

    rows = index.some(authority.read(INDEX), names={proposal.name for proposal in proposals})
    steps: list[Step] = []
    for proposal in proposals:
        stored = request_of(proposal.name)
        there = authority.read(stored) if authority.path(stored).exists() else None
        if proposal.source and there != proposal.request.pem:
            steps.append(CopyFile(proposal.source.absolute(), stored, keep_old=there is not None))
        fresh = not _is_kept(authority.directory, rows, proposal.name)
        end = _explicit_end(proposal, period)
        command = guide_commands.sign([proposal.name], days=period.days, end=end, fresh=fresh)
        steps += authority.key.given_to(command)
    return Plan("Sign certificates", authority.directory, (Section("Sign Certificates", tuple(steps)),))


def sign(
    authority: Authority, proposals: Sequence[Proposal], period: Period, reached: Sequence[KnownHost] = ()
) -> list[Signed]:
    """Sign all proposals in one transaction, all or none; many of them in parallel.

    The hosts that were `reached` are entered in the list in the same one.

    Raises DatabaseCaError, and then nothing has changed.
    """
    with Change(authority, compared=(*files_of(proposals), HOSTS)) as change:
        signed = sign_in(change, proposals, period)
        commit(change, signed, following=_listed(change, reached))
    return signed


def _listed(change: Change, reached: Sequence[KnownHost]) -> tuple[str, ...]:
    if not reached and change.base[HOSTS] is None:
        return ()
    from dbca_openssl.ca import hosts

    return hosts.stage(change, reached)


def files_of(proposals: Sequence[Proposal]) -> list[str]:
    """The requests and certificates by name, which signing may replace besides the data files."""
    return [file(proposal.name) for file in (request_of, certificate_of) for proposal in proposals]


def sign_in(change: Change, proposals: Sequence[Proposal], period: Period) -> list[Signed]:
    """Sign within a change that the caller commits. Raises DatabaseCaError."""
    authority = change.authority
    require_signable(authority, change.index, [one.request for one in proposals], own_certificate(authority))
    serials = change.next_serials(len(proposals))
    _require_copies_in_newcerts(change, [proposal.name for proposal in proposals])
    parallel.sign(
        change,
        # written anew, so that openssl gets exactly what was vetted
        {one.name: pem.pem(vetting.PEM_LABEL, one.request.encoded) for one in proposals},
        partial(guide_commands.sign, days=period.days, end=_explicit_end(proposals[0], period)),
    )
    rows = change.appended()
    signed = _check(change, proposals, serials, rows)
    for proposal in proposals:
        old = change.base[request_of(proposal.name)]
        if old == proposal.request.pem:
            change.staged(request_of(proposal.name)).unlink(missing_ok=True)
            continue
        change.write(request_of(proposal.name), proposal.request.pem)
        if old is not None:
            change.write(f"{request_of(proposal.name)}.old", old)
    change.serial += len(proposals)
    return signed


def commit(
    change: Change, signed: Sequence[Signed], deciding: Sequence[str] = (), following: Sequence[str] = ()
) -> None:
    """Commit the signatures and what else the change has staged. Raises DatabaseCaError as `Change.commit` does."""
    requests = [name for name in (request_of(one.name) for one in signed) if change.staged(name).exists()]
    change.commit(
        (*(issued(one.serial) for one in signed), *deciding, *DATABASE),
        (*requests, *(one.path for one in signed), *following),
        (*BACKUPS, *(f"{name}.old" for name in requests)),
    )


def default_days(authority: Authority) -> int:
    """The `default_days` of the configuration. Raises DatabaseCaError where it cannot be read."""
    match = re.search(r"^\s*default_days\s*=\s*(\d+)", authority.read(CONFIGURATION).decode("utf-8", "replace"), re.M)
    return int(match.group(1)) if match else DAYS


def _is_name(authority: Authority, text: str) -> bool:
    return not is_path(text) and (authority.path(request_of(text)).exists() or not Path(text).exists())


def _require_uncompromised(authority: Authority, rows: Sequence[index.Row], requests: Sequence[Vetted]) -> None:
    """Raise DatabaseCaError where a request has a key whose certificate was revoked because the key was compromised."""
    revoked = [issued(row.serial) for row in rows if row.reason == "keyCompromise"]
    files = [file for file in revoked if authority.path(file).is_file()]
    compromised = {x509.secret_of(read_certificate(authority, file).public_key) for file in files}
    for request in requests:
        if compromised and x509.secret_of(request.public_key) in compromised:
            raise DatabaseCaError(
                f"the request of {request.name} has a key that was revoked as compromised",
                "make a new key on the host: move the old one away, then dbca-openssl request NAME",
            )


def _require_free(rows: Sequence[index.Row], requests: Sequence[Vetted]) -> None:
    taken = {comparable(row.name): row for row in rows if row.state == index.VALID}
    seen: set[str] = set()
    for request in requests:
        name = comparable(request.name)
        if name in seen:
            raise DatabaseCaError(f"{request.name} is asked for twice")
        seen.add(name)
        row = taken.get(name)
        if row is None:
            continue
        if row.name != request.name:
            raise DatabaseCaError(
                f"{request.name} is the same name as {row.name}, which has the valid serial {row.serial}",
                f"ask for {row.name} on the host, or first: dbca-openssl revoke {row.serial}",
            )
        if row.end <= dates.now():  # openssl takes it for a valid one until it is marked
            raise DatabaseCaError(
                f"the certificate of {row.name} expired on {dates.shown(row.end)}",
                f"dbca-openssl renew {row.name} marks it as expired and signs the request",
            )
        raise DatabaseCaError(
            f"{row.name} has a valid certificate already: serial {row.serial}, until {dates.shown(row.end)}",
            f"dbca-openssl renew {row.name} replaces it",
        )


def _explicit_end(proposal: Proposal, period: Period) -> datetime | None:
    return proposal.end if period.cap else None


def _require_copies_in_newcerts(change: Change, names: Sequence[str]) -> None:
    """Refuse to replace a `certs/NAME.cert.pem` of which there is no copy in `newcerts/`."""
    replaced = [name for name in names if change.base[certificate_of(name)] is not None]
    rows: dict[str, list[index.Row]] = {name: [] for name in replaced}
    for row in index.some(change.index, names=replaced) if replaced else ():
        rows.setdefault(row.name, []).append(row)
    for name in replaced:
        if not _is_kept(change.directory, rows[name], name):
            raise DatabaseCaError(
                f"{certificate_of(name)} is not a copy of a certificate in newcerts/, and nothing is overwritten",
                "move it away first",
            )


def _is_kept(directory: Path, rows: Sequence[index.Row], name: str) -> bool:
    """Whether `certs/NAME.cert.pem` is a copy of a certificate in `newcerts/`, so that it may be replaced."""
    path = directory / certificate_of(name)
    if not path.is_file():
        return False
    there = path.read_bytes()
    copies = (directory / issued(row.serial) for row in rows if row.name == name)
    return any(copy.is_file() and copy.read_bytes() == there for copy in copies)


def _check(
    change: Change, proposals: Sequence[Proposal], serials: list[str], rows: Sequence[index.Row]
) -> list[Signed]:
    """Compare each issued certificate with its request, and have it in `certs/` too."""
    signed = {row.name for row in rows}
    if missing := [proposal.name for proposal in proposals if proposal.name not in signed]:
        known = diagnosis.said(change.messages, change.directory) or DatabaseCaError("openssl did not sign the request")
        raise DatabaseCaError(f"{known.message}: {', '.join(missing)}", *known.hints, detail=change.messages)
    if [row.serial for row in rows] != serials:
        raise index.damaged("the serials of the new certificates are not the next ones")
    if index.next_serial(change.staged(SERIAL).read_bytes()) != change.serial + len(proposals):
        raise diagnosis.nothing_written(SERIAL, change.directory)
    own = own_certificate(change.authority)
    done = []
    for proposal, row in zip(proposals, rows, strict=True):
        request = proposal.request
        try:
            data = read_file(f"{change.directory}/{change.stage}/{issued(row.serial)}")
            certificate = x509.certificate_in(data)
        except (FileNotFoundError, UnreadableError):
            raise diagnosis.nothing_written("the certificate", change.directory) from None
        wrong = (
            certificate.serial != int(row.serial, 16)
            or certificate.issuer != own.subject
            or certificate.subject_parts != ((x509.COMMON_NAME, request.name),)
            or certificate.public_key != request.public_key
            or certificate.extension(x509.ALTERNATIVE_NAME) != request.alternative_names_value
            or not vetting.is_harmless(certificate)
        )
        if wrong:
            raise DatabaseCaError(
                f"the certificate that openssl made for {request.name} is not what was asked for, and is discarded",
                f"see default_md, [ cert_ext ] and [ cert_policy ] in {CONFIGURATION}",
            )
        if certificate.end > own.end:
            raise _outlives(certificate.end, own.end)
        path = certificate_of(request.name)
        if len(proposals) > 1:
            change.write(path, data)
        elif change.staged(path).read_bytes() != data:
            raise diagnosis.nothing_written(path, change.directory)
        done.append(Signed(request.name, path, row.serial, certificate.end))
    return done


def _outlives(end: datetime, limit: datetime) -> DatabaseCaError:
    return DatabaseCaError(
        f"the certificate would be valid until {dates.shown(end)}, the CA certificate only until {dates.shown(limit)}",
        "--cap shortens it to the CA's; --days N gives another period",
    )
