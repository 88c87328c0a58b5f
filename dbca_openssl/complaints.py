"""What openssl's complaints mean, one plain line for each: the texts of 1.1.1 to 4.0 differ, their meaning does not."""

from __future__ import annotations

import re

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.openssl import Result

_REPAIR = "the file beside it that ends in .old is its state before the last change"

_MEANINGS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (r"No space left on device|Disk quota exceeded", "the disk is full", ("make room, then run it again",)),
    (r"Read-only file system", "the file system is read-only", ("remount it for writing: mount -o remount,rw ...",)),
    (
        r"CA certificate and CA private key do not match",
        "the key does not belong to the certificate of the authority",
        ("database-ca.cert.pem and private/database-ca.key.pem must be of one pair",),
    ),
    (
        r"bad decrypt|bad password read|bad pass phrase|maybe wrong password|password routines|"
        r"UI_process|problems getting password|processing error|empty password",
        "the pass phrase is wrong",
        ("nothing was changed; run it again with the right one",),
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
        ("openssl pkey -noout -in KEY tells more",),
    ),
    (
        r"unable to load (?:X509 request|certificate)|Error reading certificate request|"
        r"Could not (?:find|read).*(?:certificate|request)",
        "a certificate or request cannot be read",
        ("--verbose shows what openssl said",),
    ),
    (
        r"field needed to be supplied and was missing|field does not exist",
        "the policy of the authority asks for more",
        ("look at [ ca_policy ] and [ cert_policy ] in database-ca.cnf",),
    ),
    (r"[Pp]ermission denied", "the permission is denied", ("look at owner and mode of the files",)),
    (
        r"variable has no value|unable to find '|error on line|[Ee]rror [Ll]oading (?:extension|request extension)|"
        r"[Ee]rror checking .*extension|no value|missing equal sign|config",
        "openssl cannot use the configuration file",
        ("compare it with the text of: dbca-openssl render",),
    ),
)


def failure(doing: str, result: Result) -> DatabaseCaError:
    """The error for an openssl that did not do its work; `doing` is its subcommand, such as `ca`."""
    return said(result.messages) or DatabaseCaError(
        f"openssl {doing} failed (exit {result.code})", "--verbose shows what it said", detail=result.messages
    )


def said(messages: str) -> DatabaseCaError | None:
    """The plain meaning of what openssl wrote to stderr, or None where nothing known is in it."""
    # without the notice about RANDFILE, which comes with every success too, in one line or in two
    relevant = re.sub(r"^.*(?:RAND_load_file|Can't load .*RNG).*$", "", messages, flags=re.MULTILINE)
    for pattern, meaning, hints in _MEANINGS:
        if re.search(pattern, relevant):
            return DatabaseCaError(meaning, *hints, detail=messages)
    return None
