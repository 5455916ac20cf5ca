from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from core.support import KEY, OTHER_KEY, capability
from peersockets_core import (
    DriveClosed,
    DriveKey,
    DriveOpened,
    Event,
    LocalProtocolError,
    RemoteProtocolError,
)
from peersockets_core.wires.hypercore9.channels import Channels
from peersockets_core.wires.hypercore9.messages import ChannelMessage, Close, Open, Status

DISCOVERY_KEY = KEY.discovery_key
OURS, THEIRS = bytes([1]) * 32, bytes([2]) * 32
POLITE = Status(uploading=False, downloading=True)


class Side:
    """The channels of one side, the messages they send, and their events."""

    def __init__(self, sending_key: bytes = OURS, receiving_key: bytes = THEIRS) -> None:
        self.sent: list[tuple[int, ChannelMessage]] = []
        self.replied: list[tuple[int, ChannelMessage]] = []
        """The part of `sent` that answers the remote."""
        self.events: list[Event] = []
        self.channels = Channels(
            sending_key=sending_key,
            receiving_key=receiving_key,
            send=lambda number, message: self.sent.append((number, message)),
            reply_untrusted=self._reply,
        )

    def _reply(self, number: int, message: ChannelMessage) -> None:
        self.sent.append((number, message))
        self.replied.append((number, message))

    def receive(self, number: int, message: ChannelMessage) -> None:
        if isinstance(message, Open):
            self.channels.receive_open_untrusted(number, message, self.events)
        elif isinstance(message, Close):
            self.channels.receive_close_untrusted(number, message, self.events)

    def take(self) -> list[tuple[int, ChannelMessage]]:
        sent = self.sent[:]
        self.sent.clear()
        return sent


def ours(key: DriveKey = KEY) -> Open:
    return Open(key.discovery_key, capability(key, OURS, THEIRS))


def theirs(key: DriveKey = KEY) -> Open:
    return Open(key.discovery_key, capability(key, THEIRS, OURS))


def test_capabilities_match_the_reference() -> None:
    # hypercore-crypto 2.3.2: capability and remoteCapability of split {tx: 0x11 * 64, rx: 0x22 * 64}
    side = Side(bytes([0x11]) * 32, bytes([0x22]) * 32)
    key = DriveKey(bytes(range(32)))
    side.channels.open(key)
    ((_, offer),) = side.take()
    assert isinstance(offer, Open)
    assert offer.capability is not None
    assert offer.capability.hex() == "3abf47b5a6852c1aa573f09df8daa68c78c0ea6b58a2a4a7b6050de7b291108f"
    expected = bytes.fromhex("0d113d5aaf931446047219fd32973497793bdb66189f64bf3ebc64fc52ab621a")
    side.receive(1, Open(key.discovery_key, expected))
    assert side.events == [DriveOpened(key.discovery_key)]


def test_open_here_first() -> None:
    side = Side()
    side.channels.open(KEY)
    assert side.take() == [(1, ours())]
    side.receive(9, theirs())
    assert side.take() == [(1, POLITE)]
    assert side.events == [DriveOpened(DISCOVERY_KEY)]


def test_a_drive_that_is_not_open_here_is_refused_and_leaves_no_state() -> None:
    side = Side()
    for number in range(5000):
        side.receive(number, Open(number.to_bytes(32, "big"), bytes(32)))
    assert side.take() == [(number + 1, Close(number.to_bytes(32, "big"))) for number in range(5000)]
    assert not side.channels.by_key
    assert not side.channels.by_number
    assert side.events == []


def test_a_refusal_uses_a_free_number() -> None:
    side = Side()
    side.channels.open(KEY)
    side.take()
    side.receive(1, Open(bytes(32)))
    assert side.take() == [(2, Close(bytes(32)))]


CAPABILITIES = {
    "missing": None,
    "empty": b"",
    "short": capability(KEY, THEIRS, OURS)[:-1],
    "long": capability(KEY, THEIRS, OURS) + b"\0",
    "zeros": bytes(32),
    "our own, reflected": capability(KEY, OURS, THEIRS),
    "of another drive": capability(OTHER_KEY, THEIRS, OURS),
}


@pytest.mark.parametrize("proof", CAPABILITIES.values(), ids=CAPABILITIES)
def test_a_bad_capability_is_the_remotes_fault(proof: bytes | None) -> None:
    side = Side()
    side.channels.open(KEY)
    side.take()
    with pytest.raises(RemoteProtocolError, match=f"invalid remote capability for drive {KEY}"):
        side.receive(1, Open(DISCOVERY_KEY, proof))
    assert side.events == []
    assert side.take() == []


