"""Where hostile requests are made: keys of every kind, and two ways to make a request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tools import request_builder as der
from tools.request_builder import common_name, information, pem
from tools.support import openssl

AIKEN = "aiken.example.net"
UNREADABLE = "is no request that can be read"


class Workshop:
    """Keys, and two ways to make a request: `req` by openssl, `surgery` by hand."""

    def __init__(self, directory: Path, host_key: Path) -> None:
        self.directory = directory
        self.host_key = host_key
        self.ec_key = self.key("EC", "ec_paramgen_curve:P-256")
        self.ec_public = der.public_key(self.ec_key)

    def key(self, algorithm: str, *options: str) -> Path:
        """A key by `openssl genpkey`, made once."""
        path = self.directory / f"{'-'.join((algorithm, *options)).replace(':', '-')}.key.pem"
        if not path.exists():
            given = [word for option in options for word in ("-pkeyopt", option)]
            openssl("genpkey", "-algorithm", algorithm, *given, "-out", path, directory=self.directory)
        return path

    def req(self, *options: str | Path, subject: str = f"/CN={AIKEN}", key: Path | None = None, ext: str = "") -> bytes:
        """A request by `openssl req -new`; `ext` are the lines of its extension section."""
        path = self.directory / "request.cnf"
        path.write_text(
            f"[req]\ndistinguished_name = dn\nutf8 = yes\nstring_mask = utf8only\n"
            f"{'req_extensions = ext' if ext else ''}\n[dn]\n[ext]\n{ext}\n"
        )
        given = ("-config", path, "-new", "-key", key or self.ec_key, "-subj", subject, "-utf8")
        return openssl("req", *given, *options, directory=self.directory).encode()

    def surgery(
        self, subject: bytes | None = None, *attributes: bytes, version: int = 0, without: bool = False
    ) -> bytes:
        """A request by hand, well signed by the EC key."""
        subject = common_name(AIKEN) if subject is None else subject
        signed_part = information(subject, self.ec_public, *attributes, version=version, without=without)
        return pem(der.signed(signed_part, self.ec_key))

    def with_key(self, public_key: bytes) -> bytes:
        """A request with a key that nobody can sign with here; its signature is another key's."""
        return pem(der.signed(information(common_name(AIKEN), public_key), self.ec_key))

    def good(self) -> bytes:
        """A request that may be signed."""
        return self.req()


@dataclass(frozen=True)
class Hostile:
    """A request, the bytes of its file or the path of what is no file, and the reason to refuse it."""

    name: str
    reason: str
    make: Callable[[Workshop], bytes | Path]

    def __str__(self) -> str:
        return self.name
