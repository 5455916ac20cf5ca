from __future__ import annotations

import random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peersockets_core import DEFAULT_LIMITS, Limits, LocalProtocolError, MessageTooLarge, RemoteProtocolError
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore11.batching import MAX_BATCH
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.protomux import Channel, Mux
from peersockets_core.wires.hypercore11.secret_stream import MAX_PLAINTEXT


class Recorder:
    """A handler that writes down its calls."""

    def __init__(self, *, error: bool = False) -> None:
        self.heard: list[object] = []
        self._error = error

    def opened_untrusted(self, handshake: bytes) -> None:
        self.heard.append(("opened", handshake))
        if self._error:
            raise RemoteProtocolError("a bad handshake")

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        self.heard.append((message_type, data[start:end]))

    def closed(self) -> None:
        self.heard.append("closed")


class Side:
    """A mux, one handler for all of it, and what it was asked."""

    def __init__(self, limits: Limits = DEFAULT_LIMITS, aliases: dict[str, str] | None = None) -> None:
        outbox = Outbox(limit=limits.send_buffer, reply_limit=limits.replies)
        self.mux = Mux(limits=limits, outbox=outbox, aliases=aliases)
        self.handler = Recorder()
        self.asked: list[tuple[str, bytes]] = []

    def open(self, protocol: str = "p", channel_id: bytes = b"id", handshake: bytes = b"") -> Channel:
        return self.mux.open(protocol, channel_id, handshake, self.handler)

    def decide_later(self, protocol: str = "p", channel_id: bytes | None = b"id") -> None:
        self.mux.pair(protocol, channel_id, self._later)

    def answer(self, protocol: str = "p", channel_id: bytes | None = b"id") -> None:
        self.mux.pair(protocol, channel_id, self._open)

    def _later(self, protocol: str, channel_id: bytes) -> bool:
        self.asked.append((protocol, channel_id))
        return True

    def _open(self, protocol: str, channel_id: bytes) -> bool:
        self.asked.append((protocol, channel_id))
        self.open(protocol, channel_id)
        return False

    def say(self, *messages: bytes) -> list[object]:
        """Receive messages; returns what the handler heard of them."""
        for message in messages:
            self.mux.receive_untrusted(message)
        heard, self.handler.heard = self.handler.heard, []
        return heard

    def take(self) -> list[bytes]:
        messages = [(size, b"".join(chunks)) for size, chunks in self.mux.take_messages()]
        assert all(size == len(message) for size, message in messages)
        return [message for _, message in messages]

    def frames(self) -> list[str]:
        return [frame.hex() for frame in self.take()]


def opening(number: int, protocol: str = "p", channel_id: bytes = b"id", handshake: bytes = b"") -> bytes:
    return (
        b"\0\x01"
        + encode_uint(number)
        + encode_buffer(protocol.encode())
        + encode_buffer(channel_id)
        + handshake
    )


def rejecting(number: int) -> bytes:
    return b"\0\x02" + encode_uint(number)


def closing(number: int) -> bytes:
    return b"\0\x03" + encode_uint(number)


def message(number: int, message_type: int, body: bytes = b"") -> bytes:
    return encode_uint(number) + encode_uint(message_type) + body


def batch(first: int, *parts: bytes | int) -> bytes:
    """A batch of messages without their channel; a number switches to that channel."""
    return b"\0\0" + encode_uint(first) + b"".join(
        b"\0" + encode_uint(part) if isinstance(part, int) else encode_buffer(part) for part in parts
    )  # fmt: skip


def opened_side() -> tuple[Side, Channel]:
    """Channel "p" is open on both sides: 1 here, 1 over there."""
    side = Side()
    channel = side.open()
    assert side.say(opening(1)) == [("opened", b"")]
    side.take()
    return side, channel


def exchange(left: Side, right: Side) -> None:
    for _ in range(100):
        there, back = left.take(), right.take()
        if not there and not back:
            return
        for frame in there:
            right.mux.receive_untrusted(frame)
        for frame in back:
            left.mux.receive_untrusted(frame)
    raise AssertionError("the two sides talk for ever")


# Bytes of protomux 3.12.1, which are put into a batch here even if alone


def test_opens_as_the_reference() -> None:
    side = Side()
    side.open("p", b"id", b"hand")
    side.open("q", b"")
    # the reference alone: 000101017002696468616e64, 000102017100
    assert side.frames() == ["0000000b0101017002696468616e64050102017100"]


def test_rejects_as_the_reference() -> None:
    side = Side()
    side.say(opening(1, "nobody"), opening(2, "z"))
    assert side.frames() == ["000000020201020202"]


