"""`peersockets_trio.memory`: what it saves, counted in page faults of a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource
from peersockets_trio.memory import keep_memory

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def churn():
    before = faults()
    for _ in range(100):
        blocks = [b"x" * 1_000_000 for _ in range(4)]
        del blocks
    return faults() - before

before = churn()
keep_memory()
churn()
kept = faults()
keep_memory()
print(before, churn(), keep_memory.cache_info().misses)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have rules of their own")
def test_large_blocks_cost_no_page_faults_any_more() -> None:
    run = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    before, after, calls = map(int, run.stdout.split())
    assert before > 10_000, "this C library keeps memory by itself"
    assert after < before / 20
    assert calls == 1