def test_a_second_open_of_a_drive_needs_its_own_proof() -> None:
    side = Side()
    side.channels.open(KEY)
    side.receive(1, theirs())
    with pytest.raises(RemoteProtocolError, match="invalid remote capability"):
        side.receive(1, Open(DISCOVERY_KEY, bytes(32)))


@pytest.mark.parametrize("number", [1, 5])
def test_a_drive_opened_twice_is_reported_once_and_keeps_the_last_number(number: int) -> None:
    side = Side()
    side.channels.open(KEY)
    side.receive(1, theirs())
    side.receive(number, theirs())
    assert side.events == [DriveOpened(DISCOVERY_KEY)]
    if number != 1:
        side.receive(1, Close())
        assert side.events == [DriveOpened(DISCOVERY_KEY)]
    side.receive(number, Close())
    assert side.events == [DriveOpened(DISCOVERY_KEY), DriveClosed(DISCOVERY_KEY)]


def test_a_drive_that_changes_its_number_keeps_no_old_numbers() -> None:
    side = Side()
    side.channels.open(KEY)
    for number in range(1, 3000):
        side.receive(number, theirs())
    assert len(side.channels.by_number) == 1
    assert side.take() == [(1, ours()), (1, POLITE)]


def test_one_number_for_two_cores() -> None:
    side = Side()
    side.channels.open(KEY)
    side.channels.open(OTHER_KEY)
    side.receive(7, theirs())
    with pytest.raises(RemoteProtocolError, match="opened channel 7 for two cores"):
        side.receive(7, theirs(OTHER_KEY))


def test_number_zero_is_the_streams_own() -> None:
    side = Side()
    side.channels.open(KEY)
    with pytest.raises(RemoteProtocolError, match="channel 0"):
        side.receive(0, theirs())


@pytest.mark.parametrize("message", [Close(), Close(b""), Close(bytes(32)), Close(OTHER_KEY.discovery_key)])
@pytest.mark.parametrize("number", [0, 1, 2, 2**40])
def test_a_close_of_an_unknown_channel_is_ignored(number: int, message: Close) -> None:
    side = Side()
    side.channels.open(KEY)
    side.take()
    side.receive(number, message)
    assert side.take() == []
    assert side.events == []


def test_the_remote_closes() -> None:
    side = Side()
    side.channels.open(KEY)
    side.receive(3, theirs())
    side.take()
    side.receive(3, Close())
    assert side.take() == []
    assert side.events == [DriveOpened(DISCOVERY_KEY), DriveClosed(DISCOVERY_KEY)]
    side.receive(3, Close())
    assert side.take() == []


def test_the_remote_closes_and_opens_again() -> None:
    side = Side()
    side.channels.open(KEY)
    side.receive(3, theirs())
    side.receive(3, Close())
    side.take()
    side.receive(4, theirs())
    assert side.take() == [(1, ours()), (1, POLITE)]
    assert side.events[2:] == [DriveOpened(DISCOVERY_KEY)]


def test_an_offer_that_was_renewed_is_not_repeated() -> None:
    side = Side()
    side.channels.open(KEY)
    side.receive(3, theirs())
    for number in (3, 5):
        side.receive(number, Close())
        side.receive(number + 1, theirs())
        side.take()
        side.receive(number + 2, theirs())  # the same drive moves to another number
        assert side.take() == []


def test_the_remote_refuses_and_opens_later() -> None:
    side = Side()
    side.channels.open(KEY)
    side.take()
    side.receive(1, Close(DISCOVERY_KEY))
    assert side.take() == [(1, Close())]
    assert side.events == []
    side.receive(1, theirs())
    assert side.take() == [(2, ours()), (2, POLITE)]
    assert side.events == [DriveOpened(DISCOVERY_KEY)]


def test_a_second_refusal_is_not_answered() -> None:
    side = Side()
    side.channels.open(KEY)
    for _ in range(3):
        side.receive(1, Close(DISCOVERY_KEY))
    assert side.take() == [(1, ours()), (1, Close())]
    side.receive(1, theirs())
    side.receive(1, Close())
    side.take()
    side.receive(1, Close(DISCOVERY_KEY))  # this drive is no longer offered
    assert side.take() == []


def test_any_open_means_open_on_both_sides() -> None:
    side, seen = Side(), list[bool]()
    steps: tuple[Callable[[], None], ...] = (
        lambda: side.channels.open(KEY),
        lambda: side.receive(3, theirs()),
        lambda: side.receive(3, Close()),
        lambda: side.receive(4, theirs()),
        lambda: side.channels.close(DISCOVERY_KEY),
    )
    for step in steps:
        step()
        seen.append(side.channels.any_open)
    assert seen == [False, True, False, True, False]


