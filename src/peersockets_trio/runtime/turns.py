"""`Turns`: whose input is worked through next.

Trio gives every task its turn, but a turn is as long as the task makes it. So a connection works through what
it has read in slices of `Limits`, and between two of them every other task has its turn. Connections are of
three classes, and each class has a `Lane` of its own: handshakes, whose remotes nobody knows yet; strangers,
which have proved a key and share no drive with us; and members. In each round of Trio's scheduler, a lane
lets one connection have a whole slice, in turns by the remote's key: many connections of one remote get no
more of the time than one, and a member waits no longer for many strangers than for one.

Nothing of that costs a switch of tasks as long as there is little to do: a lane has credit for a few slices,
and only when it is used up does anybody wait.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import trio

from peersockets_core import Connection, Limits

from .transport import READ_SIZE

Peer: TypeAlias = bytes | None
"""The remote's public key; None for all remotes that have not proved one."""

HANDSHAKE_ITEMS: Final = 2048
"""What one message of a handshake counts: two or three operations on a curve, half a millisecond."""

_FIRST_ITEMS: Final = 64
"""What a member gets of a fresh read without waiting: the few messages of somebody who is not in a hurry are
heard at once, however many others are."""

_CREDIT: Final = 2
"""Slices of a lane until somebody has to wait for the next round."""


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
        """A turn is `slice_items`; `first` of them are given for a fresh read without waiting."""
        self.read_size = read_size
        """Bytes to read at a time."""
        self.toll = toll
        """Items that each turn takes beside those that are counted."""
        self._slice = slice_items
        self._first = min(first, slice_items)
        self._credit = self._full = _CREDIT * max(slice_items, toll)
        self._called = False  # whether the turn of the next round has been given
        self._served: Peer = None  # to whom
        self._waiting: dict[Peer, trio.lowlevel.ParkingLot] = {}
        self._order: dict[Peer, None] = {}  # whose turn comes after that, the next first

    async def turn(self, peer: Peer, *, fresh: bool) -> int:
        """Wait for the turn of one of a peer's connections; returns how many items it is.

        `fresh` is for what has just come in; what goes on with the rest of it lets others have a turn before.
        """
        if fresh:
            if self._credit > 0 and not self._called:
                return self._slice
            if self._first:
                return self._first
        await self._wait(peer)
        return self._slice

    def spend(self, items: int) -> None:
        """A turn has taken so many items."""
        self._credit -= items + self.toll

    async def _wait(self, peer: Peer) -> None:
        """Wait for the next round in which it is this peer's turn."""
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
        """A round has begun with the one that was called: call who is to have the turn of the next."""
        self._credit = self._full
        self._called, served = False, self._served
        while self._order and not self._called:
            self._call(next(iter(self._order)))
        if self._waiting.get(served):
            self._order[served] = None  # behind the other peers
            if not self._called:
                self._call(served)
        else:
            self._waiting.pop(served, None)

    def _call(self, peer: Peer) -> None:
        """Give the next turn to a peer, unless all that waited have been cancelled."""
        del self._order[peer]
        if self._waiting[peer].unpark():
            self._called, self._served = True, peer
        else:
            del self._waiting[peer]


class Turns:
    """The lanes of one node."""

    def __init__(self, limits: Limits) -> None:
        self.handshakes = Lane(limits.stranger_items, limits.stranger_read, toll=HANDSHAKE_ITEMS)
        self.strangers = Lane(limits.stranger_items, limits.stranger_read)
        self.members = Lane(limits.member_items, READ_SIZE, first=_FIRST_ITEMS)

    def lane(self, connection: Connection, *, is_member: bool) -> Lane:
        """The lane of a connection, as long as it is what it is."""
        if is_member:
            return self.members
        return self.handshakes if connection.remote_public_key is None else self.strangers
