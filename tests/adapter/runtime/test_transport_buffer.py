"""The buffer that sockets share for reading: nothing that many peers send at once gets mixed up."""

from __future__ import annotations

import threading
from itertools import pairwise
from random import Random

import pytest
import trio
import trio.testing

from adapter.runtime.transport_support import SMALL, set_read_size, tcp_pair
from adapter.support import (
    KEY,
    LOOPBACK,
    limited,
    tasks,
)
from peersockets_core import WIRES, WireName
from peersockets_trio import Node, Topic, open_node
from peersockets_trio.runtime.transport import READ_SIZE, SocketTransport
from peersockets_trio.testing import ChaosStream, wait_for_members


def buffers(*nodes: Node) -> list[memoryview]:
    """The buffer that the sockets of nodes are read into."""
    transports = [task.transport for node in nodes for task in tasks(node)]
    return [one.buffer for one in transports if isinstance(one, SocketTransport)]


def messages(name: str, read_size: int) -> list[bytes]:
    """Messages of all sizes around that of the buffer, different for each name."""
    random = Random(name)
    sizes = [0, 1, read_size - 1, read_size, read_size + 1, 2 * read_size, 3 * read_size + 5, 9, 0]
    return [random.randbytes(size) for size in sizes]


async def connect_crumbling(node: Node, address: tuple[str, int], wire: WireName, largest: int) -> None:
    """Connect by TCP, and write in pieces of 1 to `largest` bytes, wherever that cuts a frame."""
    stream = ChaosStream(await trio.open_tcp_stream(*address), Random(largest), largest_chunk=largest)
    await node.attach(stream, wire=wire, initiator=True)


@pytest.mark.parametrize("read_size", [SMALL, READ_SIZE])
@pytest.mark.parametrize("wire", WIRES)
async def test_many_peers_send_at_once(
    wire: WireName, read_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their messages arrive unmixed and unchanged, like those sent to them, though all share a buffer."""
    set_read_size(monkeypatch, read_size)
    with limited():
        async with (
            open_node() as node,
            open_node() as whole,
            open_node() as crumbs,
            open_node() as pieces,
            node.open_drive(KEY) as drive,
            drive.join("chat") as chat,
            trio.open_nursery() as nursery,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            await whole.connect_tcp(*listener.address, wire=wire)
            await connect_crumbling(crumbs, listener.address, wire, 1 + read_size // 200)
            await connect_crumbling(pieces, listener.address, wire, read_size + read_size // 3)
            for other in (whole, crumbs, pieces):
                nursery.start_soon(converse, other, read_size)
            names = {peer.public_key.hex(): peer for peer in (await wait_for_members(drive, 3)).values()}
            for name, peer in names.items():
                nursery.start_soon(send_all, chat, peer.peer_id, messages(f"to {name}", read_size))
            # Three of the node's and one of the other's: one buffer for both.
            shared = buffers(node, whole)
            assert len(shared) == 4
            assert all(one is other for one, other in pairwise(shared))
            assert len(shared[0]) == read_size
            received: dict[int, list[bytes]] = {peer.peer_id: [] for peer in names.values()}
            expected = {peer.peer_id: messages(f"of {name}", read_size) for name, peer in names.items()}
            while sum(map(len, received.values())) < sum(map(len, expected.values())):
                message = await chat.receive()
                received[message.peer_id].append(message.message)
            assert received == expected


async def converse(node: Node, read_size: int) -> None:
    """Send our messages to the only member of the drive, and check those that it sends us."""
    (name,) = (key.hex() for wire, key in node.public_keys.items() if wire in wires_of(node))
    async with node.open_drive(KEY) as drive, drive.join("chat") as chat, trio.open_nursery() as nursery:
        (peer_id,) = await wait_for_members(drive, 1)
        nursery.start_soon(send_all, chat, peer_id, messages(f"of {name}", read_size))
        expected = messages(f"to {name}", read_size)
        assert [(await chat.receive()).message for _ in expected] == expected


def wires_of(node: Node) -> set[WireName]:
    return {task.info.wire for task in tasks(node) if task.info is not None}


async def send_all(topic: Topic, peer_id: int, messages: list[bytes]) -> None:
    for message in messages:
        await topic.send(peer_id, message)


def test_two_runs_share_nothing() -> None:
    """Each run reads in a separate thread, at the same time."""
    both_have_read = threading.Barrier(2, timeout=20)
    seen: dict[bytes, bytes] = {}

    async def have_read(data: bytes) -> None:
        async with tcp_pair() as (ours, theirs):
            reader = SocketTransport(theirs, 45)
            await ours.send_all(data)
            await reader.wait()
            taken = reader.take()
            both_have_read.wait()
            assert taken is not None
            seen[data] = bytes(taken)

    threads = [threading.Thread(target=trio.run, args=(have_read, name * 1000)) for name in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {name * 1000: name * 1000 for name in (b"a", b"b")}
