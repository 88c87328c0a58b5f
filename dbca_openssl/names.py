"""Which names a host, a client, an organisation and a CA may have.

A name becomes a file name, an environment variable, a common name, an entry of the index and a part of
`REQUIRE SUBJECT`, so it must be safe in all five. X.520 allows 64 characters in a common name.
"""

from __future__ import annotations

import re

from dbca_openssl.errors import DatabaseCaError

LONGEST = 64
"""Characters in a common name or an organisation (X.520, ub-common-name and ub-organization-name)."""

LONGEST_HOST = 253
"""Characters in a host name as the DNS can hold it (RFC 1035, 2.3.4)."""

RESERVED = "database-ca"
"""The CA's own files begin with it, also on the hosts."""

COMMON_NAME_PATTERNS = (
    "{} Database Clients and Servers Certification Authority",  # the guide's: exactly 64 for example.net
    "{} Database Certification Authority",
    "{} Database CA",
    "{} CA",
)

_HOST_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = rf"{_HOST_LABEL}(?:\.{_HOST_LABEL})*"
_CLIENT = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
_ADDRESS_LIKE = r"[0-9.]+"
_USER = r"[A-Za-z_][A-Za-z0-9._-]{0,31}\$?"
_IDNA_DEVIATIONS = "ßς\u200c\u200d"


def host_name(text: str) -> str:
    """The RFC 1123 form of a host name: lower case, international labels in punycode.

    Raises DatabaseCaError where `text` is no host name of at most 64 characters.
    """
    name = _host_of_any_length(text)
    if len(name) > LONGEST:
        raise _too_long(text, len(name), "use a shorter name, and give the long one as --alt-name")
    return name


def entity_name(text: str) -> str:
    """The name of a server or a client: a host name, or else `[A-Za-z0-9][A-Za-z0-9._@-]{0,63}`.

    Raises DatabaseCaError with the reason where it is neither.
    """
    try:
        name = host_name(text)
    except DatabaseCaError:
        if not text.isascii():
            raise
        if not re.fullmatch(_CLIENT, text):
            raise _refusal(text) from None
        name = text
    if name.lower() == RESERVED:
        raise DatabaseCaError(f"the name {RESERVED} is that of the CA itself", "choose another name")
    return name


def user_name(text: str) -> str:
    """`text`, if it can be the name of a user on a host. Raises DatabaseCaError if not."""
    if not re.fullmatch(_USER, text):
        raise DatabaseCaError(f"not the name of a user: {shown(text)}", "for example --owner mysql, or root@HOST")
    return text


def is_entity_name(text: str) -> bool:
    """Whether `text` is a name without any change, as a request must have it."""
    return bool(re.fullmatch(_CLIENT, text))


def comparable(name: str) -> str:
    """The form in which a TLS client compares names: without capital letters and the root's dot (RFC 5280, 7.2)."""
    return name.lower().rstrip(".")


def is_same_name(one: str, other: str) -> bool:
    """Whether two names are the same to a client."""
    return comparable(one) == comparable(other)


def alternative_name(text: str) -> tuple[str, str]:
    """What `--alt-name` means: `("IP", address)` or `("DNS", host name)`, in their canonical forms.

    A leading `DNS:` or `IP:` is taken off; a DNS name may start with `*.`, and may be longer than a common name.
    Raises DatabaseCaError where `text` is neither.
    """
    import ipaddress

    kind, _, rest = text.partition(":")
    kind = kind.upper()
    if kind not in ("DNS", "IP"):
        kind, rest = "", text
    if kind != "DNS":
        try:
            return "IP", str(ipaddress.ip_address(rest))
        except ValueError:
            if kind == "IP":
                raise DatabaseCaError(
                    f"not an IP address: {shown(rest)}", "for example 192.0.2.7, 2001:db8::7"
                ) from None
    wildcard, host = ("*.", rest[2:]) if rest.startswith("*.") else ("", rest)
    name = wildcard + _host_of_any_length(host)
    if len(name) > LONGEST_HOST:
        raise DatabaseCaError(f"{shown(text)} has {len(name)} characters; a host name has at most {LONGEST_HOST}")
    return "DNS", name


def distinguished(text: str, what: str) -> str:
    """An `organization` or the `common name` of a CA, as it is: 1 to 64 characters that a configuration can carry.

    Raises DatabaseCaError with the reason for any other.
    """
    if not text.strip():
        raise DatabaseCaError(f"the {what} is empty", "give one, for example example.net")
    if text != text.strip():
        raise DatabaseCaError(f"the {what} {shown(text)} starts or ends with a blank", "leave the blank out")
    if len(text) > LONGEST:
        raise DatabaseCaError(
            f"the {what} {shown(text)} has {len(text)} characters; {LONGEST} are allowed", "use a shorter one"
        )
    if not is_writable(text):
        raise DatabaseCaError(
            f"the {what} {shown(text)} has a character that no configuration file can carry",
            "line ends, tabs and other control characters are not allowed",
        )
    return text


def authority_name_for(organization: str) -> str:
    """The guide's common name for `organization`, or the longest shorter form that fits into 64 characters.

    Raises DatabaseCaError where none does.
    """
    for name in (pattern.format(organization) for pattern in COMMON_NAME_PATTERNS):
        if len(name) <= LONGEST:
            return name
    raise DatabaseCaError(
        f"no common name made of {shown(organization)} fits into {LONGEST} characters",
        "give one: --common-name 'Our Database CA'",
    )


def printable(text: str) -> str:
    """`text` with escapes such as `\\x1b` in place of what is not printable: it is one line that no terminal obeys."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)


def shown(text: str) -> str:
    """`text` for a message: quoted, printable, and never endless."""
    plain = printable(text)
    return repr(plain if len(plain) <= 80 else plain[:77] + "...").replace("\\\\", "\\")


def is_writable(text: str) -> bool:
    """Whether a configuration file can carry `text`: no controls, surrogates or line separators."""
    import unicodedata

    return not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text)


def _host_of_any_length(text: str) -> str:
    name = (text if text.isascii() else _punycode(text)).lower()
    if not re.fullmatch(_HOST, name) or re.fullmatch(_ADDRESS_LIKE, name):
        raise DatabaseCaError(
            f"not a host name: {shown(text)}",
            "letters, digits and '-' between dots, for example aiken.example.net",
        )
    return name


def _punycode(text: str) -> str:
    if deviation := next((c for c in text if c in _IDNA_DEVIATIONS), None):
        raise DatabaseCaError(
            f"{shown(text)} can mean two hosts: there are two encodings of {deviation!r}",
            "write the label in its xn-- form",
        )
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        raise DatabaseCaError(f"not an international host name: {shown(text)}", "write it in its xn-- form") from None


def _too_long(text: str, length: int, hint: str) -> DatabaseCaError:
    return DatabaseCaError(f"{shown(text)} has {length} characters; a common name has at most {LONGEST}", hint)


def _refusal(text: str) -> DatabaseCaError:
    if not text.strip():
        return DatabaseCaError("the name is empty", "give one, for example aiken.example.net")
    if len(text) > LONGEST:
        return _too_long(text, len(text), "use a shorter name")
    if character := next((c for c in "/+" if c in text), None):
        return DatabaseCaError(
            f"{shown(text)} has a {character!r}, which breaks REQUIRE SUBJECT on some servers",
            "a client may be called [A-Za-z0-9][A-Za-z0-9._@-]*",
        )
    return DatabaseCaError(
        f"not the name of a host or a client: {shown(text)}",
        "a host: aiken.example.net; a client: letters, digits and . _ @ -, the first a letter or digit",
    )
