"""The kinds of keys that can be made besides the guide's RSA: as `--algorithm` names them, and for `openssl req`."""

from __future__ import annotations

from typing import NamedTuple

SMALLEST_RSA, LARGEST_RSA = 2048, 8192

NEW_KEYS = {
    "ec:P-256": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
    "ec:P-384": ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"),
    "ed25519": ("-newkey", "ed25519"),
    "ml-dsa-44": ("-newkey", "ML-DSA-44"),  # these two from OpenSSL 3.5 on
    "ml-dsa-65": ("-newkey", "ML-DSA-65"),
}
"""The options of req(1) that make such a key; RSA needs none, since its size is in the configuration."""


class Algorithm(NamedTuple):
    """RSA of `bits`, which every configuration names, or the `kind` of NEW_KEYS that is made instead."""

    bits: int
    kind: str = ""

    def options(self) -> tuple[str, ...]:
        """What `openssl req -new` needs for it."""
        return NEW_KEYS[self.kind] if self.kind else ()

    def __str__(self) -> str:
        return (
            self.kind.replace("ec:", "EC ").replace("ed", "Ed").replace("ml-dsa", "ML-DSA") or f"RSA {self.bits} bits"
        )
