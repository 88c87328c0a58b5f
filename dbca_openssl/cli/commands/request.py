"""`request`: make a key and a request, on the host that they are for."""

import shlex
import socket

from dbca_openssl import names, render
from dbca_openssl.cli import output, terminal
from dbca_openssl.cli.options import Run, argument, flag, verb
from dbca_openssl.host import request as requests


@verb("ssl_dir", "alt_name", "profile", "algorithm", "lock_timeout", "print_", "yes", "ca")
def request(
    run: Run,
    name: str = argument("NAME", "The host's full name, or a client's."),
    kit: bool = flag("--kit", "Print one script to carry to the host, which needs only openssl there."),
) -> int:
    """On a host or client: make a key and its signing request.

    \b
      sudo dbca-openssl request $(hostname --fqdn)
      dbca-openssl request aiken.example.net --alt-name db.example.net
      dbca-openssl request backup@margaret --ssl-dir ~/.mysql/ssl
      dbca-openssl request aiken.example.net --algorithm ec:P-256
      dbca-openssl request aiken.example.net --kit > aiken.sh   # sudo sh it there

    The guide: "Certificate Signing Requests".
    """
    plain = names.entity_name(name)
    if plain != name:
        output.tell(f"the name is written {plain}")
    algorithm = run.key_algorithm(render.HOST_BITS)
    new = requests.NewRequest(plain, run.directory(), run.names_to_add(), _profile(run, plain), *algorithm)
    if kit:
        from dbca_openssl.ca import host_variables
        from dbca_openssl.host import scripts

        host_variables.absolute_directory(str(new.directory))
        return output.script(scripts.kit(new))
    if run.print_:
        return output.script(requests.plan(new).script())
    with terminal.busy(f"making a key ({algorithm})"):
        requests.make(new, run.program(), output.tell, run.lock_timeout)
    directory = new.directory
    return output.result(
        {"name": plain, "directory": str(directory), "key": new.key, "request": new.request},
        [
            f"{directory / new.request}  a request for {plain}",
            *output.fields({"key": f"{directory / new.key}, {algorithm}; it stays on this host"}),
            "next, where the CA is:",
            f"  {shlex.join(('scp', f'{socket.gethostname()}:{directory / new.request}', 'certreqs/'))}",
            f"  {output.command('sign', plain)}",
        ],
    )


def _profile(run: Run, name: str) -> str:
    """--profile, or that which a host or a new one has in the CA's list; the guide's where there is none."""
    if run.profile is not None:
        return run.profile
    from dbca_openssl.ca import hosts

    known = hosts.read(run.authority())
    return (known.hosts.get(name) or known.new(name)).profile
