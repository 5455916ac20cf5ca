"""One side of ours: two nodes over TCP, one topic.

python -m benchmarks.ours WIRE receive COUNT        prints {"port": N}, then {"messages": N, "seconds": S}
python -m benchmarks.ours WIRE send COUNT SIZE PORT
"""

import json
import sys
import time
from typing import Any

import trio

from peersockets_trio import open_node

KEY = bytes(range(32))


async def receive(count: int) -> None:
    async with open_node() as node, node.open_drive(KEY) as drive, drive.join("bench") as topic:
        (listener,) = await node.listen_tcp(0, host="127.0.0.1")
        print(json.dumps({"port": listener.address[1]}), flush=True)
        missing = count - len(await topic.receive_batch())
        start = time.perf_counter()
        timed = missing
        while missing > 0:
            missing -= len(await topic.receive_batch())
        print(json.dumps({"messages": timed, "seconds": time.perf_counter() - start}), flush=True)


async def send(wire: Any, count: int, size: int, port: int) -> None:
    message = b"x" * size
    async with open_node() as node, node.open_drive(KEY) as drive, drive.join("bench") as topic:
        async with drive.watch() as events:
            await node.connect_tcp("127.0.0.1", port, wire=wire)
            peer_id = (await events.receive()).peer_id
        for _ in range(count):
            try:
                topic.send_nowait(peer_id, message)
            except trio.WouldBlock:
                await topic.send(peer_id, message)


if __name__ == "__main__":
    wire, role, *texts = sys.argv[1:]
    numbers = [int(text) for text in texts]
    if role == "receive":
        trio.run(receive, numbers[0])
    else:
        trio.run(send, wire, numbers[0], numbers[1], numbers[2])
