"""Configuration files from `templates/`, with every value quoted so that openssl reads exactly what was meant."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import shown

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).parent / "templates"

DAYS, CRL_DAYS, AUTHORITY_BITS, HOST_BITS = 368, 60, 4096, 3072
"""The guide's values. Its comment behind the first, "Two years", is one year (erratum 10)."""

SSL_DIR = "/etc/mysql/ssl"
"""Where the guide puts the files on each host."""

_PLAIN = re.compile(r"[A-Za-z0-9._:/@-]+(?: [A-Za-z0-9._:/@-]+)*")


class AuthoritySettings(NamedTuple):
    """The values of `database-ca.cnf`; the defaults are the guide's.

    `days` and `crl_days` are how long certificates and lists are good, `bits` the size of the authority's RSA key,
    `base_url` where hosts find certificate and list, as the function of that name gives it.
    """

    organization: str
    common_name: str
    days: int = DAYS
    crl_days: int = CRL_DAYS
    bits: int = AUTHORITY_BITS
    base_url: str = f"file://{SSL_DIR}"


def quoted(value: str) -> str:
    """`value` as config(5) reads it back: plain where the guide writes it plain, else one double-quoted token.

    Raises DatabaseCaError for the characters that no quoting can carry: controls, surrogates, line separators.
    """
    if _PLAIN.fullmatch(value):
        return value
    import unicodedata

    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise DatabaseCaError(f"{shown(value)} has a character in it that no configuration file can carry")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def option(value: str) -> str:
    """`value` as an option file of MariaDB or MySQL gives it back: plain, or between double quotes.

    Raises DatabaseCaError for the characters that no option file can carry.
    """
    if re.fullmatch(r"[A-Za-z0-9._:/@%+,=-]+", value):
        return value
    import unicodedata

    for character in value:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character == '"':
            raise DatabaseCaError(f"{shown(value)} has a character in it that no option file can carry")
    return '"' + value.replace("\\", "\\\\") + '"'


def base_url(text: str) -> str:
    """Where certificate and revocation list will be: an absolute URL in ASCII, without its final slash.

    Raises DatabaseCaError where `text` is none.
    """
    if not re.fullmatch(r"(?:https?|file|ldaps?|ftp)://[!#-;=?-Z_a-z~%\[\]]+", text):
        raise DatabaseCaError(
            f"not an absolute URL in ASCII: {shown(text)}", "for example --url http://pki.example.net"
        )
    return text.rstrip("/")


def directory_url(directory: str) -> str:
    """The `file:` URL of a directory on the hosts, where the guide puts certificate and revocation list.

    Raises DatabaseCaError where it is not absolute.
    """
    path = Path(directory)
    if not path.is_absolute():
        raise DatabaseCaError(f"not an absolute directory: {shown(directory)}", "for example --ssl-dir /etc/mysql/ssl")
    return base_url(path.as_uri())


def authority_configuration(settings: AuthoritySettings) -> str:
    """`database-ca.cnf`: the guide's text, "OpenSSL Configuration", and after its `# EOF` what it forgot.

    Raises DatabaseCaError as `quoted` does.
    """
    return _render(
        "database-ca.cnf.j2",
        organization=settings.organization,
        common_name=settings.common_name,
        days=settings.days,
        crl_days=settings.crl_days,
        bits=settings.bits,
        # dirName is read as Latin-1 by every openssl, so a name beyond ASCII would arrive garbled
        ascii_name=(settings.organization + settings.common_name).isascii(),
        certificate_url=f"{settings.base_url}/database-ca.cert.pem",
        crl_url=f"{settings.base_url}/database-ca.crl",
    )


def host_configuration(
    bits: int = HOST_BITS, own_name: bool = False, alternative_names: tuple[tuple[str, str], ...] = ()
) -> str:
    """`openssl.cnf` of a host: the guide's text, "Certificate Signing Requests", and then alternative names, if any.

    `own_name` makes the common name a DNS alternative name too; the others are pairs of `DNS` or `IP` and a name.
    """
    return _render("openssl.cnf.j2", bits=bits, own_name=own_name, alternative_names=alternative_names)


def report(**values: object) -> str:
    """The page of `report`, with every value escaped for HTML."""
    return _render("report.html.j2", **values)


def manual_page(**values: object) -> str:
    """The manual page; every value is roff already."""
    return _render("dbca-openssl.1.j2", **values)


def option_file(template: str, **values: object) -> str:
    """An option file of MariaDB or MySQL, from a template of that name."""
    return _render(template, **values)


def host_script(template: str, **values: object) -> str:
    """A shell script for a host, by the template `NAME.sh.j2`; every value that is a word goes through `shell`."""
    return _render(f"{template}.sh.j2", **values)


def ansible_playbook(**values: object) -> str:
    """The playbook for a fleet; every value goes through `yaml`."""
    return _render("playbook.yml.j2", **values)


def _as_yaml(value: object) -> str:
    """A value as YAML that Ansible takes literally: JSON, which YAML contains, and no template for Ansible."""
    import json

    text = json.dumps(value, ensure_ascii=True)
    return f"!unsafe {text}" if "{" in text else text


def _render(template: str, **values: object) -> str:
    return _environment().get_template(template).render(values)


@cache
def _environment() -> Environment:
    # heavy, and only the commands that write a file need it
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=select_autoescape(["html.j2"], default=False),  # configuration files have `quoted` instead
    )
    environment.filters |= {"quoted": quoted, "option": option, "shell": shlex.quote, "yaml": _as_yaml}
    return environment
