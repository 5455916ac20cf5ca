"""`KeptConnection`: a connection to one address that is made anew whenever it ends."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import attrs
import trio

from peersockets_core import Address, PeersocketsError, WireName

from .info import ConnectionInfo
from .runtime.connection_task import ConnectionTask
from .runtime.node_runtime import NodeRuntime
from .runtime.receiver import Receiver
from .runtime.report import explain

_UNREAD_EVENTS: Final = 64
"""Events kept for a reader that does not read; of more, the oldest go. Half an hour of a dead address."""

_NOT_CONNECTED = (OSError, PeersocketsError, trio.BrokenResourceError)


@attrs.frozen(kw_only=True)
class Backoff:
    """How long to wait before dialling again; times in seconds."""

    first: float = 1.0
    """After the first failure, as in hyperswarm 4.17.2: a peer that restarts is back in about a second."""
    factor: float = 2.0
    """Each further failure in a row waits so much longer than the one before."""
    longest: float = 60.0
    """A dial a minute costs nobody anything, and who comes back after a night is met within it."""
    steady: float = 15.0
    """A connection that lasted so long was a good one, and failures are counted anew (hyperswarm 4.17.2).
    One that ends sooner counts as a failure, or a peer that sends everybody away would be stormed."""
    jitter: tuple[float, float] = (0.66, 1.32)
    """A wait is multiplied by something between these (hyperswarm 4.17.2), so that those who lost the same
    peer do not all come back at once."""
    random: Callable[[], float] = random.random
    """Gives numbers from 0 to 1."""

    def seconds(self, failures: int) -> float:
        """How long to wait after so many failures in a row, at least one."""
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
    """The peer is connected: by our dialling, or because it has dialled us."""

    info: ConnectionInfo


@attrs.frozen
class Disconnected:
    """The peer is not connected, or no longer."""

    reason: str
    """For people; empty where the peer closed in good order."""
    retry_in: float
    """Seconds until it is dialled again."""
    error: Exception | None = None
    """What the dialling failed with, or None where a connection had come about."""


KeptConnectionEvent: TypeAlias = Connected | Disconnected


class _Feed:
    """Events that wait to be taken."""

    def __init__(self) -> None:
        self.events: deque[KeptConnectionEvent] = deque(maxlen=_UNREAD_EVENTS)
        self.closed = False

    def __len__(self) -> int:
        return len(self.events)

    def close(self) -> None:
        self.closed = True
        self.events.clear()


class KeptConnection(Receiver):
    """Made by `Node.keep_connected`; a feed of `Connected` and `Disconnected` besides.

    The feed need not be read: of more than 64 unread events the oldest are dropped.
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
        super().__init__(runtime.home)
        self.address = Address(*address)
        """Host and port that are dialled."""
        self.wire = wire
        self.connected: ConnectionInfo | None = None
        """The facts of the connection there is now, whoever dialled it; None if there is none."""
        self._handle = _Feed()
        self._runtime = runtime
        self._key = expect
        self._dial = dial
        self._backoff = backoff
        self._dialled: ConnectionTask | None = None
        self._scope = trio.CancelScope()

    def close(self) -> None:
        """Dial no more, and close the connection if it was dialled here; what was accepted is still sent.

        A task that waits in `receive` gets `trio.ClosedResourceError`. Closing twice is fine.
        """
        super().close()
        self._scope.cancel()
        self.connected = None
        if self._dialled is not None:
            self._dialled.finish(self._runtime.limits.linger)

    async def receive(self) -> KeptConnectionEvent:
        """Return the next event, waiting for it; checkpoints as `Topic.receive` does.

        Raises `trio.ClosedResourceError` when closed here or with the node, `trio.BusyResourceError` for a
        second receiver.
        """
        await self._until_news()
        return self._handle.events.popleft()

    def receive_nowait(self) -> KeptConnectionEvent:
        """Return the next event. Raises `trio.WouldBlock` if there is none."""
        self._check_news()
        return self._handle.events.popleft()

    async def __anext__(self) -> KeptConnectionEvent:
        return await self.receive()

    async def run(self) -> None:
        """Dial for ever (called by the node)."""
        failures = 0
        with self._scope:
            while not self.closed and not self._runtime.closed:
                error, steady = None, False
                try:
                    reason, seconds = await self._connect_and_stay()
                    steady = seconds >= self._backoff.steady
                except _NOT_CONNECTED as raised:
                    error, reason = raised, explain(raised)
                failures = 1 if steady else failures + 1
                if not self._runtime.closed:
                    await self._wait(Disconnected(reason, self._backoff.seconds(failures), error))

    async def _connect_and_stay(self) -> tuple[str, float]:
        """Connect; returns why that ended, and after how many seconds. Raises as `Node.connect_tcp`."""
        task = self._standing()
        if task is None:
            task = self._dialled = await self._dial()
            self._key = task.facts().public_key
        self.connected = task.facts()
        self._tell(Connected(self.connected))
        began = trio.current_time()
        reason = task.reason
        # Where both sides have dialled, one connection is folded away and the other is as good.
        while (task := self._standing()) is not None:
            self.connected = task.facts()
            await self._runtime.changed.park()
            reason = task.reason
        self.connected = self._dialled = None
        return reason, trio.current_time() - began

    async def _wait(self, event: Disconnected) -> None:
        self._tell(event)
        self._runtime.report.retrying(self.address, self.wire, event.retry_in, event.error)
        with trio.move_on_after(event.retry_in):
            while self._standing() is None:
                await self._runtime.changed.park()

    def _standing(self) -> ConnectionTask | None:
        """The connection to the peer's key that there is, whoever dialled it.

        A key that is connected is not dialled (hyperswarm 4.17.2).
        """
        if self._key is None:
            return None
        connection = self._runtime.machine.connection_to(self.wire, self._key)
        return None if connection is None else connection.owner

    def _tell(self, event: KeptConnectionEvent) -> None:
        self._handle.events.append(event)
        self.wake()
