"""`peersockets_core.wires.hypercore11.protomux`: channels that open and close, and their numbers."""

from __future__ import annotations

import attrs
import pytest

from core.wires.hypercore11.mux_support import (
    MuxSide,
    Recorder,
    batch,
    closing,
    exchange,
    message,
    opened_side,
    opening,
    rejecting,
)
from peersockets_core import DEFAULT_LIMITS, LocalProtocolError, MessageTooLarge, RemoteProtocolError
from peersockets_core.wires.hypercore11.encoding import encode_buffer
from peersockets_core.wires.hypercore11.secret_stream import MAX_PLAINTEXT

# Bytes of protomux 3.12.1. Here they are in a batch even if there is only one message.


def test_an_open_matches_the_reference() -> None:
    side = MuxSide()
    side.open("p", b"id", b"hand")
    side.open("q", b"")
    # the reference, without a batch: 000101017002696468616e64, 000102017100
    assert side.frames() == ["0000000b0101017002696468616e64050102017100"]


def test_a_reject_matches_the_reference() -> None:
    side = MuxSide()
    side.say(opening(1, "nobody"), opening(2, "z"))
    assert side.frames() == ["000000020201020202"]


def test_messages_and_a_close_match_the_reference() -> None:
    side, channel = opened_side()
    side.mux.send(channel, 0, b"x")
    side.mux.send(channel, 1, b"y")
    assert side.frames() == ["000001020078020179"]
    side.mux.send(channel, 0, b"x")
    side.mux.close(channel)
    assert side.frames() == ["0000010200780000020301"]


def test_bytes_of_the_reference_are_understood() -> None:
    side = MuxSide()
    side.open()
    assert side.say(bytes.fromhex("000101017002696468616e64")) == [("opened", b"hand")]
    assert side.say(bytes.fromhex("010078"), bytes.fromhex("010179")) == [(0, b"x"), (1, b"y")]
    assert side.say(bytes.fromhex("000001020078020179")) == [(0, b"x"), (1, b"y")]
    assert side.say(bytes.fromhex("0000010200780000020301")) == [(0, b"x"), "closed"]


# Opening and closing


def test_open_here_first() -> None:
    left, right = MuxSide(), MuxSide()
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
    left, right = MuxSide(), MuxSide()
    left.open(handshake=b"left")
    right.open(handshake=b"right")
    exchange(left, right)
    assert left.say() == [("opened", b"right")]
    assert right.say() == [("opened", b"left")]


def test_a_handler_for_one_id_is_preferred_to_one_for_all() -> None:
    side = MuxSide()
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
    left, right = MuxSide(), MuxSide()
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


def test_opening_twice_raises_a_local_error() -> None:
    side = MuxSide()
    side.open()
    side.take()
    with pytest.raises(LocalProtocolError, match="is open"):
        side.open()
    assert side.take() == []


def test_a_handler_that_refuses_the_handshake() -> None:
    side = MuxSide()
    side.handler = Recorder(error=True)
    side.open()
    with pytest.raises(RemoteProtocolError, match="a bad handshake"):
        side.say(opening(1))


@pytest.mark.parametrize("number", [0, 1, 2, 5, 2**40])
def test_a_reject_without_an_open(number: int) -> None:
    side, _ = opened_side()
    with pytest.raises(RemoteProtocolError, match=f"rejected channel {number}, which waits for no answer"):
        side.say(rejecting(number))


def test_a_reject_of_one_of_many() -> None:
    side = MuxSide()
    channels = [side.open("p", bytes([number])) for number in range(3)]
    assert side.say(rejecting(2)) == ["closed"]
    assert [channel.closed for channel in channels] == [False, True, False]
    with pytest.raises(RemoteProtocolError, match="waits for no answer"):
        side.say(rejecting(2))


@pytest.mark.parametrize("number", [0, 2, 2**63])
def test_a_close_of_an_unknown_channel_is_ignored(number: int) -> None:
    side, channel = opened_side()
    assert side.say(closing(number)) == []
    assert not channel.closed


def test_a_channel_closed_before_the_answer_sends_its_close_after_the_answer() -> None:
    side = MuxSide()
    channel = side.open()
    side.take()
    side.mux.close(channel)
    assert side.take() == [], "the reference ignores a Close of a channel that it has not decided"
    assert side.open("q").local == 2, "the first number is not free before the answer"
    side.take()
    assert side.say(opening(1)) == []
    assert side.frames() == ["000000020301"]
    assert side.say(message(1, 0, b"sent before it heard")) == []
    assert side.open("r").local == 1


def test_a_channel_closed_before_its_rejection_only_frees_its_number() -> None:
    side = MuxSide()
    side.mux.close(side.open())
    side.take()
    assert side.say(rejecting(1)) == []
    assert side.take() == []
    assert side.open("q").local == 1


