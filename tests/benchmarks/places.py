"""What is measured on: keys made once, an authority, requests, an index of many rows."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from measuring import environment

from dbca_openssl import der
from dbca_openssl.pem import pem, pem_blocks

PROGRAM = Path(sys.executable).parent / "dbca-openssl"
PHRASE = "correct horse battery"
SERVER = ("-extensions", "cert_ext", "-policy", "cert_policy")
CONFIGURATION = {"OPENSSL_CONF": "./database-ca.cnf"}

BITS = 4096
"""The CA's key: the guide's."""

REAL = 1000
"""So many of the newest certificates of a large index are real; `check` looks at no more without `--deep`."""


class Place:
    """A directory of its own, that is kept between benchmarks: `keys`, `requests`, authorities."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.phrase = root / "phrase"
        self.authority_key, self.host_key = root / "ca.key.pem", root / "host.key.pem"
        self.plain_key = root / "plain.key.pem"
        self.pristine = root / "pristine"
        root.mkdir(parents=True, exist_ok=True)
        if not self.pristine.is_dir():
            self._make()

    def _make(self) -> None:
        self.phrase.write_text(f"{PHRASE}\n")
        self.phrase.chmod(0o600)
        quiet("openssl", "genrsa", "-out", self.plain_key, str(BITS), directory=self.root)
        encrypt = ("-aes256", "-passout", "file:phrase", "-out", self.authority_key)
        quiet("openssl", "pkey", "-in", self.plain_key, *encrypt, directory=self.root)
        quiet("openssl", "genrsa", "-out", self.host_key, "3072", directory=self.root)
        given = ("--key", self.authority_key, "--passphrase-file", self.phrase, "--ca", self.pristine)
        quiet(PROGRAM, "init", "--organization", "example.net", *given, directory=self.root)

    def fresh(self, name: str, requests: int = 0) -> Path:
        """A new copy of the authority, with so many requests in `certreqs/`."""
        directory = self._vacant(name)
        shutil.copytree(self.pristine, directory)
        for number in range(requests):
            shutil.copy(self.request(number), directory / "certreqs")
        os.sync()  # so that nobody pays for what somebody else has written
        return directory

    def _vacant(self, name: str) -> Path:
        """Where a new directory can be made: what was there is put aside until `empty`.

        ext4 looks for a free inode much longer while thousands were deleted in the last minutes.
        """
        directory, aside = self.root / name, self.root / "aside"
        aside.mkdir(exist_ok=True)
        if directory.exists():
            directory.rename(aside / f"{name}-{time.monotonic_ns()}")
        return directory

    def empty(self) -> None:
        """Remove what was put aside."""
        shutil.rmtree(self.root / "aside", ignore_errors=True)

    def request(self, number: int) -> Path:
        """The request of the host of that number, made by the guide's configuration with the one host key."""
        return self.root / "requests" / f"{host(number)}.req.pem"

    def plain_certificate(self) -> Path:
        """A certificate of the CA key for the tools that make their CA otherwise."""
        path = self.root / "plain.cert.pem"
        if not path.exists():
            subject = ("-subj", "/CN=bench", "-days", "3650", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
            quiet(
                "openssl", "req", "-x509", "-new", "-key", self.plain_key, *subject, "-out", path, directory=self.root
            )
        return path

    def need_requests(self, count: int) -> None:
        """Make the requests that are not there yet.

        openssl makes the first. The others have another name in it, of as many letters, and a signature by the library
        that ansible-core brings: to start an openssl for each of 100,000 takes a quarter of an hour.
        """
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import padding, rsa

        folder = self.root / "requests"
        folder.mkdir(exist_ok=True)
        if not self.request(0).exists():
            (self.root / "openssl.cnf").write_text(quiet(PROGRAM, "render", "openssl.cnf", directory=self.root))
            more = {"OPENSSL_CONF": "openssl.cnf", "CN": host(0)}
            command = ("openssl", "req", "-new", "-key", self.host_key, "-out", self.request(0))
            quiet(*command, directory=self.root, more=more)
        key = serialization.load_pem_private_key(self.host_key.read_bytes(), None)
        assert isinstance(key, rsa.RSAPrivateKey)
        [(label, model)] = pem_blocks(self.request(0).read_bytes())
        signed = der.read(model).parts[0].encoded
        begin = model.index(signed)
        for number in range(count):
            if not self.request(number).exists():
                part = signed.replace(host(0).encode(), host(number).encode())
                signature = key.sign(part, padding.PKCS1v15(), hashes.SHA256())
                between = model[begin + len(signed) : -len(signature)]
                self.request(number).write_bytes(pem(label, model[:begin] + part + between + signature))

    def large(self, rows: int) -> Path:
        """An authority with an index of so many rows: the newest are real, the others are rows and a file each."""
        directory = self.root / f"large-{rows}"
        if directory.is_dir():
            return directory
        self.need_requests(REAL + 100)
        work = self.fresh("large")
        chance = random.Random(1)
        model = self.request(0)
        with open(work / "database-ca.index", "a") as index:
            for number in range(1, rows - REAL):
                end = f"28{chance.randint(3, 12):02}{chance.randint(1, 28):02}{chance.randint(0, 23):02}"
                end += f"{chance.randint(0, 59):02}{chance.randint(0, 59):02}Z"
                index.write(f"V\t{end}\t\t{serial(number)}\tunknown\t/CN=former{number}.example.net\n")
                path = work / "newcerts" / f"{serial(number)}.pem"
                if number % 50_000 == 1:  # a file has 65,000 names at the most
                    shutil.copy(model, path)
                    model = path
                else:
                    path.hardlink_to(model)
        (work / "database-ca.serial").write_text(f"{serial(rows - REAL)}\n")
        for number in range(REAL):
            shutil.copy(self.request(number), work / "certreqs")
        sign = ("sign", "--all", "--yes", "--passphrase-file", self.phrase, "--ca", work)
        quiet(PROGRAM, *sign, directory=self.root)
        for number in range(REAL, REAL + 100):
            shutil.copy(self.request(number), work / "certreqs")
        work.rename(directory)
        return directory

    def copy_of_large(self, rows: int, name: str) -> Path:
        """A copy of it to be changed, without the files of former certificates, which no change reads."""
        large, directory = self.large(rows), self._vacant(name)
        shutil.copytree(large, directory, ignore=shutil.ignore_patterns("newcerts"))
        (directory / "newcerts").mkdir()
        for number in range(rows - REAL, rows):
            shutil.copy(large / "newcerts" / f"{serial(number)}.pem", directory / "newcerts")
        os.sync()
        return directory


def host(number: int) -> str:
    """The name of a host by its number."""
    return f"host{number:06}.example.net"


def serial(number: int) -> str:
    """A serial as openssl writes it."""
    digits = f"{number:X}"
    return digits if len(digits) % 2 == 0 else f"0{digits}"


def quiet(*command: str | Path, directory: Path, more: dict[str, str] | None = None) -> str:
    """Run what only prepares, and give its output."""
    done = subprocess.run(command, cwd=directory, env=environment(**(more or {})), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command}: {done.stderr[-2000:]}")
    return done.stdout
