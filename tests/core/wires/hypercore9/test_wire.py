"""The wire as a `Connection` shows it: recorded sessions, hostile remotes, and examples of Hypothesis."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import recorded
from core.support import (
    CUTS,
    EVERY_FRAME,
    KEY,
    NOW,
    OTHER_KEY,
    Cutter,
    Pair,
    RawPeer,
    at,
    byte_by_byte,
    connection,
    error_of,
    extension_frame,
    frame,
    handshake_event,
    merged,
    random_cuts,
)
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    ConnectionClosed,
    DriveClosed,
    DriveOpened,
    Event,
    ExtensionNames,
    HandshakeCompleted,
    KeyPair,
    MessagesReceived,
    MessageTooLarge,
)
from peersockets_core.wires.hypercore9 import frames, messages, varint
from peersockets_core.wires.hypercore9.frames import ExtensionRun
from peersockets_core.wires.hypercore9.messages import Close, Data, Have, Open, Options, Request, Status, Want

DISCOVERY_KEY = KEY.discovery_key
MIB = 1024 * 1024


def played(side: str) -> Connection:
    """Let our side play one side of the recorded session."""
    given = iter((recorded.EPHEMERAL_SECRETS[side], recorded.NONCES[side]))
    extensions = ExtensionNames()
    for name in recorded.NAMES[side]:
        extensions.register(name)
    return Connection(
        wire="hypercore9",
        initiator=side == "A",
        key_pair=KeyPair.from_seed(recorded.SEEDS[side]),
        entropy=lambda size: next(given),
        now=NOW,
        extensions=extensions,
    )


def feed(ours: Connection, data: bytes, cut: Cutter) -> list[Event]:
    return [event for chunk in cut(data) for event in ours.receive_data(chunk, NOW)]


EXPECTED: dict[str, list[Event]] = {
    "B": [
        HandshakeCompleted("hypercore9", recorded.PUBLIC_KEYS["A"], recorded.HANDSHAKE_HASH),
        DriveOpened(recorded.DRIVE_KEY.discovery_key),
        MessagesReceived(None, "peersockets/v0/chat", [b"hello"]),
        MessagesReceived(None, "zzz", [b"not registered there"]),
        MessagesReceived(None, "peersockets/v0/chat", [b"again"]),
        DriveClosed(recorded.DRIVE_KEY.discovery_key),
    ],
    "A": [
        HandshakeCompleted("hypercore9", recorded.PUBLIC_KEYS["B"], recorded.HANDSHAKE_HASH),
        DriveOpened(recorded.DRIVE_KEY.discovery_key),
        MessagesReceived(None, "peersockets/v0/chat", [b"hi"]),
        DriveClosed(recorded.DRIVE_KEY.discovery_key),
    ],
}


@pytest.mark.parametrize("behind", [b"", b"\x5a"], ids=["nothing", "half a frame"])
@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("side", "remote"), ["AB", "BA"])
def test_a_session_of_the_reference_is_read(side: str, remote: str, cut: Cutter, behind: bytes) -> None:
    ours = played(side)
    if side == "B":
        ours.extensions.register("zzz")
    ours.open_drive(recorded.DRIVE_KEY)
    assert merged(feed(ours, recorded.sent_by(remote) + behind, cut)) == EXPECTED[side]


def test_an_extension_that_is_not_registered_here_is_not_heard() -> None:
    ours = played("B")
    ours.open_drive(recorded.DRIVE_KEY)
    events = merged(feed(ours, recorded.sent_by("A"), CUTS["whole"]))
    assert events[2] == MessagesReceived(None, "peersockets/v0/chat", [b"hello", b"again"])


def test_a_session_is_written_like_the_reference() -> None:
    ours, theirs = played("A"), (chunk for side, chunk in recorded.CHUNKS if side == "B")
    written = bytes(ours.data_to_send(NOW))
    ours.receive_data(next(theirs), NOW)
    written += ours.data_to_send(NOW)
    ours.open_drive(recorded.DRIVE_KEY)
    written += ours.data_to_send(NOW)
    chat, zzz = (ours.sender(None, name) for name in recorded.NAMES["A"])
    chat.send(b"hello")
    zzz.send(b"not registered there")
    chat.send(b"again")
    written += ours.data_to_send(NOW)
    sent = b"".join(chunk for side, chunk in recorded.CHUNKS[:9] if side == "A")
    assert written == sent


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(
    "behind", [b"", extension_frame(200, b"next"), b"\x7f"], ids=["nothing", "next", "half"]
)
def test_every_sort_of_frame_in_any_chunks(cut: Cutter, behind: bytes) -> None:
    remote = RawPeer(connection(names=["chat"]))
    data = remote.encrypt(EVERY_FRAME + behind)
    heard = [b"first", b"", b"x" * 300, b"a long id", b"twice", b"last"]
    if len(behind) > 1:
        heard.append(b"next")
    assert merged(feed(remote.ours, data, cut)) == [MessagesReceived(None, "chat", heard)]
    assert remote.heard() == []


def test_two_connections_talk_in_any_chunks() -> None:
    for cut in CUTS.values():
        pair = Pair(names=["chat", "other"], cut=cut).exchange().open()
        for number in range(5):
            pair.left.sender(None, "chat").send(b"%d" % number)
            pair.right.sender(None, "other").send(b"%d" % number)
        pair.exchange()
        numbers = [b"%d" % number for number in range(5)]
        for side, name in ((pair.right, "chat"), (pair.left, "other")):
            opened, received = merged(pair.events[side])[1:]
            assert opened == DriveOpened(DISCOVERY_KEY)
            assert received == MessagesReceived(None, name, numbers)


def test_both_sides_identify_the_connection_by_one_hash() -> None:
    pair = Pair().exchange()
    left, right = (handshake_event(pair.events[side]) for side in (pair.left, pair.right))
    assert left.handshake_hash == right.handshake_hash
    assert len(left.handshake_hash) == 64
    assert left.remote_public_key == pair.right.key_pair.x25519_public_key
    assert right.remote_public_key == pair.left.key_pair.x25519_public_key


# Messages of the remote: hostile, or only odd


def test_the_latest_list_of_names_counts() -> None:
    remote = RawPeer(connection(names=["a", "b"]))
    remote.announce("a", "b")
    assert remote.say(extension_frame(1, b"1")) == [MessagesReceived(None, "b", [b"1"])]
    remote.announce("b")
    assert remote.say(extension_frame(0, b"2")) == [MessagesReceived(None, "b", [b"2"])]
    assert remote.say(extension_frame(1, b"3")) == []
    remote.announce()
    assert remote.say(extension_frame(0, b"4")) == []


def test_a_name_may_repeat() -> None:
    remote = RawPeer(connection(names=["a"]))
    remote.announce("a", "a", "a")
    assert merged(remote.say(extension_frame(0, b"1") + extension_frame(2, b"2"))) == [
        MessagesReceived(None, "a", [b"1", b"2"])
    ]


@pytest.mark.parametrize("extension_id", [0, 1, 127, 128, 2**56 - 1])
def test_extension_ids_that_were_never_announced_are_ignored(extension_id: int) -> None:
    remote = RawPeer(connection(names=["a"]))
    assert remote.say(extension_frame(extension_id, b"x")) == []
    remote.announce()
    assert remote.say(extension_frame(extension_id, b"x")) == []


@pytest.mark.parametrize("message_type", [11, 12, 13, 14])
@pytest.mark.parametrize("channel", [0, 1, 1000])
def test_unknown_types_are_ignored(message_type: int, channel: int) -> None:
    remote = RawPeer(connection())
    assert remote.say(frames.encode(channel, message_type, b"\xff\xff\xff")) == []
    assert remote.heard() == []


@pytest.mark.parametrize(
    "message",
    [
        Options(["x"]),
        Status(True, True),
        Have(0),
        Want(0, 1048576),
        Request(3, bytes=1),
        Data(0, b"x", [b"y"]),
    ],
    ids=lambda message: type(message).__name__,
)
@pytest.mark.parametrize("channel", [1, 5])
def test_messages_of_channels_are_ignored(message: messages.ChannelMessage, channel: int) -> None:
    remote = RawPeer(connection(names=["x"]))
    assert remote.send(channel, message) == []
    assert remote.say(extension_frame(0, b"not a name of the connection")) == []
    assert remote.say(frames.encode(channel, 15, b"\0extension of a channel")) == []
    assert remote.heard() == []


def test_the_limit_of_names_and_one_more() -> None:
    names = [f"{number:05}" for number in range(DEFAULT_LIMITS.extension_names)]
    assert len(names) == 16_384
    remote = RawPeer(connection(names=["16383"]))
    assert remote.announce(*names) == []
    assert remote.say(extension_frame(16_383, b"x")) == [MessagesReceived(None, "16383", [b"x"])]
    assert "more than 16384 items" in error_of(remote.announce(*names, "one more"))


SKIPPED: dict[str, bytes] = {
    "Have without a start": frames.encode(1, 3, b""),
    "Status of bytes": frames.encode(1, 2, b"\x0a\0"),
    "a group": frames.encode(1, 9, b"\x0b"),
    "an extension message of a channel, without an id": frames.encode(1, 15, b""),
    "Options of a channel that are not UTF-8": frames.encode(7, 1, b"\x0a\x01\xff"),
    "Options of a channel behind a long header": frames.encode(8, 1, b"\x0a\x01\xff"),
    "Data of the largest size": frames.encode(1, 9, b"\xff" * 8 * MIB),
    "Data of the largest size behind a long header": frames.encode(300, 9, b"\xff" * 8 * MIB),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("plain", SKIPPED.values(), ids=SKIPPED)
def test_ignored_messages_are_not_decoded(plain: bytes, cut: Cutter) -> None:
    ours = connection(names=["chat"])
    remote = RawPeer(ours)
    remote.announce("chat")
    cut = cut if len(plain) < 1000 else in_reads
    events = feed(ours, remote.encrypt(plain + extension_frame(0, b"behind")), cut)
    assert events == [MessagesReceived(None, "chat", [b"behind"])]
    assert ours.receive_eof(NOW) == [ConnectionClosed(None)]


def in_reads(data: bytes) -> list[bytes]:
    """Cut data into pieces of the size of a read."""
    return [data[start : start + 65_536] for start in range(0, len(data), 65_536)]


def test_incomplete_ignored_messages_are_not_kept() -> None:
    ours = connection()
    reads = in_reads(RawPeer(ours).encrypt(frames.encode(1, 9, bytes(8 * MIB))))
    tracemalloc.start()
    try:
        for read in reads[:-1]:
            assert ours.receive_data(read, NOW) == []
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 200_000
    assert "within a message" in error_of(ours.receive_eof(NOW))


HOSTILE: dict[str, tuple[bytes, str]] = {
    "frame over the limit": (varint.encode(8 * MIB + 100), "over the limit of 8388608"),
    "varint without end": (b"\xff" * 20, "varint of more than 8 bytes"),
    "header longer than its frame": (b"\x01\x80", "ends within its header"),
    "extension without an id": (b"\x01\x0f", "ends within its id"),
    "Open without a discovery key": (frames.encode(1, 0, b""), "Open without discovery_key"),
    "Options that are not UTF-8": (frames.encode(0, 1, b"\x0a\x01\xff"), "not UTF-8"),
    "Close with a field cut": (frames.encode(1, 10, b"\x0a\x20x"), "ends within a field"),
    "Open without a capability": (frame(1, Open(DISCOVERY_KEY)), "invalid remote capability"),
    "Open with a wrong capability": (frame(1, Open(DISCOVERY_KEY, bytes(32))), "invalid remote capability"),
    "Open on channel 0": (frame(0, Open(DISCOVERY_KEY)), "channel 0"),
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize(("plain", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_frames_end_the_connection_and_earlier_frames_count(
    plain: bytes, reason: str, cut: Cutter
) -> None:
    ours = connection(names=["chat"])
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    good = frame(0, Options(["chat"])) + extension_frame(0, b"before")
    events = feed(ours, remote.encrypt(good + plain + extension_frame(0, b"after")), cut)
    assert merged(events)[0] == MessagesReceived(None, "chat", [b"before"])
    assert reason in error_of(events)
    assert len(merged(events)) == 2
    assert ours.closed
    assert not ours.has_output
    assert not ours.data_to_send()
    assert remote.say(extension_frame(0, b"later")) == []


@pytest.mark.parametrize(("plain", "reason"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_frames_right_after_the_handshake(plain: bytes, reason: str) -> None:
    for initiator in (False, True):
        ours = connection(initiator=initiator)
        ours.open_drive(KEY)
        if initiator:
            remote = RawPeer(ours)
            events = remote.events + remote.say(plain)
        else:
            events = RawPeer(ours, behind_handshake=plain).events
        assert isinstance(events[0], HandshakeCompleted)
        assert reason in error_of(events)


def test_a_message_of_the_references_limit_and_one_byte_more() -> None:
    remote = RawPeer(connection(names=["a"]))
    remote.announce("a")
    (received,) = remote.say(extension_frame(0, bytes(8 * MIB - 1)))
    assert isinstance(received, MessagesReceived)
    assert list(map(len, received.payloads)) == [8 * MIB - 1]
    assert "over the limit" in error_of(remote.say(extension_frame(0, bytes(8 * MIB))))


def test_opens_for_unknown_drives_leave_no_state() -> None:
    remote = RawPeer(connection())
    for number in range(3000):
        assert remote.send(number, Open(number.to_bytes(32, "big"), bytes(32))) == []
        assert len(remote.heard()) == 1
    assert remote.ours.outbox.size == 0


def test_opens_for_unknown_drives_without_reading_the_refusals() -> None:
    remote = RawPeer(connection())
    flood = b"".join(frame(number, Open(number.to_bytes(32, "big"))) for number in range(40_000))
    assert "asks without reading" in error_of(remote.say(flood))
    assert remote.ours.outbox.size < DEFAULT_LIMITS.replies + 1000


def test_an_honest_number_of_refusals_is_within_the_bound() -> None:
    remote = RawPeer(connection())
    assert remote.say(b"".join(frame(n, Open(n.to_bytes(32, "big"))) for n in range(25_000))) == []
    assert len(remote.heard()) == 25_000


def test_opening_and_closing_without_reading_is_bounded_too() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    once = frame(1, remote.offer()) + frame(1, Close())
    assert "asks without reading" in error_of(remote.say(once * 20_000))


def test_a_discovery_key_of_megabytes_is_not_sent_back() -> None:
    remote = RawPeer(connection())
    assert "asks without reading" in error_of(remote.send(1, Open(bytes(3 * MIB))))


def test_the_remote_sends_back_our_own_capability() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    ((_, offer),) = remote.heard_messages()
    assert offer == remote.reflected()
    assert "invalid remote capability" in error_of(remote.send(1, remote.reflected()))


def test_a_capability_of_another_connection() -> None:
    first, second = (connection(label=label) for label in ("one", "two"))
    first.open_drive(KEY)
    second.open_drive(KEY)
    stolen = RawPeer(first).offer()
    assert "invalid remote capability" in error_of(RawPeer(second, label="thief").send(1, stolen))


def test_one_channel_for_two_drives() -> None:
    ours = connection()
    ours.open_drive(KEY)
    ours.open_drive(OTHER_KEY)
    remote = RawPeer(ours)
    events = remote.send(4, remote.offer(), remote.offer(OTHER_KEY))
    assert events[0] == DriveOpened(DISCOVERY_KEY)
    assert "channel 4 for two cores" in error_of(events)


def test_a_drive_opened_twice_is_reported_once() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    assert remote.send(1, remote.offer(), remote.offer()) == [DriveOpened(DISCOVERY_KEY)]
    assert remote.send(2, remote.offer()) == []


def test_we_offer_no_upload_after_both_sides_opened() -> None:
    ours = connection()
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    remote.send(1, remote.offer())
    assert remote.heard_messages()[1:] == [(1, Status(uploading=False, downloading=True))]


# Cut short, changed, or made up


SESSION = recorded.sent_by("A")
BOUNDARIES = {0} | {
    sum(len(chunk) for side, chunk in recorded.CHUNKS[:stop] if side == "A")
    for stop in range(1, len(recorded.CHUNKS) + 1)
}


def test_a_session_that_ends_after_any_byte() -> None:
    handshaken = sum(len(chunk) for side, chunk in recorded.CHUNKS[:3] if side == "A")
    between = set()
    for size in range(len(SESSION)):
        ours = played("B")
        ours.open_drive(recorded.DRIVE_KEY)
        events = ours.receive_data(SESSION[:size], NOW) + ours.receive_eof(NOW)
        closed = events[-1]
        assert isinstance(closed, ConnectionClosed)
        assert sum(isinstance(event, ConnectionClosed) for event in events) == 1
        if closed.error is None:
            between.add(size)
        elif size < handshaken:
            assert str(closed.error) == "the connection ended before the handshake was finished"
        else:
            assert str(closed.error) == "the connection ended within a message"
    # Each chunk of the reference is one frame, so only a cut between chunks cuts nothing short.
    assert between == {size for size in BOUNDARIES if handshaken <= size < len(SESSION)}


def test_a_handshake_with_any_byte_changed_ends_in_an_error() -> None:
    handshake = [chunk for _, chunk in recorded.CHUNKS[:3]]
    for number, chunk in enumerate(handshake):
        for position in range(len(chunk)):
            pair = {"A": played("A"), "B": played("B")}
            ended = []
            for index, (source, sink) in enumerate(recorded.WAYS):
                data = bytearray(pair[source].data_to_send(NOW))
                if index == number:
                    data[position] ^= 0x10
                ended += pair[sink].receive_data(bytes(data), NOW)
            later = NOW + DEFAULT_LIMITS.handshake_time
            for ours in pair.values():
                if ours.remote_public_key is None:
                    ended += ours.handle_deadline(later)
            errors = [event for event in ended if isinstance(event, ConnectionClosed)]
            assert errors
            for event in errors:
                assert event.error is not None


GARBAGE = st.one_of(st.binary(max_size=200), st.just(b"GET / HTTP/1.1\r\n"), st.just(bytes(100)))


def check_orderly(events: list[Event]) -> None:
    """Check that there is at most one end, as the last event, and that a handshake comes first."""
    kinds = [type(event) for event in events]
    assert kinds.count(ConnectionClosed) <= 1
    assert ConnectionClosed not in kinds[:-1]
    assert HandshakeCompleted not in kinds[1:]


@given(GARBAGE, st.booleans())
def test_garbage_instead_of_a_handshake(data: bytes, initiator: bool) -> None:
    ours = connection(initiator=initiator)
    check_orderly(feed(ours, data, byte_by_byte))
    check_orderly(ours.receive_eof(NOW))
    assert ours.closed
    assert ours.error is not None


@given(GARBAGE, st.integers(0, len(SESSION)), st.integers(0, 1000))
def test_garbage_in_the_middle_of_a_session(data: bytes, position: int, seed: int) -> None:
    ours = played("B")
    ours.open_drive(recorded.DRIVE_KEY)
    mutated = SESSION[:position] + data + SESSION[position:]
    events = feed(ours, mutated, random_cuts(seed))
    check_orderly(events)
    if ours.closed:
        assert not ours.data_to_send(NOW)
        assert ours.receive_data(SESSION, NOW) == []
    else:
        check_orderly(events + ours.receive_eof(NOW))


@given(st.lists(st.tuples(st.integers(0, len(SESSION) - 1), st.integers(1, 255)), min_size=1, max_size=4))
def test_bytes_changed_in_a_session(changes: list[tuple[int, int]]) -> None:
    ours = played("B")
    ours.open_drive(recorded.DRIVE_KEY)
    mutated = bytearray(SESSION)
    for position, value in changes:
        mutated[position] ^= value
    check_orderly(feed(ours, bytes(mutated), CUTS["whole"]) + ours.receive_eof(NOW))


@given(st.binary(max_size=400), st.integers(0, 1000))
def test_arbitrary_frames_never_raise(plain: bytes, seed: int) -> None:
    ours = connection(names=["", "a"])
    ours.open_drive(KEY)
    remote = RawPeer(ours)
    data = remote.encrypt(plain)
    pieces = feed(ours, data, random_cuts(seed))
    check_orderly(pieces + ours.receive_eof(NOW))
    again = connection(names=["", "a"])
    again.open_drive(KEY)
    RawPeer(again)
    assert str(merged(again.receive_data(data, NOW))) == str(merged(pieces))


any_plain = st.lists(
    st.one_of(
        st.builds(extension_frame, st.integers(0, 3), st.binary(max_size=200)),
        st.just(frames.KEEPALIVE),
        st.just(frame(0, Options(["a", "b"]))),
        st.just(frame(0, Options(["b", "c", "a"]))),
        st.builds(frame, st.integers(0, 3), st.builds(Close, st.sampled_from([None, DISCOVERY_KEY]))),
        st.builds(frame, st.integers(0, 3), st.builds(Open, st.binary(min_size=32, max_size=32))),
        st.just("offer"),
    ),
    max_size=12,
)


@given(any_plain, st.integers(0, 1000))
def test_any_chunks_give_the_same_events_and_the_same_answers(plain: list[bytes | str], seed: int) -> None:
    outcomes = []
    for cut in (CUTS["whole"], byte_by_byte, random_cuts(seed)):
        ours = connection(names=["a", "b"])
        ours.open_drive(KEY)
        remote = RawPeer(ours)
        offered = frame(1, remote.offer())
        said = b"".join(part if isinstance(part, bytes) else offered for part in plain)
        events = merged(feed(ours, remote.encrypt(said), cut))
        outcomes.append((str(events), bytes(ours.data_to_send(NOW))))
    assert outcomes[0] == outcomes[1] == outcomes[2]


@pytest.mark.parametrize("position", range(0, len(SESSION), 7))
def test_a_session_cut_in_two(position: int) -> None:
    ours = played("B")
    ours.extensions.register("zzz")
    ours.open_drive(recorded.DRIVE_KEY)
    assert merged(feed(ours, SESSION, at(position))) == EXPECTED["B"]


# Sending


def test_only_the_first_message_announces_the_names() -> None:
    remote = RawPeer(connection(names=["a", "b"]))
    sender = remote.ours.sender(None, "b")
    sender.send(b"1")
    sender.send(b"2")
    options, run = remote.heard()
    assert options == frames.Frame(0, 1, messages.encode(Options(["a", "b"])))
    assert run == ExtensionRun(1, [b"1", b"2"])
    remote.ours.sender(None, "a").send(b"3")
    assert remote.heard() == [ExtensionRun(0, [b"3"])]


def test_names_added_and_removed_between_messages_renumber_the_rest() -> None:
    remote = RawPeer(connection(names=["b"]))
    extensions = remote.ours.extensions
    sender = remote.ours.sender(None, "b")
    steps: list[tuple[Callable[[], None], list[str], int]] = [
        (lambda: None, ["b"], 0),
        (lambda: extensions.register("a"), ["a", "b"], 1),
        (lambda: extensions.register("c"), ["a", "b", "c"], 1),
        (lambda: extensions.unregister("a"), ["b", "c"], 0),
    ]
    for change, names, extension_id in steps:
        change()
        sender.send(b"x")
        options, run = remote.heard()
        assert options == frames.Frame(0, 1, messages.encode(Options(names)))
        assert run == ExtensionRun(extension_id, [b"x"])


def test_a_list_changed_by_another_sender_is_announced_once() -> None:
    remote = RawPeer(connection(names=["b", "c"]))
    first, second = (remote.ours.sender(None, name) for name in "bc")
    first.send(b"x")
    second.send(b"x")
    remote.heard()
    remote.ours.extensions.register("a")
    second.send(b"y")
    first.send(b"z")
    _, *runs = remote.heard()
    assert runs == [ExtensionRun(2, [b"y"]), ExtensionRun(1, [b"z"])]


@pytest.mark.parametrize(("names", "largest"), [(1, 8 * MIB - 1), (128, 8 * MIB - 1), (129, 8 * MIB - 2)])
def test_the_largest_message_and_one_byte_more(names: int, largest: int) -> None:
    remote = RawPeer(connection(names=[f"{number:05}" for number in range(names)]))
    sender = remote.ours.sender(None, f"{names - 1:05}")
    sender.check_size(largest)
    for _ in range(2):
        with pytest.raises(
            MessageTooLarge, match=f"{largest + 1} bytes is over the wire's limit of {largest}"
        ):
            sender.send(bytes(largest + 1))
        with pytest.raises(MessageTooLarge):
            sender.check_size(largest + 1)
        assert not remote.ours.has_output
    sender.send(bytes(largest))
    listener = RawPeer(connection(names=[f"{names - 1:05}"]), label="listener")
    said = b"".join(remote.ours.outbox.take())
    (received,) = listener.say(said)
    assert isinstance(received, MessagesReceived)
    assert list(map(len, received.payloads)) == [largest]
    with pytest.raises(MessageTooLarge):
        sender.send(bytes(largest + 1))
    assert not remote.ours.has_output


def test_messages_of_many_sizes() -> None:
    remote = RawPeer(connection(names=["a"]))
    sender = remote.ours.sender(None, "a")
    payloads = [bytes(size) for size in range(600)] + [bytes(10)]
    for payload in payloads:
        sender.send(payload)
    assert remote.heard()[1:] == [ExtensionRun(0, payloads)]


@pytest.mark.parametrize("size", [0, 64 * 1024], ids=["empty", "64 KiB"])
def test_names_of_any_length(size: int) -> None:
    pair = Pair(names=["é" * (size // 2)]).exchange()
    pair.left.sender(None, "é" * (size // 2)).send(b"x")
    pair.exchange()
    assert pair.events[pair.right][1:] == [MessagesReceived(None, "é" * (size // 2), [b"x"])]


def test_smaller_limits_are_kept() -> None:
    limits = attrs.evolve(DEFAULT_LIMITS, frame_body=100, extension_names=2, replies=50)
    for plain, reason in (
        (extension_frame(0, bytes(100)), "over the limit of 100"),
        (frame(0, Options(["a", "b", "c"])), "more than 2 items"),
        (frame(1, Open(bytes(32))) * 2, "asks without reading"),
    ):
        assert reason in error_of(RawPeer(connection(limits=limits)).say(plain))