def test_messages_and_a_close_as_the_reference() -> None:
    side, channel = opened_side()
    side.mux.send(channel, 0, b"x")
    side.mux.send(channel, 1, b"y")
    assert side.frames() == ["000001020078020179"]
    side.mux.send(channel, 0, b"x")
    side.mux.close(channel)
    assert side.frames() == ["0000010200780000020301"]


def test_what_the_reference_sends() -> None:
    side = Side()
    side.open()
    assert side.say(bytes.fromhex("000101017002696468616e64")) == [("opened", b"hand")]
    assert side.say(bytes.fromhex("010078"), bytes.fromhex("010179")) == [(0, b"x"), (1, b"y")]
    assert side.say(bytes.fromhex("000001020078020179")) == [(0, b"x"), (1, b"y")]
    assert side.say(bytes.fromhex("0000010200780000020301")) == [(0, b"x"), "closed"]


# Opening and closing


def test_open_here_first() -> None:
    left, right = Side(), Side()
    right.answer()
    channel = left.open(handshake=b"left")
    assert channel.remote == 0
    exchange(left, right)
    assert left.say() == [("opened", b"")]
    assert right.say() == [("opened", b"left")]
    assert right.asked == [("p", b"id")]
    assert channel.remote == 1
    left.mux.send(channel, 3, b"body")
    exchange(left, right)
    assert right.say() == [(3, b"body")]
    left.mux.close(channel)
    left.mux.close(channel)
    exchange(left, right)
    assert right.say() == ["closed"]
    assert left.say() == []
    for side in (left, right):
        assert not side.mux.local.by_number
        assert not side.mux.remote.by_number
        assert not side.mux.local.by_key
        assert not side.mux.remote.waiting
        assert not side.mux.local.unanswered


def test_open_on_both_sides_at_once() -> None:
    left, right = Side(), Side()
    left.open(handshake=b"left")
    right.open(handshake=b"right")
    exchange(left, right)
    assert left.say() == [("opened", b"right")]
    assert right.say() == [("opened", b"left")]


def test_pair_of_one_id_goes_before_the_one_of_all() -> None:
    side = Side()
    side.decide_later("p", b"id")
    side.answer("p", None)
    assert side.say(opening(1, "p", b"id")) == []
    assert side.say(opening(2, "p", b"another")) == [("opened", b"")]
    assert side.say(opening(3, "q", b"another")) == []
    side.mux.unpair("p", None)
    side.mux.unpair("p", None)
    assert side.say(opening(4, "p", b"third")) == []
    assert side.asked == [("p", b"id"), ("p", b"another")]


def test_a_rejected_channel_is_closed_and_may_open_later() -> None:
    left, right = Side(), Side()
    channel = left.open()
    exchange(left, right)
    assert left.say() == ["closed"]
    assert channel.closed
    with pytest.raises(LocalProtocolError, match="the channel is closed"):
        left.mux.send(channel, 0, b"")
    left.mux.close(channel)
    assert left.take() == []
    left.answer()
    right.open()
    exchange(left, right)
    assert left.say() == [("opened", b"")]
    assert right.say() == [("opened", b"")]


def test_opening_twice_is_the_callers_fault() -> None:
    side = Side()
    side.open()
    side.take()
    with pytest.raises(LocalProtocolError, match="is open"):
        side.open()
    assert side.take() == []


def test_a_handler_that_refuses_the_handshake() -> None:
    side = Side()
    side.handler = Recorder(error=True)
    side.open()
    with pytest.raises(RemoteProtocolError, match="a bad handshake"):
        side.say(opening(1))


@pytest.mark.parametrize("number", [0, 1, 2, 5, 2**40])
def test_reject_of_nothing(number: int) -> None:
    side, _ = opened_side()
    with pytest.raises(RemoteProtocolError, match=f"rejected channel {number}, which waits for no answer"):
        side.say(rejecting(number))


def test_reject_of_one_of_many() -> None:
    side = Side()
    channels = [side.open("p", bytes([number])) for number in range(3)]
    assert side.say(rejecting(2)) == ["closed"]
    assert [channel.closed for channel in channels] == [False, True, False]
    with pytest.raises(RemoteProtocolError, match="waits for no answer"):
        side.say(rejecting(2))


@pytest.mark.parametrize("number", [0, 2, 2**63])
def test_close_of_nothing_is_ignored(number: int) -> None:
    side, channel = opened_side()
    assert side.say(closing(number)) == []
    assert not channel.closed


def test_a_channel_closed_before_the_answer_says_so_when_the_answer_comes() -> None:
    side = Side()
    channel = side.open()
    side.take()
    side.mux.close(channel)
    assert side.take() == [], "the reference overlooks a Close of what it has not decided"
    assert side.open("q").local == 2, "the first number is not free before the answer"
    side.take()
    assert side.say(opening(1)) == []
    assert side.frames() == ["000000020301"]
    assert side.say(message(1, 0, b"sent before it heard")) == []
    assert side.open("r").local == 1


