"""The administrator's own ssh, and how it fails: a script is sent to `sh` on a host, and its answer comes back.

Everything goes through ssh, nothing through scp: one connection does all the work on a host, an answer is limited in
bytes, and sudo is possible. Configuration, keys, jump hosts and known hosts are the administrator's; nothing is added
but `BatchMode` where nobody can answer (ssh(1), ssh_config(5)).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dbca_openssl import diagnosis
from dbca_openssl.ca.hosts import KnownHost
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.names import printable

MARK = "dbca "
"""How each line begins that a script reports."""

LARGEST_ANSWER = 256 * 1024
"""Bytes on each output: an answer is a certificate or a request and a few lines."""

_BLOCK = 4096
_FILES, _OTHER_FILES = 10, 64
"""Open files that a connection needs at most, and those of the process besides."""

_TIMED_OUT, _TOO_MUCH = -1, -2

FAILED = "failed"

Progress = Callable[[KnownHost, str], None]
"""Is called with a host and the state of the work on it, in a word or two."""

Outcome = TypeVar("Outcome")


class Answer(NamedTuple):
    """The answer of a script: its `dbca` lines as pairs of a word and the rest, and all else that it printed.

    All of it is the host's claim, whatever the script was.
    """

    told: tuple[tuple[str, str], ...]
    text: str

    def all(self, word: str) -> list[str]:
        """The rest of each line with that word, in order."""
        return [rest for key, rest in self.told if key == word]

    def one(self, word: str) -> str:
        """The rest of the last line with that word, or nothing."""
        return (self.all(word) or [""])[-1]


class Ssh:
    """The ssh on PATH. `config` is another configuration file for it, `timeout` the seconds that one host may take.

    `batch` has ssh fail where it would ask; of many hosts, `jobs` are worked on at a time.
    """

    def __init__(self, config: Path | None = None, *, batch: bool = True, timeout: float = 120, jobs: int = 1) -> None:
        self.config = config
        self.batch = batch
        self.timeout = timeout
        self.jobs = jobs
        self._running: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._stopped = False

    def arguments(self, host: KnownHost) -> list[str]:
        """The arguments for ssh that run a script on a host."""
        return [
            *(("-F", str(self.config)) if self.config else ()),
            *(("-o", "BatchMode=yes") if self.batch else ()),
            *(("-p", str(host.port)) if host.port else ()),
            "-T",
            "--",
            host.destination,
            "sudo -n sh -s" if host.sudo else "sh -s",
        ]

    def run(self, host: KnownHost, script: str) -> Answer:
        """Run a script on a host. Raises DatabaseCaError with the reason where it did not run to its end."""
        return self._run(host.name, "ssh", self.arguments(host), script)

    def run_here(self, name: str, script: str) -> Answer:
        """Run a script on this machine, as the user who runs this. Raises DatabaseCaError as `run` does."""
        return self._run(name, "sh", ["-s"], script)

    def each(
        self, hosts: Sequence[KnownHost], work: Callable[[KnownHost], Outcome], progress: Progress | None = None
    ) -> dict[KnownHost, Outcome | DatabaseCaError]:
        """The result of `work` or the error for each of the hosts; any other exception ends all."""
        import gc
        from concurrent.futures import ThreadPoolExecutor

        # each connection leaves cycles behind: they would add up, and the larger a process is, the slower it forks
        gc.enable()

        def attempt(host: KnownHost) -> Outcome | DatabaseCaError:
            try:
                return work(host)
            except DatabaseCaError as error:
                if progress:
                    progress(host, FAILED)
                return error

        with ThreadPoolExecutor(_possible(max(1, min(self.jobs, len(hosts))))) as pool:
            futures = {host: pool.submit(attempt, host) for host in hosts}
            try:
                return {host: future.result() for host, future in futures.items()}
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._stop()
                raise

    def _run(self, name: str, program: str, arguments: list[str], script: str) -> Answer:
        import sh  # heavy, and only what speaks to other machines needs it

        try:
            command = sh.Command(program)
        except sh.CommandNotFound:
            raise DatabaseCaError(f"{program} is not installed here", "Debian: apt install openssh-client") from None
        output, messages = _Stream(), _Stream()
        running = command(
            *arguments,
            _in=script.encode("utf-8", "surrogateescape"),
            _out=output.take,
            _err=messages.take,
            # in blocks, since a flood has perhaps no line ends; the bytes are those that came, whatever they are
            _out_bufsize=_BLOCK,
            _err_bufsize=_BLOCK,
            _encoding="utf-8",
            _decode_errors="surrogateescape",
            _tty_out=False,
            _timeout=self.timeout,
            _bg=True,
            _bg_exc=False,
        )
        with self._lock:
            self._running[running.pid] = running.process
            if self._stopped:
                running.process.kill()
        try:
            running.wait()
            code = 0
        except sh.TimeoutException:
            code = _TIMED_OUT
        except sh.ErrorReturnCode as error:
            code = error.exit_code
        finally:
            with self._lock:
                del self._running[running.pid]
        return _answer(name, _TOO_MUCH if output.is_full or messages.is_full else code, output.text, messages.text)

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running.values():
                with suppress(ProcessLookupError):
                    process.kill()


def _possible(jobs: int) -> int:
    """How many of so many connections this process can have at once; its limit of open files is raised where it may."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return jobs
    wanted = _OTHER_FILES + jobs * _FILES
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(jobs, (soft - _OTHER_FILES) // _FILES))


class _Stream:
    """What came on one output of a process, up to LARGEST_ANSWER bytes; the process that sends more is killed."""

    def __init__(self) -> None:
        self._data = b""
        self.is_full = False

    def take(self, block: str, _: Any, process: Any) -> bool:
        """Keep a block, as sh calls it. True ends the reading."""
        self._data += block.encode("utf-8", "surrogateescape")
        self.is_full = len(self._data) > LARGEST_ANSWER
        if self.is_full:
            with suppress(ProcessLookupError):  # it has ended, and this is the rest of what it sent
                process.kill()
        return self.is_full

    @property
    def text(self) -> str:
        """All that was kept."""
        return self._data.decode("utf-8", "replace")


def _answer(name: str, code: int, output: str, messages: str) -> Answer:
    """The answer of a script that ran to its end. Raises DatabaseCaError with the reason where it did not."""
    lines = output.splitlines()
    told = tuple(
        (word, rest)
        for word, _, rest in (line.removeprefix(MARK).partition(" ") for line in lines if line.startswith(MARK))
    )
    answer = Answer(told, "".join(f"{line}\n" for line in lines if not line.startswith(MARK)))
    if code == 0 and answer.all("end"):
        return answer
    meaning, *hints = _meaning(code, answer, messages)
    raise DatabaseCaError(f"{name}: {meaning}", *(hint.replace("{name}", name) for hint in hints), detail=messages)


# patterns of what is printed, what that means, and hints
_OF_SSH = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "host key changed",
        "this may be another machine; nothing was sent to it",
        "once its new key is confirmed: ssh-keygen -R {name}, then ssh {name}",
    ),
    (
        r"Host key verification failed|host key is known for|REVOKED HOST KEY",
        "host key not known",
        "ssh {name} shows the fingerprint; compare it, and answer yes",
    ),
    (
        r"Permission denied|Too many authentication failures|No supported authentication",
        "login failed",
        "ssh {name} must work without a question: a key in ssh-agent; --jobs 1 lets ssh ask",
    ),
    (r"Could not resolve hostname", "unknown host name", "a Host entry for {name} in ~/.ssh/config?"),
    (r"Connection refused", "connection refused", "is sshd running there, on that port?"),
    (r"timed out|Timeout, server", "connection timed out", "is it running, and does a firewall let ssh through?"),
    (r"No route to host|[Nn]etwork is unreachable", "no route to host"),
    (
        r"Bad configuration option|Can't open user config file|terminating, .* bad configuration|Bad owner or perm",
        "ssh does not accept its configuration file",
        "ssh -G {name} shows why",
    ),
)
_SUDO = "sudo must work without a question, or log in as root (root@{name})"
_OF_SUDO = (
    (r"sudo: .*password is required|sudo: .*terminal is required", "sudo asks for a password there", _SUDO),
    (r"not in the sudoers|not allowed to", "sudo is not allowed there", _SUDO),
    (r"sudo: (?:command )?not found", "sudo is not installed there", _SUDO),
)
_OF_SCRIPTS = (
    ("cannot write in|cannot make|cannot give|cannot be read", "log in as root (root@{name}), or use --sudo"),
    ("openssl is not installed", "on the host: apt install openssl"),
    ("there is no user", "--owner names the user of the host that mysqld runs under"),
    ("with other values", "a request with other names was made there before"),
    ("but no key for it|does not belong to", "a new key and certificate: dbca-openssl enroll {name} --rekey"),
    ("no .*req.pem", "dbca-openssl enroll {name} makes it there; or: dbca-openssl request {name} --kit"),
    (
        "belongs to another user",
        "that user could replace what is written there; on the host: chown -h root: FILE, or log in as that user",
    ),
    ("key.pem belongs to another user", "or --owner USER: deploy makes it root's, and readable by the group of USER"),
    ("is of two CAs", "dbca-openssl rollover OLD --ca NEW shows how far the hosts are, and --advance ends it"),
    ("other users can write", "on the host: chmod go-w FILE"),
)


