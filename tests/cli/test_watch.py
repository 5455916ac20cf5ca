"""`peersockets watch`."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import trio

from cli.support import ANY_PORT, COMMAND, KEY, TIME, WIRE, parse, pipe
from cli.terminal import CTRL_C, open_terminal
from ports import unused_port

LISTENING = re.compile(r"listening on (127\.0\.0\.1:\d+)")


@asynccontextmanager
async def watching(*options: str, stdout: int = subprocess.PIPE) -> AsyncIterator[tuple[trio.Process, str]]:
    """Run a `watch` that listens. Yield it and the address."""
    process = await trio.lowlevel.open_process(
        (*COMMAND, "watch", KEY.url, "--listen", ANY_PORT, *options), stdout=stdout, stderr=subprocess.PIPE
    )
    try:
        with trio.fail_after(TIME):
            assert process.stderr is not None
            printed = LISTENING.fullmatch((await process.stderr.receive_some()).decode().strip())
            assert printed
            yield process, printed[1]
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                await trio.aclose_forcefully(stream)


async def next_line(process: trio.Process) -> bytes:
    """Return the lines of one event, which are printed at once and whole."""
    assert process.stdout is not None
    line = bytes(await process.stdout.receive_some())
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return line


async def test_lines_for_people() -> None:
    async with watching() as (process, address):
        async with pipe("--connect", address, "--wire", WIRE) as bob:
            key = bob.ready["publicKeys"][WIRE]
            time, *fields = (await next_line(process)).decode().split()
            assert fields == ["join", "1", key, WIRE]
            assert datetime.fromisoformat(time).tzinfo is not None
            await bob.finish()
        assert (await next_line(process)).decode().split()[1:] == ["leave", "1", key, WIRE]


async def test_lines_for_programs() -> None:
    """They equal those of `pipe`."""
    async with watching("--json") as (process, address), pipe("--connect", address) as bob:
        key = bob.ready["publicKeys"]["hypercore11"]
        join = {"event": "join", "peerId": 1, "publicKey": key, "wire": "hypercore11"}
        assert parse(await next_line(process)) == join
        await bob.finish()
        leave = {**join, "event": "leave", "reason": "", "unsent": 0}
        assert parse(await next_line(process)) == leave


async def test_present_members_come_first() -> None:
    async with (
        pipe("--listen", ANY_PORT) as alice,
        open_terminal("watch", KEY.url, "--connect", alice.address) as terminal,
    ):
        await terminal.until(f" join  1 {alice.ready['publicKeys']['hypercore11']}"[:40])
        await terminal.type(CTRL_C)
        assert await terminal.finish() == 130


async def test_interrupted() -> None:
    async with watching() as (process, _):
        process.send_signal(2)
        assert await process.wait() == 130
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stdout.receive_some() == b""
        assert await process.stderr.receive_some() == b""


async def test_a_closed_stdout_ends_it_quietly() -> None:
    reader, writer = os.pipe()
    async with watching(stdout=writer) as (process, address):
        os.close(writer)
        os.close(reader)
        async with pipe("--connect", address):
            await process.wait()
        assert process.stderr is not None
        assert await process.stderr.receive_some() == b""


async def test_no_peer_can_come() -> None:
    async with open_terminal("watch", KEY.url, "--no-swarm") as terminal:
        await terminal.until("nobody can ever be reached: give --swarm, --listen or --connect")
        await terminal.type(CTRL_C)
        assert await terminal.finish() == 130


async def test_a_refused_connection_is_reported_and_tried_again() -> None:
    async with open_terminal("watch", KEY.url, "--connect", f"127.0.0.1:{unused_port()}") as terminal:
        await terminal.until("trying again")
        await terminal.type(CTRL_C)
        assert await terminal.finish() == 130
