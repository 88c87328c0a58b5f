"""`init`: make a CA, or its own certificate again."""

from pathlib import Path

from dbca_openssl import dates, render
from dbca_openssl.ca import index
from dbca_openssl.ca import init as creation
from dbca_openssl.ca import key as keys
from dbca_openssl.ca.layout import CERTIFICATE, CRL, KEY
from dbca_openssl.cli import output, results, terminal
from dbca_openssl.cli.options import PIN, Run, UsageError, flag, option, verb


@verb("configuration", "profile", "ca", "key", "algorithm", "print_", "yes")
def init(
    run: Run,
    key: str | None = option(
        "--key", "Take this (encrypted) key instead of making one: a file, or pkcs11:... on a token.", "FILE"
    ),
    years: int = option("--years", "Validity of the CA certificate in years.", "N", 1, 100, default=render.YEARS),
    renew: bool = flag("--renew", "Make a new certificate for the key of this CA."),
    no_passphrase: bool = flag("--no-passphrase", "Do not encrypt the key: for throw-away CAs in CI."),
) -> int:
    """Make a certificate authority, or its own certificate again.

    \b
      cd /media/$USER/safe_storage
      dbca-openssl init --organization example.net
      dbca-openssl init --organization Lab --no-passphrase --ca ./ca
      dbca-openssl init --organization example.net --print > create.sh
      dbca-openssl init --renew --years 5

    Directories, configuration, key, certificate and first CRL, as the guide makes them. At a terminal it asks for the
    organization and the pass phrase where they are not given.

    The key can be on a token: --key 'pkcs11:token=CA;object=ca' names one that is there, and its PIN is asked for.

    The guide: "Create a Certificate Authority".
    """
    if renew:
        if run.organization is not None or key is not None or run.print_:
            raise UsageError("--renew keeps the name and the key, and has no script")
        return renew_certificate(run, years)
    if (organization := run.organization) is None:
        if run.yes or run.json or not terminal.is_there():
            raise UsageError("missing option --organization")
        organization = terminal.ask("The organization that runs the CA:", "--organization NAME gives it")
    authority = run.authority(run.ca or Path("database-ca"))
    algorithm = run.key_algorithm(render.AUTHORITY_BITS)
    settings = run.settings(organization, algorithm.bits)
    start, end = dates.authority_period(dates.now(), years)
    if key is not None and run.algorithm is not None:
        raise UsageError("--key takes a key as it is, without --algorithm")
    token = key is not None and key.startswith(keys.SCHEME)
    if token and no_passphrase:
        raise UsageError("a token has a PIN: --no-passphrase is for a key in a file")
    new = creation.NewAuthority(
        settings,
        start,
        end,
        Path(key).absolute() if key and not token else None,
        not no_passphrase,
        algorithm.options(),
    )
    if key and token:
        authority = authority._replace(key=keys.on_token(key, authority.openssl))
    if run.print_:
        secret = run.for_script(authority).key.passphrase
    else:
        creation.require_possible(authority, new)
        secret = None if no_passphrase else run.passphrase(PIN) if token else run.passphrase(new=key is None)
    authority = authority._replace(key=authority.key._replace(passphrase=secret))
    if run.print_:
        return output.script(creation.plan(authority, new).script())
    with terminal.busy("making the CA" if key else f"making a key ({algorithm})"):
        crl_end = creation.create(authority, new).end
    return output.result(
        {
            "directory": str(authority.directory),
            "subject": {"organization": settings.organization, "common_name": settings.common_name},
            "certificate": CERTIFICATE,
            "serial": creation.FIRST_SERIALS[settings.profile],
            "not_before": start,
            "not_after": end,
            "key": authority.key.place,
            "crl": CRL,
            "crl_next_update": crl_end,
        },
        [
            f"CA {settings.common_name!r} in {authority.directory}",
            *output.fields(
                {
                    "key": f"on the token, {authority.key.uri}"
                    if token
                    else f"{KEY}, {'not encrypted' if no_passphrase else 'encrypted'}: keep it off every network",
                    "cert": f"{CERTIFICATE}, valid until {dates.shown(end)}",
                    "crl": f"{CRL}, valid until {dates.shown(crl_end)}",
                }
            ),
            *results.next_lines(results.first_lines(authority, is_saved=False)),
        ],
    )


def renew_certificate(run: Run, years: int) -> int:
    """`init --renew`."""
    from dbca_openssl.ca import rollover

    authority = run.existing_authority()
    start, end = dates.authority_period(dates.now(), years)
    new = rollover.renew_own_certificate(run.unlocked(authority, is_signing=False), start, end)
    return output.result(
        {
            "certificate": CERTIFICATE,
            "serial": index.serial_text(new.serial),
            "not_before": new.start,
            "not_after": new.end,
        },
        [
            f"{CERTIFICATE}  valid until {dates.shown(new.end)}; what was signed before stays valid",
            *results.copy_lines(authority),
        ],
    )
