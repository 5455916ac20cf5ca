"""`peersockets_core.wires.hypercore11.protomux`: messages, batches, and hostile remotes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.wires.hypercore11.mux_support import (
    MuxSide,
    Recorder,
    batch,
    closing,
    message,
    opened_side,
    opening,
    rejecting,
)
from peersockets_core import MessageTooLarge, RemoteProtocolError
from peersockets_core.wires.hypercore11.batching import MAX_BATCH
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.secret_stream import MAX_PLAINTEXT

# Messages


@pytest.mark.parametrize("number", [2, 77, 2**50])
def test_messages_on_unknown_channels_are_ignored(number: int) -> None:
    side, _ = opened_side()
    assert side.say(message(number, 0, b"x"), batch(number, b"\0x", b"\xfd\0\x01y")) == []
    assert side.take() == []


@pytest.mark.parametrize("message_type", [4, 5, 252, 253, 2**40])
def test_unknown_controls_are_ignored(message_type: int) -> None:
    side, _ = opened_side()
    assert side.say(message(0, message_type, b"\xff")) == []
    assert side.say(batch(0, encode_uint(message_type) + b"\xff")) == []
    assert side.take() == []


def test_aliases() -> None:
    side = MuxSide(aliases={"old": "new"})
    side.open("new", b"id")
    assert side.say(opening(1, "old")) == [("opened", b"")]
    side.decide_later("new", None)
    side.say(opening(2, "old", b"other"))
    assert side.asked == [("new", b"other")]


def test_send_to() -> None:
    side, _ = opened_side()
    side.mux.send_to("p", b"id", 7, b"x")
    assert side.frames() == ["000001020778"]


def test_batches_out() -> None:
    side, first = opened_side()
    second = side.open("q")
    side.mux.send(second, 1, b"2")
    side.mux.send(first, 0, b"1")
    side.mux.send(first, 0, b"1")
    side.mux.send(second, 0, b"")
    assert side.take() == [
        batch(0, opening(2, "q")[1:], 2, b"\x012", 1, b"\x001", b"\x001", 2, b"\0"),
    ]
    assert side.take() == []
    side.mux.send(second, 0, b"again")
    assert side.take() == [batch(2, b"\0again")]


def test_a_full_batch_is_sent() -> None:
    side, channel = opened_side()
    for _ in range(1000):
        side.mux.send(channel, 0, bytes(1000))
    frames = side.take()
    assert all(MAX_BATCH - 2000 < len(frame) <= MAX_BATCH + 16 for frame in frames[:-1])
    far, _ = opened_side()
    assert far.say(*frames) == [(0, bytes(1000))] * 1000


def test_a_large_message_goes_alone_and_in_order() -> None:
    side, channel = opened_side()
    bodies = [b"a", bytes(MAX_BATCH), b"b", bytes(300_000), bytes(200_000), b"c"]
    for body in bodies:
        side.mux.send(channel, 0, body)
    frames = side.take()
    assert frames == [
        batch(1, b"\0a"),
        message(1, 0, bodies[1]),
        batch(1, b"\0b"),
        message(1, 0, bodies[3]),
        message(1, 0, bodies[4]),
        batch(1, b"\0c"),
    ]
    far, _ = opened_side()
    assert far.say(*frames) == [(0, body) for body in bodies]


@pytest.mark.parametrize("size", range(MAX_BATCH - 30, MAX_BATCH + 3))
def test_messages_almost_as_large_as_a_batch(size: int) -> None:
    side, channel = opened_side()
    far, _ = opened_side()
    for _ in range(2):
        side.mux.send(channel, 0, bytes(size))
    assert far.say(*side.take()) == [(0, bytes(size))] * 2


def test_the_largest_message_and_one_byte_more() -> None:
    side, channel = opened_side()
    with pytest.raises(MessageTooLarge) as raised:
        side.mux.send(channel, 0, bytes(MAX_PLAINTEXT - 1))
    assert (raised.value.size, raised.value.largest) == (MAX_PLAINTEXT, MAX_PLAINTEXT - 1)
    assert side.take() == []
    side.mux.send(channel, 0, bytes(MAX_PLAINTEXT - 2))
    (frame,) = side.take()
    assert len(frame) == MAX_PLAINTEXT


# Batches in


def test_a_batch_that_uses_every_message() -> None:
    side = MuxSide()
    side.answer("p", None)
    data = batch(
        0,
        opening(1)[1:],
        opening(2, "p", b"other")[1:],
        1,
        b"\x05one",
        2,
        b"\x06two",
        b"\xfd\0\x01three",
        0,
        closing(1)[1:],
        1,
        b"\x05late",
        0,
        opening(1, "p", b"third")[1:],
        1,
        b"\x07four",
    )
    assert side.say(data) == [
        ("opened", b""),
        ("opened", b""),
        (5, b"one"),
        (6, b"two"),
        (256, b"three"),
        "closed",
        ("opened", b""),
        (7, b"four"),
    ]


def test_a_batch_with_a_long_message() -> None:
    side, _ = opened_side()
    assert side.say(batch(1, b"\0" + bytes(70_000), b"\0x")) == [(0, bytes(70_000)), (0, b"x")]


def test_empty_batches_and_switches_to_unknown_channels() -> None:
    side, _ = opened_side()
    assert side.say(batch(1), batch(0), batch(9, 8, 7, 1), batch(9, 8, 1, b"\0x")) == [(0, b"x")]


def test_a_batch_within_a_batch() -> None:
    side, _ = opened_side()
    with pytest.raises(RemoteProtocolError, match="a batch within a batch"):
        side.say(batch(0, batch(1, b"\0x")[1:]))
    with pytest.raises(RemoteProtocolError, match="a batch within a batch"):
        side.say(batch(1, 0, b"\0"))


BATCH = batch(1, b"\x01hello", 2, b"\x01" + bytes(300), 0, closing(1)[1:])


def test_a_truncated_batch() -> None:
    # A cut between two messages is not noticed, and messages without a meaning are not read.
    complete = (3, 10, 12, 12 + 3 + 301, 12 + 3 + 301 + 2)
    for end in range(len(BATCH)):
        side, _ = opened_side()
        if end in complete:
            side.say(BATCH[:end])
        else:
            with pytest.raises(RemoteProtocolError, match="ends within"):
                side.say(BATCH[:end])


LONG_ZERO = b"\xfd\0\0"


def test_a_batch_within_a_batch_in_another_encoding() -> None:
    side, _ = opened_side()
    with pytest.raises(RemoteProtocolError, match="a batch within a batch"):
        side.say(batch(0, LONG_ZERO + b"\x01" + encode_buffer(b"\0x")))


def test_many_nested_batches() -> None:
    side, _ = opened_side()
    inner = LONG_ZERO + b"\0"
    for _ in range(2000):
        inner = LONG_ZERO + b"\0" + encode_buffer(inner)
    with pytest.raises(RemoteProtocolError):
        side.say(b"\0" + inner)


# Hostile


SESSION = [
    opening(1, "p", b"1"),
    opening(2, "p", b"2", b"hand"),
    opening(3, "nobody", b"3"),
    message(1, 0, b"x"),
    batch(1, b"\0a", 2, b"\x01b", 0, closing(1)[1:], opening(1, "p", "é".encode())[1:]),
    opening(4, "later", b""),
    message(4, 9, b"early"),
    rejecting(1),
    closing(4),
]


def hostile() -> MuxSide:
    side = MuxSide()
    side.answer("p", None)
    side.decide_later("later", None)
    side.mux.open("waiting", b"", b"", Recorder())
    return side


def survives(messages: list[bytes]) -> None:
    side = hostile()
    try:
        side.say(*messages)
    except RemoteProtocolError:
        return
    side.take()


def test_truncated_messages_are_at_most_the_remotes_fault() -> None:
    hostile().say(*SESSION)
    for index, data in enumerate(SESSION):
        for end in range(len(data)):
            survives([*SESSION[:index], data[:end], *SESSION[index + 1 :]])


def test_changed_messages_are_at_most_the_remotes_fault() -> None:
    generator = random.Random(11)
    for _ in range(3000):
        session = [bytearray(data) for data in SESSION]
        for _ in range(generator.randrange(1, 5)):
            data = generator.choice(session)
            data[generator.randrange(len(data))] = generator.choice(
                (0, 1, 2, 3, 0xFD, generator.randrange(256))
            )
        if generator.random() < 0.3:
            generator.shuffle(session)
        survives(list(map(bytes, session)))


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_any_messages_are_at_most_the_remotes_fault(messages: list[bytes]) -> None:
    survives(messages)
    survives([b"\0\0" + data for data in messages])


def test_continuing_without_waiting_input_does_nothing() -> None:
    side = MuxSide()
    side.mux.go_on_untrusted()
    assert not side.mux.has_input
    assert not side.take()
