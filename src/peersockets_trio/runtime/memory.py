"""Lets the process keep the memory of one large message for the next."""

from __future__ import annotations

from functools import cache

from peersockets_core.limits import HYPERCORE9_BODY


@cache
def keep_memory() -> None:
    """Have the C library keep up to 16 MiB that are free, instead of giving them back at once.

    A large message is read, decrypted and handed over in blocks of its size. glibc gives such blocks back
    to the system as soon as they are free, and the page faults of the next ones cost more than the cipher.
    It stops doing so for blocks of the largest size that it has seen freed (mallopt(3), "dynamic mmap
    threshold"): so let it see one. The block is never touched, so that it takes no memory, only addresses.
    """
    bytes(HYPERCORE9_BODY)
