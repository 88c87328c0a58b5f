"""The verb that runs on a host: request."""

import shlex
import socket
from pathlib import Path
from typing import Annotated

import typer

from dbca_openssl import names, render
from dbca_openssl.cli import output
from dbca_openssl.cli.options import AltNames, Json, LockTimeout, OpenSSLProgram, Print, Profile, Verbose
from dbca_openssl.cli.progress import busy
from dbca_openssl.host import request as requests
from dbca_openssl.host import scripts
from dbca_openssl.host.request import NewRequest
from dbca_openssl.openssl import OpenSSL

HostBits = Annotated[int, typer.Option("--bits", metavar="N", min=2048, max=8192, help="The size of the RSA key.")]


def request(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The host's full name, or a client's.")],
    ssl_dir: Annotated[
        Path, typer.Option("--ssl-dir", metavar="DIR", readable=False, help="Where the files are put.")
    ] = Path(render.SSL_DIR),
    alt_name: AltNames = None,
    profile: Profile = "guide",
    bits: HostBits = render.HOST_BITS,
    lock_timeout: LockTimeout = None,
    print_: Print = False,
    kit: Annotated[
        bool, typer.Option("--kit", help="Print one script to carry to the host, which needs only openssl there.")
    ] = False,
    openssl: OpenSSLProgram = "openssl",
    json: Json = False,
    verbose: Verbose = False,
) -> None:
    """On a host or client: make a key and its signing request.

    \b
      sudo dbca-openssl request $(hostname --fqdn)
      dbca-openssl request aiken.example.net --alt-name db.example.net
      dbca-openssl request backup@margaret --ssl-dir ~/.mysql/ssl
      dbca-openssl request aiken.example.net --kit > aiken.sh   # sudo sh it there

    The guide: "Certificate Signing Requests".
    """
    plain = names.entity_name(name)
    if plain != name:
        output.tell(f"the name is written {plain}")
    alternative = tuple(names.alternative_name(text) for text in alt_name or ())
    new = NewRequest(plain, ssl_dir.absolute(), alternative, profile, bits)
    if kit:
        scripts.place(str(new.directory))
        output.script(scripts.kit(new))
        return
    if print_:
        output.script(requests.plan(new).script())
        return
    with busy(f"making a key of {bits} bits"):
        requests.make(new, OpenSSL(openssl), output.tell, lock_timeout)
    directory = new.directory
    output.result(
        {"name": plain, "directory": str(directory), "key": new.key, "request": new.request},
        [
            f"{directory / new.request}  a request for {plain}",
            *output.fields((("key", f"{directory / new.key}, {bits} bits; it stays on this host"),)),
            "next, where the authority is:",
            f"  scp {socket.gethostname()}:{shlex.quote(str(directory / new.request))} certreqs/",
            f"  dbca-openssl sign {plain}",
        ],
    )