def test_our_side_closes() -> None:
    side = Side()
    side.channels.open(KEY)
    side.receive(3, theirs())
    side.take()
    side.channels.close(DISCOVERY_KEY)
    assert side.take() == [(1, Close())]
    side.receive(3, Close())  # the answer
    assert side.take() == []
    assert side.events == [DriveOpened(DISCOVERY_KEY)]


def test_our_side_closes_a_drive_that_the_remote_had_refused() -> None:
    side = Side()
    side.channels.open(KEY)
    side.receive(1, Close(DISCOVERY_KEY))
    side.take()
    side.channels.close(DISCOVERY_KEY)
    assert side.take() == []


def test_no_number_is_used_twice() -> None:
    # hypercore-protocol 8.0.7: recorded in traces/hypercore9-reopen.cbor
    side = Side()
    keys = [DriveKey(bytes([number]) * 32) for number in range(4)]
    for key in keys[:3]:
        side.channels.open(key)
    side.channels.close(keys[1].discovery_key)
    side.channels.open(keys[3])
    assert [number for number, _ in side.take()] == [1, 2, 3, 2, 4]


def test_opening_twice_and_closing_an_unknown_drive_raise_local_errors() -> None:
    side = Side()
    side.channels.open(KEY)
    side.take()
    with pytest.raises(LocalProtocolError, match="already open"):
        side.channels.open(KEY)
    with pytest.raises(LocalProtocolError, match="no drive with discovery key"):
        side.channels.close(OTHER_KEY.discovery_key)
    assert side.take() == []


def test_all_answers_to_the_remote_are_counted_as_answers() -> None:
    side = Side()
    side.channels.open(KEY)
    side.take()
    for number in range(1, 20):
        side.receive(number, theirs())
        side.receive(number, Close())
        side.receive(number, Open(bytes(32)))
    assert side.take() == side.replied


class Line:
    """Two sides, and the messages in flight in each direction, in order."""

    def __init__(self) -> None:
        self.sides = (Side(OURS, THEIRS), Side(THEIRS, OURS))
        self.under_way: tuple[list[tuple[int, ChannelMessage]], list[tuple[int, ChannelMessage]]] = ([], [])
        self.wanted = [False, False]

    def toggle(self, index: int) -> None:
        """Open the drive on one side, or close it."""
        channels = self.sides[index].channels
        if self.wanted[index]:
            channels.close(DISCOVERY_KEY)
        else:
            channels.open(KEY)
        self.wanted[index] = not self.wanted[index]
        self.collect()

    def deliver(self, index: int) -> bool:
        """Deliver the next message to a side. Return whether there was one."""
        waiting = self.under_way[index]
        if waiting:
            self.sides[index].receive(*waiting.pop(0))
            self.collect()
        return bool(waiting)

    def collect(self) -> None:
        for index in (0, 1):
            self.under_way[1 - index].extend(self.sides[index].take())

    def settle(self) -> int:
        """Deliver all messages. Return their number."""
        for count in range(200):
            if not any(self.under_way):
                return count
            self.deliver(0)
            self.deliver(1)
        raise AssertionError("the two sides talk for ever")

    def opened(self, index: int) -> bool:
        channel = self.sides[index].channels.by_key.get(DISCOVERY_KEY)
        return channel is not None and channel.remote is not None


def settled(line: Line) -> bool:
    """Return whether both sides come to rest, and share the drive if and only if both want it."""
    line.settle()
    return [line.opened(0), line.opened(1)] == [all(line.wanted)] * 2


def test_reopening_across_the_remotes_open_comes_to_rest() -> None:
    line = Line()
    for side in (0, 0, 0, 1):  # opened, closed, and opened here, and opened there in the meantime
        line.toggle(side)
    assert settled(line)


def test_sides_that_open_and_close_across_each_other_agree_in_the_end() -> None:
    for seed in range(300):
        generator, line = random.Random(seed), Line()
        for _ in range(generator.randrange(2, 12)):
            if generator.random() < 0.4:
                line.toggle(generator.randrange(2))
            else:
                line.deliver(generator.randrange(2))
        assert settled(line), seed


def test_sides_that_open_and_close_in_turn_agree() -> None:
    generator, line = random.Random(0), Line()
    for _ in range(100):
        line.toggle(generator.randrange(2))
        assert settled(line)
