"""What must be true of the authority and its hosts together, whatever happened to them, and a record of the wire."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

from dbca_openssl.ca import index
from tools.ssh_hosts import Machine
from tools.support import openssl, snapshot


def require_agreement(ca: Path, machines: Iterable[Machine]) -> None:
    """Every certificate on a host is a valid one in the index, its key matches, and the authority's files are there."""
    rows = {row.name: row for row in index.rows((ca / "database-ca.index").read_bytes()) if row.state == "V"}
    for machine in machines:
        ssl, name = machine.ssl, machine.name
        certificate = (ssl / f"{name}.cert.pem").read_bytes()
        assert certificate == (ca / f"newcerts/{rows[name].serial}.pem").read_bytes()
        assert certificate == (ca / f"certs/{name}.cert.pem").read_bytes()
        assert (ssl / "database-ca.cert.pem").read_bytes() == (ca / "database-ca.cert.pem").read_bytes()
        assert (ssl / "database-ca.crl").read_bytes() == (ca / "crl/database-ca.crl").read_bytes()
        key = openssl("pkey", "-in", ssl / f"private/{name}.key.pem", "-pubout", directory=ca)
        assert key == openssl("x509", "-in", ssl / f"{name}.cert.pem", "-noout", "-pubkey", directory=ca)
        openssl(
            *("verify", "-x509_strict", "-crl_check", "-CAfile", ssl / "database-ca.cert.pem"),
            *("-CRLfile", ssl / "database-ca.crl", "-verify_hostname", name, ssl / f"{name}.cert.pem"),
            directory=ca,
        )
        assert not list(ssl.glob(".dbca.*"))


def on_hosts(machines: Iterable[Machine]) -> dict[str, dict[str, tuple[str, str]]]:
    """What is on each host."""
    return {machine.name: snapshot(machine.ssl) for machine in machines}


class Wire:
    """An `ssh` before the real one on PATH, which records its arguments and all that goes through it, both ways."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.records = directory / "records"
        self.records.mkdir(parents=True)
        program = directory / "ssh"
        program.write_text(
            "#!/bin/sh\n"
            f"record=$(mktemp -d {self.records}/XXXXXX)\n"
            'printf "%s\\n" "$@" > "$record/arguments"\n'
            'tee "$record/sent" | { /usr/bin/ssh "$@" 2> "$record/errors"; echo $? > "$record/code"; } |'
            ' tee "$record/received"\n'
            'cat "$record/errors" >&2\n'
            'exit "$(cat "$record/code")"\n'
        )
        program.chmod(0o755)
        (directory / "scp").write_text(program.read_text().replace("/usr/bin/ssh", "/usr/bin/scp"))
        (directory / "scp").chmod(0o755)

    def count(self) -> int:
        """How many times it was called."""
        return len(list(self.records.iterdir()))

    def everything(self) -> bytes:
        """All that went over the wire."""
        return b"".join(path.read_bytes() for path in self.records.rglob("*") if path.is_file())

    def require_without(self, keys: Iterable[bytes]) -> None:
        """No line of a private key, and no part of its binary form, was sent in either direction."""
        sent = self.everything()
        assert b"PRIVATE KEY-----\n" not in sent
        for key in keys:
            lines = key.splitlines()[1:-1]
            binary = base64.b64decode(b"".join(lines))
            # what a key begins with is the same in all; the middle of it is its own
            assert len(lines) > 3
            assert not [line for line in lines[3:] if line in sent]
            assert binary[100:132] not in sent
