"""The JavaScript that the documentation shows for the other side, in a real application."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import trio

from docs.application import Application, open_application
from docs.markdown import BLOCKS, Block
from peersockets_core import WIRES, WireName
from peersockets_trio import PeerEvents, Topic, open_node

HOST = "127.0.0.1"
SNIPPETS = [block for block in BLOCKS if block.marked("snippet")]
SWARM = "hyperswarm"


@pytest.mark.interop
@pytest.mark.parametrize(
    "block", [block for block in SNIPPETS if block.marked("snippet") != SWARM], ids=lambda block: block.id
)
async def test_snippet_holds_conversations_under_one_identity(block: Block, tmp_path: Path) -> None:
    wire = cast(WireName, block.marked("snippet"))
    assert wire in WIRES
    async with open_application(wire, block.code, tmp_path) as application:
        keys = {await _connect(application, wire, block) for _ in range(2)}
    assert len(keys) == 1
    if wire == "hypercore11":  # it is kept with the storage
        async with open_application(wire, block.code, tmp_path) as application:
            assert await _connect(application, wire, block) in keys


@pytest.mark.interop
@pytest.mark.parametrize(
    "block", [block for block in SNIPPETS if block.marked("snippet") == SWARM], ids=lambda block: block.id
)
async def test_snippet_is_found_by_only_the_drives_key(block: Block, tmp_path: Path) -> None:
    keys = set()
    with trio.fail_after(120):
        async with open_node() as first, first.open_swarm(bootstrap=(), host=HOST) as network:
            for _ in range(2):
                async with open_application(
                    SWARM, block.code, tmp_path, bootstrap=network.bound_address
                ) as application:
                    for _ in range(2):
                        keys.add(await _find(application, network.bound_address, block))
                    if "4200" in block.code:
                        keys.add(await _connect(application, "hypercore11", block))
    assert len(keys) == 1


async def _connect(application: Application, wire: WireName, block: Block) -> bytes:
    """Connect to the application, and exchange messages. Return its public key."""
    async with (
        open_node() as node,
        node.open_drive(application.key) as drive,
        drive.watch() as events,
        drive.join("chat") as chat,
    ):
        await node.connect_tcp(HOST, application.port, wire=wire)
        return await _converse(events, chat, block)


async def _find(application: Application, bootstrap: tuple[str, int], block: Block) -> bytes:
    """Find the application, and exchange messages. Return its public key."""
    async with (
        open_node() as node,
        node.open_swarm(bootstrap=[bootstrap]) as swarm,
        node.open_drive(application.key) as drive,
        drive.watch() as events,
        drive.join("chat") as chat,
        swarm.join(drive, announce=False),  # so that no second connection replaces the first
    ):
        return await _converse(events, chat, block)


async def _converse(events: PeerEvents, chat: Topic, block: Block) -> bytes:
    """Exchange messages with the first peer that joins. Return its public key."""
    joined = await events.receive()
    await chat.send(joined.peer_id, b"hello, who are you?")
    greets = "Buffer.from('hello')" in block.code
    heard = {(await chat.receive()).message for _ in range(1 + greets)}
    assert heard == {b"hello yourself"} | ({b"hello"} if greets else set())
    return joined.public_key
