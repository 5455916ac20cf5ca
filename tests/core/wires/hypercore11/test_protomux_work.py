"""`peersockets_core.wires.hypercore11.protomux`: slices of work, and answers to the remote."""

from __future__ import annotations

import attrs
import pytest

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
from peersockets_core import DEFAULT_LIMITS, LocalProtocolError, MessageTooLarge, RemoteProtocolError
from peersockets_core.wires.hypercore11.encoding import encode_buffer, encode_uint
from peersockets_core.wires.hypercore11.secret_stream import MAX_PLAINTEXT
from peersockets_core.work import ANSWER, RECORD

COSTS = {
    "a message": (message(1, 0, b"x"), RECORD),
    "a message on an unknown channel": (message(9, 0, b"x"), RECORD),
    "an unknown control message": (message(0, 7), RECORD),
    "an Open": (opening(2, "nobody"), RECORD + ANSWER),
    "a Close": (closing(1), RECORD + ANSWER),
    "a Close of an unknown channel": (closing(9), RECORD + ANSWER),
    "an empty batch": (batch(1), 0),
    "a batch of messages": (batch(1, b"\0x", b"\1y", b"\2"), 3 * RECORD),
    "a batch with switches": (batch(1, 9, b"\0x", 1, b"\0y"), 4 * RECORD),
    "a batch with an answer": (batch(0, opening(2, "nobody")[1:], b"\x07"), 2 * RECORD + ANSWER),
}


@pytest.mark.parametrize(("data", "items"), COSTS.values(), ids=COSTS)
def test_each_message_is_counted(data: bytes, items: int) -> None:
    side, _ = opened_side()
    side.mux.work.left = 1000
    side.say(data)
    assert side.mux.work.left == 1000 - items


