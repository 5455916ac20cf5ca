"""`Connection.receive_data` with a buffer of the caller, which is decrypted in place and used again."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Literal

import pytest

from core.support import CUTS, KEY, NOW, Cutter, entropy, key_pair, merged
from peersockets_core import WIRES, Connection, Event, WireName
from peersockets_core.topics.naming import addresses

SIZES = (0, 1, 63, 64, 65, 4000, 4096, 5000, 70_000, 200_000, 3, 3, 3)

Feed = Callable[[Connection, bytes], list[Event]]


def as_bytes(connection: Connection, data: bytes) -> list[Event]:
    return connection.receive_data(data, NOW)


def read_only(connection: Connection, data: bytes) -> list[Event]:
    copy = bytes(bytearray(data))
    events = connection.receive_data(memoryview(copy), NOW)
    assert copy == data
    return events


def as_bytearray(connection: Connection, data: bytes) -> list[Event]:
    buffer = bytearray(data)
    events = connection.receive_data(buffer, NOW)
    buffer[:] = b"\xff" * len(buffer)
    return events


def in_a_shared_buffer() -> Feed:
    shared = memoryview(bytearray(512 * 1024))

    def feed(connection: Connection, data: bytes) -> list[Event]:
        shared[: len(data)] = data
        events = connection.receive_data(shared[: len(data)], NOW)
        shared[:] = b"\xff" * len(shared)
        return events

    return feed


FEEDS: dict[str, Feed] = {
    "read only": read_only,
    "bytearray": as_bytearray,
    "a shared buffer": in_a_shared_buffer(),
}


def session(wire: WireName, cut: Cutter, feed: Feed, *, hold: bool = False) -> list[list[Event]]:
    """Return the events on both sides of a session, in which they exchange messages of many sizes."""
    sides = [
        Connection(
            wire=wire,
            initiator=initiator,
            key_pair=key_pair(f"side {initiator}"),
            entropy=entropy(f"side {initiator}"),
            now=NOW,
            hold=hold and not initiator,
        )
        for initiator in (True, False)
    ]
    address = addresses(KEY.discovery_key, "chat", "drive")[wire]
    learned: list[list[Event]] = [[], []]

    def exchange() -> None:
        while any(side.has_output for side in sides):
            for here, there in ((0, 1), (1, 0)):
                for chunk in cut(bytes(sides[here].data_to_send(NOW))):
                    learned[there] += feed(sides[there], chunk)

    for side in sides:
        side.extensions.register(address[1])
        side.open_drive(KEY)
    exchange()
    if hold:
        learned[1] += sides[1].admit(NOW)
        exchange()
    senders = [side.sender(*address) for side in sides]
    for size, sender in itertools.product(SIZES, senders):
        sender.send(bytes(range(256)) * (size // 256) + bytes(size % 256))
        if size > 4000:
            exchange()
    exchange()
    return [merged(events) for events in learned]


@pytest.mark.parametrize("hold", [False, True], ids=["at once", "held"])
@pytest.mark.parametrize("feed", FEEDS.values(), ids=FEEDS.keys())
@pytest.mark.parametrize("cut", [CUTS["whole"], CUTS["cut at random"]], ids=["whole", "cut"])
@pytest.mark.parametrize("wire", WIRES)
def test_a_buffer_that_is_used_again(wire: WireName, cut: Cutter, feed: Feed, hold: bool) -> None:
    assert session(wire, cut, feed, hold=hold) == session(wire, cut, as_bytes, hold=hold)


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("kind", ["b", "I"])
def test_a_view_of_other_items_is_a_view_of_bytes(wire: WireName, kind: Literal["b", "I"]) -> None:
    def feed(connection: Connection, data: bytes) -> list[Event]:
        whole = len(data) // 4 * 4
        events = connection.receive_data(memoryview(bytearray(data[:whole])).cast(kind), NOW)
        return events + connection.receive_data(data[whole:], NOW)

    assert session(wire, CUTS["whole"], feed) == session(wire, CUTS["whole"], as_bytes)


def test_a_view_with_gaps_is_refused_and_changes_nothing() -> None:
    ours = Connection(initiator=False, key_pair=key_pair("x"), entropy=entropy("x"), now=NOW)
    with pytest.raises(ValueError, match="data must be bytes, or a contiguous view"):
        ours.receive_data(memoryview(b"1234")[::2], NOW)
    assert not ours.closed
    assert ours.wire is None
