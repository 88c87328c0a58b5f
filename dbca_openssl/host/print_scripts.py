"""`--print` of fetch, deploy and enroll: shell scripts for the administrator's machine, which do the same over ssh."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence

from dbca_openssl.ca import guide_commands
from dbca_openssl.ca.layout import CERTIFICATE, CONFIGURATION, CRL, Authority, certificate_of, request_of
from dbca_openssl.host import scripts
from dbca_openssl.host.deploy import LIST
from dbca_openssl.host.enroll import Enrolment
from dbca_openssl.host.scripts import Place, PublicFile
from dbca_openssl.host.ssh import Host, Ssh
from dbca_openssl.render import here_document

_HEAD = ("#!/bin/sh", "set -eu", "umask 022")


def fetch(authority: Authority, ssh: Ssh, hosts: Sequence[Host], where: Place) -> str:
    """The guide's scp of each request."""
    lines = [*_HEAD, f"cd {shlex.quote(str(authority.directory))}"]
    return _text([*lines, *(_fetched(ssh, host, where) for host in hosts)])


def deploy(ssh: Ssh, files: Mapping[Host, Sequence[PublicFile]], where: Place) -> str:
    """The script that is sent to each host."""
    lines = [*_HEAD]
    for host, own in files.items():
        lines += ["", f"# {host.name}", _sent(ssh, host, scripts.deploy(host.name, where, own))]
    return _text(lines)


def enroll(authority: Authority, ssh: Ssh, hosts: Sequence[Host], how: Enrolment) -> str:
    """For hosts that have nothing yet: requests made there, copied here, signed by the guide's command, delivered."""
    lines = [*_HEAD, f"cd {shlex.quote(str(authority.directory))}", f"export OPENSSL_CONF=./{CONFIGURATION}"]
    for host in hosts:
        lines += ["", f"# {host.name}: Certificate Signing Requests", _sent(ssh, host, scripts.kit(how.request(host)))]
    lines += ["", "# Sign Certificates", *(_fetched(ssh, host, how.where) for host in hosts)]
    for host in hosts:
        command = guide_commands.sign([host.name], days=how.period.days, fresh=False)
        lines += [given.script() for given in authority.key.given_to(command)]
    lines += ["", "# Copy to Target Systems"]
    for host in hosts:
        lines += _delivered(ssh, host, how.where)
    return _text(lines)


def _delivered(ssh: Ssh, host: Host, where: Place) -> Iterable[str]:
    own = certificate_of(host.name)
    for source, name in ((CERTIFICATE, CERTIFICATE), (CRL, LIST), (own, f"{host.name}.cert.pem")):
        target = f"{where.directory}/{name}"
        new = shlex.quote(f"{target}.new")
        steps = f"umask 022; cat > {new}; mv -f {new} {shlex.quote(target)}"
        yield _ssh(ssh, host, steps, source)
    if where.owner:
        private = f"{where.directory}/private"
        key = shlex.quote(f"{private}/{host.name}.key.pem")
        group = f"$(id -g {shlex.quote(where.owner)})"
        private = shlex.quote(private)
        yield _ssh(ssh, host, f"chgrp -h {group} {private} {key}; chmod 710 {private}; chmod 640 {key}")


def _fetched(ssh: Ssh, host: Host, where: Place) -> str:
    path = f"{where.directory}/{host.name}.req.pem"
    if ssh.sudo:
        return f"{_ssh(ssh, host, f'cat {shlex.quote(path)}')} > {shlex.quote(request_of(host.name))}"
    config = f"-F {shlex.quote(str(ssh.config))} " if ssh.config else ""
    return f"scp {config}-- {host.destination}:{shlex.quote(path)} certreqs/"


def _sent(ssh: Ssh, host: Host, script: str) -> str:
    return f"{shlex.join(['ssh', *ssh.arguments(host)])} {here_document(script)}"


def _ssh(ssh: Ssh, host: Host, steps: str, source: str = "/dev/null") -> str:
    """ssh with `steps` for a shell there and the input `source`: never the rest of the script that it stands in."""
    *options, command = ssh.arguments(host)
    command = f"{command.removesuffix(' -s')} -ec {shlex.quote(steps)}"
    return f"{shlex.join(['ssh', *options, command])} < {shlex.quote(source)}"


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
