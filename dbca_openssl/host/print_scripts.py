"""`--print` of fetch, deploy and enroll: shell scripts for the administrator's machine, which do the same over ssh."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence

from dbca_openssl.ca import canary, guide_commands, renew, revoke, rollover
from dbca_openssl.ca import hosts as known_hosts
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.ca.layout import CERTIFICATE, CONFIGURATION, CRL, HOSTS, Authority, certificate_of, request_of
from dbca_openssl.ca.sign import Period
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host import deploy as delivery
from dbca_openssl.host import scripts, server
from dbca_openssl.host.deploy import LIST
from dbca_openssl.host.enroll import Enrolment
from dbca_openssl.host.rotate import Rotation
from dbca_openssl.host.ssh import Ssh
from dbca_openssl.render import here_document

_HEAD = ("#!/bin/sh", "set -eu", "umask 022")


def fetch(authority: Authority, ssh: Ssh, hosts: Sequence[KnownHost]) -> str:
    """The guide's scp of each request."""
    lines = [*_HEAD, f"cd {shlex.quote(str(authority.directory))}", *(_fetched(ssh, host) for host in hosts)]
    return _text([*lines, *_entered(authority, hosts)])


def deploy(
    authority: Authority, ssh: Ssh, files: Mapping[KnownHost, Mapping[str, bytes]], *, reload: bool = False
) -> str:
    """The script that is sent to each host; with `reload` what it says shows what the server has loaded."""
    lines = [*_HEAD]
    for host, own in files.items():
        lines += ["", f"# {host.name}", _sent(ssh, host, delivery.script(host, own, [] if reload else None))]
    return _text([*lines, *_entered(authority, list(files))])


def enroll(authority: Authority, ssh: Ssh, hosts: Sequence[KnownHost], how: Enrolment) -> str:
    """For hosts that have nothing yet: requests made there, copied here, signed by the guide's command, delivered.

    Raises DatabaseCaError in a rollover, as `rotate` does.
    """
    _require_alone(authority)
    lines = [*_HEAD, f"cd {shlex.quote(str(authority.directory))}", f"export OPENSSL_CONF=./{CONFIGURATION}"]
    for host in hosts:
        lines += ["", f"# {host.name}: Certificate Signing Requests", _sent(ssh, host, scripts.kit(how.request(host)))]
    lines += ["", "# Sign Certificates", *(_fetched(ssh, host) for host in hosts)]
    for host in hosts:
        command = guide_commands.sign([host.name], days=how.period.days, fresh=False)
        lines += [given.script() for given in authority.key.given_to(command)]
    lines += ["", "# Copy to Target Systems"]
    for host in hosts:
        lines += _delivered(ssh, host)
    return _text([*lines, *_entered(authority, hosts)])


def rotate(authority: Authority, ssh: Ssh, rotation: Rotation, period: Period) -> str:
    """Renewals by the guide's commands, each host's files, and a proof that its server serves them; then the CRL.

    Raises DatabaseCaError in a rollover, where hosts need the files of two CAs.
    """
    _require_alone(authority)
    lines = [*_HEAD, "", renew.plan(authority, rotation.renewals, period, with_list=False).script()]
    hosts = [due.host for due in rotation.hosts if not due.error]
    due = [one.host for one in rotation.hosts if one.renewal or one.missing]
    crl = revoke.plan(authority, None, new_canary=not canary.is_kept(authority)).script() if rotation.crl else ""
    for part, title, after in ((due, "Copy to Target Systems", crl), (hosts if crl else [], "The new CRL", "")):
        lines += ["", f"# {title}", f"cd {shlex.quote(str(authority.directory))}"] if part else []
        for host in part:
            lines += [*_delivered(ssh, host), *_proven(ssh, host)]
        lines += ["", after] if after else []
    return _text(lines)


def _entered(authority: Authority, hosts: Sequence[KnownHost]) -> list[str]:
    """The list with these hosts as they are now, where nobody has edited it since."""
    known = known_hosts.read(authority)
    new = known.with_hosts(*hosts).text
    if new == known.text:
        return []
    before = hashlib.sha256(known.text.encode()).hexdigest()
    return [
        "",
        f"# {HOSTS}",
        f"cd {shlex.quote(str(authority.directory))}",
        f"case $(cat {HOSTS} 2> /dev/null | openssl dgst -sha256 -r) in {before}*)",
        f"cat > {HOSTS}.new {here_document(new)}",
        f"mv -f {HOSTS}.new {HOSTS} ;;",
        f"*) echo {shlex.quote(f'{HOSTS} has been edited since: the hosts are not entered')} >&2; exit 1 ;; esac",
    ]


def _require_alone(authority: Authority) -> None:
    if rollover.under_way(authority):
        raise DatabaseCaError(
            "in a rollover hosts need the files of both CAs, and the script would bring those of one",
            "run the command without --print, or deploy --print",
        )


def _proven(ssh: Ssh, host: KnownHost) -> Iterable[str]:
    """The server has to read its files, and to serve the certificate that was delivered."""
    if not server.has_server(host):
        return
    yield f"said=$({_sent(ssh, host, server.look(host, [], reload=True))}\n)"
    digest = f"openssl x509 -in {shlex.quote(certificate_of(host.name))} -outform DER | openssl dgst -sha256 -r"
    yield f'case $said in *"dbca served $({digest} | cut -c 1-64)"*) ;;'
    yield f"*) echo {shlex.quote(f'{host.name} does not serve its certificate')} >&2; exit 1 ;; esac"


def _delivered(ssh: Ssh, host: KnownHost) -> Iterable[str]:
    own = certificate_of(host.name)
    for source, name in ((CERTIFICATE, CERTIFICATE), (CRL, LIST), (own, f"{host.name}.cert.pem")):
        target = f"{host.directory}/{name}"
        new = shlex.quote(f"{target}.new")
        steps = f"umask 022; cat > {new}; mv -f {new} {shlex.quote(target)}"
        yield _ssh(ssh, host, steps, source)
    if host.owner:
        private = f"{host.directory}/private"
        key = shlex.quote(f"{private}/{host.name}.key.pem")
        group = f"$(id -g {shlex.quote(host.owner)})"
        private = shlex.quote(private)
        yield _ssh(ssh, host, f"chgrp -h {group} {private} {key}; chmod 710 {private}; chmod 640 {key}")


def _fetched(ssh: Ssh, host: KnownHost) -> str:
    path = f"{host.directory}/{host.name}.req.pem"
    if host.sudo or host.port or host.address:
        return f"{_ssh(ssh, host, f'cat {shlex.quote(path)}')} > {shlex.quote(request_of(host.name))}"
    config = f"-F {shlex.quote(str(ssh.config))} " if ssh.config else ""
    return f"scp {config}-- {host.destination}:{shlex.quote(path)} certreqs/"


def _sent(ssh: Ssh, host: KnownHost, script: str) -> str:
    return f"{shlex.join(['ssh', *ssh.arguments(host)])} {here_document(script)}"


def _ssh(ssh: Ssh, host: KnownHost, steps: str, source: str = "/dev/null") -> str:
    """ssh with `steps` for a shell there and the input `source`: never the rest of the script that it stands in."""
    *options, command = ssh.arguments(host)
    command = f"{command.removesuffix(' -s')} -ec {shlex.quote(steps)}"
    return f"{shlex.join(['ssh', *options, command])} < {shlex.quote(source)}"


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
