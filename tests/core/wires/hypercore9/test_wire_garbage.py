"""Sessions that are cut short, changed or made up end in order, or in a remote's fault, and never raise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import recorded
from core.support import (
    CUTS,
    KEY,
    NOW,
    RawPeer,
    at,
    byte_by_byte,
    connection,
    extension_frame,
    frame,
    merged,
    random_cuts,
)
from core.wires.hypercore9.wire_support import DISCOVERY_KEY, EXPECTED, feed, played
from peersockets_core import (
    DEFAULT_LIMITS,
    ConnectionClosed,
    Event,
    HandshakeCompleted,
)
from peersockets_core.wires.hypercore9 import frames
from peersockets_core.wires.hypercore9.messages import Close, Open, Options

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