@pytest.mark.parametrize("left", [1, RECORD - 1, RECORD, RECORD + 1, 3 * RECORD, 3 * RECORD + 1])
def test_the_rest_of_a_batch_waits_for_the_next_slice(left: int) -> None:
    side, _ = opened_side()
    data = batch(1, b"\0a", b"\0b", 9, b"\0c", 1, b"\0d")
    steps = [(0, b"a"), (0, b"b"), None, None, None, (0, b"d")]  # two switches, and an unknown channel
    side.mux.work.left = left
    done = -(-left // RECORD)
    assert side.say(data) == [step for step in steps[:done] if step]
    assert side.mux.kept == side.mux.remote.kept + len(data)
    side.mux.work.left = 0
    side.mux.go_on_untrusted()
    assert side.say() == []
    for step in steps[done:]:
        assert side.mux.has_input
        side.mux.work.left = 1
        side.mux.go_on_untrusted()
        assert side.say() == ([step] if step else [])
        assert side.mux.work.left == 1 - RECORD
    assert not side.mux.has_input
    assert side.mux.kept == side.mux.remote.kept


def test_waiting_input_is_forgotten() -> None:
    side, _ = opened_side()
    side.decide_later("later", None)
    side.say(opening(2, "later", b"", bytes(1000)), message(2, 0, b"early"))
    side.mux.work.left = 1
    side.say(batch(1, b"\0a", b"\0b"))
    side.mux.forget_input()
    assert not side.mux.has_input
    side.mux.work.left = 100
    side.mux.go_on_untrusted()
    assert side.say() == []
    assert side.mux.remote.early_size == 0
    assert side.mux.kept < 2 * 1000


def asking(count: int) -> list[bytes]:
    return [opening(1, "nobody", b"") for _ in range(count)]


@pytest.mark.parametrize("batched", [False, True])
def test_answers_are_bounded_in_a_batch_and_outside(batched: bool) -> None:
    asked = asking(100)
    said = [batch(0, *(data[1:] for data in asked))] if batched else asked
    side = MuxSide(attrs.evolve(DEFAULT_LIMITS, replies=1000))
    with pytest.raises(RemoteProtocolError, match="asks without reading"):
        side.say(*said)


@pytest.mark.parametrize("batched", [False, True])
def test_only_answers_count_as_answers(batched: bool) -> None:
    """Our own output may be much larger, before the first message of the remote and after it."""
    side = MuxSide(attrs.evolve(DEFAULT_LIMITS, replies=1000))
    for number in range(100):
        side.open("p", b"%d" % number)
    assert side.mux.outbox.reply_size == 0
    (asked,) = asking(1)
    side.say(batch(0, asked[1:]) if batched else asked)
    answered = side.mux.outbox.reply_size
    assert answered > 0
    for number in range(100, 200):
        side.open("p", b"%d" % number)
    assert side.mux.outbox.reply_size == answered


@pytest.mark.parametrize("bad", [opening(5), batch(0, opening(5)[1:])])
def test_our_output_after_a_fault_is_no_answer(bad: bytes) -> None:
    side = MuxSide()
    with pytest.raises(RemoteProtocolError):
        side.say(bad)
    side.open()
    assert side.mux.outbox.reply_size == 0


LONGER = [b"\0", b"\xfd\0\0", b"\xfe\0\0\0\0", b"\xff" + bytes(8)]


@pytest.mark.parametrize("kind", LONGER)
@pytest.mark.parametrize("control", LONGER)
def test_a_batch_is_read_however_its_numbers_are_encoded(control: bytes, kind: bytes) -> None:
    side, _ = opened_side()
    data = control + kind + batch(1, b"\0x", b"\x05y")[2:]
    assert side.say(data) == [(0, b"x"), (5, b"y")]
    with pytest.raises(RemoteProtocolError, match="a batch within a batch"):
        side.say(batch(0, kind + b"\x01"))


def test_a_message_of_the_largest_size_and_one_byte_more() -> None:
    """The number of the channel takes part of the room, also while the channel waits for its number."""
    side, channel = opened_side()
    for number in range(300):
        side.open("q", b"%d" % number)
    far = side.mux.local.by_key["q", b"299"]
    side.mux.close(far)
    waiting = side.open("q", b"299")
    for each, room in ((channel, 1), (far, None), (waiting, 3)):
        if room is None:
            with pytest.raises(LocalProtocolError, match=r"^the channel is closed$"):
                side.mux.send(each, 0, b"")
            continue
        largest = MAX_PLAINTEXT - room
        with pytest.raises(MessageTooLarge) as raised:
            side.mux.send(each, 300, bytes(largest - 2))
        assert (raised.value.size, raised.value.largest) == (largest + 1, largest)
        side.mux.send(each, 300, bytes(largest - 3))


def test_names_of_protocols_and_ids_are_sent_whole() -> None:
    side = MuxSide()
    side.open("prötocol" * 40, bytes(range(256)), b"hand")
    body = encode_buffer(("prötocol" * 40).encode()) + encode_buffer(bytes(range(256))) + b"hand"
    assert side.take() == [b"\0\0\0" + encode_buffer(b"\x01\x01" + body)]
    far = MuxSide()
    far.open("prötocol" * 40, bytes(range(256)))
    assert far.say(b"\0\x01\x01" + body) == [("opened", b"hand")]


def test_errors_name_the_channel() -> None:
    side, _ = opened_side()
    with pytest.raises(LocalProtocolError, match=r"^a channel of p with id '6964' is open$"):
        side.open()
    with pytest.raises(RemoteProtocolError, match=r"^the remote rejected channel 300, which waits for no"):
        side.say(rejecting(300))


def test_early_messages_reach_the_bound_exactly() -> None:
    side = MuxSide(attrs.evolve(DEFAULT_LIMITS, early_messages=1000))
    side.decide_later()
    side.say(opening(1), message(1, 0))
    each = side.mux.remote.early_size
    side = MuxSide(attrs.evolve(DEFAULT_LIMITS, early_messages=each + 10))
    side.decide_later()
    side.say(opening(1), message(1, 0, bytes(10)))
    with pytest.raises(RemoteProtocolError, match=r"^too many messages on channels that are not open yet$"):
        side.say(message(1, 0))


def test_a_number_of_a_channel_takes_all_its_bytes() -> None:
    side, channel = opened_side()
    channel.local = 300
    side.mux.send(channel, 260, b"x")
    assert side.take() == [b"\0\0" + encode_uint(300) + encode_buffer(encode_uint(260) + b"x")]


def test_a_reader_of_runs_is_called_for_each_run_of_its_channel() -> None:
    side, _ = opened_side()
    calls: list[tuple[int, int]] = []

    def read(data: bytes, position: int, end: int) -> int:
        calls.append((position, end))
        return position + 3 if data[position : position + 3] == b"\2\7r" else position

    side.mux.open("q", b"", b"", side.handler, read)
    assert side.say(opening(2, "q", b"")) == [("opened", b"")]
    data = batch(2, b"\7r", b"\7r", b"\0x", 1, b"\0y", 2, b"\7r")
    assert side.say(data) == [(0, b"x"), (0, b"y")]
    end = len(data)
    assert calls == [(3, end), (6, end), (9, end), (12, end), (19, end)]


def test_an_early_message_is_handed_over_whole() -> None:
    bounds: list[tuple[int, int]] = []

    class Bounds(Recorder):
        def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
            bounds.append((start, end))

    side = MuxSide()
    side.decide_later()
    side.say(opening(1), message(1, 0, b"abc"), message(1, 0))
    side.handler = Bounds()
    side.open()
    assert bounds == [(0, 3), (0, 0)]
