"""The only door to the openssl binary: a scrubbed environment, pass phrases by pipe, and what it is able to do.

openssl(1) exits 0 having done nothing in too many cases, so whoever comes through here looks at the result.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property, partial
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


class Call(NamedTuple):
    """`openssl ARGUMENTS` in `directory`, as `OpenSSL.run` takes it."""

    arguments: Sequence[str]
    directory: Path
    environment: Mapping[str, str]
    passphrase: tuple[str, Passphrase] | None = None
    keep_open: tuple[int, ...] = ()


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
        return self.run_one(Call(arguments, directory, environment or {}, passphrase, keep_open), data, timeout)

    def run_one(self, call: Call, data: bytes | None = None, timeout: float | None = None) -> Result:
        """The same for a call that has been put together before. Raises DatabaseCaError as `run` does."""
        self.version  # noqa: B018  # the probe: a clear refusal instead of a strange failure later
        return self._finished(call, data, timeout)

    def run_together(self, calls: Sequence[Call], watch: Callable[[int], None]) -> list[Result]:
        """Run some that take long side by side; what they print on standard output is dropped.

        `watch` is called now and then with the number of requests that `openssl ca` has looked at, in all of them.
        Raises DatabaseCaError as `run` does.
        """
        self.version  # noqa: B018
        running: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = []
        with _uninterrupted() as interruptible, ExitStack() as stack:
            try:
                for call in calls:
                    descriptor = stack.enter_context(_passphrase(call))
                    messages = stack.enter_context(_file())
                    process = self._started(call, descriptor, subprocess.DEVNULL, subprocess.DEVNULL, messages)
                    running.append((process, messages))
                interruptible()
                for process, _ in running:
                    while not _has_ended(process):
                        watch(sum(_content(messages).count(b"Signature ok") for _, messages in running))
            except BaseException:
                for process, _ in running:
                    process.kill()
                    process.wait()
                raise
            return [
                Result(process.returncode, b"", _content(messages).decode("utf-8", "replace"))
                for process, messages in running
            ]

    @cached_property
    def version(self) -> str:
        """The version as the binary gives it, such as `3.0.19`; asked once. Raises DatabaseCaError as `run` does."""
        banner = self._finished(Call(("version",), Path("/"), {})).output.decode("ascii", "replace").strip()
        match = re.match(r"OpenSSL (\d+)\.(\d+)\.(\d+)\S*", banner)
        if not match or tuple(map(int, match.groups())) < OLDEST:
            raise DatabaseCaError(
                f"{self.program} is {banner.splitlines()[0][:60]!r}" if banner else f"{self.program} is no openssl",
                "OpenSSL 1.1.1 or newer is needed; --openssl PATH (or DBCA_OPENSSL) names another binary",
            )
        return match.group(0).removeprefix("OpenSSL ")

    def _finished(self, call: Call, data: bytes | None = None, timeout: float | None = None) -> Result:
        with (
            _uninterrupted() as interruptible,
            _passphrase(call) as descriptor,
            _file() as output,
            _file() as messages,
            nullcontext(subprocess.DEVNULL) if data is None else _file(data) as stdin,
        ):
            process = self._started(call, descriptor, stdin, output, messages)
            try:
                interruptible()
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = TIMED_OUT
            except BaseException:
                process.kill()
                process.wait()
                raise
            return Result(code, _content(output), _content(messages).decode("utf-8", "replace"))

    def _started(
        self, call: Call, descriptor: int | None, stdin: int | IO[bytes], stdout: int | IO[bytes], stderr: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        command, *rest = call.arguments
        given = () if call.passphrase is None else (call.passphrase[0], f"fd:{descriptor}")
        try:
            return subprocess.Popen(
                (self.program, command, *given, *rest),
                cwd=call.directory,
                env={name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(call.environment),
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=call.keep_open if descriptor is None else (*call.keep_open, descriptor),
                umask=0o077,
                start_new_session=True,  # without a terminal it can't stop at a prompt of its own
            )
        except FileNotFoundError:
            if not call.directory.is_dir():
                raise DatabaseCaError(f"there is no directory {call.directory}") from None
            raise self._missing("there is no such program") from None
        except PermissionError:
            raise self._missing("it may not be executed") from None
        except OSError as error:
            raise self._missing(error.strerror or str(error)) from None

    def _missing(self, why: str) -> DatabaseCaError:
        return DatabaseCaError(
            f"cannot run {self.program}: {why}",
            "install openssl (Debian: apt install openssl), or name it: --openssl PATH (or DBCA_OPENSSL)",
        )


def _passphrase(call: Call) -> AbstractContextManager[int | None]:
    """The descriptor that a call's pass phrase comes out of, if it has one."""
    return nullcontext() if call.passphrase is None else call.passphrase[1].descriptor()


@contextmanager
def _uninterrupted() -> Iterator[Callable[[], object]]:
    """Until what it gives is called a Ctrl-C has to wait: it would leave a child behind that is not yet known here."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield partial(signal.pthread_sigmask, signal.SIG_SETMASK, blocked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _file(data: bytes = b"") -> IO[bytes]:
    """A file in memory, or one without a name: openssl writes some 200 times for a signature, and a pipe wakes us up.

    A file can also be looked into while it is written.
    """
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = open(os.memfd_create("openssl"), "w+b", buffering=0)  # noqa: SIM115
    else:
        import tempfile

        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    file.write(data)
    file.seek(0)
    return file


def _content(file: IO[bytes]) -> bytes:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has, or does within a fifth of a second."""
    try:
        process.wait(0.2)
    except subprocess.TimeoutExpired:
        return False
    return True
