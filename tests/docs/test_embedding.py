"""The programs to be copied end with a reason, however the other end behaves."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from docs.markdown import BLOCKS
from interop.generations import GENERATIONS, Generation
from interop.real_peer import HOST
from ports import unused_port

PROGRAMS = ("blocking.py", "aio.py", "hello.py")
KEY = "11" * 32
TIME = 120  # seconds after which a program counts as hanging
PATIENCE = (0.5, 2, 8, 32)
"""Seconds that a program gets for a step: more on a slow machine."""


def save(name: str, port: int, folder: Path) -> Path:
    [code] = [block.code for block in BLOCKS if block.marked("file") == name]
    path = folder / f"{port} {name}"
    path.write_text(code.replace("4200", str(port)))
    return path


async def ends(program: Path, key: str, wire: str, reason: str) -> None:
    """Check that a program fails for a reason: the last line of its traceback."""
    for patience in PATIENCE:
        command = [sys.executable, "-W", "error", str(program), key, wire, str(patience)]
        with trio.fail_after(2 * 3 * patience + TIME):
            run = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        assert run.returncode == 1, f"{program.name}: {run.stdout!r}"
        last = run.stderr.decode().splitlines()[-1]
        if re.search(reason, last):
            return
    pytest.fail(f"{program.name} ended for {last!r}, and not for {reason!r}")


async def all_end(port: int, key: str, wire: str, reasons: dict[str, str], folder: Path) -> None:
    async with trio.open_nursery() as nursery:
        for name in PROGRAMS:
            reason = reasons.get(name, reasons[""])
            nursery.start_soon(ends, save(name, port, folder), key, wire, reason)


NO_DRIVE = {"": "TimeoutError: the peer does not have this drive open", "hello.py": "TooSlowError"}
NO_ANSWER = {"": "TimeoutError: the peer does not answer", "hello.py": "TooSlowError"}
WRONG_WIRE = {"": "handshake"}


@pytest.mark.interop
@pytest.mark.parametrize("real", GENERATIONS, ids=lambda real: real.wire)
async def test_a_real_peer_with_another_drive_another_wire_or_no_answer(
    real: Generation, tmp_path: Path
) -> None:
    [other] = [generation.wire for generation in GENERATIONS if generation is not real]
    async with real.open_peer() as peer:
        key = (await peer.call("createDrive"))["key"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(all_end, peer.port, KEY, real.wire, NO_DRIVE, tmp_path)
            nursery.start_soon(all_end, peer.port, key, real.wire, NO_ANSWER, tmp_path)
            nursery.start_soon(all_end, peer.port, key, other, WRONG_WIRE, tmp_path)


async def close_at_once(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def say_nothing(stream: trio.SocketStream) -> None:
    async with stream:
        async for _ in stream:
            pass


async def say_garbage(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100)


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
@pytest.mark.parametrize(
    ("behave", "reasons"),
    [
        (close_at_once, {"": "ended (before|within) the handshake|[Cc]onnection reset|Broken"}),
        (say_nothing, {"": "no handshake within"}),
        (say_garbage, {"": "RemoteProtocolError: handshake"}),
    ],
)
async def test_a_remote_that_does_not_shake_hands(
    behave: Callable[[trio.SocketStream], Awaitable[None]],
    reasons: dict[str, str],
    wire: str,
    tmp_path: Path,
) -> None:
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, behave, 0, host=HOST))
        await all_end(listener.socket.getsockname()[1], KEY, wire, reasons, tmp_path)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_listener_at_the_address(name: str, tmp_path: Path) -> None:
    program = save(name, unused_port(), tmp_path)
    command = [sys.executable, "-W", "error", str(program), KEY, "hypercore9"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=TIME, check=False)
    assert run.returncode == 1
    assert re.search("Refused|all attempts", run.stderr.splitlines()[-1])
