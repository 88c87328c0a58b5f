"""What openssl's complaints mean, one plain line for each: the texts of 1.1.1 to 4.0 differ, their meaning does not."""

from __future__ import annotations

import os
import re
from pathlib import Path

from dbca_openssl.errors import FULL, DatabaseCaError
from dbca_openssl.openssl import Result

_NEARLY_NOTHING = 65536
"""Bytes: less free space than this is why openssl did not write a file."""

_WRONG_PHRASE = "the pass phrase is wrong"
_MAKE_ROOM = ("make room, then run it again",)
_REPAIR = "the file beside it that ends in .old is its state before the last change"

_MEANINGS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (r"No space left on device|Disk quota exceeded", FULL, _MAKE_ROOM),
    (r"Read-only file system", "the file system is read-only", ("remount it for writing: mount -o remount,rw ...",)),
    (
        r"CA certificate and CA private key do not match",
        "the key does not belong to the certificate of the authority",
        ("database-ca.cert.pem and private/database-ca.key.pem must be of one pair",),
    ),
    (
        r"bad decrypt|bad password read|bad pass phrase|maybe wrong password|password routines|"
        r"UI_process|problems getting password|processing error|empty password",
        _WRONG_PHRASE,
        (),
    ),
    (
        r"There is already a certificate for",
        "there is a valid certificate of that name already",
        ("renew or revoke it",),
    ),
    (
        r"Signature did not match the certificate request|[Ss]ignature verification problems",
        "the signature of the request does not match its key",
        ("make a new request on the host: dbca-openssl request NAME",),
    ),
    (
        r"could not load/parse file|Error creating name index|wrong number of fields|TXT_DB",
        "the index of the authority is damaged",
        (_REPAIR,),
    ),
    (r"while loading serial number|error while loading CRL number", "the serial file is damaged", (_REPAIR,)),
    (
        r"[Cc]ould not (?:find|read|find or decode).*(?:private )?key|unable to load (?:CA )?[Pp]rivate [Kk]ey",
        "the private key cannot be read: a wrong pass phrase, or no key",
        (),
    ),
    (
        r"unable to load (?:X509 request|certificate)|Error reading certificate request|"
        r"Could not (?:find|read).*(?:certificate|request)",
        "a certificate or request cannot be read",
        (),
    ),
    (
        r"field needed to be supplied and was missing|field does not exist",
        "the policy of the authority asks for more",
        (),
    ),
    (r"[Pp]ermission denied", "the permission is denied", ("look at owner and mode of the files",)),
    (
        r"variable has no value|unable to find '|error on line|[Ee]rror [Ll]oading (?:extension|request extension)|"
        r"[Ee]rror checking .*extension|no value|missing equal sign|config",
        "openssl cannot use the configuration file",
        ("compare it with the text of: dbca-openssl render",),
    ),
)


def failure(doing: str, result: Result, directory: Path | None = None) -> DatabaseCaError:
    """The error for an openssl that did not do its work; `doing` is its subcommand, such as `ca`.

    `directory` is where it wrote.
    """
    return said(result.messages, directory) or DatabaseCaError(
        f"openssl {doing} failed (exit {result.code})", "--verbose shows what it said", detail=result.messages
    )


def nothing_written(name: str, directory: Path, detail: str = "") -> DatabaseCaError:
    """The error for an openssl that left the file `name` in `directory` empty or cut off, which it does on a full disk.

    It often exits 0 then and says nothing, so the file system is asked.
    """
    if _is_full(directory):
        return DatabaseCaError(FULL, *_MAKE_ROOM, detail=detail)
    return DatabaseCaError(
        f"openssl did not write all of {name}",
        "is the disk, or a quota on it, full? --verbose shows what openssl said",
        detail=detail,
    )


def said(messages: str, directory: Path | None = None) -> DatabaseCaError | None:
    """The plain meaning of what openssl wrote to stderr, or None where nothing known is in it.

    On a full disk openssl complains of whatever file it wrote half and then reads; so where nothing is left in
    `directory`, that is the reason, unless the pass phrase was wrong.
    """
    # without the notices that come with every success too, the one about RANDFILE in one line or in two
    relevant = re.sub(
        r"^.*(?:RAND_load_file|Can't load .*RNG|Using configuration from).*$", "", messages, flags=re.MULTILINE
    )
    for pattern, meaning, hints in _MEANINGS:
        if re.search(pattern, relevant):
            found = DatabaseCaError(meaning, *hints, detail=messages)
            break
    else:
        found = None
    if directory is not None and _is_full(directory) and not (found and found.message == _WRONG_PHRASE):
        return DatabaseCaError(FULL, *_MAKE_ROOM, detail=messages)
    return found


def _is_full(directory: Path) -> bool:
    space = os.statvfs(directory)
    return space.f_bavail * space.f_frsize < _NEARLY_NOTHING
