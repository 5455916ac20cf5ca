"""The wire as a `Connection` shows it: recorded sessions, hostile remotes, and examples of Hypothesis."""

from __future__ import annotations

import attrs
import pytest

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
    connection,
    error_of,
    extension_frame,
    frame,
    handshake_event,
    merged,
)
from core.wires.hypercore9.wire_support import DISCOVERY_KEY, EXPECTED, feed, played
from peersockets_core import (
    DEFAULT_LIMITS,
    ConnectionClosed,
    DriveOpened,
    LocalProtocolError,
    MessagesReceived,
)
from peersockets_core.wires.hypercore9.messages import Close, Options
from peersockets_core.work import FIELD, RECORD


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


def test_the_end_of_the_stream_while_a_message_is_being_decoded_is_no_fault() -> None:
    """That message has arrived whole, so nothing is lost. Only the end within a further one is a fault."""
    said = frame(0, Options(["a", "chat", "z"])) + extension_frame(1, b"1")
    for behind in (b"", extension_frame(1, b"2")[:-1]):
        for budget in range(1, 1 + RECORD + 3 * FIELD + 1):
            ours = connection(names=["chat"])
            assert ours.receive_data(RawPeer(ours).encrypt(said + behind), NOW, budget) == []
            assert ours.has_input
            events = ours.receive_eof(NOW)
            assert events[:-1] == [MessagesReceived(None, "chat", [b"1"])]
            if behind:
                assert error_of(events) == "the connection ended within a message"
            else:
                assert events[-1] == ConnectionClosed(None)


def test_the_close_of_one_drive_leaves_the_others_open() -> None:
    ours = connection()
    ours.open_drive(KEY)
    ours.open_drive(OTHER_KEY)
    remote = RawPeer(ours)
    remote.send(1, remote.offer())
    remote.send(2, remote.offer(OTHER_KEY))
    remote.heard()
    for number, key in ((1, KEY), (2, OTHER_KEY)):
        ours.close_drive(key.discovery_key)
        assert remote.heard_messages() == [(number, Close())]
        assert remote.send(number, Close()) == []  # the answer
        with pytest.raises(LocalProtocolError):
            ours.close_drive(key.discovery_key)


def test_the_times_of_keepalives_and_of_silence_are_those_of_the_limits() -> None:
    wire = connection(limits=attrs.evolve(DEFAULT_LIMITS, keepalive=3.5, silence=11.5)).wire_machine
    assert (wire.keepalive, wire.silence) == (3.5, 11.5)
