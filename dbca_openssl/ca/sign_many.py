"""Very many requests, signed part by part: what a part has signed remains, and the memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dbca_openssl.ca import sign
from dbca_openssl.ca.layout import Authority
from dbca_openssl.errors import DatabaseCaError

AT_ONCE = 10_000
"""Requests that are signed in one transaction."""


def parts_of(names: Sequence[str]) -> list[Sequence[str]]:
    """The names that are signed in one transaction each, so that the memory for 100,000 is that for a tenth of them."""
    return [names[first : first + AT_ONCE] for first in range(0, len(names), AT_ONCE)]


def sign_parts(
    authority: Authority, parts: Sequence[Sequence[str]], shown: Sequence[bytes], period: sign.Period
) -> Iterator[sign.Signed]:
    """Sign one part after the other, each vetted again; `shown` are their digests when they were shown.

    Raises DatabaseCaError for the first that cannot be signed; the parts before it are.
    """
    done, total = 0, sum(map(len, parts))

    def of_all(_: int, of_part: int) -> None:
        authority.progress(total, done + of_part)

    for part, digest_then in zip(parts, shown, strict=True):
        try:
            proposals = sign.propose(authority, part, period)
            if digest(proposals) != digest_then:
                raise DatabaseCaError("a request was replaced after it had been shown", "run it again, and look at it")
            yield from sign.sign(authority._replace(progress=of_all), proposals, period)
        except DatabaseCaError as error:
            if done:
                hint = f"{done} are signed, the others are not; run it again for those"
                raise DatabaseCaError(error.message, *error.hints, hint, detail=error.detail) from None
            raise
        done += len(part)


def digest(proposals: Sequence[sign.Proposal]) -> bytes:
    """What tells proposals from others: the SHA-256 of all their requests."""
    import hashlib

    return hashlib.sha256(b"".join(one.request.pem for one in proposals)).digest()
