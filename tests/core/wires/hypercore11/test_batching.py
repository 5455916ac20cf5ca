from __future__ import annotations

import pytest

from peersockets_core import LocalProtocolError
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


def test_a_message_shares_a_batch_up_to_the_bound_exactly() -> None:
    for more, in_a_batch in ((0, True), (1, False)):
        queue = Queue()
        queue.put(1, b"\x09", bytes(MAX_BATCH - ROOM - 1 + more))
        (sent,) = queue.take()
        assert sent.startswith(b"\0\0\1") is in_a_batch


def test_a_batch_is_filled_to_the_bound_exactly() -> None:
    for more, count in ((0, 1), (1, 2)):
        queue = Queue()
        queue.put(1, b"\0first")
        room = MAX_BATCH - queue.outbox.size - ROOM
        queue.put(1, b"\x09", bytes(room - 1 + more))
        assert len(queue.take()) == count


def test_a_sender_stays_the_last_one_until_another_message_follows() -> None:
    queue, sender, other = Queue(), object(), object()
    for last in (sender, other):
        queue.batcher.enter(1, 10, last)
        assert queue.batcher.sender is last
    for follow in (
        lambda: queue.put(1, b"\0x"),
        lambda: queue.put(1, b"\x09", bytes(MAX_BATCH)),
        queue.batcher.interrupt,
        queue.take,
    ):
        queue.batcher.enter(1, 10, sender)
        follow()
        assert queue.batcher.sender is not sender


def test_nothing_is_queued_on_a_closed_connection() -> None:
    for size in (1, MAX_BATCH):
        queue = Queue()
        queue.outbox.seal()
        with pytest.raises(LocalProtocolError, match=r"^the connection is closed$"):
            queue.put(1, bytes(size))
        assert queue.take() == []
