"""`peersockets_trio.runtime.memory`: the memory of one large message serves the next.

Each test runs in a separate process, because the memory that the C library keeps depends on all earlier
calls. The C library has to be glibc, which returns large blocks to the system at once unless something keeps
it from that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Final

import pytest

PAGES: Final = 1024 * 1024 // os.sysconf("SC_PAGE_SIZE")
"""In a block of 1 MiB."""

ROUNDS: Final = 10
AT_ONCE: Final = 6
"""A single block would be kept by itself, from the second time on; several are given back."""

PRELUDE: Final = f"""
import json, resource, tracemalloc
import trio
from peersockets_trio import open_node
from peersockets_trio.runtime.memory import keep_memory
from peersockets_trio.udp import open_udp_socket

def faults(function):
    "The page faults of a call."
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    function()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def blocks():
    "Make some of 1 MiB, in which every page is touched, and drop them, again and again."
    for _ in range({ROUNDS}):
        [b"x" * (1024 * 1024) for _ in range({AT_ONCE})]

def peak(function):
    "The most that was in use during a call, in bytes."
    tracemalloc.start()
    function()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most

async def have_node():
    async with open_node():
        pass

async def have_socket():
    async with open_udp_socket("127.0.0.1"):
        pass
"""


def run(*expressions: str) -> list[int]:
    """Evaluate in a new process, one after the other."""
    script = f"{PRELUDE}\nprint(json.dumps([{', '.join(expressions)}]))"
    # Neither may what the tests were started with set the C library's thresholds.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    numbers: list[int] = json.loads(done.stdout)
    return numbers


@pytest.mark.parametrize("call", ["keep_memory()", "trio.run(have_node)", "trio.run(have_socket)"])
def test_blocks_are_used_again(call: str) -> None:
    before, _, after = run("faults(blocks)", f"faults(lambda: {call})", "faults(blocks)")
    once = AT_ONCE * PAGES
    assert before > (ROUNDS - 3) * once
    assert after < 2 * once


def test_it_takes_no_memory() -> None:
    (faults,) = run("faults(keep_memory)")
    assert faults < PAGES


def test_once_is_enough() -> None:
    first, second = run("peak(keep_memory)", "peak(keep_memory)")
    assert first >= 8 * 1024 * 1024
    assert second < 100_000