def _meaning(code: int, answer: Answer, messages: str) -> tuple[str, ...]:
    """What went wrong, in one plain line, and hints."""
    if code == _TIMED_OUT:
        return "timed out", "--timeout SECONDS gives it more time"
    if code == _TOO_MUCH:
        return f"sent more than {LARGEST_ANSWER // 1024} KiB", "is it the right machine?"
    known = diagnosis.said(messages)
    if refused := answer.one("refused"):
        if known and "disk is full" in known.message:
            return known.message, *known.hints
        return _shown(refused), *(hint for pattern, hint in _OF_SCRIPTS if re.search(pattern, refused))
    for pattern, *meaning in (*(_OF_SSH if code == 255 else ()), *_OF_SUDO):
        if re.search(pattern, messages):
            return tuple(meaning)
    if code == 255:
        return "connection closed", "run it again: what is done already is not done twice"
    if known:
        return known.message, *known.hints
    if code == 0:
        return "the script did not run to its end", "does its login shell run commands?"
    last = next((line for line in reversed(messages.splitlines()) if line.strip()), "")
    return _shown(last) if last else f"the script failed (exit {code})", "--verbose shows its messages"


def _shown(text: str) -> str:
    """The words of a host, of readable length, without anything that a terminal obeys."""
    return printable(text.strip()[:400])
