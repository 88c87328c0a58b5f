"""The guide's `openssl` commands for the CA, as values.

`home` is where openssl reads and writes the CA's data files: `.` as the guide types it, or a staging directory, which
is possible because the guide wrote `dir = $ENV::CA_HOME`. Everything else of the command stays the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dbca_openssl.ca.layout import CERTIFICATE, CONFIGURATION, CRL, KEY, REQUEST, certificate_of, request_of
from dbca_openssl.command import Command
from dbca_openssl.dates import openssl_time

HERE = "."

_CONFIGURATION = {"OPENSSL_CONF": f"./{CONFIGURATION}"}


def new_key_and_request(encrypted: bool, algorithm: Sequence[str] = ()) -> Command:
    """`openssl req -new -out database-ca.req.pem`: "Generate CSR and new Key", with a new key (req(1)).

    `algorithm` are the options for another key than the configuration's RSA.
    """
    made = (REQUEST, KEY)
    arguments = ("req", "-new", *algorithm, *(() if encrypted else ("-nodes",)), "-out", REQUEST)
    return Command(arguments, _CONFIGURATION, made, made, "-passout" if encrypted else "")


def request_with_key() -> Command:
    """The same with a key that is there already."""
    arguments = ("req", "-new", "-key", KEY, "-out", REQUEST)
    return Command(arguments, _CONFIGURATION, (REQUEST,), (REQUEST,), "-passin")


def self_sign(start: datetime, end: datetime, configuration: str, *, home: str = HERE) -> Command:
    """ "Self-Sign the Certificate", under the policy that keeps the organisation (errata 7 and 9; ca(1)).

    `configuration` is the text of `database-ca.cnf`, which has extensions of its own for the profile modern.
    """
    extensions = "modern_ca_ext" if "\n[ modern_ca_ext ]\n" in configuration else "ca_ext"
    certificate = _in(home, CERTIFICATE)
    return _ca(
        home,
        *("-selfsign", "-in", REQUEST, "-out", certificate, "-extensions", extensions, "-policy", "ca_policy"),
        *("-startdate", openssl_time(start), "-enddate", openssl_time(end)),
        creates=(certificate,),
        fresh=(certificate,),
    )


def sign(
    names: Sequence[str],
    *,
    home: str = HERE,
    days: int | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    fresh: bool = True,
) -> Command:
    """ "Sign Certificates": one name as the guide types it, more in one process by `-infiles` (ca(1)).

    `days` or `end` override the configuration's `default_days`; None for `start` is now. openssl writes the
    certificate of one name to `certs/` too, those of more only to `newcerts/`.
    """
    options = ["-extensions", "cert_ext", "-policy", "cert_policy"]
    if start is not None:
        options += ["-startdate", openssl_time(start)]
    if end is not None:
        options += ["-enddate", openssl_time(end)]
    elif days is not None:
        options += ["-days", str(days)]
    if len(names) > 1:
        return _ca(home, *options, "-infiles", *(f"{home}/{request_of(name)}" for name in names))
    certificate = f"{home}/{certificate_of(names[0])}"
    return _ca(
        home,
        *("-in", f"{home}/{request_of(names[0])}", "-out", certificate, *options),
        creates=(certificate,),
        fresh=(certificate,) if fresh else (),
    )


def revocation_list(*, home: str = HERE, days: int | None = None) -> Command:
    """ "Revocation List (CRL)": a new one, valid for the configuration's `default_crl_days`, or `days`."""
    crl = _in(home, CRL)
    return _ca(home, "-gencrl", "-out", crl, *(() if days is None else ("-crldays", str(days))), creates=(crl,))


def revoke(certificate: str, *, reason: str | None, home: str = HERE) -> Command:
    """`openssl ca -revoke`: mark a certificate in the index as revoked (ca(1))."""
    return _ca(home, "-revoke", certificate, *(() if reason is None else ("-crl_reason", reason)))


def mark_expired(*, home: str = HERE) -> Command:
    """`openssl ca -updatedb`: mark expired certificates as such, so that their names are free again (ca(1))."""
    return _ca(home, "-updatedb")


def _ca(home: str, *arguments: str, creates: tuple[str, ...] = (), fresh: tuple[str, ...] = ()) -> Command:
    environment = _CONFIGURATION
    if home != HERE:
        arguments = ("-keyfile", KEY, "-cert", CERTIFICATE, *arguments)
        environment = environment | {"CA_HOME": home}
    return Command(("ca", "-batch", *arguments), environment, creates, fresh, "-passin")


def _in(home: str, name: str) -> str:
    return name if home == HERE else f"{home}/{name}"
