"""What `check` says of one thing that is wrong: how bad it is, a word for programs, what it is, what mends it."""

from __future__ import annotations

from typing import NamedTuple

FINE, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
"""The exit codes of monitoring plugins."""

REPAIR = "dbca-openssl repair"

FROM_A_COPY = "bring it back from a copy of the authority"


class Finding(NamedTuple):
    """One thing that is wrong: how bad, a word for programs, what it is, and what mends it."""

    level: int
    code: str
    text: str
    mend: str
