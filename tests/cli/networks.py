"""Commands that meet in a DHT of their own on this machine, as processes."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from cli.support import COMMAND, KEY, TIME


@contextmanager
def started(*arguments: str, command: Sequence[str] = COMMAND) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    # A test that waits for a line that never comes fails and does not hang.
    watchdog = threading.Timer(4 * TIME, process.kill)
    watchdog.start()
    with process:
        try:
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline().rstrip(b"\n")


@contextmanager
def pipe(*options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A `pipe` that has announced itself."""
    with started("pipe", KEY.url, "--topic", "chat", *options) as process:
        ready = json.loads(line(process))
        assert ready["event"] == "ready"
        assert len(ready["swarm"]["publicKey"]) == 64
        while (event := json.loads(line(process)))["event"] == "found":  # another peer may be there already
            pass
        assert event == {"event": "announced"}
        yield process


def finish(process: subprocess.Popen[bytes], status: int = 0) -> tuple[bytes, bytes]:
    output, errors = process.communicate(timeout=TIME)
    assert process.returncode == status, errors
    return output, errors
