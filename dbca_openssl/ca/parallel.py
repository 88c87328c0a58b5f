"""A batch of requests, signed in parallel by as many openssl as there are processors.

Each openssl signs a part of them in a home of its own inside the stage, with the index as it was and the serials that
follow those of the part before. Joined, the files are those that one openssl would have left, byte for byte.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Protocol

from dbca_openssl import diagnosis
from dbca_openssl.ca import index
from dbca_openssl.ca.change import FOLDERS, Change
from dbca_openssl.ca.layout import ATTRIBUTES, DATABASE, INDEX, SERIAL, request_of
from dbca_openssl.command import Command

LEAST = 16
"""Requests in a part, at least: every openssl has to start, and to load key and index."""

MOST = 10_000
"""Requests in a part, at most: their paths are arguments, which together have a limit of 2 MB."""


class Sign(Protocol):
    """Makes the command for a part."""

    def __call__(self, names: Sequence[str], *, home: str) -> Command:
        """The command that signs the requests of these names, with the data files in `home`."""


def sign(change: Change, requests: Mapping[str, bytes], command: Sign) -> None:
    """Sign requests, given as PEM by name, within a change, and leave the stage as one openssl would.

    Raises DatabaseCaError where openssl fails.
    """
    change.show()
    alone = bool(change.authority.key.uri)  # many tokens serve one process, and lock themselves after a few wrong PINs
    sizes = part_sizes(len(requests)) if index.is_plain(change.index) and not alone else [len(requests)]
    homes = [f"{number}/" for number in range(len(sizes))] if len(sizes) > 1 else [""]
    names = iter(requests)
    commands, serial = [], change.serial
    for size, home in zip(sizes, homes, strict=True):
        part = list(islice(names, size))
        if home:
            _prepare(change, home, serial)
        for name in part:
            change.write(f"{home}{request_of(name)}", requests[name])
        commands.append(command(part, home=f"{change.stage}/{home}".rstrip("/")))
        serial += size
    change.run(*commands, requests=len(requests))
    if len(homes) > 1:
        _join(change, homes)


def part_sizes(count: int) -> list[int]:
    """How many of `count` requests each openssl signs, the larger numbers first."""
    # only Linux tells how many processors this process may use
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parts = max(1, min(processors, count // LEAST), -(-count // MOST))
    size, more = divmod(count, parts)
    return [size + 1] * more + [size] * (parts - more)


def _prepare(change: Change, home: str, serial: int) -> None:
    for folder in FOLDERS:
        change.staged(f"{home}{folder}").mkdir(parents=True)
    change.write(f"{home}{INDEX}", change.visible)
    change.write(f"{home}{ATTRIBUTES}", change.staged(ATTRIBUTES).read_bytes())
    change.write(f"{home}{SERIAL}", f"{index.serial_text(serial)}\n".encode())


def _join(change: Change, homes: Sequence[str]) -> None:
    """Put together what the openssl left in their homes; the `.old` files are those of the first."""
    joined = change.visible
    for home in homes:
        after = change.staged(f"{home}{INDEX}").read_bytes()
        if not after.startswith(change.visible):
            raise diagnosis.said(change.messages, change.directory) or diagnosis.nothing_written(
                INDEX, change.directory
            )
        joined += after[len(change.visible) :]
        for path in change.staged(f"{home}newcerts").iterdir():
            path.rename(change.staged(f"newcerts/{path.name}"))
    change.write(INDEX, joined)
    change.staged(f"{homes[-1]}{SERIAL}").rename(change.staged(SERIAL))
    for name in (ATTRIBUTES, *(f"{one}.old" for one in DATABASE)):
        if (path := change.staged(f"{homes[0]}{name}")).exists():
            path.rename(change.staged(name))
