"""Run dbca-openssl without the 80 ms in which Python starts and imports it: a fork of a process that has done so.

Each run is a process of its own in a session of its own, with the environment, directory, umask and standard files that
it is given, as `subprocess.run` makes it. What of them Python reads at its start is not taken over: see `can_run`.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_READ_AT_THE_START = ("PYTHON", "LC_", "LANG", "TZ", "LD_", "FAKETIME")

_socket: Path | None = None


def can_run(environment: Mapping[str, str]) -> bool:
    """Whether a fork runs as a new Python would in this environment."""
    return not any(name.startswith(_READ_AT_THE_START) for name in environment)


def run(
    arguments: Sequence[str], directory: Path, environment: Mapping[str, str], stdin: str | None, timeout: float
) -> tuple[int, str, str]:
    """Run it; exit code and both outputs. Raises subprocess.TimeoutExpired where it does not end, and kills it then."""
    umask = os.umask(0)
    os.umask(umask)
    given = {"arguments": arguments, "directory": str(directory), "environment": dict(environment), "umask": umask}
    with (
        tempfile.TemporaryFile() as file,
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as messages,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection,
    ):
        file.write((stdin or "").encode("utf-8", "surrogateescape"))
        file.seek(0)
        connection.connect(str(_server()))
        connection.settimeout(timeout)
        socket.send_fds(connection, [json.dumps(given).encode()], [one.fileno() for one in (file, output, messages)])
        pid = int(connection.recv(32))
        try:
            code = int(connection.recv(32))
        except TimeoutError:
            os.killpg(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(arguments), timeout) from None
        texts = []
        for one in (output, messages):
            one.seek(0)
            texts.append(one.read().decode("utf-8", "surrogateescape"))
        return code, texts[0], texts[1]


def _server() -> Path:
    """The socket of this process's server, which is started where there is none yet."""
    global _socket
    if _socket is None:
        directory = tempfile.mkdtemp(prefix="ready-")
        path = Path(directory) / "socket"
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(path)],  # -P: beside it there is a token.py
            env={"PATH": os.environ["PATH"]},  # as the tests run programs
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"

        def end() -> None:
            process.kill()
            process.wait()
            path.unlink(missing_ok=True)
            Path(directory).rmdir()

        atexit.register(end)
        _socket = path
    return _socket


def _serve(path: str) -> None:
    import pkgutil

    import dbca_openssl.cli.commands
    from dbca_openssl.cli import main

    for module in pkgutil.walk_packages(dbca_openssl.cli.commands.__path__, "dbca_openssl.cli.commands."):
        __import__(module.name)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
        listening.bind(path)
        listening.listen(64)
        print("ready", flush=True)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait
        while True:
            connection, _ = listening.accept()
            if os.fork() == 0:
                listening.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                data, files, _, _ = socket.recv_fds(connection, 1 << 20, 3)
                pid = os.fork()
                if pid == 0:
                    connection.close()
                    _become(json.loads(data), files)
                    main.main()
                    sys.stdout.flush()
                    os._exit(0)
                connection.send(b"%d" % pid)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                with suppress(OSError):
                    connection.send(b"%d" % code)
                os._exit(0)
            connection.close()


def _become(given: dict[str, Any], files: Sequence[int]) -> None:
    """Be as the process that subprocess would have started."""
    os.setsid()
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(given["directory"])
    os.umask(given["umask"])
    os.environ.clear()
    os.environ.update(given["environment"])
    sys.argv[1:] = given["arguments"]
    sys.stdin = open(0, encoding=sys.stdin.encoding, errors=sys.stdin.errors)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding=sys.stderr.encoding, errors=sys.stderr.errors, buffering=1)  # noqa: SIM115


if __name__ == "__main__":
    _serve(sys.argv[1])