def test_a_channel_closed_before_its_rejection_only_frees_its_number() -> None:
    side = Side()
    side.mux.close(side.open())
    side.take()
    assert side.say(rejecting(1)) == []
    assert side.take() == []
    assert side.open("q").local == 1


@pytest.mark.parametrize(("answer", "closes"), [(opening(1), True), (rejecting(1), False)])
def test_a_channel_opened_again_before_the_answer_waits_for_it(answer: bytes, closes: bool) -> None:
    side = Side()
    side.mux.close(side.open(handshake=b"first"))
    side.take()
    second = side.open(handshake=b"second")
    side.mux.send(second, 5, b"early")
    assert side.take() == []
    with pytest.raises(LocalProtocolError, match="is open"):
        side.open()
    assert side.say(answer) == []
    closed = (encode_buffer(b"\x03\x01"),) if closes else ()
    opened = encode_buffer(b"\x01\x01\x01p\x02idsecond")
    assert side.take() == [b"\0\0\0" + b"".join((*closed, opened)) + b"\0\x01" + encode_buffer(b"\x05early")]
    assert side.say(opening(1, handshake=b"theirs")) == [("opened", b"theirs")]


def test_a_channel_closed_while_it_waits_to_be_opened_is_never_announced() -> None:
    side = Side()
    side.mux.close(side.open())
    side.take()
    side.mux.close(side.open())
    assert side.say(opening(1)) == []
    assert side.frames() == ["000000020301"]
    assert not side.mux.local.waiting
    assert not side.mux.local.by_number


def test_a_held_message_is_bounded_like_any_other() -> None:
    side = Side()
    side.mux.close(side.open())
    second = side.open()
    with pytest.raises(MessageTooLarge):
        side.mux.send(second, 0, bytes(MAX_PLAINTEXT - 1))


def test_a_second_channel_of_an_open_key_is_refused_and_nobody_asked() -> None:
    side, channel = opened_side()
    side.answer()
    assert side.say(opening(2)) == []
    assert side.frames() == ["000000020202"]
    assert side.asked == []
    assert not channel.closed


# Deciding later


def test_early_messages_wait_for_the_decision() -> None:
    side = Side()
    side.decide_later()
    early = [message(1, 0, b"a"), batch(1, b"\x01b", b"\x02c"), message(1, 300, b"d")]
    assert side.say(opening(1, handshake=b"hand"), *early) == []
    assert side.asked == [("p", b"id")]
    side.open()
    assert side.say() == [("opened", b"hand"), (0, b"a"), (1, b"b"), (2, b"c"), (300, b"d")]
    assert side.mux.remote.early_size == 0
    assert side.say(message(1, 0, b"e")) == [(0, b"e")]


def test_a_handler_that_closes_hears_no_more_early_messages() -> None:
    side = Side()

    class Closing(Recorder):
        def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
            super().message_untrusted(message_type, data, start, end)
            side.mux.close(side.mux.local.by_key["p", b"id"])

    side.handler = Closing()
    side.decide_later()
    side.say(opening(1), message(1, 0, b"a"), message(1, 0, b"b"))
    side.open()
    assert side.say() == [("opened", b""), (0, b"a")]


def test_rejecting_later() -> None:
    side = Side()
    side.decide_later()
    side.say(opening(1), message(1, 0, bytes(30_000)))
    assert side.take() == []
    side.mux.reject("p", b"id")
    assert side.frames() == ["000000020201"]
    assert side.mux.remote.early_size == 0
    assert not side.mux.remote.by_number
    side.mux.reject("p", b"id")
    assert side.take() == []
    assert side.say(message(1, 0, b"late")) == []
    side.say(opening(1), message(1, 0, bytes(30_000)))


def test_the_remote_gives_up_before_the_decision() -> None:
    side = Side()
    side.decide_later()
    for _ in range(5):
        side.say(opening(1), message(1, 0, bytes(30_000)), closing(1))
        assert side.frames() == ["000000020201"], "every Open is answered"
    assert side.mux.remote.early_size == 0
    assert not side.mux.remote.waiting
    side.mux.reject("p", b"id")
    assert side.take() == []


def test_the_remote_gives_up_one_of_many_of_a_key() -> None:
    side = Side()
    side.decide_later()
    side.say(*(opening(number, handshake=b"%d" % number) for number in range(1, 5)))
    assert side.frames() == []
    side.say(closing(3), closing(1))
    assert side.frames() == ["0000000202030" + "20201"]
    side.open()
    assert side.say() == [("opened", b"2")], "the first that is left"
    side.mux.reject("p", b"id")
    assert side.frames()[0].endswith("020204")
    assert not side.mux.remote.waiting


