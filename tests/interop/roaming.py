"""A host that moves: our node gets another address, and loses its network for a while.

A real application and the DHT are in another network namespace. The program prints a line for each event,
with the peer's id and the seconds until a message has passed each way again.

Run it by itself: `unshare --net --map-root-user python tests/interop/roaming.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from interop.hyperdrive13 import PEER_SCRIPT
from interop.node_peer import NodePeerError, open_node_peer
from interop.orders import HERE, Far, far_namespace
from interop.real_peer import RealPeer, RealTopic
from interop.swarm_peers import PACKAGES, joined
from peersockets_trio import PeerGone, PeerLeft, Topic, open_node

THERE = "10.9.255.2"
ELSEWHERE = "10.9.1.1"
PATIENCE = 90.0


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True)


@asynccontextmanager
async def open_peer(far: Far) -> AsyncIterator[RealPeer]:
    """Run a real peer in the other namespace."""
    environment = {**os.environ, "PEER_HOST": ELSEWHERE}
    folder = Path(__file__).parent / PACKAGES
    with TemporaryDirectory(prefix="corestore-") as storage:
        async with open_node_peer(
            PEER_SCRIPT, storage, str(folder), prefix=far.enter, environment=environment
        ) as process:
            started = await process.call("start")
            yield RealPeer(process, bytes.fromhex(started["publicKey"]), 0)


async def talk(chat: Topic, peer_id: int, topic: RealTopic, key: bytes, text: str) -> None:
    """Check that a message arrives each way, however often both sides have to send it."""
    message = text.encode()

    async def there() -> None:
        while await topic.receive() != (key, message):
            pass

    async def here() -> None:
        while (await chat.receive()).message != message:
            pass

    async def repeat() -> None:
        while True:
            with suppress(PeerGone):
                await chat.send(peer_id, message)
            with suppress(NodePeerError):  # it does not know us at the moment
                await topic.send(key, message)
            await trio.sleep(0.2)

    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as repeating:
            repeating.start_soon(repeat)
            async with trio.open_nursery() as receiving:
                receiving.start_soon(there)
                receiving.start_soon(here)
            repeating.cancel_scope.cancel()


async def main() -> None:
    with far_namespace() as far:
        await far.ip("addr", "add", f"{ELSEWHERE}/32", "dev", "far")
        await far.ip("route", "add", THERE, "dev", "far")
        async with (
            open_peer(far) as network,
            open_peer(far) as application,
            open_node() as node,
        ):
            testnet = await network.call("testnet", size=4)
            await application.call("openSwarm", bootstrap=testnet["ports"][:1], firewalled=False)
            created = await application.call("createDrive")
            async with (
                node.open_swarm(bootstrap=[(ELSEWHERE, testnet["ports"][0])]) as swarm,
                node.open_drive(created["key"]) as drive,
                drive.join("chat") as chat,
                drive.watch() as events,
            ):
                key = swarm.public_key
                await application.call("joinSwarm", topic=drive.key.discovery_key.hex(), flush=True)
                swarm.join(drive)
                handle = await application.call("joinTopic", drive=created["key"], topic="chat")
                topic = RealTopic(application, handle["handle"])
                member = await joined(drive, application.public_key)

                async def report(event: str) -> None:
                    began = trio.current_time()
                    await talk(chat, member.peer_id, topic, key, event)
                    seconds = round(trio.current_time() - began, 1)
                    (peer_id,) = drive.peers
                    print(json.dumps({"event": event, "id": peer_id, "seconds": seconds}), flush=True)

                await report("met")
                ip(f"addr add {THERE}/16 dev near")
                ip(f"addr del {HERE}/16 dev near")
                with suppress(subprocess.CalledProcessError):  # it went away together with the first one
                    ip(f"addr add {THERE}/16 dev near")
                await report("another address")
                ip("link set near down")
                with trio.fail_after(PATIENCE):
                    while not isinstance(await events.receive(), PeerLeft) or drive.peers:
                        pass
                ip("link set near up")
                await report("no network for a while")


if __name__ == "__main__":
    trio.run(main)
