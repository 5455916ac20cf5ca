"""Sessions between a real peer and ours, recorded by `peersockets trace record` and replayed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import pytest
import trio

from interop import real_peer
from interop.hyperdrive13 import open_real_peer as open_hyperdrive13
from interop.real_peer import HOST, RealPeer, Role
from peersockets_core import WireName
from peersockets_core.trace import MessageReport, read, replay, said

pytestmark = pytest.mark.interop

Opener: TypeAlias = Callable[[], AbstractAsyncContextManager[RealPeer]]
OPENERS: dict[WireName, Opener] = {
    "hypercore9": real_peer.open_real_peer,
    "hypercore11": open_hyperdrive13,
}


async def record(
    file: Path, peer: RealPeer, wire: WireName, role: Role, drive: dict[str, str], say: bytes
) -> None:
    """Record a session in which our side sends a message on the topic "chat", gets an answer, and is left
    alone.
    """
    command = [sys.executable, "-m", "peersockets_trio.cli", "trace", "record", str(file), drive["key"]]
    command += ["--topic", "chat", "--wire", wire]
    command += ["--connect", f"{HOST}:{peer.port}"] if role == "initiator" else ["--listen", f"{HOST}:0"]
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    async with process.stdin, process.stdout, process.stderr:
        if role == "responder":
            where = bytes(await process.stderr.receive_some()).decode()
            await peer.call("connect", port=int(where.strip().rpartition(":")[2]))
        await process.stdin.send_all(say + b"\n")
        message = await peer.wait_event("message")
        topic = 0
        await peer.call("send", handle=topic, publicKey=message["publicKey"], message=message["message"])
        heard = b""
        while say not in heard:
            heard += bytes(await process.stdout.receive_some())
        await peer.call("disconnect")
        await process.wait()
    assert process.returncode == 0


@pytest.mark.parametrize("wire", OPENERS)
async def test_a_session_with_a_real_peer_replays(wire: WireName, role: Role, tmp_path: Path) -> None:
    file = tmp_path / "session.cbor"
    async with OPENERS[wire]() as peer:
        drive = await peer.call("createDrive")
        where = {"webapp": drive["discoveryKey"]} if wire == "hypercore9" else {"drive": drive["key"]}
        await peer.call("joinTopic", topic="chat", **where)
        await record(file, peer, wire, role, drive, b"hello, who is there?")
    trace = read(file.read_bytes())
    assert (trace.wire, list(trace.secrets)) == (wire, [role])
    replay(trace)
    replay(trace, cut=lambda data: (data[i : i + 1] for i in range(len(data))))
    [message] = [entry for entry in trace.entries if isinstance(entry, MessageReport)]
    assert message.payload == b"hello, who is there?"
    assert "extension" in [message.name for message in said(trace, role)]
