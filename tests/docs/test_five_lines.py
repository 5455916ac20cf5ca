"""The README's five lines of Python find a real Hyperswarm application by only a drive's key."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from docs.markdown import BLOCKS
from docs.programs import FIVE_LINES, program
from interop.real_peer import HOST
from interop.swarm_peers import join, open_application, open_dht_network
from peersockets_trio import DriveKey


def five_lines(key: DriveKey, port: int) -> str:
    """Return the five lines as a whole program, with another drive and another network."""
    (block,) = [block for block in BLOCKS if block.mark == FIVE_LINES]
    code = program(block).replace("hyper://KEY", key.url)
    return code.replace("open_swarm()", f'open_swarm(bootstrap=[("{HOST}", {port})], host="{HOST}")')


@pytest.mark.interop
async def test_five_lines_of_python_and_an_application(tmp_path: Path) -> None:
    async with open_dht_network(3) as network, open_application(network) as application:
        created = await application.call("createDrive")
        key = DriveKey.parse(created["key"])
        await join(application, key.discovery_key, flush=True)
        topic = await application.call("joinTopic", drive=created["key"], topic="chat")
        script = tmp_path / "five.py"
        script.write_text(five_lines(key, network.ports[0]))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.run_process, [sys.executable, str(script)])
            found = await application.wait_event("peer-add", drive=key.public_key.hex())
            await application.call(
                "send", handle=topic["handle"], publicKey=found["publicKey"], message="aGVsbG8="
            )
            answer = await application.wait_event("message", publicKey=found["publicKey"])
            nursery.cancel_scope.cancel()
        assert answer["message"] == "aGVsbG8geW91cnNlbGY="
