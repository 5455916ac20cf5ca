"""Peers whose line goes dead without a sign. Run in a network namespace of its own: it takes loopback down.

Prints one JSON object per line: the peers that left while the line was alive, and how each left after it
died.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
from contextlib import AsyncExitStack

import attrs
import trio

from peersockets_core import DEFAULT_LIMITS, Limits, WireName
from peersockets_trio import PeerLeft, Topic, open_node

LIMITS = attrs.evolve(
    DEFAULT_LIMITS, keepalive=0.5, hypercore11_keepalive=0.5, silence=2.0, vanished=3.0, linger=0.5
)
SILENT = attrs.evolve(LIMITS, hypercore11_keepalive=math.inf)
PEERS: dict[str, tuple[WireName, Limits]] = {
    "hypercore9": ("hypercore9", LIMITS),
    "hypercore11": ("hypercore11", LIMITS),
    "hypercore11 without keepalives": ("hypercore11", SILENT),
}
SIZE = 1000
"""Bytes of the message that is sent to each peer when the line is dead."""


def loopback(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def main() -> None:
    loopback("up")
    key = os.urandom(32)
    names: dict[int, str] = {}
    async with (
        open_node(limits=LIMITS) as node,
        node.open_drive(key) as drive,
        drive.watch() as events,
        drive.join("chat") as topic,
        AsyncExitStack() as stack,
    ):
        (listener,) = await node.listen_tcp(0, host="127.0.0.1")
        topics: list[Topic] = []
        for name, (wire, limits) in PEERS.items():
            peer = await stack.enter_async_context(open_node(limits=limits))
            topics.append((await stack.enter_async_context(peer.open_drive(key))).join("chat"))
            await peer.connect_tcp(*listener.address, wire=wire)
            names[(await events.receive()).peer_id] = name
        await trio.sleep(3 * LIMITS.vanished)
        await topic.broadcast(b"still there?")
        heard = [(await each.receive()).message.decode() for each in topics]
        print(json.dumps({"heard": heard, "members": len(drive.peers)}), flush=True)
        loopback("down")
        await topic.broadcast(bytes(SIZE))
        for _ in PEERS:
            left = await events.receive()
            assert isinstance(left, PeerLeft)
            print(json.dumps({"left": names[left.peer_id], "reason": left.reason, "unsent": left.unsent}))


if __name__ == "__main__":
    trio.run(main)
