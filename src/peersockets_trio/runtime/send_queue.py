"""`SendQueue`: the senders that wait until a connection has room, in the order of their arrival.

The contract between senders, the core, and the connection's task:

1. `TopicHandle.send` accepts a message while the outbox is smaller than its `room`, which is `limit` as long
   as nobody waits. Otherwise it returns None, and the sender enters the queue: `async with queue:`.
2. While a sender is in the queue, the outbox is reserved: its `room` is 0, so that no newcomer overtakes.
3. When the task has taken the outbox's chunks, it calls `call_next`. The queue lets one sender at a time into
   its block. There it sends with `in_turn=True`, which counts against `limit` and not against `room`. If that
   returns None as well, the sender enters the queue again, behind the others.
4. At the end of the block, the queue lets the next sender in if there is still room. Once no sender waits,
   it opens the room to all.
5. When the connection has ended, `close` lets in every sender at once, and no sender waits from then
   on. Each sender finds another connection to its peer, or learns that there is none.

A sender that is cancelled while it waits was never let in, and leaves nothing behind.
"""

from __future__ import annotations

import trio

from peersockets_core.outbox import Outbox


class SendQueue:
    """The senders that wait for one connection. As a context manager, it is one turn of the task that enters
    it.
    """

    __slots__ = ("_closed", "_outbox", "_turn_taken", "_waiting")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._waiting = trio.lowlevel.ParkingLot()
        self._turn_taken = False  # whether a sender is in its turn
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def __aenter__(self) -> None:
        """Wait for our turn."""
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        self._outbox.reserve()
        await self._waiting.park()

    async def __aexit__(self, *_: object) -> None:
        """Pass the turn on."""
        self._turn_taken = False
        self.call_next()

    def call_next(self) -> None:
        """Let in the next sender, if no other one is in and there is room; open the room to all if none
        waits.
        """
        if self._turn_taken or self._closed:
            return
        if not self._waiting:
            self._outbox.open()
        elif self._outbox.size < self._outbox.limit:
            self._turn_taken = True
            self._waiting.unpark()

    def close(self) -> None:
        """Let in every sender, because the connection has ended."""
        self._closed = True
        self._outbox.open()
        self._waiting.unpark_all()
