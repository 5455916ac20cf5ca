"""The wire as a `Connection` shows it: recorded sessions, hostile remotes, and examples of Hypothesis."""

from __future__ import annotations

import pytest

from core import recorded
from core.support import (
    CUTS,
    EVERY_FRAME,
    NOW,
    Cutter,
    Pair,
    RawPeer,
    connection,
    extension_frame,
    handshake_event,
    merged,
)
from core.wires.hypercore9.wire_support import DISCOVERY_KEY, EXPECTED, feed, played
from peersockets_core import (
    DriveOpened,
    MessagesReceived,
)


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
