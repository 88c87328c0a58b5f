"""What is going on, in one line of a terminal that is rewritten and in the end wiped out."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from types import TracebackType
from typing import TYPE_CHECKING

from dbca_openssl.cli import output

if TYPE_CHECKING:
    from dbca_openssl.host.ssh import Host

PATIENCE, TURN = 0.4, 0.1
"""Seconds until work is worth a word, and from one position of the wheel to the next."""


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """Say on a terminal what goes on, such as `making a key`, as soon as it takes long; nothing anywhere else."""
    ended = threading.Event()

    def turn() -> None:
        wheel = cycle("|/-\\")
        pause = PATIENCE
        while not ended.wait(pause):
            output.draw(f"{doing} {next(wheel)}")
            pause = TURN

    thread = threading.Thread(target=turn, daemon=True)
    # Ctrl-C is the main thread's, which blocks it at times
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    if output.is_live():
        thread.start()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        yield
    finally:
        ended.set()
        if thread.is_alive():
            thread.join()
        output.wipe()


class Progress:
    """What is going on with each of many hosts; elsewhere than on a terminal plain lines.

    `with Progress(hosts, "fetched") as progress:`, then `progress(host, "fetching")` from any thread.

    `ends` are the words after which nothing more is going on with a host.
    """

    def __init__(self, hosts: Sequence[Host], *ends: str) -> None:
        self._lock = threading.Lock()
        self._doing = {host.name: "" for host in hosts}
        self._ends = ends
        self._live = output.is_live()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        output.wipe()

    def __call__(self, host: Host, doing: str) -> None:
        """Say what is going on with a host now."""
        with self._lock:
            self._doing[host.name] = doing
            if self._live:
                self._rewrite()
            elif not output.as_json:
                output.tell(f"{host.name}: {doing}")

    def _rewrite(self) -> None:
        busy = [f"{name}: {doing}" for name, doing in self._doing.items() if doing and doing not in self._ends]
        ended = sum(doing in self._ends for doing in self._doing.values())
        text = f"[{ended}/{len(self._doing)}] {', '.join(busy)}"
        output.draw(text)