@pytest.mark.parametrize(("answer", "closes"), [(opening(1), True), (rejecting(1), False)])
def test_a_channel_opened_again_before_the_answer_waits_for_it(answer: bytes, closes: bool) -> None:
    side = MuxSide()
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


def test_a_channel_closed_before_its_open_was_sent_is_never_announced() -> None:
    side = MuxSide()
    side.mux.close(side.open())
    side.take()
    side.mux.close(side.open())
    assert side.say(opening(1)) == []
    assert side.frames() == ["000000020301"]
    assert not side.mux.local.waiting
    assert not side.mux.local.by_number


def test_a_held_message_is_bounded_like_any_other() -> None:
    side = MuxSide()
    side.mux.close(side.open())
    second = side.open()
    with pytest.raises(MessageTooLarge):
        side.mux.send(second, 0, bytes(MAX_PLAINTEXT - 1))


def test_a_second_channel_of_an_open_key_is_refused_without_asking_a_handler() -> None:
    side, channel = opened_side()
    side.answer()
    assert side.say(opening(2)) == []
    assert side.frames() == ["000000020202"]
    assert side.asked == []
    assert not channel.closed


# Deciding later


def test_early_messages_wait_for_the_decision() -> None:
    side = MuxSide()
    side.decide_later()
    early = [message(1, 0, b"a"), batch(1, b"\x01b", b"\x02c"), message(1, 300, b"d")]
    assert side.say(opening(1, handshake=b"hand"), *early) == []
    assert side.asked == [("p", b"id")]
    side.open()
    assert side.say() == [("opened", b"hand"), (0, b"a"), (1, b"b"), (2, b"c"), (300, b"d")]
    assert side.mux.remote.early_size == 0
    assert side.say(message(1, 0, b"e")) == [(0, b"e")]


def test_a_handler_that_closes_gets_no_more_early_messages() -> None:
    side = MuxSide()

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
    side = MuxSide()
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
    side = MuxSide()
    side.decide_later()
    for _ in range(5):
        side.say(opening(1), message(1, 0, bytes(30_000)), closing(1))
        assert side.frames() == ["000000020201"], "every Open is answered"
    assert side.mux.remote.early_size == 0
    assert not side.mux.remote.waiting
    side.mux.reject("p", b"id")
    assert side.take() == []


def test_the_remote_gives_up_one_of_many_of_a_key() -> None:
    side = MuxSide()
    side.decide_later()
    side.say(*(opening(number, handshake=b"%d" % number) for number in range(1, 5)))
    assert side.frames() == []
    side.say(closing(3), closing(1))
    assert side.frames() == ["0000000202030" + "20201"]
    side.open()
    assert side.say() == [("opened", b"2")], "the first of those that remain"
    side.mux.reject("p", b"id")
    assert side.frames()[0].endswith("020204")
    assert not side.mux.remote.waiting


@pytest.mark.parametrize("size", [0, 1, 1000, 40_000])
def test_early_messages_are_bounded(size: int) -> None:
    side = MuxSide()
    side.decide_later("p", None)
    side.say(opening(1, "p", b"1"), opening(2, "p", b"2"))
    early = [message(1 + count % 2, 0, bytes(size)) for count in range(1000)]
    with pytest.raises(RemoteProtocolError, match="not open yet"):
        side.say(*early)
    assert side.say() == []


def test_one_key_opened_twice_waits_twice() -> None:
    side = MuxSide()
    side.decide_later()
    side.say(opening(1, handshake=b"1"), opening(2, handshake=b"2"))
    first = side.open()
    assert side.say() == [("opened", b"1")]
    assert side.say(closing(1)) == ["closed"]
    assert first.closed
    side.open()
    assert side.say() == [("opened", b"2")]


def test_channels_are_bounded() -> None:
    side = MuxSide(attrs.evolve(DEFAULT_LIMITS, channels=3))
    side.decide_later("p", None)
    for number in range(1, 4):
        side.say(opening(number, "p", bytes([number])))
    with pytest.raises(RemoteProtocolError, match="more than 3 channels"):
        side.say(opening(4))


def test_rejections_that_the_remote_does_not_read_are_bounded() -> None:
    side = MuxSide(attrs.evolve(DEFAULT_LIMITS, replies=1000))
    with pytest.raises(RemoteProtocolError, match="asks without reading"):
        side.say(*[opening(1)] * 1000)


# Numbers


@pytest.mark.parametrize("number", [0, 2, 3, 252, 2**64 - 1])
def test_numbers_out_of_order(number: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"opened channel {number} out of order"):
        MuxSide().say(opening(number))


def test_a_number_used_twice() -> None:
    side, _ = opened_side()
    with pytest.raises(RemoteProtocolError, match="opened channel 1 out of order"):
        side.say(opening(1, "q"))


def test_numbers_are_used_again() -> None:
    side = MuxSide()
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
