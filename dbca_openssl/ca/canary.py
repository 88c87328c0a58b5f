"""The canary: a client certificate that is revoked, by which a server proves that it has loaded the CRL.

With each CRL it is signed and revoked anew, in one transaction, so it is never valid, and its key is worthless: that
is not encrypted, and may be sent to the hosts. A server that refuses it as revoked has loaded this CRL or a later one.
"""

from __future__ import annotations

from dbca_openssl.ca import guide_commands, sign, vetting
from dbca_openssl.ca.certificates import own_certificate
from dbca_openssl.ca.change import Change
from dbca_openssl.ca.key import Key
from dbca_openssl.ca.layout import Authority, certificate_of, request_of
from dbca_openssl.ca.sign import Period, Proposal, Signed
from dbca_openssl.command import Command
from dbca_openssl.plan import Step, WriteFile
from dbca_openssl.render import host_configuration

NAME = "dbca-canary"
"""Its common name."""

KEY = f"private/{NAME}.key.pem"

BITS = 2048

_CONFIGURATION = f"certreqs/{NAME}.cnf"

FILES = (request_of(NAME), certificate_of(NAME))
"""What is replaced when it is signed anew."""


def is_kept(authority: Authority) -> bool:
    """Whether the CA has a canary."""
    return authority.path(KEY).is_file() and all(authority.path(name).is_file() for name in FILES)


def steps(key: Key, *, new: bool) -> tuple[Step, ...]:
    """The commands that sign and revoke it (ca(1)), for a printed script; with `new` also those that make its key."""
    made = (WriteFile(_CONFIGURATION, host_configuration(BITS)), _key_and_request()) if new else ()
    sign_and_revoke = guide_commands.sign([NAME], fresh=new), guide_commands.revoke(certificate_of(NAME), reason=None)
    return (*made, *key.given_to(*sign_and_revoke))


def sign_in(change: Change, *, new: bool) -> list[Signed]:
    """Sign it within a change, which must revoke it before it is committed; `new` has its key made as well.

    Raises DatabaseCaError.
    """
    authority = change.authority
    if new:
        change.write(_CONFIGURATION, host_configuration(BITS).encode())
        change.run(_key_and_request(f"./{change.stage}"))
        pem = change.staged(request_of(NAME)).read_bytes()
    else:
        pem = authority.read(request_of(NAME))
    period = Period(cap=True)
    proposal = Proposal(
        vetting.vet(authority.openssl, request_of(NAME), pem),
        None,
        sign.end_of(authority, period, own_certificate(authority)),
    )
    return sign.sign_in(change, [proposal], period)


def _key_and_request(home: str = guide_commands.HERE) -> Command:
    """The guide's command for a host, with its configuration and what it makes in `home` (req(1))."""
    made = (f"{home}/{KEY}", f"{home}/{request_of(NAME)}")
    arguments = ("req", "-new", "-keyout", made[0], "-out", made[1])
    environment = {"OPENSSL_CONF": f"{home}/{_CONFIGURATION}", "CN": NAME}
    if home != guide_commands.HERE:
        environment["HOME"] = home  # for RANDFILE
    return Command(arguments, environment, made, made)
