"""`SecretStream`: input in slices of work, and input that is cut anywhere."""

from __future__ import annotations

import itertools

import pytest

from core.support import entropy
from core.wires.hypercore11.test_secret_stream import (
    INITIATOR_KEYS,
    RESPONDER_KEYS,
    feed,
    framed,
    stream,
    taken,
)
from peersockets_core import RemoteProtocolError
from peersockets_core.wires.hypercore11.secret_stream import (
    LENGTH_SIZE,
    OVERHEAD,
    SecretStream,
)
from peersockets_core.work import BYTES_PER_ITEM, RECORD, Work


def sides(*, max_frame: int = 1 << 24) -> tuple[SecretStream, SecretStream, Work]:
    """Return two joined sides, and the work of the second one."""
    work = Work()
    left = SecretStream(initiator=True, entropy=entropy("left"), keys=INITIATOR_KEYS)
    right = SecretStream(
        initiator=False, entropy=entropy("right"), keys=RESPONDER_KEYS, work=work, max_frame=max_frame
    )
    assert feed(right, taken(left)) == []
    return left, right, work


SENT = [b"a", b"", b"b" * 40, b"c"]


@pytest.mark.parametrize("left_over", [1, RECORD, RECORD + 1, 2 * RECORD, 3 * RECORD + 1, 1000])
def test_a_slice_ends_with_the_frame_that_uses_it_up(left_over: int) -> None:
    """The rest of the input waits, and the caller may use its buffer again."""
    sender, receiver, work = sides()
    sent = [bytes([number]) for number in range(5)]
    frames = [sender.encrypt(message) for message in sent]
    count = min(5, -(-left_over // RECORD))
    work.left = left_over
    data = bytearray(b"".join(frames))
    messages: list[bytes] = []
    receiver.receive_data_untrusted(data, messages)
    data[:] = bytes(len(data))
    assert messages == sent[:count]
    assert work.left == left_over - RECORD * count
    assert receiver.has_input == (count < 5)
    assert receiver.kept == len(b"".join(frames[count:]))
    assert receiver.between_frames == (count == 5)
    for number in range(count, 5):
        work.left = 1
        receiver.receive_data_untrusted(b"", messages)
        assert messages == sent[: number + 1]
    assert not receiver.has_input
    assert receiver.kept == 0


def test_new_data_joins_the_input_that_waits() -> None:
    length = sum(LENGTH_SIZE + OVERHEAD + len(message) for message in SENT)
    for first, second in itertools.combinations(range(0, length + 1, 3), 2):
        sender, receiver, work = sides()
        data = b"".join(map(sender.encrypt, SENT))
        messages: list[bytes] = []
        for piece in (data[:first], data[first:second], data[second:]):
            work.left = 1
            receiver.receive_data_untrusted(piece, messages)
            expected = list(filter(None, SENT))
            assert messages == expected[: len(messages)]
        while receiver.has_input:
            work.left = 1
            receiver.receive_data_untrusted(b"", messages)
        assert messages == expected
        assert receiver.between_frames
        assert receiver.kept == 0


def test_each_frame_costs_its_record_and_its_bytes() -> None:
    for size in (0, 1, BYTES_PER_ITEM - OVERHEAD - 1, BYTES_PER_ITEM - OVERHEAD, 5 * BYTES_PER_ITEM, 100_000):
        sender, receiver, work = sides()
        work.left = 10_000
        feed(receiver, sender.encrypt(bytes(size)))
        assert work.left == 10_000 - RECORD - (size + OVERHEAD) // BYTES_PER_ITEM


def test_a_cut_frame_is_looked_at_again_once_the_missing_bytes_are_there() -> None:
    sender, receiver, work = sides()
    frame = sender.encrypt(b"hello")
    for end in range(1, len(frame)):
        messages = feed(receiver, frame[end - 1 : end])
        assert messages == []
        assert not receiver.has_input
        assert receiver.kept == receiver.unfinished.size == end
        assert receiver.unfinished.missing == (LENGTH_SIZE if end < LENGTH_SIZE else len(frame)) - end
    assert feed(receiver, frame[-1:]) == [b"hello"]
    assert work.left > 0


@pytest.mark.parametrize("end", range(1, LENGTH_SIZE + OVERHEAD + 5))
def test_the_beginning_of_a_frame_shows_the_number_of_missing_bytes(end: int) -> None:
    sender, receiver, _ = sides()
    frame = sender.encrypt(b"hello")
    assert feed(receiver, frame[:end]) == []
    assert receiver.unfinished.size == end
    assert receiver.unfinished.missing == (LENGTH_SIZE if end < LENGTH_SIZE else len(frame)) - end
    assert feed(receiver, frame[end:]) == [b"hello"]


@pytest.mark.parametrize("cut", range(1, LENGTH_SIZE + OVERHEAD + 3))
def test_a_read_that_completes_a_frame_may_hold_more(cut: int) -> None:
    for budget in (1, RECORD, 2 * RECORD, 3 * RECORD, 1000):
        sender, receiver, work = sides()
        frames = [sender.encrypt(message) for message in (b"one", b"two", b"three", b"four")]
        data = b"".join(frames)
        messages: list[bytes] = []
        work.left = 1000
        receiver.receive_data_untrusted(data[:cut], messages)
        work.left = budget
        buffer = bytearray(data[cut:])
        receiver.receive_data_untrusted(buffer, messages)
        buffer[:] = bytes(len(buffer))
        assert messages == [b"one", b"two", b"three", b"four"][: -(-budget // RECORD)]
        assert receiver.kept == sum(map(len, frames[len(messages) :]))
        while receiver.has_input:
            work.left = budget
            receiver.receive_data_untrusted(b"", messages)
        assert messages == [b"one", b"two", b"three", b"four"]


def heard(receiver: SecretStream) -> bool:
    return receiver.keepalive_received


def test_only_a_frame_without_content_is_a_keepalive() -> None:
    sender, receiver, _ = sides()
    earlier = [b"earlier"] * 5
    messages = [*earlier]
    receiver.receive_data_untrusted(sender.encrypt(b"x") + sender.encrypt(b"y"), messages)
    assert messages == [*earlier, b"x", b"y"]
    assert not heard(receiver)
    receiver.receive_data_untrusted(sender.encrypt(b"x") + sender.encrypt(b""), messages)
    assert messages == [*earlier, b"x", b"y", b"x"]
    assert heard(receiver)


@pytest.mark.parametrize("size", [39, 40, 1000])
def test_the_largest_frame_and_one_byte_more(size: int) -> None:
    sender, receiver, _ = sides(max_frame=size + OVERHEAD)
    assert feed(receiver, sender.encrypt(bytes(size))) == [bytes(size)]
    sender, receiver, _ = sides(max_frame=size + OVERHEAD)
    with pytest.raises(RemoteProtocolError) as raised:
        feed(receiver, sender.encrypt(bytes(size + 1))[:LENGTH_SIZE])
    assert str(raised.value) == (
        f"a frame of {size + 1 + OVERHEAD} bytes is over the limit of {size + OVERHEAD}"
    )


def test_several_messages_are_encrypted_at_once() -> None:
    sender, receiver, _ = sides()
    messages = [(5, [b"he", b"llo"]), (0, []), (3, [b"", b"you"]), (300, [bytes(300)])]
    assert feed(receiver, bytes(sender.encrypt_all(messages))) == [b"hello", b"you", bytes(300)]
    assert sender.encrypt_all([]) == b""


@pytest.mark.parametrize("cut", range(LENGTH_SIZE + 64))
def test_bytes_after_the_handshake_wait_for_the_next_call(cut: int) -> None:
    """This holds wherever the last message of the handshake is cut."""
    left, right = stream(initiator=True), stream(initiator=False)
    feed(right, taken(left))
    feed(left, taken(right))
    last, header = left.output
    behind = header + left.encrypt(b"one") + left.encrypt(b"two")
    assert feed(right, last[:cut]) == []
    assert feed(right, last[cut:] + behind[:-1]) == []
    assert right.keys is not None
    assert (right.kept, right.between_frames, right.has_input) == (len(behind) - 1, False, False)
    assert feed(right, behind[-1:]) == [b"one", b"two"]
    assert right.between_frames


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10, 19, 20, 21, 45])
def test_bytes_after_a_handshake_that_took_place_elsewhere(size: int) -> None:
    left = SecretStream(initiator=True, entropy=entropy("left"), keys=INITIATOR_KEYS)
    right = SecretStream(initiator=False, entropy=entropy("right"), keys=RESPONDER_KEYS)
    data = taken(left) + left.encrypt(b"one") + left.encrypt(b"two")
    right.keep_untrusted(data[:size])
    assert right.kept == size
    assert feed(right, data[size:]) == [b"one", b"two"]


def test_all_bytes_after_a_handshake_that_took_place_elsewhere_are_read_without_more() -> None:
    left = SecretStream(initiator=True, entropy=entropy("left"), keys=INITIATOR_KEYS)
    right = SecretStream(initiator=False, entropy=entropy("right"), keys=RESPONDER_KEYS)
    right.keep_untrusted(taken(left) + left.encrypt(b"one") + left.encrypt(b"two"))
    assert feed(right, b"") == [b"one", b"two"]
    assert right.between_frames


def test_forgotten_input_leaves_nothing() -> None:
    sender, receiver, work = sides()
    data = b"".join(map(sender.encrypt, SENT))
    work.left = 1
    assert feed(receiver, data) == [b"a"]
    assert receiver.kept == len(data) - LENGTH_SIZE - OVERHEAD - 1
    receiver.forget_input()
    assert (receiver.has_input, receiver.kept) == (False, 0)
    feed(receiver, b"\x20")
    receiver.forget_input()
    assert receiver.between_frames
    assert receiver.kept == 0


def test_a_frame_that_does_not_decrypt_is_counted() -> None:
    sender, receiver, work = sides()
    work.left = 1000
    messages: list[bytes] = []
    with pytest.raises(RemoteProtocolError, match="a frame of 17 bytes does not decrypt"):
        receiver.receive_data_untrusted(sender.encrypt(b"x") + framed(bytes(17)), messages)
    assert messages == [b"x"]
    assert work.left == 1000 - 2 * RECORD


def test_only_a_writable_buffer_is_overwritten() -> None:
    for writable in (False, True):
        sender, receiver, _ = sides()
        data = sender.encrypt(b"hello") + sender.encrypt(b"you")
        buffer: bytes | bytearray = bytearray(data) if writable else bytes(bytearray(data))
        messages: list[bytes] = []
        receiver.receive_data_untrusted(buffer, messages)
        assert messages == [b"hello", b"you"]
        assert (buffer == data) is not writable
