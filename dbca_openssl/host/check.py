"""What is wrong with the files of this host, or soon will be: CA, CRLs, certificates and keys in `/etc/mysql/ssl`.

It is the script that `check --print` prints, so both find the same.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import dates
from dbca_openssl.ca.check import Limits
from dbca_openssl.ca.layout import CERTIFICATE, INDEX, MISNAMED_CONFIGURATION
from dbca_openssl.finding import Finding, Level
from dbca_openssl.host.ssh import Ssh
from dbca_openssl.openssl import OpenSSL
from dbca_openssl.render import rendered


class End(NamedTuple):
    """When a certificate or CRL expires; the serial and name are those of a host's certificate, or empty."""

    kind: str
    end: datetime
    serial: str
    name: str


def is_hosts(directory: Path) -> bool:
    """Whether a directory without `database-ca.cnf` is that of a host, not that of a damaged CA."""
    of_ca = any((directory / name).exists() for name in (MISNAMED_CONFIGURATION, INDEX, "newcerts"))
    return not of_ca and (directory / CERTIFICATE).is_file()


def check(directory: Path, limits: Limits, openssl: OpenSSL) -> tuple[list[Finding], list[End]]:
    """All findings, and when everything expires. Raises DatabaseCaError where the script does not run to its end."""
    answer = Ssh().run_here("check", script(str(directory), limits, openssl.program, people=False))
    found = [line.split("\t") for line in answer.all("found")]
    ends = [line.split("\t") for line in answer.all("until")]
    return (
        [Finding(Level[level], code, text, fix) for level, code, text, fix in found],
        [End(kind, dates.unix_time(int(end)), serial, name) for kind, end, serial, name in ends],
    )


def script(directory: str, limits: Limits, openssl: str, *, people: bool) -> str:
    """Say what is wrong, or soon will be, with the files of a host; for `people` as monitoring plugins say it."""
    title = "Checks the certificates, CRLs and keys of a database server" + (" by openssl alone" if people else "")
    return rendered("check.sh.j2", title=title, directory=directory, limits=limits, openssl=openssl, people=people)
