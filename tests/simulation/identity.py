"""Entropy and key pairs that are the same in every run."""

from __future__ import annotations

import hashlib
import itertools

from peersockets_core import Entropy, KeyPair


def entropy(label: str) -> Entropy:
    """Return a source of bytes that are the same in every run."""
    counter = itertools.count()

    def take(size: int) -> bytes:
        return hashlib.shake_256(f"{label} {next(counter)}".encode()).digest(size)

    return take


def key_pair(label: str) -> KeyPair:
    return KeyPair.generate(entropy(f"key pair {label}"))
