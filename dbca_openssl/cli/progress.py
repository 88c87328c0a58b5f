"""What is going on with each of many hosts: one line that is rewritten on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Sequence
from types import TracebackType

from dbca_openssl.cli import output
from dbca_openssl.host.remote import Host


class Progress:
    """`with Progress(hosts, "fetched") as progress:`, then `progress(host, "fetching")` from any thread.

    `ends` are the words after which nothing more is going on with a host.
    """

    def __init__(self, hosts: Sequence[Host], *ends: str) -> None:
        self._lock = threading.Lock()
        self._doing = {host.name: "" for host in hosts}
        self._ends = ends
        self._live = sys.stderr.isatty() and not output.as_json

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clear()

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
        width = os.get_terminal_size(sys.stderr.fileno()).columns - 1
        sys.stderr.write(f"\r\x1b[K{text if len(text) <= width else text[: max(0, width - 3)] + '...'}")
        sys.stderr.flush()

    def _clear(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
