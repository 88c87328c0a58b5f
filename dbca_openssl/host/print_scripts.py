"""What fetch, deploy and enroll do over ssh, as shell scripts for the administrator's machine."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from dbca_openssl.ca import guide_commands
from dbca_openssl.ca.layout import CERTIFICATE, CONFIGURATION, CRL, Authority, certificate_of, request_of
from dbca_openssl.host import scripts
from dbca_openssl.host.deploy import LIST
from dbca_openssl.host.enroll import Enrolment
from dbca_openssl.host.scripts import Place, PublicFile
from dbca_openssl.host.ssh import Host, Ssh

_HEAD = ("#!/bin/sh", "set -eu", "umask 077")
_END_OF_SCRIPT = "END_OF_SCRIPT"


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
    where = how.where
    lines = [*_HEAD, f"cd {shlex.quote(str(authority.directory))}", f"export OPENSSL_CONF=./{CONFIGURATION}"]
    for host in hosts:
        lines += ["", f"# {host.name}: Certificate Signing Requests", _sent(ssh, host, scripts.kit(how.request(host)))]
    lines += ["", "# Sign Certificates", *(_fetched(ssh, host, where) for host in hosts)]
    for host in hosts:
        command = guide_commands.sign([host.name], days=how.period.days, fresh=False)
        lines += [given.script() for given in authority.key.given_to(command)]
    lines += ["", "# Copy to Target Systems"]
    for host in hosts:
        for source, name in (
            (CERTIFICATE, CERTIFICATE),
            (CRL, LIST),
            (certificate_of(host.name), f"{host.name}.cert.pem"),
        ):
            target = f"{where.directory}/{name}"
            steps = f"umask 022; cat > {shlex.quote(target + '.new')}; "
            if where.owner:
                steps += f"chown {shlex.quote(where.owner)}: {shlex.quote(target + '.new')}; "
            steps += f"mv -f {shlex.quote(target + '.new')} {shlex.quote(target)}"
            lines.append(f"{_ssh(ssh, host, steps)} < {shlex.quote(source)}")
        if where.owner:
            private = shlex.quote(f"{where.directory}/private")
            key = shlex.quote(f"{where.directory}/private/{host.name}.key.pem")
            owner = shlex.quote(where.owner)
            lines.append(
                _ssh(ssh, host, f"chown {owner}: {key}; chgrp $(id -g {owner}) {private}; chmod g+x {private}")
            )
    return _text(lines)


def _fetched(ssh: Ssh, host: Host, where: Place) -> str:
    path = f"{where.directory}/{host.name}.req.pem"
    if ssh.sudo:
        return f"{_ssh(ssh, host, f'cat {shlex.quote(path)}')} > {shlex.quote(request_of(host.name))}"
    config = f"-F {shlex.quote(str(ssh.config))} " if ssh.config else ""
    return f"scp {config}-- {host.destination}:{shlex.quote(path)} certreqs/"


def _sent(ssh: Ssh, host: Host, script: str) -> str:
    return f"{_ssh(ssh, host, None)} <<'{_END_OF_SCRIPT}'\n{script}{_END_OF_SCRIPT}"


def _ssh(ssh: Ssh, host: Host, steps: str | None) -> str:
    """ssh with a script from its input, or with `steps` for a shell, which must not read it."""
    *options, command = ssh.arguments(host)
    if steps is not None:
        command = f"{command.removesuffix(' -s')} -ec {shlex.quote(steps)}"
    return shlex.join(["ssh", *options, command])


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
