"""Reach more members of a drive than a node connects to: members relay the messages of a topic.

    python examples/relay.py DRIVE --topic chat

Each line of stdin is a message, and each message of another member is printed. A message carries a random id,
so that a member relays it once, and the number of hops that it may still take.

All members search at the same twenty nodes of the DHT, and relaying does not change that. The section
"Reach more members than a node connects to" of docs/how-to.md has the cost, and a way to reduce it.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable

import trio

from peersockets_trio import PUBLIC_BOOTSTRAP, Drive, PeerGone, Topic, open_node

HOPS = 6
"""The hops of a message: with 64 connections each, four reach sixteen million members."""

REMEMBERED = 10_000
"""The number of ids of messages that are remembered."""

_ID_SIZE = 16


class Relay:
    """A topic whose messages take several hops. A byte with the hops that are left and an id precede each."""

    def __init__(self, drive: Drive, topic: Topic, hops: int = HOPS) -> None:
        self._drive = drive
        self.topic = topic
        self._hops = hops
        self._seen: dict[bytes, None] = {}

    async def broadcast(self, body: bytes) -> None:
        """Send a message to all members that the hops reach."""
        id = os.urandom(_ID_SIZE)
        self._is_new(id)
        await self.topic.broadcast(bytes((self._hops,)) + id + body)

    async def receive(self) -> bytes:
        """Wait for the next new message, relay it, and return it."""
        while True:
            received = await self.topic.receive()
            data = bytes(received.message)
            hops, id, body = data[:1], data[1 : 1 + _ID_SIZE], data[1 + _ID_SIZE :]
            if len(id) < _ID_SIZE or not self._is_new(id):
                continue
            left = min(hops[0], self._hops) - 1  # a sender cannot ask for more hops than we allow
            if left > 0:
                self._relay(bytes((left,)) + id + body, received.peer_id)
            return body

    def _relay(self, data: bytes, sender: int) -> None:
        for peer_id in list(self._drive.peers):
            if peer_id != sender:
                # A member that reads too slowly may still get it from another one.
                with contextlib.suppress(PeerGone, trio.WouldBlock):
                    self.topic.send_nowait(peer_id, data)

    def _is_new(self, id: bytes) -> bool:
        if id in self._seen:
            return False
        self._seen[id] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True


async def _read_lines(relay: Relay) -> None:
    async for line in trio.wrap_file(sys.stdin):
        await relay.broadcast(line.rstrip("\n").encode())


async def chat(key: str, name: str, bootstrap: Iterable[tuple[str, int]]) -> None:
    async with (
        open_node() as node,
        node.open_swarm(bootstrap=bootstrap) as swarm,
        node.open_drive(key) as drive,
        drive.join(name) as topic,
        swarm.join(drive),
        trio.open_nursery() as nursery,
    ):
        relay = Relay(drive, topic)
        nursery.start_soon(_read_lines, relay)
        while True:
            print((await relay.receive()).decode(errors="replace"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Talk to more members of a drive than a node connects to.")
    parser.add_argument("drive", help="key of the drive")
    parser.add_argument("--topic", default="chat")
    parser.add_argument("--bootstrap", metavar="HOST:PORT", help="a node of a private network")
    options = parser.parse_args()
    bootstrap = PUBLIC_BOOTSTRAP
    if options.bootstrap:
        host, _, port = options.bootstrap.rpartition(":")
        bootstrap = ((host, int(port)),)
    trio.run(chat, options.drive, options.topic, bootstrap)


if __name__ == "__main__":
    main()
