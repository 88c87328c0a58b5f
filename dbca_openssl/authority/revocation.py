"""The revocation list: the guide's "Revocation List (CRL)"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from dbca_openssl import complaints, validity
from dbca_openssl.authority import commands
from dbca_openssl.authority.change import BACKUPS, Change
from dbca_openssl.authority.paths import CERTIFICATE, CRL, CRL_NUMBER, Authority
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.passphrase import Passphrase
from dbca_openssl.steps import Plan, Section


@dataclass(frozen=True)
class RevocationList:
    """A list as it lies in `crl/`: its number, and from when until when servers accept it."""

    number: int
    start: datetime
    end: datetime


def plan(authority: Authority, days: int | None) -> Plan:
    """The guide's command for a new list, for a printed script."""
    section = Section("Revocation List (CRL)", (commands.revocation_list(days=days),))
    return Plan("A new revocation list", authority.directory, (section,))


def renew_list(authority: Authority, days: int | None, passphrase: Passphrase | None) -> RevocationList:
    """Make a new revocation list, in one transaction. Raises DatabaseCaError, and then the old one is there."""
    authority.require()
    with Change(authority, CRL_NUMBER, CRL) as change:
        made = _staged_list(change, days, passphrase)
        change.commit((CRL_NUMBER,), (CRL,), BACKUPS)
    return made


def current_list(authority: Authority) -> RevocationList:
    """The list that is in `crl/`. Raises DatabaseCaError where there is none that can be read."""
    return _read(authority, CRL)


def _staged_list(change: Change, days: int | None, passphrase: Passphrase | None) -> RevocationList:
    change.run(commands.revocation_list(home=change.stage, days=days), passphrase)
    change.require_intact(CRL_NUMBER, CRL)
    return _read(change.authority, f"{change.stage}/{CRL}")


def _read(authority: Authority, name: str) -> RevocationList:
    """A list's number and dates, once openssl has found its signature to be the authority's (crl(1))."""
    authority.read(name)
    result = authority.openssl.run(
        ("crl", "-in", name, "-noout", "-CAfile", CERTIFICATE, "-crlnumber", "-lastupdate", "-nextupdate"),
        directory=authority.directory,
    )
    fields = dict(re.findall(r"^(\w+)=(.*)$", result.output.decode("ascii", "replace"), re.MULTILINE))
    if "verify OK" not in result.messages or not {"crlNumber", "lastUpdate", "nextUpdate"} <= fields.keys():
        raise DatabaseCaError(
            f"{authority.path(name)} is no revocation list of this authority",
            "dbca-openssl crl makes a new one",
            detail=result.messages,
        )
    try:
        return RevocationList(
            int(fields["crlNumber"], 16),
            validity.printed_time(fields["lastUpdate"]),
            validity.printed_time(fields["nextUpdate"]),
        )
    except ValueError:
        raise complaints.failure("crl", result) from None
