"""The example that relays a topic between applications on hyperdrive 10 and on hyperdrive 13."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE

import pytest
import trio

from interop import real_peer
from interop.hyperdrive13 import open_real_peer
from interop.real_peer import RealPeer, RealTopic
from peersockets_trio import DriveKey

pytestmark = pytest.mark.interop

BRIDGE = Path(__file__).parents[2] / "examples" / "bridge.py"


@asynccontextmanager
async def open_bridge(key: str) -> AsyncIterator[int]:
    """Run the example for the length of the block. Yield its port."""
    process = await trio.lowlevel.open_process([sys.executable, str(BRIDGE), key], stdout=PIPE)
    assert process.stdout is not None
    try:
        printed = (await process.stdout.receive_some()).decode()
        yield int(printed.rpartition(":")[2])
    finally:
        process.terminate()
        await process.stdout.aclose()
        with trio.CancelScope(shield=True):
            await process.wait()


async def bridge_key(peer: RealPeer, key: str) -> bytes:
    """Wait until a real peer sees the bridge join, and return the bridge's public key."""
    return bytes.fromhex((await peer.wait_event("peer-add", drive=key))["publicKey"])


async def test_messages_pass_between_the_generations() -> None:
    async with real_peer.open_real_peer() as elder, open_real_peer() as younger:
        key = (await younger.call("createDrive"))["key"]
        await elder.call("openDrive", key=key)
        elders = await elder.join("chat", webapp=DriveKey.parse(key).discovery_key.hex())
        joined = await younger.call("joinTopic", drive=key, topic="chat")
        youngers = RealTopic(younger, joined["handle"])
        async with open_bridge(key) as port:
            await elder.call("connect", port=port)
            await younger.call("connect", port=port)
            to_elder, to_younger = await bridge_key(elder, key), await bridge_key(younger, key)
            await elders.send(to_elder, b"from hyperdrive 10")
            assert await youngers.receive() == (to_younger, b"from hyperdrive 10")
            await youngers.send(to_younger, b"from hyperdrive 13")
            assert await elders.receive() == (to_elder, b"from hyperdrive 13")
