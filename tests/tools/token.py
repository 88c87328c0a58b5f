"""A token for tests: SoftHSM with two RSA keys, served to openssl from a process of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.support import run

PIN = "73915846"
LIBRARY = "/usr/lib/softhsm/libsofthsm2.so"


@dataclass(frozen=True)
class Token:
    """A token called `CA` with the keys `ca` and `other`; the `environment` has openssl find it."""

    directory: Path
    environment: dict[str, str]

    @property
    def pin(self) -> Path:
        """A file with the PIN."""
        return self.directory / "pin"

    @property
    def wrong(self) -> Path:
        """A file with another one."""
        return self.directory / "wrong"


@contextmanager
def token(directory: Path) -> Iterator[Token]:
    """Make one in a directory, and serve it while the context is open.

    It is served, since SoftHSM uses openssl itself: in a process where openssl has the provider it crashes at the end.
    """
    (directory / "tokens").mkdir()
    (directory / "softhsm2.conf").write_text(f"directories.tokendir = {directory}/tokens\n")
    for name, pin in (("pin", PIN), ("wrong", "00000000")):
        (directory / name).write_text(f"{pin}\n")
        (directory / name).chmod(0o600)
    settings = {"SOFTHSM2_CONF": f"{directory}/softhsm2.conf"}
    make = ("pkcs11-tool", "--module", LIBRARY, "--token-label", "CA", "--login", "--pin", PIN, "--keypairgen")
    for command in (
        ("softhsm2-util", "--init-token", "--free", "--label", "CA", "--so-pin", PIN, "--pin", PIN),
        (*make, "--key-type", "rsa:2048", "--label", "ca", "--id", "01"),
        (*make, "--key-type", "EC:prime256v1", "--label", "other", "--id", "02"),
    ):
        done = run(*command, directory=directory, environment=settings)
        assert done.code == 0, done.messages
    socket = directory / "socket"
    serve = ("p11-kit", "server", "--foreground", "--name", str(socket), "--provider", LIBRARY, "pkcs11:token=CA")
    with subprocess.Popen(serve, env=os.environ | settings, stdout=subprocess.PIPE) as server:
        assert server.stdout
        server.stdout.readline()  # it says where it listens
        [client] = Path("/usr/lib").glob("*/pkcs11/p11-kit-client.so")
        found = dict.fromkeys(("PKCS11_MODULE_PATH", "PKCS11_PROVIDER_MODULE"), str(client))
        try:
            yield Token(directory, found | {"P11_KIT_SERVER_ADDRESS": f"unix:path={socket}"})
        finally:
            server.terminate()
