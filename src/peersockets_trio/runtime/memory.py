"""Keeps the memory of one large message for the next one."""

from __future__ import annotations

from functools import cache

from peersockets_core.limits import HYPERCORE9_BODY


@cache
def keep_memory() -> None:
    """Make the C library keep up to 16 MiB of free memory, instead of returning it to the system at once.

    Reading, decrypting and delivering a large message takes blocks of its size. glibc returns such blocks
    to the system as soon as they are free, and the page faults of the next blocks cost more than the
    cipher. glibc keeps blocks up to the largest size that it has seen freed (mallopt(3), "dynamic mmap
    threshold"), so this function frees a large one. The block is never touched, so it takes addresses, but
    no memory.
    """
    bytes(HYPERCORE9_BODY)
