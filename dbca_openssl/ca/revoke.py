"""Revoking certificates, and the CRL: the guide's "Revocation List (CRL)"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Literal

from dbca_openssl import crls, dates
from dbca_openssl.ca import archive, canary, guide_commands, index, sign
from dbca_openssl.ca.certificates import certificate_path, is_path, not_found, own_certificate, read_certificate
from dbca_openssl.ca.change import BACKUPS, Change
from dbca_openssl.ca.index import Row
from dbca_openssl.ca.layout import CERTIFICATE, CRL, CRL_NUMBER, DATABASE, INDEX, Authority, issued
from dbca_openssl.ca.sign import Signed
from dbca_openssl.crls import Crl
from dbca_openssl.der import UnreadableError
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.plan import Plan, Section, Step
from dbca_openssl.x509 import Certificate

Reason = Literal[
    "unspecified", "keyCompromise", "affiliationChanged", "superseded", "cessationOfOperation", "certificateHold"
]
"""Why the certificate of a host or client is revoked, in the words of RFC 5280, 5.3.1, and of `openssl ca`."""

SUPERSEDED: Reason = "superseded"


def propose(authority: Authority, what: str) -> list[Row]:
    """The rows to revoke for `what`: all valid ones of a name, or the one of a serial in hex or of a file.

    Raises DatabaseCaError where there is none, where it is revoked already or where it is the CA itself.
    """
    authority.require()
    authority.openssl.version  # noqa: B018  # one that cannot be used is refused before anybody is asked anything
    own = own_certificate(authority)
    own_serial = index.serial_text(own.serial)
    serial = what.upper().zfill(len(what) + len(what) % 2)
    if is_path(what):
        certificate = read_certificate(authority, str(certificate_path(authority, what).absolute()))
        serial = index.serial_text(certificate.serial)
    rows = index.some(authority.read(INDEX), names={what}, serials={serial, own_serial})
    named = [row for row in rows if row.name == what]
    found = [row for row in rows if row.serial == serial]
    if is_path(what):
        _require_issued(authority, what, certificate, found)
    elif named:
        found = [row for row in named if row.state == index.VALID] or named[-1:]
    if not found:
        raise not_found(what, rows)
    own_subject = next((row.subject for row in rows if row.serial == own_serial), None)
    for row in found:
        if row.subject == own_subject:  # or one that init --renew has replaced: it has the same key
            raise DatabaseCaError("the CA does not revoke itself", "remove its certificate from the hosts instead")
        if row.state == index.REVOKED:
            raise DatabaseCaError(f"{row.name} (serial {row.serial}) is revoked already")
    return found


def plan(authority: Authority, days: int | None, *, new_canary: bool = False) -> Plan:
    """The guide's command for a new CRL, for a printed script; `days` and `new_canary` are as for `renew_list`."""
    if _left_out(authority, authority.read(INDEX)):
        authority.tell("the CRL of the script has the entries of expired certificates again")
    steps = authority.key.given_to(guide_commands.revocation_list(days=days))
    sections = [Section("Revocation List (CRL)", steps)]
    if new_canary or canary.is_kept(authority):
        sections.insert(0, Section("A revoked certificate", canary.steps(authority.key, new=new_canary)))
    return Plan("A new CRL", authority.directory, tuple(sections))


def plan_revocation(authority: Authority, rows: Sequence[Row], reason: Reason | None, with_list: bool) -> Plan:
    """openssl's commands for revoking `rows`, for a printed script."""
    sections = [Section("Revoke", steps(authority, rows, reason))]
    if with_list:
        sections += plan(authority, None).sections
    return Plan("Revoke certificates", authority.directory, tuple(sections))


def steps(authority: Authority, rows: Sequence[Row], reason: Reason | None) -> tuple[Step, ...]:
    """The steps that revoke `rows`, for a plan."""
    return authority.key.given_to(*(guide_commands.revoke(issued(row.serial), reason=reason) for row in rows))


def revoke(authority: Authority, rows: Sequence[Row], reason: Reason | None, with_list: bool) -> Crl | None:
    """Revoke the certificates of `rows` and make a new CRL (None: not `with_list`), in one transaction (ca(1)).

    Raises DatabaseCaError, and then nothing has changed.
    """
    with changing(authority) as change:
        if not set(rows) <= set(index.some(change.index, serials={row.serial for row in rows})):
            raise DatabaseCaError("another process changed the index meanwhile", "run the command again")
        revoke_in(change, rows, reason)
        if with_list:
            return list_in(change, None)
        change.commit(DATABASE, (), BACKUPS)
    return None


def renew_list(authority: Authority, days: int | None, *, new_canary: bool = False, drop_expired: bool = False) -> Crl:
    """Make a new CRL, valid for `days` days (None: as configured), in one transaction; maybe the first with a canary.

    `drop_expired` leaves out what had expired before the one that is there, from now on.
    Raises DatabaseCaError, and then the old one is unchanged.
    """
    authority.require()
    with changing(authority) as change:
        return list_in(change, days, new_canary=new_canary, drop_expired=drop_expired)


