"""`ExtensionSender` and `Core`: batches that are filled to their bound, and names that are left out."""

from __future__ import annotations

import sys

import pytest

from core.support import OTHER_KEY
from core.wires.hypercore11.test_alpha import DISCOVERY_KEY, closing, extension, opened, theirs
from peersockets_core import MessagesReceived, MessageTooLarge
from peersockets_core.wires.hypercore11.batching import MAX_BATCH, ROOM
from peersockets_core.wires.hypercore11.encoding import encode_buffer
from peersockets_core.wires.hypercore11.secret_stream import MAX_PLAINTEXT

NAMES = ["chat", "n" * 1000, "n" * 20_000]


@pytest.mark.parametrize("name", NAMES, ids=len)
def test_the_largest_message_of_a_batch_and_one_byte_more(name: str) -> None:
    """A message with its name leaves alone. Without the name, there is room for it in a batch."""
    room = ROOM + len(encode_buffer(name.encode()))
    for before in (False, True):
        for more, in_a_batch in ((0, True), (1, False)):
            side = opened()
            sender = side.sender(name)
            if before:
                sender.send(b"x")
                side.take()
            sender.send(bytes(MAX_BATCH - room + more))
            (sent,) = side.take()
            assert sent.startswith(b"\0\0\x01") is (in_a_batch or before)


@pytest.mark.parametrize("name", NAMES, ids=len)
def test_a_batch_of_one_sender_is_filled_to_the_bound_exactly(name: str) -> None:
    room = ROOM + len(encode_buffer(name.encode()))
    for more, count in ((0, 1), (1, 2)):
        side = opened()
        sender = side.sender(name)
        sender.send(b"first")
        sender.send(bytes(side.mux.batcher.end - side.mux.outbox.size - room + more))
        sent = side.take()
        assert len(sent) == count
        assert max(map(len, sent)) <= MAX_BATCH


@pytest.mark.parametrize("size", [0, 1, 100, 1000, 20_000])
@pytest.mark.parametrize("name", NAMES, ids=len)
def test_no_batch_of_a_sender_is_larger_than_the_bound(name: str, size: int) -> None:
    side, far = opened(), opened()
    sender, other = side.sender(name), side.sender("other")
    count = min(300, 3 * MAX_BATCH // (size + 1))
    for number in range(count):
        (other if number % 50 == 49 else sender).send(bytes(size))
    sent = side.take()
    assert max(len(data) for data in sent if data.startswith(b"\0")) <= MAX_BATCH
    heard = [
        payload
        for event in far.say(*sent)
        if isinstance(event, MessagesReceived)
        for payload in event.payloads
    ]
    assert heard == [bytes(size)] * count


def test_a_name_is_left_out_after_a_message_that_left_alone() -> None:
    side = opened()
    chat = side.sender("chat")
    for _ in range(2):
        chat.send(bytes(MAX_BATCH))
        chat.send(b"small")
    assert [sent[:8] for sent in side.take()] == [
        b"\x01\x09\x04chat\0",
        b"\0\0\x01\x07\x09\0sm",
        b"\x01\x09\0" + bytes(5),
        b"\0\0\x01\x07\x09\0sm",
    ]


def test_a_sender_that_follows_itself_enters_its_batch_once() -> None:
    side = opened()
    chat = side.sender("chat")
    chat.send(b"1")
    assert side.mux.batcher.sender is chat
    chat.send(b"2")
    assert side.mux.batcher.sender is chat
    side.sender("other").send(b"3")
    assert side.mux.batcher.sender is not chat


def test_the_number_of_the_channel_takes_room_in_the_largest_message() -> None:
    side = opened()
    chat = side.sender("chat")
    channel = side.cores[DISCOVERY_KEY].channel
    assert channel is not None
    for local, bytes_of_number in ((1, 1), (252, 1), (253, 3), (65_536, 5)):
        channel.local = local
        largest = MAX_PLAINTEXT - bytes_of_number - 1 - 5
        chat.check_size(largest)
        with pytest.raises(MessageTooLarge) as raised:
            chat.check_size(largest + 1)
        assert (raised.value.size, raised.value.largest) == (largest + 1, largest)


def test_a_channel_reads_its_messages_in_runs() -> None:
    side = opened()
    core = side.cores[DISCOVERY_KEY]
    assert core.channel is not None
    assert core.channel.run_untrusted == core.run_untrusted


@pytest.mark.parametrize("size", [300, 10_000])
def test_the_memory_of_a_long_name_is_counted_until_it_is_forgotten(size: int) -> None:
    side = opened()
    core = side.cores[DISCOVERY_KEY]
    sizes = [core.name_size]
    name = "é" * (size // 2)
    for message in (extension(name, b"1"), extension("", b"2"), closing(), theirs(), extension(name, b"3")):
        side.say(message)
        sizes.append(core.name_size)
    core.forget_name()
    sizes.append(core.name_size)
    memory = sys.getsizeof(name)
    assert sizes == [0, memory, memory, 0, 0, memory, 0]


def test_a_name_is_sent_again_after_another_drive_has_used_it() -> None:
    side = opened()
    side.open(OTHER_KEY)
    side.say(theirs(OTHER_KEY, number=2))
    side.take()
    side.sender("chat").send(b"1")
    side.cores[DISCOVERY_KEY].close()
    side.sender("chat", OTHER_KEY).send(b"2")
    (sent,) = side.take()
    assert sent.count(b"\x09\x04chat") == 2
