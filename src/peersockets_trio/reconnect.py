"""`KeptConnection`: a connection to one address that is reconnected whenever it ends."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import attrs
import trio

from peersockets_core import Address, PeersocketsError, WireName
from peersockets_core.info import ConnectionInfo

from .runtime.connection_task import ConnectionTask
from .runtime.node_runtime import NodeRuntime
from .runtime.receiver import Receiver
from .runtime.telemetry import explain

_UNREAD_EVENTS: Final = 64
"""The most unread events: half an hour of a dead address. If there are more, the oldest are dropped."""

_NOT_CONNECTED = (OSError, PeersocketsError, trio.BrokenResourceError)


@attrs.frozen(kw_only=True)
class Backoff:
    """The waits before further dials. Times are in seconds."""

    first: float = 1.0
    """The wait after the first failure, as in hyperswarm 4.17.2. A peer that restarts is back in about a
    second."""
    factor: float = 2.0
    """The factor by which the wait grows with each further failure in a row."""
    longest: float = 60.0
    """The longest wait. One dial a minute costs next to nothing, and we reach a peer that returns after a
    night within a minute."""
    steady: float = 15.0
    """After a connection that lasted this long, failures are counted from zero (hyperswarm 4.17.2). A
    shorter one counts as a failure; otherwise, we would dial a peer that sends everyone away again and
    again."""
    jitter: tuple[float, float] = (0.66, 1.32)
    """Each wait is multiplied by a random factor between these (hyperswarm 4.17.2), so that nodes that
    lost the same peer do not all return at once."""
    random: Callable[[], float] = random.random
    """A function that returns random numbers from 0 to 1."""

    def seconds(self, failures: int) -> float:
        """Return the wait in seconds after `failures` failures in a row, which must be at least one."""
        exact = self.first
        for _ in range(failures - 1):
            exact = min(exact * self.factor, self.longest)
            if exact == self.longest:
                break
        low, high = self.jitter
        return exact * (low + (high - low) * self.random())


DEFAULT_BACKOFF: Final = Backoff()


@attrs.frozen
class Connected:
    """The peer is connected, because we or the peer dialled."""

    info: ConnectionInfo


@attrs.frozen
class Disconnected:
    """The peer is not connected, or no longer connected."""

    reason: str
    """The reason, for people; empty if the peer closed in good order."""
    retry_in: float
    """Seconds until the next dial."""
    error: Exception | None = None
    """The error of the dial, or None if a connection had existed."""


KeptConnectionEvent: TypeAlias = Connected | Disconnected
"""An event of a kept connection."""


class _Feed:
    """The queue of events."""

    def __init__(self) -> None:
        self.events: deque[KeptConnectionEvent] = deque(maxlen=_UNREAD_EVENTS)
        self.closed = False

    def __len__(self) -> int:
        return len(self.events)

    def close(self) -> None:
        self.closed = True
        self.events.clear()


class KeptConnection(Receiver):
    """A kept connection, made by `Node.keep_connected`. It is also a feed of `Connected` and `Disconnected`
    events.

    Reading the feed is optional: if there are more than 64 unread events, the oldest are dropped.
    """

    _handle: _Feed

    def __init__(
        self,
        runtime: NodeRuntime,
        address: tuple[str, int],
        wire: WireName,
        expect: bytes | None,
        dial: Callable[[], Awaitable[ConnectionTask]],
        backoff: Backoff,
    ) -> None:
        super().__init__(runtime.affinity)
        self.address = Address(*address)
        """The host and port to dial."""
        self.wire = wire
        self.connected: ConnectionInfo | None = None
        """The facts of the current connection, no matter which side dialled; None if there is none."""
        self._handle = _Feed()
        self._runtime = runtime
        self._key = expect
        self._dial = dial
        self._backoff = backoff
        self._dialled: ConnectionTask | None = None
        self._scope = trio.CancelScope()

    def close(self) -> None:
        """Stop dialling, and close the connection if we dialled it. Accepted messages are still sent.

        A task that waits in `receive` gets `trio.ClosedResourceError`. Closing twice is fine.
        """
        super().close()
        self._scope.cancel()
        self.connected = None
        if self._dialled is not None:
            self._dialled.finish(self._runtime.limits.linger)

    async def receive(self) -> KeptConnectionEvent:
        """Wait for the next event and return it. It checkpoints as `Topic.receive` does.

        Raises `trio.ClosedResourceError` if it is closed here or with the node, and
        `trio.BusyResourceError` for a second receiver.
        """
        await self._until_news()
        return self._handle.events.popleft()

    def receive_nowait(self) -> KeptConnectionEvent:
        """Return the next event without waiting. Raises `trio.WouldBlock` if there is none."""
        self._check_news()
        return self._handle.events.popleft()

    async def __anext__(self) -> KeptConnectionEvent:
        return await self.receive()

    async def run(self) -> None:
        """Dial for ever. The node calls this."""
        failures = 0
        with self._scope:
            while not self.closed and not self._runtime.closed:
                error, steady = None, False
                try:
                    reason, seconds = await self._connect_and_stay()
                    steady = seconds >= self._backoff.steady
                except _NOT_CONNECTED as raised:
                    error, reason = raised, explain(raised, self.address)
                failures = 1 if steady else failures + 1
                if not self._runtime.closed:
                    await self._wait(Disconnected(reason, self._backoff.seconds(failures), error))

    async def _connect_and_stay(self) -> tuple[str, float]:
        """Connect; returns the reason why the connection ended, and its duration in seconds. Raises as
        `Node.connect_tcp` does.
        """
        task = self._standing()
        if task is None:
            task = self._dialled = await self._dial()
            self._key = task.facts().public_key
        self.connected = task.facts()
        self._report(Connected(self.connected))
        began = trio.current_time()
        reason = task.reason
        # If both sides have dialled, folding ends one connection, and the other one is as good.
        while (task := self._standing()) is not None:
            self.connected = task.facts()
            await self._runtime.changed.park()
            reason = task.reason
        self.connected = self._dialled = None
        return reason, trio.current_time() - began

    async def _wait(self, event: Disconnected) -> None:
        self._report(event)
        self._runtime.telemetry.retrying(self.address, self.wire, event.retry_in, event.error)
        with trio.move_on_after(event.retry_in):
            while self._standing() is None:
                await self._runtime.changed.park()

    def _standing(self) -> ConnectionTask | None:
        """Return the existing connection to the peer's key, no matter which side dialled, or None.

        As in hyperswarm 4.17.2, we do not dial a key that is connected.
        """
        if self._key is None:
            return None
        connection = self._runtime.machine.connection_to(self.wire, self._key)
        return None if connection is None else connection.owner

    def _report(self, event: KeptConnectionEvent) -> None:
        self._handle.events.append(event)
        self.wake()
