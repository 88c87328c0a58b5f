"""SQL statements as text, with accounts and strings quoted so that they mean the same in every sql_mode.

In backticks a doubled backtick is the only escape, also with ANSI_QUOTES and NO_BACKSLASH_ESCAPES, so every name that
is not plain is written in backticks. Strings have no such form: one with a backslash needs `PLAIN_MODE` before it.
"""

from __future__ import annotations

import re
import shlex
import unicodedata
from typing import Literal, NamedTuple

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import shown

Flavor = Literal["mariadb", "mysql"]

PLAIN_MODE = "SET SESSION sql_mode = ''"
"""The sql_mode that `string` quotes for: backslashes are escapes, and double quotes are for strings."""

_PLAIN = re.compile(r"[A-Za-z0-9._%:/$+=~^*?!,<>\[\]{}|()&@ -]*")


class Account(NamedTuple):
    """A user at a host or a pattern of hosts."""

    user: str
    host: str

    def sql(self) -> str:
        """The account in SQL: `'app'@'%'`. Raises DatabaseCaError where a statement cannot hold it."""
        return f"{_name(self.user)}@{_name(self.host)}"

    def shown(self) -> str:
        """The account as text for people, also one that a statement cannot hold."""
        try:
            return self.sql()
        except DatabaseCaError:
            return f"{shown(self.user)}@{shown(self.host)}"

    def argument(self) -> str:
        """The account as an argument of `server require`, for a shell."""
        plain = f"{self.user}@{self.host}"
        return shlex.quote(plain if self.user and account(plain) == self else self.shown())


class Requirement(NamedTuple):
    """What an account must use: nothing, TLS, any certificate of the CA, or the certificate with these names.

    Subject and issuer are in the form of X509_NAME_oneline(3), which servers compare; empty ones are not required.
    """

    kind: Literal["NONE", "SSL", "X509", "CERTIFICATE"]
    subject: str = ""
    issuer: str = ""
    cipher: str = ""

    def sql(self) -> str:
        """The words after `REQUIRE`. Raises DatabaseCaError where a statement cannot hold it."""
        if self.kind == "CERTIFICATE":
            required = (("SUBJECT", self.subject), ("ISSUER", self.issuer), ("CIPHER", self.cipher))
            return " AND ".join(f"{word} {string(text)}" for word, text in required if text)
        return self.kind

    def of_any_issuer(self) -> Requirement:
        """The same without the issuer; any certificate where no subject is left, since CIPHER alone requires none."""
        return self._replace(issuer="") if self.subject else Requirement("X509")


def account(text: str) -> Account:
    """The account that `USER@HOST` means, split at the last `@`, or with both parts quoted as in SQL.

    Without a host it is `%`. Raises DatabaseCaError where the quotes are not complete.
    """
    part = r"""(?:'(?:[^'\\]|'')*'|`(?:[^`]|``)*`)"""  # a backslash in single quotes depends on the sql_mode
    if quoted := re.fullmatch(rf"({part})@({part})", text, re.DOTALL):
        user, host = (value[1:-1].replace(value[0] * 2, value[0]) for value in quoted.groups())
        return Account(user, host)
    if text[:1] in ("'", "`") and text[-1:] == text[:1] and len(text) > 1 and "@" in text:
        raise DatabaseCaError(f"not an account: {shown(text)}", "for example app@% or 'app'@'10.0.0.%'")
    user, at, host = text.rpartition("@")
    return Account(user, host) if at else Account(text, "%")


def string(text: str) -> str:
    """`text` as a string in `PLAIN_MODE`. Raises DatabaseCaError for characters that do not belong in SQL."""
    _require_printable(text)
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def script(*statements: str) -> str:
    """The statements as a script, which starts with `PLAIN_MODE` where a backslash in them needs it."""
    needed = any("\\" in statement for statement in statements)
    return "".join(f"{statement};\n" for statement in ((PLAIN_MODE, *statements) if needed else statements))


def require(who: Account, requirement: Requirement) -> str:
    """`ALTER USER ... REQUIRE`. Raises DatabaseCaError where a statement cannot hold it."""
    return f"ALTER USER {who.sql()} REQUIRE {requirement.sql()}"


def _name(text: str) -> str:
    _require_printable(text)
    if text != text.strip():
        raise DatabaseCaError(f"{shown(text)} starts or ends with a space, which servers remove")
    return f"'{text}'" if _PLAIN.fullmatch(text) else "`" + text.replace("`", "``") + "`"


def _require_printable(text: str) -> None:
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise DatabaseCaError(f"{shown(text)} has a character that a statement cannot hold safely")
        if ord(character) > 0xFFFF:
            raise DatabaseCaError(f"{shown(text)} has a character that servers do not allow in names")
