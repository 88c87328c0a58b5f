"""`server settings`: the option file for TLS."""

from pathlib import Path

from dbca_openssl import names
from dbca_openssl.cli import output
from dbca_openssl.cli.options import Run, UsageError, argument, flag, option, verb
from dbca_openssl.database import settings as settings_


@verb("ssl_dir", "flavor", "ca", "yes")
def settings(
    run: Run,
    name: str = argument("HOST", "The host, by its full name."),
    galera: bool = flag("--galera", "For a node of a Galera cluster of MariaDB."),
    staged: bool = flag("--staged", "Offer TLS, but do not require it yet: server check says when."),
    write_to: Path | None = option("--output", "Write it there, where no file is yet.", "FILE"),
) -> int:
    """Print the option file that makes a server use TLS.

    \b
      dbca-openssl server settings aiken.example.net > 99-tls.cnf
      dbca-openssl server settings aiken.example.net --flavor mysql > tls.cnf
      dbca-openssl server settings aiken.example.net --galera > 99-galera-tls.cnf
      dbca-openssl server settings aiken.example.net --staged > 99-tls.cnf

    With its own certificate, and nothing without TLS. For a MariaDB server it belongs in /etc/mysql/mariadb.conf.d,
    for MySQL in /etc/mysql/mysql.conf.d. With --ca, only for a name that has a certificate there.
    """
    if galera and run.flavor == "mysql":
        raise UsageError("--galera is for servers of MariaDB")
    plain = names.entity_name(name)
    if run.ca is not None:
        run.trust().issued(plain)
    text = settings_.of_server(plain, run.flavor or "mariadb", run.directory(), galera=galera, staged=staged)
    if write_to is None:
        return output.verbatim({"text": text}, text)
    settings_.write({write_to: text})
    following = ["next, once the files are there: restart the server, then", f"  dbca-openssl server probe {plain}"]
    return output.result(
        {"text": text, "file": str(write_to)},
        [f"{write_to}  the settings of {plain}", *following],
    )
