from __future__ import annotations

import pytest

from peersockets_core import RemoteProtocolError
from peersockets_core.outbox import Outbox


def test_chunks_go_out_in_order_and_once() -> None:
    outbox = Outbox(limit=100, reply_limit=100)
    outbox.append(b"one")
    outbox.append_reply_untrusted(b"two")
    outbox.append(b"")
    assert outbox.size == 6
    assert outbox.take() == [b"one", b"two", b""]
    assert outbox.size == 0
    assert outbox.take() == []


def test_protocol_bytes_are_distinguished_from_messages() -> None:
    outbox = Outbox(limit=100, reply_limit=100)
    outbox.append(b"protocol")
    outbox.append_reply_untrusted(b"answer")
    assert outbox.message_size == 0
    outbox.chunks.append(b"message")
    outbox.size += len(b"message")
    assert outbox.message_size == len(b"message")
    outbox.take()
    assert outbox.message_size == 0


def test_answers_are_bounded_until_they_are_taken() -> None:
    outbox = Outbox(limit=100, reply_limit=10 + 64)
    for _ in range(3):
        outbox.append(bytes(1000))  # sent without a request
        outbox.append_reply_untrusted(bytes(10))
        outbox.take()
    outbox.append_reply_untrusted(bytes(10))
    with pytest.raises(RemoteProtocolError, match="asks without reading: waiting answers take 139 bytes"):
        outbox.append_reply_untrusted(b"x")


def test_reserved_room_is_kept_for_waiting_senders() -> None:
    outbox = Outbox(limit=100, reply_limit=100)
    assert outbox.room == outbox.limit == 100
    outbox.reserve()
    assert (outbox.room, outbox.limit) == (0, 100)
    outbox.open()
    assert outbox.room == 100
