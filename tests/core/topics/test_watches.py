from __future__ import annotations

import pytest

from core.support import KEY, Node, key_pair
from peersockets_core import PeerEvent, PeerJoined, PeerLeft, Watch
from peersockets_core.topics.drives import OpenDrive

PUBLIC_KEY = key_pair("sender").x25519_public_key


def joined(peer_id: int) -> PeerJoined:
    return PeerJoined(peer_id, PUBLIC_KEY, "hypercore9")


def left(peer_id: int) -> PeerLeft:
    return PeerLeft(peer_id, PUBLIC_KEY, "hypercore9")


def watch(*present: int, max_events: int = 4) -> Watch:
    return Watch([], map(joined, present), max_events, None)


def drained(watch: Watch) -> list[PeerEvent]:
    return [watch.take() for _ in range(len(watch))]


def test_a_watch_begins_with_the_present_members() -> None:
    ours = watch(3, 1)
    ours.put(left(3))
    assert drained(ours) == [joined(3), joined(1), left(3)]
    with pytest.raises(IndexError):
        ours.take()


def test_a_full_watch_leaves_out_members_that_came_and_went_unseen() -> None:
    ours = watch()
    for peer_id in range(1, 1000):
        ours.put(joined(peer_id))
        if peer_id > 2:
            ours.put(left(peer_id))
        assert len(ours) <= 5
    assert [event for event in drained(ours) if event.peer_id < 3] == [joined(1), joined(2)]


def test_a_full_watch_keeps_a_consistent_view() -> None:
    ours = watch(1, 2)
    drained(ours)
    for _ in range(100):
        for event in (left(1), joined(1), left(2), joined(2)):
            ours.put(event)
    events = drained(ours)
    state = {1, 2}
    for event in events:
        (state.add if isinstance(event, PeerJoined) else state.remove)(event.peer_id)
    assert state == {1, 2}
    assert len(events) <= 5


def test_a_watch_grows_with_the_present_members() -> None:
    ours = watch(max_events=4)
    for peer_id in range(100):
        ours.put(joined(peer_id))
    assert len(ours) == 100
    for peer_id in range(100):
        ours.put(left(peer_id))
    assert len(ours) <= 4


def test_closing_a_watch_ends_it() -> None:
    node = Node("watching")
    drive: OpenDrive = node.open(KEY)
    first, second = node.machine.watch(drive), node.machine.watch(drive)
    first.put(joined(1))
    first.close()
    first.close()
    assert first.closed
    assert len(first) == 0
    assert drive.watches == [second]


def test_events_show_keys_in_hex() -> None:
    assert PUBLIC_KEY.hex() in repr(joined(1))
    assert PUBLIC_KEY.hex() in repr(left(1))


def test_a_leave_is_not_left_out_if_the_join_was_taken() -> None:
    ours = watch(1, 2, 3, 4)
    assert ours.take() == joined(1)
    ours.put(joined(5))
    ours.put(left(1))
    assert drained(ours) == [joined(2), joined(3), joined(4), joined(5), left(1)]


def test_a_watch_knows_its_owner() -> None:
    node, owner = Node("node"), object()
    drive = node.open()
    ours = node.machine.watch(drive, owner)
    assert ours.owner is owner
    assert not ours.closed


def test_an_empty_watch_is_true() -> None:
    assert len(watch()) == 0
    assert watch()