@pytest.mark.parametrize("size", [0, 1, 1000, 40_000])
def test_early_messages_are_bounded(size: int) -> None:
    side = Side()
    side.decide_later("p", None)
    side.say(opening(1, "p", b"1"), opening(2, "p", b"2"))
    early = [message(1 + count % 2, 0, bytes(size)) for count in range(1000)]
    with pytest.raises(RemoteProtocolError, match="not open yet"):
        side.say(*early)
    assert side.say() == []


def test_one_key_opened_twice_waits_twice() -> None:
    side = Side()
    side.decide_later()
    side.say(opening(1, handshake=b"1"), opening(2, handshake=b"2"))
    first = side.open()
    assert side.say() == [("opened", b"1")]
    assert side.say(closing(1)) == ["closed"]
    assert first.closed
    side.open()
    assert side.say() == [("opened", b"2")]


def test_channels_are_bounded() -> None:
    side = Side(attrs.evolve(DEFAULT_LIMITS, channels=3))
    side.decide_later("p", None)
    for number in range(1, 4):
        side.say(opening(number, "p", bytes([number])))
    with pytest.raises(RemoteProtocolError, match="more than 3 channels"):
        side.say(opening(4))


def test_rejecting_without_the_remote_reading_is_bounded() -> None:
    side = Side(attrs.evolve(DEFAULT_LIMITS, replies=1000))
    with pytest.raises(RemoteProtocolError, match="asks without reading"):
        side.say(*[opening(1)] * 1000)


# Numbers


@pytest.mark.parametrize("number", [0, 2, 3, 252, 2**64 - 1])
def test_first_numbers_out_of_order(number: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"opened channel {number} out of order"):
        Side().say(opening(number))


def test_a_number_used_twice() -> None:
    side, _ = opened_side()
    with pytest.raises(RemoteProtocolError, match="opened channel 1 out of order"):
        side.say(opening(1, "q"))


def test_numbers_are_used_again() -> None:
    side = Side()
    side.answer("p", None)
    for number in range(1, 4):
        side.say(opening(number, "p", bytes([number])))
    side.say(closing(2), closing(1))
    assert side.say(opening(1, "p", b"x"), message(1, 0, b"m")) == [("opened", b""), (0, b"m")]
    assert side.say(opening(2, "p", b"y"), opening(4, "p", b"z")) == [("opened", b"")] * 2
    with pytest.raises(RemoteProtocolError, match="channel 6 out of order"):
        side.say(opening(6))


def test_our_numbers_are_used_again() -> None:
    side, channel = opened_side()
    assert side.open("q").local == 2
    side.mux.close(channel)
    assert side.open("r").local == 1
    assert side.open("s").local == 3


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
    side = Side(aliases={"old": "new"})
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
    side.mux.send(second, 0, b"anew")
    assert side.take() == [batch(2, b"\0anew")]


def test_a_batch_comes_to_an_end() -> None:
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
def test_messages_about_as_large_as_a_batch(size: int) -> None:
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


def test_a_batch_that_does_everything() -> None:
    side = Side()
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


def test_empty_batches_and_switches_for_nothing() -> None:
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
    # Between two messages nothing is missed, and what has no meaning is not read.
    complete = (3, 10, 12, 12 + 3 + 301, 12 + 3 + 301 + 2)
    for end in range(len(BATCH)):
        side, _ = opened_side()
        if end in complete:
            side.say(BATCH[:end])
        else:
            with pytest.raises(RemoteProtocolError, match="ends within"):
                side.say(BATCH[:end])


LONG_ZERO = b"\xfd\0\0"


def test_a_batch_within_a_batch_in_another_spelling() -> None:
    side, _ = opened_side()
    with pytest.raises(RemoteProtocolError, match="a batch within a batch"):
        side.say(batch(0, LONG_ZERO + b"\x01" + encode_buffer(b"\0x")))


def test_many_batches_within_each_other() -> None:
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


def hostile() -> Side:
    side = Side()
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


def test_truncations_are_at_most_the_remotes_fault() -> None:
    hostile().say(*SESSION)
    for index, data in enumerate(SESSION):
        for end in range(len(data)):
            survives([*SESSION[:index], data[:end], *SESSION[index + 1 :]])


def test_mutations_are_at_most_the_remotes_fault() -> None:
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
def test_anything_is_at_most_the_remotes_fault(messages: list[bytes]) -> None:
    survives(messages)
    survives([b"\0\0" + data for data in messages])


def test_going_on_where_nothing_waits_does_nothing() -> None:
    side = Side()
    side.mux.go_on_untrusted()
    assert not side.mux.has_input
    assert not side.take()
