"""The administrator's own ssh, and how it fails: a script goes to `sh` on a host, and what it tells comes back.

Everything goes through ssh, nothing through scp: one connection does all the work on a host, a host cannot fill the
safe storage with an endless file, and sudo is possible. Configuration, keys, jump hosts and known hosts are
the administrator's; nothing is added but `BatchMode` where nobody can answer.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from dbca_openssl import diagnosis
from dbca_openssl.errors import DatabaseCaError
from dbca_openssl.host.scripts import MARK, user_name
from dbca_openssl.names import entity_name

LARGEST_ANSWER = 256 * 1024
"""Characters: what a script tells is a certificate or a request and a few lines."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Host(NamedTuple):
    """A host: what its certificate is called, and what ssh is given, `[USER@]NAME`."""

    name: str
    destination: str


class Answer(NamedTuple):
    """What a script told: its lines as pairs of a word and the rest, and all else that it printed."""

    told: tuple[tuple[str, str], ...]
    text: str

    def all(self, word: str) -> list[str]:
        """What was told under a word, in order."""
        return [rest for key, rest in self.told if key == word]

    def one(self, word: str) -> str:
        """What was told last under a word, or nothing."""
        return (self.all(word) or [""])[-1]


def hosts(arguments: Sequence[str]) -> list[Host]:
    """The hosts that `[USER@]NAME` mean, each once. Raises DatabaseCaError for what ssh must not see."""
    found: dict[str, Host] = {}
    for text in arguments:
        user, at, name = text.rpartition("@")
        host = entity_name(name)
        destination = f"{user_name(user)}@{host}" if at else host
        if host in found and found[host].destination != destination:
            raise DatabaseCaError(f"{host} is named twice, as {found[host].destination} and {destination}")
        found[host] = Host(host, destination)
    return list(found.values())


