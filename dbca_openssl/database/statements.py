"""SQL as text: accounts and strings quoted so that they mean the same under every sql_mode, and the statements.

A backtick-quoted name has no escapes but the doubled backtick, neither under ANSI_QUOTES nor under
NO_BACKSLASH_ESCAPES, so every name that is not plain is written in it. A string has no such form: where one has
a backslash in it, the statement must come after `PLAIN_MODE`.
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
"""Backslashes are escapes, and double quotes are of strings: what `string` is written for."""

_PLAIN = re.compile(r"[A-Za-z0-9._%:/$+=~^*?!,<>\[\]{}|()&@ -]*")


class Account(NamedTuple):
    """A user at a host, or at a pattern of hosts."""

    user: str
    host: str

    def sql(self) -> str:
        """The account as SQL has it: `'app'@'%'`. Raises DatabaseCaError where no statement can carry it."""
        return f"{_name(self.user)}@{_name(self.host)}"

    def shown(self) -> str:
        """The account for people, also one that no statement of ours can carry."""
        try:
            return self.sql()
        except DatabaseCaError:
            return f"{shown(self.user)}@{shown(self.host)}"

    def argument(self) -> str:
        """The account as an argument of `server require`, for a shell."""
        plain = f"{self.user}@{self.host}"
        return shlex.quote(plain if self.user and account(plain) == self else self.shown())


class Requirement(NamedTuple):
    """What an account must show: any TLS, any certificate of the authority, or the one with these names.

    Subject and issuer are as X509_NAME_oneline(3) writes them, the way in which servers compare them.
    """

    kind: Literal["NONE", "SSL", "X509", "CERTIFICATE"]
    subject: str = ""
    issuer: str = ""

    def sql(self) -> str:
        """What stands after `REQUIRE`. Raises DatabaseCaError where no statement can carry it."""
        if self.kind == "CERTIFICATE":
            return f"SUBJECT {string(self.subject)} AND ISSUER {string(self.issuer)}"
        return self.kind


def account(text: str) -> Account:
    """What `USER@HOST` means: the last `@` divides; or both parts quoted as in SQL. Without a host it is `%`.

    Raises DatabaseCaError where it is quoted, and not to its end.
    """
    part = r"""(?:'(?:[^'\\]|'')*'|`(?:[^`]|``)*`)"""  # a backslash between single quotes means this or that
    if quoted := re.fullmatch(rf"({part})@({part})", text, re.DOTALL):
        user, host = (value[1:-1].replace(value[0] * 2, value[0]) for value in quoted.groups())
        return Account(user, host)
    if text[:1] in ("'", "`") and text[-1:] == text[:1] and len(text) > 1 and "@" in text:
        raise DatabaseCaError(f"not an account: {shown(text)}", "for example app@% or 'app'@'10.0.0.%'")
    user, at, host = text.rpartition("@")
    return Account(user, host) if at else Account(text, "%")


def string(text: str) -> str:
    """`text` as a string under `PLAIN_MODE`. Raises DatabaseCaError for characters that do not belong into SQL."""
    _require_printable(text)
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def script(*statements: str) -> str:
    """The statements, one a line or more, after `PLAIN_MODE` where a backslash in them needs it."""
    needed = any("\\" in statement for statement in statements)
    return "".join(f"{statement};\n" for statement in ((PLAIN_MODE, *statements) if needed else statements))


def require(who: Account, requirement: Requirement) -> str:
    """`ALTER USER ... REQUIRE`. Raises DatabaseCaError where no statement can carry it."""
    return f"ALTER USER {who.sql()} REQUIRE {requirement.sql()}"


def _name(text: str) -> str:
    _require_printable(text)
    if text != text.strip():
        raise DatabaseCaError(f"{shown(text)} starts or ends with a blank, which servers take off")
    return f"'{text}'" if _PLAIN.fullmatch(text) else "`" + text.replace("`", "``") + "`"


def _require_printable(text: str) -> None:
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise DatabaseCaError(f"{shown(text)} has a character in it that no statement can carry safely")
        if ord(character) > 0xFFFF:
            raise DatabaseCaError(f"{shown(text)} has a character in it that servers do not have in names")