def changing(authority: Authority, compared: Sequence[str] = ()) -> Change:
    """A change that may make a CRL, and replaces the `compared` files."""
    return Change(authority, CRL_NUMBER, CRL, compared=(*canary.FILES, *compared))


def current_list(authority: Authority, name: str = CRL) -> Crl:
    """The CRL in `crl/`, or in another file. Raises DatabaseCaError where there is none of this CA with a number."""
    label, hint = str(authority.path(name)), "dbca-openssl crl makes a new one"
    try:
        crl = crls.crl_in(authority.read(name))
    except UnreadableError as error:
        raise DatabaseCaError(f"{label} is not a CRL of this CA", hint, detail=str(error)) from None
    crls.require_signed(crl, authority.openssl, authority.path(CERTIFICATE), label, hint)
    if crl.number < 0:
        raise DatabaseCaError(f"{label} has no number", hint)
    return crl


def missing(rows: Iterable[Row], crl: Crl) -> list[Row]:
    """The rows whose certificate is revoked, and that a CRL lacks, unless it may have left them out."""
    absent = [row for row in rows if row.state == index.REVOKED and int(row.serial, 16) not in crl.revoked]
    over = set(_over(absent, crl.start))
    return [row for row in absent if row not in over]


def _over(rows: Iterable[Row], listed: datetime) -> Iterator[Row]:
    """The rows that the CRLs after one of the time `listed` may leave out, since their certificates had expired then.

    An entry stays until it was on one CRL made after the certificate's end (RFC 5280, 3.3), so what was revoked later
    than `listed` stays. So does what is valid now, should a wrong clock have dated that CRL.
    """
    limit = min(listed, dates.now())
    return (row for row in rows if row.end < limit and (row.revoked_at or listed) < listed)


def _left_out(authority: Authority, data: bytes, *, first: bool = False) -> set[str]:
    """The serials that the next CRL leaves out: none, unless the CRL that is there lacks one already, or `first`.

    So the CRL itself says whether it is done, and where it is lost, the next one has all entries.
    """
    try:
        crl = crls.crl_in(authority.read(CRL))
    except (DatabaseCaError, UnreadableError):
        return set()
    over = {row.serial for row in _over(index.some(data, revoked=True), crl.start)}
    return over if first or any(int(serial, 16) not in crl.revoked for serial in over) else set()


def revoke_in(change: Change, rows: Sequence[Row], reason: Reason | None) -> None:
    """Revoke within a change that the caller commits. Raises DatabaseCaError."""
    _require_ours(change, rows)
    if len(rows) > 1:
        change.narrow()
    for row in rows:
        _revoke(change, row.serial, issued(row.serial), reason)


def _revoke(change: Change, serial: str, certificate: str, reason: Reason | None) -> None:
    change.show(serials={serial})
    change.run(guide_commands.revoke(certificate, reason=reason, home=change.stage))
    change.require_changed({serial: index.REVOKED})


def list_in(
    change: Change,
    days: int | None,
    signed: Sequence[Signed] = (),
    following: Sequence[str] = (),
    *,
    new_canary: bool = False,
    drop_expired: bool = False,
) -> Crl:
    """Make a new CRL within a change, and commit all of it, with what was `signed` in it, and `following` files.

    Raises DatabaseCaError.
    """
    made = list(signed)
    if new_canary or canary.is_kept(change.authority):
        made += canary.sign_in(change, new=new_canary)
        _revoke(change, made[-1].serial, f"{change.stage}/{issued(made[-1].serial)}", None)
    left_out = _left_out(change.authority, change.index, first=drop_expired)
    change.show(revoked=True, without=left_out)
    change.run(guide_commands.revocation_list(home=change.stage, days=days))
    change.require_intact(CRL_NUMBER, CRL)
    crl = current_list(change.authority, f"{change.stage}/{CRL}")._replace(left_out=len(left_out))
    if left_out:
        change.write(INDEX, change.index)
    if change.index == change.base[INDEX]:
        change.commit((CRL_NUMBER,), (CRL,), BACKUPS)
    else:
        sign.commit(change, made, (CRL_NUMBER, *((canary.KEY,) if new_canary else ())), (CRL, *following))
    return crl


def _require_ours(change: Change, rows: Sequence[Row]) -> None:
    """`openssl ca -revoke` compares serial and name only, so a certificate of another CA could revoke one of ours."""
    own = own_certificate(change.authority)
    signed = archive.signed_by(change.authority, [row.serial for row in rows])
    for row in rows:
        certificate = read_certificate(change.authority, issued(row.serial))
        if row.serial not in signed or not archive.is_issued(certificate, row.serial, own):
            path = change.directory / issued(row.serial)
            raise DatabaseCaError(f"{path} is not a certificate of this CA with that serial")


def _require_issued(authority: Authority, what: str, certificate: Certificate, rows: Sequence[Row]) -> None:
    """Raise DatabaseCaError unless a row has the certificate's serial, and the copy in `newcerts/` is the same."""
    copy = issued(index.serial_text(certificate.serial))
    there = rows and authority.path(copy).is_file()
    if not there or read_certificate(authority, copy).encoded != certificate.encoded:
        raise DatabaseCaError(f"{what} is not a certificate of this CA", "dbca-openssl list shows all of them")
