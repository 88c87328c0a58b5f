"""The only module that starts openssl: in a scrubbed environment, with the pass phrase from a pipe.

openssl(1) often exits 0 without having done its work, so its results are checked.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from threading import Thread
from typing import IO

from dbca_openssl import diagnosis
from dbca_openssl.command import Command, Result
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.files import require_absent

OLDEST = (1, 1, 1)

TIMED_OUT = -1
"""The exit code of an openssl that was killed because it took too long; openssl itself never has it."""

SENT_TOO_MUCH = -signal.SIGXFSZ
"""The exit code of an openssl that was killed because an output became larger than `largest_output`."""

_INHERITED: tuple[str, ...] = ("PATH", "LD_LIBRARY_PATH")
"""All that openssl gets of the caller's environment: where programs are, and a self-built openssl's libraries."""

PROVIDER = ("-provider", "default", "-provider", "pkcs11")
ENGINE = ("-engine", "pkcs11")
"""How openssl gets to a key on a token: by pkcs11-provider, or by the engine of libp11.

The default provider stands first: a token's module that itself uses openssl, as SoftHSM, would wait for itself.
"""

_INHERITED_FOR_TOKENS = (
    *("OPENSSL_MODULES", "OPENSSL_ENGINES"),  # where another openssl than the system's has provider and engine
    *("PKCS11_PROVIDER_MODULE", "PKCS11_MODULE_PATH"),  # the token's module, where it is not that of p11-kit
    *("SOFTHSM2_CONF", "YUBIHSM_PKCS11_CONF", "P11_KIT_SERVER_ADDRESS"),  # what such a module reads itself
)
"""What it gets in addition where a command uses a token, and otherwise not."""


class OpenSSL:
    """One openssl binary, searched on PATH where `program` is a plain name.

    All methods raise DatabaseCaError where the binary is missing, LibreSSL or older than 1.1.1.
    """

    def __init__(self, program: str = "openssl") -> None:
        self.program = program
        self._asking: Thread | None = None
        self._banner: str | None = None

    def run(
        self,
        arguments: Sequence[str],
        *,
        directory: Path,
        data: bytes = b"",
        timeout: float | None = None,
        largest_output: int = 0,
    ) -> Result:
        """Run `openssl ARGUMENTS` in `directory`, with `data` as its standard input.

        The caller judges the result. After `timeout` seconds openssl is killed, and the exit code is TIMED_OUT; after
        `largest_output` bytes in an output (0: no limit), the system kills it, and the exit code is SENT_TOO_MUCH.
        Raises DatabaseCaError where the binary is missing, or is not OpenSSL 1.1.1 or newer.
        """
        if arguments[0] != "version":
            self.version  # noqa: B018  # refuses an unusable binary before it fails in a strange way
        with memory_file(data) as stdin, memory_file() as output:
            command = Command(tuple(arguments))
            # a shell can set the limit between fork and exec; it counts in blocks of 512 bytes
            script = f'ulimit -c 0; ulimit -f {largest_output // 512}; exec "$@"'
            limit = ("sh", "-c", script, "sh") if largest_output else ()
            [result] = self._finish([command], directory, stdin=stdin, stdout=output, timeout=timeout, limit=limit)
            return result._replace(output=content(output))

    def make(
        self,
        commands: Sequence[Command],
        directory: Path,
        *,
        keep_open: tuple[int, ...] = (),
        watch: Callable[[int], None] | None = None,
    ) -> list[Result]:
        """Run commands in parallel in `directory`; what they print on standard output is dropped.

        They inherit the descriptors `keep_open`, such as a lock. `watch` is called several times a second with the
        number of requests that they have read together. Raises DatabaseCaError where a file of a command's `fresh` is
        there already, where openssl fails, or where a file of `creates` is not whole afterwards.
        """
        for name in (name for command in commands for name in command.fresh):
            require_absent(directory / name)
        self.version  # noqa: B018
        results = self._finish(commands, directory, keep_open=keep_open, watch=watch)
        for command, result in zip(commands, results, strict=True):
            diagnosis.require_success(command, result, directory)
        return results

    @cached_property
    def version(self) -> str:
        """The version as the binary gives it, such as `3.0.19`; asked once. Raises DatabaseCaError as `run` does."""
        if self._asking:
            self._asking.join()
        banner = self._read_banner() if self._banner is None else self._banner
        match = re.match(r"OpenSSL (\d+)\.(\d+)\.(\d+)\S*", banner)
        if not match or tuple(map(int, match.groups())) < OLDEST:
            raise DatabaseCaError(
                f"{self.program} is {banner.splitlines()[0][:60]!r}" if banner else f"{self.program} is no openssl",
                "OpenSSL 1.1.1 or newer is needed; --openssl PATH (or DBCA_OPENSSL) names another binary",
            )
        return match.group(0).removeprefix("OpenSSL ")

    @cached_property
    def token_options(self) -> tuple[str, ...]:
        """PROVIDER or ENGINE, whichever this openssl can load. Raises DatabaseCaError where it has neither."""
        root = Path("/")
        if not self.version.startswith("1.") and not self.run(("list", *PROVIDER, "-providers"), directory=root).code:
            return PROVIDER
        if b"pkcs11" in self.run(("engine", "pkcs11"), directory=root).output:
            return ENGINE
        raise DatabaseCaError(
            f"{self.program} {self.version} has nothing to reach a token with",
            "apt install pkcs11-provider (Debian 13 and newer) or libengine-pkcs11-openssl (Debian 12 and older)",
        )

    def ask_version(self) -> None:
        """Start asking for the version, beside what the caller does until `version` is needed."""

        def ask() -> None:
            with suppress(DatabaseCaError):  # `version` raises it
                self._banner = self._read_banner()

        if self._asking is None:
            self._asking = Thread(target=ask, daemon=True)
            self._asking.start()

    def _read_banner(self) -> str:
        return self.run(("version",), directory=Path("/")).output.decode("ascii", "replace").strip()

    def _finish(
        self,
        commands: Sequence[Command],
        directory: Path,
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        keep_open: tuple[int, ...] = (),
        timeout: float | None = None,
        watch: Callable[[int], None] | None = None,
        limit: tuple[str, ...] = (),
    ) -> list[Result]:
        running: list[subprocess.Popen[bytes]] = []
        timed_out = False
        with ExitStack() as stack:
            messages = [stack.enter_context(memory_file()) for _ in commands]
            # Ctrl-C must wait: it could come between the start of a process and its entry in the list
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                for command, stderr in zip(commands, messages, strict=True):
                    descriptor = stack.enter_context(command.passphrase_pipe())
                    files = (stdin, stdout, stderr)
                    running.append(self._start(command, directory, descriptor, files, keep_open, limit))
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
                signed = _counting(b"Signature ok", messages)
                for process in running:
                    while watch and process.poll() is None:
                        watch(next(signed))
                        with suppress(subprocess.TimeoutExpired):
                            process.wait(0.2)
                    process.wait(timeout)
            except BaseException as error:
                for process in running:
                    process.kill()
                    process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                timed_out = True
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            return [
                Result(TIMED_OUT if timed_out else process.returncode, b"", _messages(file))
                for process, file in zip(running, messages, strict=True)
            ]

    def _start(
        self,
        command: Command,
        directory: Path,
        descriptor: int | None,
        files: tuple[int | IO[bytes], int | IO[bytes], IO[bytes]],
        keep_open: tuple[int, ...],
        limit: tuple[str, ...],
    ) -> subprocess.Popen[bytes]:
        """Start it with the pass phrase to be read from `descriptor`, and its three standard `files`."""
        source = None if descriptor is None else f"fd:{descriptor}"
        inherited = _INHERITED
        if "pkcs11" in command.arguments:
            inherited += _INHERITED_FOR_TOKENS
            # libp11 0.4.12 crashes after a wrong PIN, which would be in the core file
            limit = limit or ("sh", "-c", 'ulimit -c 0; exec "$@"', "sh")
        try:
            return subprocess.Popen(
                (*limit, self.program, *command.with_passphrase(source, source if command.new_passphrase else None)),
                cwd=directory,
                env={name: os.environ[name] for name in inherited if name in os.environ} | dict(command.environment),
                stdin=files[0],
                stdout=files[1],
                stderr=files[2],
                pass_fds=keep_open if descriptor is None else (*keep_open, descriptor),
                umask=0o022,  # a key has mode 600 all the same, by openssl itself
                start_new_session=True,  # without a terminal it cannot wait at a prompt of its own
            )
        except OSError as error:
            if not directory.is_dir():
                raise DatabaseCaError(f"there is no directory {directory}") from None
            reasons = {errno.ENOENT: "there is no such program", errno.EACCES: "it may not be executed"}
            raise DatabaseCaError(
                f"cannot run {self.program}: {reasons.get(error.errno or 0, error.strerror)}",
                "install openssl (Debian: apt install openssl), or name it: --openssl PATH (or DBCA_OPENSSL)",
            ) from None


def memory_file(data: bytes = b"") -> IO[bytes]:
    """A file without a name: it can be read while openssl writes it, and in memory it needs no temporary directory."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = open(os.memfd_create("openssl"), "w+b", buffering=0)  # noqa: SIM115
    else:
        import tempfile

        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    file.write(data)
    file.seek(0)
    return file


def content(file: IO[bytes]) -> bytes:
    """All that has been written to such a file."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


def _counting(word: bytes, files: Sequence[IO[bytes]]) -> Iterator[int]:
    """Again and again how often `word` has been written to the files by now, without reading anything twice."""
    begins = [0] * len(files)
    count = 0
    while True:
        for number, file in enumerate(files):
            while len(data := os.pread(file.fileno(), _PIECE, begins[number])) >= len(word):
                count += data.count(word)
                begins[number] += len(data) - len(word) + 1  # it may be written in two pieces
        yield count


def _messages(file: IO[bytes]) -> str:
    """What openssl said; where that is long, without the certificates, which are indented."""
    size = os.fstat(file.fileno()).st_size
    if size <= _PIECE:
        return content(file).decode("utf-8", "replace")
    file.seek(0)
    said = []
    while lines := file.read(_PIECE) + file.readline():
        said += [line for line in lines.split(b"\n") if not line.startswith(b" ")]
    return b"\n".join(said).decode("utf-8", "replace")


_PIECE = 1024 * 1024
"""Bytes of the messages that are read at once; `openssl ca` says some 1,200 about each certificate."""
