"""`Scheduler`: decides which connection's input is processed next.

Trio gives every task a turn, but a task decides how long its turn lasts. A connection therefore processes its
input in slices, whose size is in `Limits`, and between two slices every other task gets a turn. There are
three classes of connections, each with its own `Lane`: handshakes, whose remotes are unknown; strangers,
which have proved a key but share no drive with us; and members. In each round of Trio's scheduler, a lane
gives one connection a whole slice, in turn by the remote's key. Many connections of one remote therefore get
no more time than one, and a member waits no longer for many strangers than for one.

This costs no task switch as long as there is little to do: a lane has credit for a few slices, and
connections only wait when the credit is used up.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import trio

from peersockets_core import Connection, Limits

from .transport import READ_SIZE

RemoteKey: TypeAlias = bytes | None
"""The remote's public key; None for all remotes that have not proved one."""

HANDSHAKE_ITEMS: Final = 2048
"""Items that one message of a handshake counts for: two or three operations on a curve, which take half a
millisecond."""

_FIRST_ITEMS: Final = 64
"""Items that a member gets for a fresh read without waiting. The few messages of a slow member are therefore
received at once, however busy other members are."""

_CREDIT: Final = 2
"""Slices of a lane before connections must wait for the next round."""


class Lane:
    """The turns of one class of connections."""

    __slots__ = (
        "_called",
        "_credit",
        "_first",
        "_full",
        "_order",
        "_served",
        "_slice",
        "_waiting",
        "read_size",
        "toll",
    )

    def __init__(self, slice_items: int, read_size: int, *, first: int = 0, toll: int = 0) -> None:
        """A turn has `slice_items` items; a fresh read gets `first` of them without waiting."""
        self.read_size = read_size
        """The bytes of one read."""
        self.toll = toll
        """Items that each turn takes in addition to the counted ones."""
        self._slice = slice_items
        self._first = min(first, slice_items)
        self._credit = self._full = _CREDIT * max(slice_items, toll)
        self._called = False  # whether the turn in the next round is taken
        self._served: RemoteKey = None  # the peer that has it
        self._waiting: dict[RemoteKey, trio.lowlevel.ParkingLot] = {}
        self._order: dict[RemoteKey, None] = {}  # the peers that get the following turns, next first

    async def turn(self, peer: RemoteKey, *, fresh: bool) -> int:
        """Wait for the turn of one of a peer's connections; returns the number of items in the turn.

        `fresh` is whether the input has just arrived. Further slices of the same input let others have a turn
        first.
        """
        if fresh:
            if self._credit > 0 and not self._called:
                return self._slice
            if self._first:
                return self._first
        await self._wait(peer)
        return self._slice

    def spend(self, items: int) -> None:
        """Note that a turn has used `items` items."""
        self._credit -= items + self.toll

    async def _wait(self, peer: RemoteKey) -> None:
        """Wait for the next round in which this peer has the turn."""
        if self._called:
            lot = self._waiting.setdefault(peer, trio.lowlevel.ParkingLot())
            if peer != self._served:
                self._order.setdefault(peer)
            await lot.park()
            self._begin_round()
            return
        self._called, self._served = True, peer
        try:
            await trio.lowlevel.checkpoint()
        finally:
            self._begin_round()

    def _begin_round(self) -> None:
        """Begin a round with the peer that was called, and call the peer for the next round."""
        self._credit = self._full
        self._called, served = False, self._served
        while self._order and not self._called:
            self._call(next(iter(self._order)))
        if self._waiting.get(served):
            self._order[served] = None  # after the other peers
            if not self._called:
                self._call(served)
        else:
            self._waiting.pop(served, None)

    def _call(self, peer: RemoteKey) -> None:
        """Give the next turn to a peer, unless all its waiting tasks were cancelled."""
        del self._order[peer]
        if self._waiting[peer].unpark():
            self._called, self._served = True, peer
        else:
            del self._waiting[peer]


class Scheduler:
    """The lanes of one node."""

    def __init__(self, limits: Limits) -> None:
        self.handshakes = Lane(limits.stranger_items, limits.stranger_read, toll=HANDSHAKE_ITEMS)
        self.strangers = Lane(limits.stranger_items, limits.stranger_read)
        self.members = Lane(limits.member_items, READ_SIZE, first=_FIRST_ITEMS)

    def lane(self, connection: Connection, *, is_member: bool) -> Lane:
        """Return the current lane of a connection."""
        if is_member:
            return self.members
        return self.handshakes if connection.remote_public_key is None else self.strangers
