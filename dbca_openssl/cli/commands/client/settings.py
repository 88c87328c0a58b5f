"""`client settings`: what makes a client use TLS, and verify its server."""

from dbca_openssl import names
from dbca_openssl.cli import output
from dbca_openssl.cli.options import Run, argument, option, verb
from dbca_openssl.database import settings as settings_

FOR = option("--for", "What the client is [default: list what there is].")


@verb("ssl_dir", "host", "port", "user", "ca")
def settings(
    run: Run,
    name: str = argument("NAME", "The client's name in its certificate."),
    kind: settings_.Kind | None = FOR,
) -> int:
    """Print what makes a client use TLS, and verify its server.

    \b
      dbca-openssl client settings backup@margaret --for mariadb \\
          --ssl-dir ~/.mysql/ssl >> ~/.my.cnf
      dbca-openssl client settings app.example.net --for python \\
          --host aiken.example.net > database_tls.py
      dbca-openssl client settings app.example.net

    An option file, statements, or a few lines of a program: with the client's own certificate, verification of the
    server's certificate and of its host name, and the CRL where the driver can read one. With --ca, only for a name
    that has a certificate there. No password is in it.
    """
    plain = names.entity_name(name)
    if run.ca is not None:
        run.trust().issued(plain)
    if kind is None:
        heads, rows = ("--for", "WHAT IT IS FOR"), list(settings_.KINDS.items())
        return output.result({"name": plain, "kinds": settings_.KINDS}, output.table(heads, rows))
    text = settings_.of_client(kind, plain, run.directory(), run.host, run.port, run.user)
    return output.verbatim({"name": plain, "kind": kind, "text": text}, text)
