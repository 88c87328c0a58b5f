"""Plain words for what openssl says. The texts of 1.1.1 to 4.0 differ, their meaning does not."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dbca_openssl.command import Command, Result
from dbca_openssl.errors import FULL, ROOM, DatabaseCaError

_NEARLY_NOTHING = 65536
"""Bytes: with less free space than this the disk is taken for full."""

_WRONG_PHRASE = "the pass phrase is wrong"
REPAIR = "dbca-openssl check says what is wrong, dbca-openssl repair fixes it"
_NEW_REQUEST = "make a new request on the host: dbca-openssl request NAME"
_READING = r"Could not (?:read|find|find or decode|open file or uri for loading)"
"""How the messages of 3.0, 3.5, 4.0 and of all of them begin."""

_MEANINGS = (
    # a pattern, what it means, hints
    (r"No space left on device|Disk quota exceeded", FULL, ROOM),
    (r"Read-only file system", "the file system is read-only", "remount it for writing: mount -o remount,rw ..."),
    (r"Permission denied", "permission denied", "check the owner and mode of the files"),
    (
        r"^CA certificate and CA private key do not match",
        "the CA key does not belong to the CA certificate",
        "database-ca.cert.pem and private/database-ca.key.pem must be a pair",
    ),
    (
        r":UI_process:processing error:|:problems getting password:|:bad password read:",
        "the key needs a pass phrase, and openssl got none",
        "give it by --passphrase-file FILE, --passphrase-fd N or DBCA_PASSPHRASE_FILE",
    ),
    (
        r"Unknown algorithm ML-DSA|Algorithm \(ML-DSA",
        "this openssl cannot make ML-DSA keys",
        "OpenSSL 3.5 or newer can: --openssl PATH, or --algorithm ec:P-256",
    ),
    (
        r":PIN locked:",
        "the token has locked itself after too many wrong PINs",
        "its security officer unlocks it: pkcs11-tool --login --login-type so --init-pin",
    ),
    (
        r":PIN incorrect:|:PIN invalid:|:PIN len range:|CKR_PIN_",
        "the PIN is wrong",
        "nothing was changed; after a few wrong ones a token locks itself",
    ),
    (
        rf"^{_READING} (?:CA )?private key from (?:org\.openssl\.engine:)?pkcs11:",
        "the token does not give the key: a wrong PIN, or it has no such key",
        "to see what it has: pkcs11-tool --login --list-objects; after a few wrong PINs a token locks itself",
    ),
    (r":bad decrypt:|:maybe wrong password", _WRONG_PHRASE, "nothing was changed; run it again with the right one"),
    (
        r"^ERROR:There is already a certificate for",
        "there is a valid certificate with that name already",
        "dbca-openssl renew NAME replaces it",
    ),
    (
        r"^ERROR:Serial number \S+ has already been issued",
        "the serial file of the CA is damaged: its serial is used already",
        REPAIR,
    ),
    (
        r"^Signature did not match the certificate request|^Signature verification problems",
        "the signature of the request does not match its key",
        _NEW_REQUEST,
    ),
    (
        r"\(could not load/parse file\)$|^[Ee]rror creating (?:name|serial number) index:|^wrong number of fields|"
        r"^entry \d+: |^in entry \d+|^TXT_DB error number",
        "the index of the CA is damaged",
        REPAIR,
    ),
    (r"^error while loading serial number", "the serial file of the CA is damaged", REPAIR),
    (r"^error while loading CRL number", "the file with the number of the CRL is damaged", REPAIR),
    (
        rf"^{_READING} (?:CA )?private key from|^unable to load (?:CA private key|Private Key)$",
        "the private key cannot be read: a wrong pass phrase, or not a key",
        "to see why: openssl pkey -noout -in KEY",
    ),
    (
        r"^(?:error: )?[Uu]nable to load certificate request|^Error reading certificate request",
        "that is not a certificate request",
        _NEW_REQUEST,
    ),
    (
        rf"^{_READING} (?:CA )?certificate from|^[Uu]nable to load (?:CA )?certificate$",
        "a certificate cannot be read",
    ),
    (rf"^{_READING} CRL from|^[Uu]nable to load CRL$", "the CRL cannot be read", "dbca-openssl crl makes a new one"),
    (
        r"^The \S+ field (?:needed to be supplied and was missing|does not exist in the CA certificate|is different)",
        "the policy of the CA requires more than the request has",
        "see [ cert_policy ] in database-ca.cnf",
    ),
    (
        r"^\w+: Error on line \d+ of config file|^variable lookup failed for|^unable to find '\w+' (?:for|in config)|"
        r"^Error (?:Loading|checking) .*extension|^\S+:invalid type in 'policy' configuration|"
        r"^cannot lookup how many days|^Error: No objects specified in config file|^Can't open \"?\S+\.cnf\b",
        "openssl cannot use the configuration file",
        "compare it with the output of: dbca-openssl render",
    ),
)


def require_success(command: Command, result: Result, directory: Path) -> None:
    """Raise DatabaseCaError where a command has failed, or has not written its files in `directory` to their ends."""
    if result.code:
        raise failure(command.arguments[0], result, directory)
    for name in command.creates:
        if not _is_whole(directory / name):
            raise said(result.messages, directory) or nothing_written(Path(name).name, directory, result.messages)


def failure(doing: str, result: Result, directory: Path) -> DatabaseCaError:
    """The error for an openssl that failed in `directory`; `doing` is its subcommand, such as `ca`."""
    return said(result.messages, directory) or DatabaseCaError(
        f"openssl {doing} failed (exit {result.code})", "--verbose shows what it said", detail=result.messages
    )


def nothing_written(name: str, directory: Path, detail: str = "") -> DatabaseCaError:
    """The error for an openssl that left the file `name` in `directory` empty or cut off, as it does on a full disk.

    It often exits 0 then without a message, so the file system is asked.
    """
    if _is_full(directory):
        return DatabaseCaError(FULL, ROOM, detail=detail)
    return DatabaseCaError(
        f"openssl did not write all of {name}",
        "is the disk, or a quota on it, full? --verbose shows what openssl said",
        detail=detail,
    )


def said(messages: str, directory: Path | None = None) -> DatabaseCaError | None:
    """What openssl's error output means, or None where nothing known is in it.

    On a full disk openssl reads back a file that it wrote only in part, and complains about its content; so a full
    disk under `directory` is the reason, unless the pass phrase was wrong.
    """
    # without the notices about RANDFILE, which come with every success too
    relevant = re.sub(r"^.*(?:RAND_(?:load|write)_file|Can't load .* into RNG).*$", "", messages, flags=re.MULTILINE)
    found = None
    for pattern, meaning, *hints in _MEANINGS:
        if re.search(pattern, relevant, re.MULTILINE):
            found = DatabaseCaError(meaning, *hints, detail=messages)
            break
    if directory is not None and _is_full(directory) and not (found and found.message == _WRONG_PHRASE):
        return DatabaseCaError(FULL, ROOM, detail=messages)
    return found


def _is_whole(path: Path) -> bool:
    """Whether a PEM file is there to its end: a full disk can cut it off anywhere while openssl exits 0."""
    return path.is_file() and path.read_bytes().rstrip(b"\n").rpartition(b"\n")[2].startswith(b"-----END ")


def _is_full(directory: Path) -> bool:
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize < _NEARLY_NOTHING
