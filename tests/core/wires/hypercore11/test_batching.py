from __future__ import annotations

import pytest

from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore11.batching import MAX_BATCH, ROOM, Batcher


class Queue:
    def __init__(self) -> None:
        self.outbox = Outbox(limit=1, reply_limit=1)
        self.batcher = Batcher(self.outbox)

    def put(self, local: int, message: bytes, payload: bytes = b"") -> None:
        for chunk in self.batcher.place(local, message, payload):
            self.outbox.append(chunk)

    def take(self) -> list[bytes]:
        messages = self.batcher.take_messages()
        assert [size for size, _ in messages] == [sum(map(len, chunks)) for _, chunks in messages]
        return [b"".join(chunks) for _, chunks in messages]


def test_nothing_is_queued() -> None:
    assert Queue().take() == []


def test_a_batch_names_a_channel_when_it_changes() -> None:
    queue = Queue()
    for local, message in ((1, b"\0a"), (1, b"\0b"), (300, b"\0c"), (1, b"\0d")):
        queue.put(local, message[:1], message[1:])
    # protomux 3.12.1, _sendBatch: 0 and 0, the channel, messages after their sizes, 0 and another channel
    assert queue.take() == [bytes.fromhex("00 00 01 020061 020062 00 fd2c01 020063 00 01 020064")]
    queue.put(1, b"\0e")
    assert queue.take() == [bytes.fromhex("00 00 01 020065")]


def test_a_large_message_leaves_alone_and_in_order() -> None:
    queue, large = Queue(), bytes(MAX_BATCH)
    queue.put(1, b"\0a")
    queue.put(1, b"\x09", large)
    queue.put(1, b"\0b")
    assert queue.take() == [b"\0\0\x01\x02\0a", b"\x01\x09" + large, b"\0\0\x01\x02\0b"]


@pytest.mark.parametrize("size", [1, 100, 1000, MAX_BATCH - ROOM - 1])
def test_no_batch_is_larger_than_the_bound(size: int) -> None:
    queue = Queue()
    count = 3 * MAX_BATCH // size + 3
    for _ in range(count):
        queue.put(7, b"\x09", bytes(size))
    batches = queue.take()
    assert len(batches) > 1
    assert max(map(len, batches)) <= MAX_BATCH
    assert sum(batch.count(b"\x09") for batch in batches) == count