class Ssh:
    """The ssh on PATH. `config` is another configuration file for it, `timeout` the seconds that one host may take.

    `batch` has ssh fail where it would ask; `sudo` has the script run by root.
    """

    def __init__(
        self, config: Path | None = None, *, batch: bool = True, timeout: float = 120, sudo: bool = False
    ) -> None:
        self.config = config
        self.batch = batch
        self.timeout = timeout
        self.sudo = sudo
        self._running: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._stopped = False

    def arguments(self, host: Host) -> list[str]:
        """The arguments for ssh that run a script on a host."""
        return [
            *(("-F", str(self.config)) if self.config else ()),
            *(("-o", "BatchMode=yes") if self.batch else ()),
            "-T",
            "--",
            host.destination,
            "sudo -n sh -s" if self.sudo else "sh -s",
        ]

    def run(self, host: Host, script: str) -> Answer:
        """Run a script on a host. Raises DatabaseCaError with the reason where it was not done to its end."""
        code, output, messages = self._run("ssh", self.arguments(host), script)
        return _answer(host.name, code, output, messages)

    def run_here(self, name: str, script: str) -> Answer:
        """Run a script on this machine, as the user who runs this. Raises DatabaseCaError as `run` does."""
        code, output, messages = self._run("sh", ["-s"], script)
        return _answer(name, code, output, messages)

    def each(
        self, items: Sequence[Item], work: Callable[[Item], Outcome], jobs: int
    ) -> list[Outcome | DatabaseCaError]:
        """`work` for all items, `jobs` at a time, and what came of each; whatever else is raised ends all of them."""
        from concurrent.futures import ThreadPoolExecutor

        def attempt(item: Item) -> Outcome | DatabaseCaError:
            try:
                return work(item)
            except DatabaseCaError as error:
                return error

        with ThreadPoolExecutor(max(1, min(jobs, len(items)))) as pool:
            futures = [pool.submit(attempt, item) for item in items]
            try:
                return [future.result() for future in futures]
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                self._stop()
                raise

    def _run(self, program: str, arguments: list[str], script: str) -> tuple[int, str, str]:
        """Exit code (-1: too late, -2: too much), output and messages of a program that is given a script."""
        import sh  # heavy, and only what speaks to other machines needs it

        outputs: tuple[list[str], list[str]] = ([], [])
        sizes, too_much = [0, 0], threading.Event()

        def collect(which: int) -> Callable[[str, Any, Any], bool]:
            def take(chunk: str, _: Any, process: Any) -> bool:
                sizes[which] += len(chunk)
                if sizes[which] > LARGEST_ANSWER:
                    too_much.set()
                    process.kill()
                    return True
                outputs[which].append(chunk)
                return False

            return take

        try:
            command = sh.Command(program)
        except sh.CommandNotFound:
            raise DatabaseCaError(f"{program} is not installed here", "Debian: apt install openssh-client") from None
        running = command(
            *arguments,
            _in=script.encode("utf-8", "surrogateescape"),
            _out=collect(0),
            _err=collect(1),
            _decode_errors="replace",
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
            code = -1
        except sh.ErrorReturnCode as error:
            code = error.exit_code
        finally:
            with self._lock:
                del self._running[running.pid]
        return -2 if too_much.is_set() else code, "".join(outputs[0]), "".join(outputs[1])

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running.values():
                with suppress(ProcessLookupError):
                    process.kill()


def _answer(name: str, code: int, output: str, messages: str) -> Answer:
    """The answer of a script that ended well. Raises DatabaseCaError for every other end."""
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


_SSH_MEANINGS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        "ssh refuses it: its host key is not the one that is known",
        (
            "this may be another machine; nothing was sent to it",
            "once its new key is confirmed: ssh-keygen -R {name}, then ssh {name}",
        ),
    ),
    (
        r"Host key verification failed|host key is known for|REVOKED HOST KEY",
        "ssh refuses it: its host key is not known",
        ("ssh {name} shows the fingerprint; compare it, and answer yes",),
    ),
    (
        r"Permission denied|Too many authentication failures|No supported authentication",
        "ssh is not let in: permission denied",
        ("ssh {name} must work without a question: a key in ssh-agent; --jobs 1 lets ssh ask",),
    ),
    (r"Could not resolve hostname", "there is no host of that name", ("a Host entry for {name} in ~/.ssh/config?",)),
    (r"Connection refused", "not reached: connection refused", ("is sshd running there, on that port?",)),
    (r"timed out|Timeout, server", "not reached: it does not answer", ()),
    (r"No route to host|[Nn]etwork is unreachable", "not reached: there is no way to it", ()),
    (
        r"Bad configuration option|Can't open user config file|terminating, .* bad configuration|Bad owner or perm",
        "ssh does not accept its configuration file",
        ("ssh -G {name} shows why",),
    ),
)
_HINTS: tuple[tuple[str, str], ...] = (
    ("cannot write in|cannot make|cannot give|cannot be read", "log in as root (root@{name}), or use --sudo"),
    ("openssl is not installed", "on the host: apt install openssl"),
    ("there is no user", "--owner names a user of the host, as mysqld runs under"),
    ("with other values", "a request with other names was made there before"),
    ("but no key for it|does not belong to", "if it was left by somebody: move it away on the host, then again"),
    ("no .*req.pem", "dbca-openssl enroll {name} makes it there; or: dbca-openssl request {name} --kit"),
)
_SUDO_MEANINGS: tuple[tuple[str, str], ...] = (
    (r"sudo: .*password is required|sudo: .*terminal is required", "sudo asks for a password there"),
    (r"not in the sudoers|not allowed to", "sudo does not allow it there"),
    (r"sudo: (?:command )?not found", "there is no sudo"),
)


def _meaning(code: int, answer: Answer, messages: str) -> tuple[str, ...]:
    """What went wrong, in one plain line, and hints."""
    if code == -1:
        return "no end within the time that it had", "--timeout SECONDS gives more"
    if code == -2:
        return ("it answers without an end", "is it what you think it is?")
    if refused := answer.one("refused"):
        if (known := diagnosis.said(messages)) and "disk is full" in known.message:
            return known.message, *known.hints
        return _plain(refused), *(hint for pattern, hint in _HINTS if re.search(pattern, refused))
    if code == 255:
        for pattern, meaning, hints in _SSH_MEANINGS:
            if re.search(pattern, messages):
                return meaning, *hints
    for pattern, meaning in _SUDO_MEANINGS:
        if re.search(pattern, messages):
            return meaning, "sudo must work without a question, or log in as root (root@{name})"
    if code == 255:
        return "the connection was cut", "run it again: what is done already is not done twice"
    if known := diagnosis.said(messages):
        return known.message, *known.hints
    last = next((line for line in reversed(messages.splitlines()) if line.strip()), "")
    if code == 0:
        return ("the script did not come to its end", "is its login shell one that runs commands?")
    return (_plain(last) if last else f"the script failed (exit {code})", "--verbose shows what it said")


def _plain(text: str) -> str:
    """What a host said, on one line of a length that can be read, and with nothing in it that a terminal obeys."""
    line = text.strip()[:400]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
