"""Progress, in one line of a terminal that is rewritten, and wiped out at the end."""

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
"""Seconds until progress is shown, and from one position of the wheel to the next."""


@contextmanager
def busy(doing: str) -> Iterator[None]:
    """Show on a terminal, and nowhere else, what is being done, such as `making a key`, once it takes long."""
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
    if output.can_draw():
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
    """What is being done with each of many hosts; elsewhere than on a terminal in plain lines.

    `with Progress(hosts, "fetched") as progress:`, then `progress(host, "fetching")` from any thread.

    `ends` are the words that say that a host is done.
    """

    def __init__(self, hosts: Sequence[Host], *ends: str) -> None:
        self._lock = threading.Lock()
        self._doing = {host.name: "" for host in hosts}
        self._ends = ends
        self._drawn = output.can_draw()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        output.wipe()

    def __call__(self, host: Host, doing: str) -> None:
        """Show what is being done with a host now."""
        with self._lock:
            self._doing[host.name] = doing
            if self._drawn:
                self._rewrite()
            elif not output.as_json:
                output.tell(f"{host.name}: {doing}")

    def _rewrite(self) -> None:
        busy = [f"{name}: {doing}" for name, doing in self._doing.items() if doing and doing not in self._ends]
        ended = sum(doing in self._ends for doing in self._doing.values())
        output.draw(f"[{ended}/{len(self._doing)}] {', '.join(busy)}")
