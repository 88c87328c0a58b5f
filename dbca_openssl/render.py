"""Configuration files from `templates/`, with every value quoted so that openssl reads exactly what was meant."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from dbca_openssl import names
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import shown

if TYPE_CHECKING:
    from jinja2 import Environment

DAYS, CRL_DAYS, YEARS = 368, 60, 5
"""The guide's validity of certificates, CRLs and the CA certificate. It calls 368 days "Two years" (erratum 10)."""

AUTHORITY_BITS, HOST_BITS = 4096, 3072
"""The guide's RSA keys."""

SSL_DIR = "/etc/mysql/ssl"
"""Where the guide puts the files on each host."""

_rendering = Lock()
"""Held while a text is rendered: threads that begin at once would each read and compile the same templates."""

_PLAIN = r"[A-Za-z0-9._:/@-]+(?: [A-Za-z0-9._:/@-]+)*"


class AuthoritySettings(NamedTuple):
    """The values of `database-ca.cnf`; the defaults are the guide's.

    `days` and `crl_days` are the validity of certificates and CRLs, `bits` the size of the CA's RSA key, `base_url` is
    where hosts find CA certificate and CRL, as the function of that name gives it. `profile` is `guide` or `modern`.
    """

    organization: str
    common_name: str
    days: int = DAYS
    crl_days: int = CRL_DAYS
    bits: int = AUTHORITY_BITS
    base_url: str = f"file://{SSL_DIR}"
    profile: str = "guide"


def quoted(value: str) -> str:
    """`value` as config(5) reads it back: plain where the guide writes it plain, else one double-quoted token.

    Raises DatabaseCaError for the characters that no quoting can carry: controls, surrogates, line separators.
    """
    if re.fullmatch(_PLAIN, value):
        return value
    if not names.is_writable(value):
        raise DatabaseCaError(f"{shown(value)} has a character that no configuration file can carry")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def option(value: str) -> str:
    """`value` as an option file of MariaDB or MySQL gives it back: plain, or between double quotes.

    Raises DatabaseCaError for the characters that no option file can carry.
    """
    if re.fullmatch(r"[A-Za-z0-9._:/@%+,=-]+", value):
        return value
    if not value.isprintable() or '"' in value:
        raise DatabaseCaError(f"{shown(value)} has a character that no option file can carry")
    return '"' + value.replace("\\", "\\\\") + '"'


def literal(value: str) -> str:
    """`value` as a string literal that Python, JavaScript, Go, Java and C# read alike.

    Raises DatabaseCaError for what is not printable, such as control characters and those that turn the text around.
    """
    if not value.isprintable():
        raise DatabaseCaError(f"{shown(value)} has a character that no program should carry")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def bare(value: str) -> str:
    """`value` for a format that has no quotes. Raises DatabaseCaError where it would need any."""
    if not re.fullmatch(r"[\w./:@\[\]+~-]+", value):
        raise DatabaseCaError(f"{shown(value)} has a character that this format cannot carry")
    return value


def here_document(text: str) -> str:
    """`text`, which ends with a line end, as the input of a shell command, between words that do not occur in it."""
    end = "END_OF_FILE"
    while end in text:
        end += "_"
    return f"<<'{end}'\n{text}{end}"


def base_url(text: str) -> str:
    """An absolute URL in ASCII, without its final slash. Raises DatabaseCaError where `text` is none."""
    if not re.fullmatch(r"(?:https?|file|ldaps?|ftp)://[!#-;=?-Z_a-z~%\[\]]+", text):
        raise DatabaseCaError(f"not an absolute URL in ASCII: {shown(text)}", "example: --url http://pki.example.net")
    return text.rstrip("/")


def directory_url(directory: str) -> str:
    """The `file:` URL of a directory on the hosts. Raises DatabaseCaError where it is not absolute."""
    path = Path(directory)
    if not path.is_absolute():
        raise DatabaseCaError(f"not an absolute directory: {shown(directory)}", f"example: --ssl-dir {SSL_DIR}")
    return base_url(path.as_uri())


def authority_configuration(settings: AuthoritySettings) -> str:
    """`database-ca.cnf`: the guide's text, "OpenSSL Configuration", and what is missing there after its `# EOF`.

    Raises DatabaseCaError as `quoted` does.
    """
    return rendered(
        "database-ca.cnf.j2",
        **settings._asdict(),
        # every openssl reads dirName as Latin-1, and garbles a name beyond ASCII
        ascii_name=(settings.organization + settings.common_name).isascii(),
    )


def host_configuration(
    bits: int = HOST_BITS, own_name: bool = False, alternative_names: tuple[tuple[str, str], ...] = ()
) -> str:
    """`openssl.cnf` of a host: the guide's text, "Certificate Signing Requests", and then SANs, if any.

    `own_name` makes the common name a DNS SAN too; the others are pairs of `DNS` or `IP` and a name.
    """
    return rendered("openssl.cnf.j2", bits=bits, own_name=own_name, alternative_names=alternative_names)


def rendered(template: str, **values: object) -> str:
    """The text of any other template: pages and manual, option files, host scripts.

    The template puts each value through the filter of its format: `quoted`, `option`, `shell`, `yaml`, `literal`,
    `php` or `bare`; in a page of HTML it is escaped. Raises DatabaseCaError as `quoted` and `option` do.
    """
    with _rendering:
        return _environment().get_template(template).render(values)


def _as_yaml(value: object) -> str:
    """A value as YAML that Ansible takes literally: JSON, which YAML contains, and no template for Ansible."""
    import json

    text = json.dumps(value, ensure_ascii=True)
    return f"!unsafe {text}" if "{" in text else text


@cache
def _environment() -> Environment:
    # slow to import, and few commands need it
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("dbca_openssl"),  # also in a zip file, such as dbca-openssl.pyz
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=select_autoescape(["html.j2"], default=False),  # configuration files have `quoted` instead
    )
    environment.filters |= {"quoted": quoted, "option": option, "shell": shlex.quote, "yaml": _as_yaml}
    environment.filters |= {"here_document": here_document, "literal": literal, "bare": bare}
    environment.filters["php"] = lambda value: literal(value).replace("$", "\\$")
    return environment
