"""easy-rsa of Debian, unpacked and installed nowhere, with the same authority key and requests."""

from __future__ import annotations

import re
import shutil

from measuring import Cost, cost
from places import Place, host, quiet


class EasyRsa:
    """An easy-rsa with a new authority of its own kind."""

    def __init__(self, place: Place) -> None:
        self._place = place
        cache = place.root / "easyrsa"
        if not cache.is_dir():
            work = place.root / "easyrsa.work"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            quiet("apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", "easy-rsa", directory=work)
            quiet("dpkg-deb", "-x", next(work.glob("*.deb")), work, directory=work)
            (work / "usr/share/easy-rsa").rename(cache)
            shutil.rmtree(work)
        self._program = cache / "easyrsa"
        text = quiet(self._program, "version", directory=cache)
        self.version = re.search(r"Version: *(\S+)", text)[1]  # type: ignore[index]
        self._pki = place.root / "pki"
        shutil.rmtree(self._pki, ignore_errors=True)
        self._run("init-pki")
        plain = place.root / "plain.key.pem"
        self._run("build-ca", "nopass")
        shutil.copy(plain, self._pki / "private/ca.key")
        command = ("openssl", "req", "-x509", "-new", "-key", plain, "-subj", "/CN=easy-rsa", "-days", "3650")
        quiet(*command, "-out", self._pki / "ca.crt", directory=place.root)

    def sign(self, count: int) -> Cost:
        """What it takes to sign so many requests, one after the other, as it only can."""
        for number in range(count):
            shutil.copy(self._place.request(number), self._pki / f"reqs/{host(number)}.req")
        costs = [self._run("sign-req", "server", host(number)) for number in range(count)]
        return Cost(sum(one.cpu for one in costs), sum(one.wall for one in costs), 0)

    def _run(self, *arguments: str) -> Cost:
        more = {"EASYRSA_BATCH": "1", "EASYRSA_PKI": str(self._pki), "EASYRSA_REQ_CN": "easy-rsa"}
        return cost((self._program, *arguments), self._program.parent, more)
