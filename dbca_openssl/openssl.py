"""The only door to the openssl binary: a scrubbed environment, pass phrases by pipe, and what it is able to do.

openssl(1) exits 0 having done nothing in too many cases, so whoever comes through here looks at the result.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import IO, NamedTuple

from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.passphrase import Passphrase

OLDEST = (1, 1, 1)

TIMED_OUT = -1
"""The exit code of an openssl that was killed because it took too long; openssl itself never has it."""

_INHERITED = ("PATH", "LD_LIBRARY_PATH")
"""All that a child gets of the caller's environment: where programs are, and a self-built openssl's libraries."""


class Result(NamedTuple):
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
        watch: Callable[[int], None] | None = None,
        timeout: float | None = None,
    ) -> Result:
        """Run `openssl ARGUMENTS` in `directory` with exactly `environment` beside PATH and LD_LIBRARY_PATH.

        `passphrase` is an option (`-passin` or `-passout`) and the secret behind it, handed over by a pipe;
        `data` is its standard input (else empty); `keep_open` are descriptors that it inherits, such as a lock;
        `watch` is called now and then with the number of requests that `openssl ca` has looked at.
        After `timeout` seconds it is killed, and the exit code is TIMED_OUT.
        Raises DatabaseCaError where the binary is missing, LibreSSL or older than 1.1.1.
        """
        self.version  # noqa: B018  # the probe: a clear refusal instead of a strange failure later
        option, secret = passphrase or ("", None)
        with secret.descriptor() if secret else nullcontext(-1) as descriptor:
            command, *rest = arguments
            given = (option, f"fd:{descriptor}") if secret else ()
            inherited = keep_open + ((descriptor,) if secret else ())
            return self._start((command, *given, *rest), directory, environment or {}, data, inherited, watch, timeout)

    @cached_property
    def version(self) -> str:
        """The version as the binary gives it, such as `3.0.19`; asked once. Raises DatabaseCaError as `run` does."""
        banner = self._start(("version",), Path("/"), {}).output.decode("ascii", "replace").strip()
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
        data: bytes | None = None,
        pass_fds: tuple[int, ...] = (),
        watch: Callable[[int], None] | None = None,
        timeout: float | None = None,
    ) -> Result:
        # until the child is known here, a Ctrl-C would leave it behind
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with nullcontext() if watch is None else _message_file() as messages:
                process = subprocess.Popen(
                    (self.program, *arguments),
                    cwd=directory,
                    env={name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(environment),
                    stdin=subprocess.DEVNULL if data is None else subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE if messages is None else messages,
                    pass_fds=pass_fds,
                    umask=0o077,
                    start_new_session=True,  # without a terminal it can't stop at a prompt of its own
                )
                with process:
                    try:
                        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                        if messages is not None and watch is not None:
                            output = _followed(process, messages, watch)
                        else:
                            output, errors = process.communicate(data, timeout)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        output, errors = process.communicate()
                        return Result(TIMED_OUT, output, errors.decode("utf-8", "replace"))
                    except BaseException:
                        process.kill()
                        raise
                if messages is not None:
                    messages.seek(0)
                    errors = messages.read()
        except FileNotFoundError:
            if not directory.is_dir():
                raise DatabaseCaError(f"there is no directory {directory}") from None
            raise self._missing("there is no such program") from None
        except PermissionError:
            raise self._missing("it may not be executed") from None
        except OSError as error:
            raise self._missing(error.strerror or str(error)) from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        return Result(process.returncode, output, errors.decode("utf-8", "replace"))

    def _missing(self, why: str) -> DatabaseCaError:
        return DatabaseCaError(
            f"cannot run {self.program}: {why}",
            "install openssl (Debian: apt install openssl), or name it: --openssl PATH (or DBCA_OPENSSL)",
        )


def _message_file() -> IO[bytes]:
    """For the messages of long work: a file is cheaper than a pipe, and can be looked into meanwhile."""
    import tempfile

    return tempfile.TemporaryFile()


def _followed(process: subprocess.Popen[bytes], messages: IO[bytes], watch: Callable[[int], None]) -> bytes:
    """The output, which is read all the time: a batch prints every certificate, and a full pipe would stop it."""
    while True:
        try:
            return process.communicate(timeout=0.2)[0]
        except subprocess.TimeoutExpired:
            text = os.pread(messages.fileno(), os.fstat(messages.fileno()).st_size, 0)
            watch(text.count(b"Signature ok"))
