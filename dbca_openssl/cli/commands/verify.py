"""`verify`: have openssl judge a certificate."""

from dbca_openssl.ca import verify as verification
from dbca_openssl.cli import output
from dbca_openssl.cli.options import Run, argument, option, verb


@verb("ca")
def verify(
    run: Run,
    what: str = argument("NAME|FILE", "A name in certs/, or a certificate file."),
    host: str | None = option("--host", "It must be valid for this host name or address.", "HOST"),
) -> int:
    """Ask openssl whether a server or client would accept it.

    \b
      dbca-openssl verify aiken.example.net --host aiken.example.net
      dbca-openssl verify /etc/mysql/ssl/aiken.example.net.cert.pem

    It is checked strictly, and against the CRL.
    """
    path = verification.verify(run.authority(), what, host)
    return output.result({"certificate": str(path), "accepted": True}, [f"{path}: " + output.coloured("OK")])
