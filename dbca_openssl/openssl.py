"""The only door to the openssl binary: a scrubbed environment, pass phrases by pipe, and what it is able to do.

openssl(1) exits 0 having done nothing in too many cases, so whoever comes through here looks at the result.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.passphrase import Passphrase

OLDEST = (1, 1, 1)

TIMED_OUT = -1
"""The exit code of an openssl that was killed because it took too long; openssl itself never has it."""

_INHERITED = ("PATH", "LD_LIBRARY_PATH")
"""All that a child gets of the caller's environment: where programs are, and a self-built openssl's libraries."""


@dataclass(frozen=True)
class Result:
    """What a finished openssl left: its exit code, and its two outputs as they came."""

    code: int
    output: bytes
    messages: str


class OpenSSL:
    """One openssl binary, looked up on PATH where `program` is a plain name."""

    def __init__(self, program: str = "openssl") -> None:
        self.program = program

    def run(
        self,
        arguments: Sequence[str],
        *,
        directory: Path,
        environment: Mapping[str, str] | None = None,
        passphrase: tuple[str, Passphrase] | None = None,
        data: bytes | None = None,
        keep_open: tuple[int, ...] = (),
        timeout: float | None = None,
    ) -> Result:
        """Run `openssl ARGUMENTS` in `directory` with exactly `environment` beside PATH and LD_LIBRARY_PATH.

        `passphrase` is an option (`-passin` or `-passout`) and the secret behind it, handed over by a pipe;
        `data` is its standard input (else empty); `keep_open` are descriptors that it inherits, such as a lock.
        After `timeout` seconds it is killed, and the exit code is TIMED_OUT.
        Raises DatabaseCaError where the binary is missing, LibreSSL or older than 1.1.1.
        """
        self.version  # noqa: B018  # the probe: a clear refusal instead of a strange failure later
        return self._start(arguments, directory, environment or {}, passphrase, data, keep_open, timeout)

    @cached_property
    def version(self) -> str:
        """The version as the binary gives it, such as `3.0.19`; asked once. Raises DatabaseCaError as `run` does."""
        banner = self._start(("version",), Path("/"), {}, None, None, ()).output.decode("ascii", "replace").strip()
        match = re.match(r"OpenSSL (\d+)\.(\d+)\.(\d+)\S*", banner)
        if not match or tuple(map(int, match.groups())) < OLDEST:
            raise DatabaseCaError(
                f"{self.program} is {banner.splitlines()[0][:60]!r}" if banner else f"{self.program} is no openssl",
                "OpenSSL 1.1.1 or newer is needed; --openssl PATH (or DBCA_OPENSSL) names another binary",
            )
        return match.group(0).removeprefix("OpenSSL ")

    def _start(
        self,
        arguments: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        passphrase: tuple[str, Passphrase] | None,
        data: bytes | None,
        keep_open: tuple[int, ...],
        timeout: float | None = None,
    ) -> Result:
        option, secret = passphrase or ("", None)
        with secret.descriptor() if secret else nullcontext(-1) as descriptor:
            command, *rest = arguments
            given = (option, f"fd:{descriptor}") if secret else ()
            try:
                done = subprocess.run(
                    (self.program, command, *given, *rest),
                    cwd=directory,
                    env={name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(environment),
                    input=data,
                    stdin=None if data is not None else subprocess.DEVNULL,
                    capture_output=True,
                    pass_fds=keep_open + ((descriptor,) if secret else ()),
                    umask=0o077,
                    start_new_session=True,  # without a terminal it can't stop at a prompt of its own
                    timeout=timeout,
                )
            except subprocess.TimeoutExpired as expired:
                return Result(TIMED_OUT, expired.stdout or b"", (expired.stderr or b"").decode("utf-8", "replace"))
            except FileNotFoundError:
                if not directory.is_dir():
                    raise DatabaseCaError(f"there is no directory {directory}") from None
                raise self._missing("there is no such program") from None
            except PermissionError:
                raise self._missing("it may not be executed") from None
            except OSError as error:
                raise self._missing(error.strerror or str(error)) from None
        return Result(done.returncode, done.stdout, done.stderr.decode("utf-8", "replace"))

    def _missing(self, why: str) -> DatabaseCaError:
        return DatabaseCaError(
            f"cannot run {self.program}: {why}",
            "install openssl (Debian: apt install openssl), or name it: --openssl PATH (or DBCA_OPENSSL)",
        )
