"""Relay the messages of a topic between members of the same drive key on the two generations.

    python examples/bridge.py DRIVE --topic chat --listen 127.0.0.1:4200

Applications on hyperdrive 10 and on hyperdrive 13 connect to the same address.
"""

import argparse
import contextlib

import trio

from peersockets_trio import PeerGone, open_node


async def bridge(key: str, name: str, host: str, port: int) -> None:
    async with open_node() as node, node.open_drive(key) as drive, drive.join(name) as topic:
        for listener in await node.listen_tcp(port, host=host):
            print("listening on {}:{}".format(*listener.address), flush=True)
        async for message in topic:
            from_wire = node.peer(message.peer_id).wire
            for peer in drive.peers.values():
                if peer.wire != from_wire:
                    with contextlib.suppress(PeerGone):
                        await topic.send(peer.peer_id, message.message)


def main() -> None:
    parser = argparse.ArgumentParser(description="Relay a topic between the two generations of Hyperdrive.")
    parser.add_argument("drive", help="key of the drive")
    parser.add_argument("--topic", default="chat")
    parser.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    options = parser.parse_args()
    host, _, port = options.listen.rpartition(":")
    trio.run(bridge, options.drive, options.topic, host, int(port))


if __name__ == "__main__":
    main()
