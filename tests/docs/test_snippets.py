"""The JavaScript that the documentation shows for the other side, within a real application."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from docs.application import Application, open_application
from docs.markdown import BLOCKS, Block
from peersockets_core import WIRES, WireName
from peersockets_trio import open_node

SNIPPETS = [block for block in BLOCKS if block.marked("snippet")]


@pytest.mark.interop
@pytest.mark.parametrize("block", SNIPPETS, ids=lambda block: block.id)
async def test_snippet_holds_conversations_under_one_identity(block: Block, tmp_path: Path) -> None:
    wire = cast(WireName, block.marked("snippet"))
    assert wire in WIRES
    greets = "Buffer.from('hello')" in block.code
    async with open_application(wire, block.code, tmp_path) as application:
        keys = {await _converse(application, wire, greets=greets) for _ in range(2)}
    assert len(keys) == 1
    if wire == "hypercore11":  # it is kept with the storage
        async with open_application(wire, block.code, tmp_path) as application:
            assert await _converse(application, wire, greets=greets) in keys


async def _converse(application: Application, wire: WireName, *, greets: bool) -> bytes:
    """Exchange messages; returns the public key of the application."""
    async with (
        open_node() as node,
        node.open_drive(application.key) as drive,
        drive.watch() as events,
        drive.join("chat") as chat,
    ):
        await node.connect_tcp("127.0.0.1", application.port, wire=wire)
        joined = await events.receive()
        await chat.send(joined.peer_id, b"hello, who are you?")
        heard = {(await chat.receive()).message for _ in range(1 + greets)}
        assert heard == {b"hello yourself"} | ({b"hello"} if greets else set())
        return joined.public_key
