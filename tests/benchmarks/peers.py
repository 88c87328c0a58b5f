"""The other tools that sign: easy-rsa of two releases of Debian, installed nowhere, and certtool of GnuTLS.

They get the same key and requests. easy-rsa runs the same openssl; certtool has a library of its own for RSA.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from measuring import Cost, cost
from places import Place, host, quiet

UNPACK = Path(__file__).parents[1] / "matrix/unpack"


class EasyRsa:
    """An easy-rsa with a new CA of its own kind."""

    def __init__(self, place: Place, suite: str) -> None:
        self._place = place
        unpacked = place.root / f"easyrsa-{suite}"
        program = "usr/share/easy-rsa/easyrsa"
        quiet("sh", UNPACK, unpacked, suite, "easy-rsa", "--", program, directory=place.root)
        folder = unpacked / "root" / Path(program).parent
        self._program = folder / "easyrsa"
        shutil.copy(unpacked / "root/programs/easyrsa", self._program)  # it looks for its files beside itself
        text = quiet(self._program, "version", directory=folder)
        found = re.search(r"Version: *(\S+)", text)
        self.name = f"easy-rsa {found[1] if found else suite}"
        self._pki = place.root / f"pki-{suite}"
        shutil.rmtree(self._pki, ignore_errors=True)
        self._run("init-pki")
        self._run("build-ca", "nopass")
        shutil.copy(place.plain_key, self._pki / "private/ca.key")
        shutil.copy(place.plain_certificate(), self._pki / "ca.crt")

    def sign(self, number: int) -> Cost:
        """What it takes to sign the request of that number; there is no other way than one after the other."""
        shutil.copy(self._place.request(number), self._pki / f"reqs/{host(number)}.req")
        return self._run("sign-req", "server", host(number))

    def _run(self, *arguments: str) -> Cost:
        more = {"EASYRSA_BATCH": "1", "EASYRSA_PKI": str(self._pki), "EASYRSA_REQ_CN": "easy-rsa"}
        return cost((self._program, *arguments), self._program.parent, more)


class CertTool:
    """certtool, which has neither index nor serial file, and checks nothing."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.name = f"certtool {quiet('certtool', '--version', directory=place.root).split()[1]}"
        self._template = place.root / "certtool.template"
        self._template.write_text("tls_www_server\nexpiration_days = 368\nsigning_key\nencryption_key\n")

    def sign(self, number: int) -> Cost:
        """What it takes to sign the request of that number."""
        place = self._place
        authority = ("--load-ca-certificate", place.plain_certificate(), "--load-ca-privkey", place.plain_key)
        request = ("--load-request", place.request(number), "--template", self._template)
        command = ("certtool", "--generate-certificate", *authority, *request, "--outfile", "certtool.cert.pem")
        return cost(command, place.root)
