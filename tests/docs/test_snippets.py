"""The JavaScript that the documentation shows for the other side, within a real application."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import cast

import pytest
import trio

from docs.markdown import BLOCKS, Block
from peersockets_core import WIRES, WireName
from peersockets_trio import open_node
from ports import unused_port

SNIPPETS = [block for block in BLOCKS if block.marked("snippet")]
SCRIPT = Path(__file__).with_name("snippet.js")


@pytest.mark.interop
@pytest.mark.parametrize("block", SNIPPETS, ids=lambda block: block.id)
async def test_snippet_holds_a_conversation(block: Block, tmp_path: Path) -> None:
    wire = cast(WireName, block.marked("snippet"))
    assert wire in WIRES
    port = unused_port()
    snippet = tmp_path / "snippet.js"
    snippet.write_text(block.code.replace("4200", str(port)))
    command = ["node", str(SCRIPT), wire, str(snippet), str(tmp_path / "storage")]
    with trio.fail_after(30):
        process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            key, own_port = (await _line(process.stdout)).split()
            greets = "Buffer.from('hello')" in block.code
            await _converse(key, int(own_port) or port, wire, greets=greets)
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                await trio.aclose_forcefully(process.stdout)


async def _line(output: trio.abc.ReceiveStream) -> str:
    line = b""
    while not line.endswith(b"\n"):
        chunk = await output.receive_some()
        assert chunk, "the application has ended"
        line += chunk
    return line.decode()


async def _converse(key: str, port: int, wire: WireName, *, greets: bool) -> None:
    async with (
        open_node() as node,
        node.open_drive(key) as drive,
        drive.watch() as events,
        drive.join("chat") as chat,
    ):
        await node.connect_tcp("127.0.0.1", port, wire=wire)
        joined = await events.receive()
        await chat.send(joined.peer_id, b"hello, who are you?")
        heard = {(await chat.receive()).message for _ in range(1 + greets)}
        assert heard == {b"hello yourself"} | ({b"hello"} if greets else set())
