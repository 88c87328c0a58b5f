"""`init`: the verb that makes an authority."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from dbca_openssl import dates, names
from dbca_openssl import render as templates
from dbca_openssl.ca import index
from dbca_openssl.ca import init as creation
from dbca_openssl.ca import rollover as succession
from dbca_openssl.ca.init import NewAuthority
from dbca_openssl.ca.layout import CERTIFICATE, CRL, KEY, Authority
from dbca_openssl.cli import options, output
from dbca_openssl.cli.options import (
    Json,
    OpenSSLProgram,
    PassphraseDescriptor,
    PassphraseFile,
    Print,
    Profile,
    UsageError,
    Verbose,
)
from dbca_openssl.cli.progress import busy
from dbca_openssl.render import AuthoritySettings

Organization = Annotated[str, typer.Option("--organization", "-o", metavar="NAME", help="Who runs the authority.")]
CommonName = Annotated[
    str | None, typer.Option("--common-name", metavar="NAME", help="Its own name [default: made of the organisation].")
]
Days = Annotated[
    int, typer.Option("--days", metavar="N", min=1, max=36500, help="How long certificates of hosts are good for.")
]
CrlDays = Annotated[
    int, typer.Option("--crl-days", metavar="N", min=1, max=3650, help="How long a revocation list is good for.")
]
Bits = Annotated[
    int, typer.Option("--bits", metavar="N", min=2048, max=16384, help="The size of the authority's RSA key.")
]
SslDir = Annotated[str, typer.Option("--ssl-dir", metavar="DIR", help="Where the files are on the hosts.")]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Where certificate and revocation list can be fetched [default: file:// --ssl-dir].",
    ),
]


def init(
    organization: Annotated[
        str | None, typer.Option("--organization", "-o", metavar="NAME", help="Who runs the authority.")
    ] = None,
    ca: options.Ca = None,
    common_name: CommonName = None,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", readable=False, help="Take this (encrypted) key instead of making one."),
    ] = None,
    ssl_dir: SslDir = templates.SSL_DIR,
    url: Url = None,
    years: Annotated[
        int, typer.Option("--years", metavar="N", min=1, max=100, help="How long the authority is good for.")
    ] = templates.YEARS,
    days: Days = templates.DAYS,
    crl_days: CrlDays = templates.CRL_DAYS,
    bits: Bits = templates.AUTHORITY_BITS,
    profile: Profile = "guide",
    renew: Annotated[
        bool, typer.Option("--renew", help="Make the certificate of the authority that is there again, with its key.")
    ] = False,
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="Do not encrypt the key: for throw-away authorities in CI.")
    ] = False,
    passphrase_file: PassphraseFile = None,
    passphrase_fd: PassphraseDescriptor = None,
    print_: Print = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Make a certificate authority, or its own certificate again.

    \b
      cd /media/$USER/safe_storage
      dbca-openssl init --organization example.net
      dbca-openssl init --organization Lab --no-passphrase --ca ./ca
      dbca-openssl init --organization example.net --print > create.sh
      dbca-openssl init --renew --years 5

    Directories, configuration, key, certificate and first revocation list, as the guide makes them.

    The guide: "Create a Certificate Authority".
    """
    if renew:
        if organization is not None or key is not None or print_:
            raise UsageError("--renew keeps the name and the key, and has no script")
        renew_certificate(options.authority(ca, openssl), years, passphrase_file, passphrase_fd)
        return
    if organization is None:
        raise UsageError("who runs the authority: --organization NAME")
    authority = options.authority(ca if ca else Path("database-ca"), openssl)
    settings = configured(organization, common_name, ssl_dir, url, days, crl_days, bits)
    start, end = creation.period(dates.now(), years)
    new = NewAuthority(settings, start, end, profile, key.absolute() if key else None, not no_passphrase)
    if print_:
        output.script(creation.plan(options.printable(authority, passphrase_file), new).script())
        return
    creation.require_possible(authority, new)
    if not no_passphrase:
        authority = authority.unlocked(options.passphrase(passphrase_file, passphrase_fd, new=key is None))
    with busy("making the authority" if key else f"making a key of {bits} bits"):
        crl_end = creation.create(authority, new).end
    output.result(
        {
            "directory": str(authority.directory),
            "subject": {"organization": settings.organization, "common_name": settings.common_name},
            "certificate": CERTIFICATE,
            "serial": creation.FIRST_SERIALS[profile],
            "not_before": dates.iso(start),
            "not_after": dates.iso(end),
            "key": KEY,
            "crl": CRL,
            "crl_next_update": dates.iso(crl_end),
        },
        [
            f"authority {settings.common_name!r} in {authority.directory}",
            *output.fields(
                (
                    ("key", f"{KEY}, {'not encrypted' if no_passphrase else 'encrypted'}: keep it off every network"),
                    ("cert", f"{CERTIFICATE}, until {dates.shown(end)}"),
                    ("crl", f"{CRL}, until {dates.shown(crl_end)}"),
                )
            ),
            "next, on each host:",
            "  dbca-openssl request NAME",
            "and here, once its NAME.req.pem is in certreqs/:",
            f"  dbca-openssl sign NAME --ca {shlex.quote(str(authority.directory))}",
        ],
    )


def renew_certificate(
    authority: Authority, years: int, passphrase_file: Path | None, passphrase_fd: int | None
) -> None:
    """`init --renew`."""
    authority.require()
    start, end = creation.period(dates.now(), years)
    authority = options.unlocked(authority, passphrase_file, passphrase_fd)
    new = succession.renew_own_certificate(authority, start, end)
    output.result(
        {
            "certificate": CERTIFICATE,
            "serial": index.serial_text(new.serial),
            "not_before": dates.iso(new.start),
            "not_after": dates.iso(new.end),
        },
        [
            f"{CERTIFICATE}  until {dates.shown(new.end)}; what was signed before stays good",
            "next, copy it to every host, and have the servers read it (FLUSH SSL, or ALTER INSTANCE RELOAD TLS):",
            f"  scp {shlex.quote(str(authority.path(CERTIFICATE)))} HOST:{templates.SSL_DIR}/",
        ],
    )


def configured(
    organization: str, common_name: str | None, ssl_dir: str, url: str | None, days: int, crl_days: int, bits: int
) -> AuthoritySettings:
    """The values of `database-ca.cnf` from the options; says so where the guide's common name is too long."""
    organization = names.organization_name(organization)
    if common_name is None:
        common_name = names.authority_name_for(organization)
        if not names.is_guides_authority_name(common_name, organization):
            output.tell(f"the guide's common name is longer than {names.LONGEST} characters, so it is {common_name!r}")
    return AuthoritySettings(
        organization=organization,
        common_name=names.authority_name(common_name),
        days=days,
        crl_days=crl_days,
        bits=bits,
        base_url=templates.base_url(url) if url else templates.directory_url(ssl_dir),
    )
