"""Many requests, shared out to as many openssl as there are processors, since one of them uses only one.

Each has a home of its own in the stage: the index, and the serials that follow those of the share before. Joined it is
byte for byte what one openssl would have left.
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
from dbca_openssl.openssl import Result
from dbca_openssl.passphrase import Passphrase

LEAST = 16
"""So many requests are a share, or more: an openssl has to start and to load key and index first."""

MOST = 10_000
"""So many are a share at the most: their paths are arguments, for which there are 2 MB."""


class Sign(Protocol):
    """What gives the command for a share."""

    def __call__(self, names: Sequence[str], *, home: str) -> Command:
        """The command that signs the requests of these names, with the data files in `home`."""


def sign(change: Change, requests: Mapping[str, bytes], command: Sign, passphrase: Passphrase | None) -> Result:
    """Sign requests, given as PEM by name, within a change, all in one share or in several.

    Leaves the stage as one openssl would, whose result it returns; raises DatabaseCaError where openssl fails.
    """
    parts = sizes(len(requests)) if index.is_plain(change.index) else [len(requests)]
    if len(parts) == 1:
        _write(change, "", requests)
        return change.run(command(list(requests), home=change.stage), passphrase, steps=len(requests), needed=())
    change.give(())
    names = iter(requests)
    shares = [list(islice(names, size)) for size in parts]
    serial = change.serial
    for number, share in enumerate(shares):
        _prepare(change, f"{number}/", serial)
        _write(change, f"{number}/", {name: requests[name] for name in share})
        serial += len(share)
    commands = [command(share, home=f"{change.stage}/{number}") for number, share in enumerate(shares)]
    results = change.run_together(commands, passphrase, len(requests))
    messages = "".join(result.messages for result in results)
    _join(change, [f"{number}/" for number in range(len(shares))], messages)
    return Result(0, b"", messages)


def sizes(count: int) -> list[int]:
    """How many of `count` requests each share has, the larger ones first."""
    # only Linux tells of how many processors this process may use
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = max(1, min(processors, count // LEAST), -(-count // MOST))
    size, more = divmod(count, shares)
    return [size + 1] * more + [size] * (shares - more)


def _prepare(change: Change, home: str, serial: int) -> None:
    for folder in FOLDERS:
        change.staged(f"{home}{folder}").mkdir(parents=True)
    change.write(f"{home}{INDEX}", change.given)
    change.write(f"{home}{ATTRIBUTES}", change.staged(ATTRIBUTES).read_bytes())
    change.write(f"{home}{SERIAL}", f"{index.serial_text(serial)}\n".encode())


def _write(change: Change, home: str, requests: Mapping[str, bytes]) -> None:
    for name, pem in requests.items():
        change.write(f"{home}{request_of(name)}", pem)


def _join(change: Change, homes: Sequence[str], messages: str) -> None:
    """Put together what the openssl left in their homes; the `.old` files are those of the first."""
    joined = change.given
    for home in homes:
        after = change.staged(f"{home}{INDEX}").read_bytes()
        if not after.startswith(change.given):
            raise diagnosis.said(messages, change.directory) or diagnosis.nothing_written(INDEX, change.directory)
        joined += after[len(change.given) :]
        for path in change.staged(f"{home}newcerts").iterdir():
            path.rename(change.staged(f"newcerts/{path.name}"))
    change.write(INDEX, joined)
    change.staged(f"{homes[-1]}{SERIAL}").rename(change.staged(SERIAL))
    for name in (ATTRIBUTES, *(f"{one}.old" for one in DATABASE)):
        if (path := change.staged(f"{homes[0]}{name}")).exists():
            path.rename(change.staged(name))
