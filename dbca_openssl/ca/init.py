"""A new CA: the guide's "Create a Certificate Authority", from its directories to the first CRL."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from dbca_openssl import diagnosis
from dbca_openssl.ca import guide_commands, revoke
from dbca_openssl.ca.hosts import MODERN
from dbca_openssl.ca.key import is_encrypted
from dbca_openssl.ca.layout import (
    CERTIFICATE,
    CONFIGURATION,
    CRL,
    CRL_NUMBER,
    DATABASE,
    DIRECTORIES,
    HOSTS,
    INDEX,
    KEY,
    REQUEST,
    SERIAL,
    Authority,
    issued,
)
from dbca_openssl.crls import Crl
from dbca_openssl.errors import DatabaseCaError, of_system
from dbca_openssl.files import PUBLIC_DIRECTORY, fsync, require_absent, set_mode
from dbca_openssl.lock import Lock
from dbca_openssl.plan import CopyFile, MakeDirectories, Plan, Section, Step, WriteFile, tell_lost_modes
from dbca_openssl.render import AuthoritySettings, authority_configuration

FIRST_SERIALS = {"guide": "00", "modern": "01"}
"""The serial of the CA certificate, by profile; some libraries refuse the guide's (erratum 13)."""


class NewAuthority(NamedTuple):
    """What `init` is to make: the values of the configuration, and what is not written there.

    `key` is the file of an existing key, `encrypted` whether that or the new one is, `algorithm` the options for
    another new key than RSA.
    """

    settings: AuthoritySettings
    start: datetime
    end: datetime
    key: Path | None = None
    encrypted: bool = True
    algorithm: tuple[str, ...] = ()


def plan(authority: Authority, new: NewAuthority) -> Plan:
    """Everything that `init` does, as steps under the guide's headings.

    Raises DatabaseCaError for a value that no configuration file can carry.
    """
    configuration = authority_configuration(new.settings)
    given = new.key or authority.key.uri
    make_key = (
        guide_commands.request_with_key() if given else guide_commands.new_key_and_request(new.encrypted, new.algorithm)
    )
    request, certificate, first_list = authority.key.given_to(
        make_key, guide_commands.self_sign(new.start, new.end, configuration), guide_commands.revocation_list()
    )
    serial = f"{FIRST_SERIALS[new.settings.profile]}\n"
    files: tuple[Step, ...] = (WriteFile(INDEX, ""), WriteFile(CRL_NUMBER, "00\n"), WriteFile(SERIAL, serial))
    if new.settings.profile == "modern":
        files = (*files, WriteFile(HOSTS, MODERN))
    if authority.key.uri:
        files = (*files, WriteFile(authority.key.place, f"{authority.key.uri}\n"))
    sections = (
        Section("Directories and Files", (MakeDirectories(DIRECTORIES), *files)),
        Section("OpenSSL Configuration", (WriteFile(CONFIGURATION, configuration),)),
        Section("Generate CSR and new Key", (*([CopyFile(new.key, KEY)] if new.key else []), request)),
        Section("Self-Sign the Certificate", (certificate,)),
        Section("Revocation List (CRL)", (first_list,)),
    )
    return Plan("A CA for MariaDB and MySQL", authority.directory, sections, new_directory=True)


def require_possible(authority: Authority, new: NewAuthority) -> None:
    """Raise DatabaseCaError for what `create` would refuse, before anybody is asked for a pass phrase."""
    directory = authority.directory
    if directory.is_symlink() or not directory.is_dir() or any(directory.iterdir()):
        require_absent(directory)
    if not directory.parent.is_dir():
        raise DatabaseCaError(f"there is no directory {directory.parent}", f"mkdir -p {directory.parent}")
    if new.start >= new.end:
        raise DatabaseCaError("the certificate would expire before it is valid", "give more --years")
    if authority.key.uri:
        authority.key.public_key(authority.openssl)
    if new.key:
        try:
            encrypted = is_encrypted(new.key.read_bytes())
        except OSError as error:
            raise of_system(f"cannot read the key {new.key}", error, "a key is a file in PEM form") from None
        if encrypted != new.encrypted:
            raise DatabaseCaError(
                f"the key {new.key} is {'' if encrypted else 'not '}encrypted",
                "leave out --no-passphrase"
                if encrypted
                else "openssl pkey -aes256 -in KEY -out NEW encrypts it; --no-passphrase takes it as it is",
            )


def create(authority: Authority, new: NewAuthority) -> Crl:
    """Make the CA in a directory beside its own, and move it there when it is complete.

    The pass phrase of `authority` encrypts a new key, or opens the one in `new.key`. Returns the first CRL.
    Raises DatabaseCaError, and then there is nothing.
    """
    require_possible(authority, new)
    target = authority.directory
    try:
        _remove_abandoned(target)
        work, lock = _new_directory(target)
    except OSError as error:
        raise of_system(f"cannot make {target}", error) from None
    try:
        plan(authority, new).run(authority.openssl, work, (lock.descriptor,))
        _require_complete(work, FIRST_SERIALS[new.settings.profile], authority.key.place)
        first = revoke.current_list(authority._replace(directory=work))
        tell_lost_modes(work / "private", target, authority.tell)
        set_mode(work, target.stat().st_mode & 0o777 if target.is_dir() else PUBLIC_DIRECTORY)
        for path in (work, *work.rglob("*")):
            fsync(path)
        _move(work, target)
    except OSError as error:
        raise of_system(f"cannot make {target}", error) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
        lock.release()
    return first


def _new_directory(target: Path) -> tuple[Path, Lock]:
    """A directory beside `target`, and the lock on it; nobody else can hold one, or would have to be waited for."""
    while True:
        work = target.parent / f".{target.name}.{os.urandom(4).hex()}"
        work.mkdir(mode=0o700)
        try:
            return work, Lock(work, lambda line: None, itself=True)
        except DatabaseCaError:
            if work.exists():
                raise
            # else another `init` took it for abandoned before it was locked


def _remove_abandoned(target: Path) -> None:
    """Remove what a killed `init` left: neither it nor its openssl holds the lock any more."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}")
    for path in target.parent.iterdir():
        if pattern.fullmatch(path.name):
            with suppress(DatabaseCaError):
                lock = Lock(path, lambda line: None, 0, itself=True)
                shutil.rmtree(path, ignore_errors=True)
                lock.release()


def _require_complete(work: Path, serial: str, key: str) -> None:
    """On a full disk openssl leaves empty files and exits 0; in a new CA none of these is empty."""
    for name in (*DATABASE, CRL_NUMBER, CRL, key, REQUEST, CERTIFICATE, issued(serial)):
        if (work / name).stat().st_size == 0:
            raise diagnosis.nothing_written(name, work)


def _move(work: Path, target: Path) -> None:
    try:
        work.rename(target)  # also over an empty directory, but never over one with something in it
    except OSError:
        require_absent(target)
        raise
    try:
        fsync(target.parent)
    except OSError as error:  # the CA is there, so "cannot make" would be wrong
        raise of_system(f"{target} is made, but may not be on the disk yet", error) from None
