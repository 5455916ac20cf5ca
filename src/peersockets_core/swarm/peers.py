"""`SwarmPeer`: one peer of a swarm, how often it was tried, and the time of the next attempt.

Source: hyperswarm 4.17.2, `lib/peer-info.js` and `lib/retry-timer.js`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Final

import attrs

from ..address import SocketAddress
from ..transitions import follow

LASTING: Final = 15.0
"""Seconds. After a connection that lasted this long, retries start over."""

_SHORT, _MEDIUM, _LONG, _VERY_LONG = 1.0, 5.0, 15.0, 600.0
_AFTER_CONNECTING: Final = (_SHORT, _SHORT, _MEDIUM, _LONG)
_BEFORE_CONNECTING: Final = (_SHORT, _MEDIUM, _LONG, _LONG)
"""Seconds until the next attempt, by the number of attempts that have failed so far."""

_EARLIEST, _SPREAD = 0.66, 0.66  # each wait is multiplied by a random factor from 0.66 to 1.32


class PeerState(enum.Enum):
    """How far the swarm has come with a peer."""

    IDLE = "idle"
    QUEUED = "queued"
    """The swarm dials it as soon as there is room."""
    DIALLING = "being dialled"
    CONNECTED = "connected"
    WAITING = "waiting"
    """The swarm tries it again at its `retry_at`."""


class PeerSignal(enum.Enum):
    """An occurrence that changes the state."""

    QUEUE = "queue"
    DIAL = "dial"
    CONNECT = "connect"
    WAIT = "wait"
    GIVE_UP = "give up"


_ALWAYS: Final = {PeerSignal.CONNECT: PeerState.CONNECTED, PeerSignal.GIVE_UP: PeerState.IDLE}
_READY: Final = {PeerSignal.QUEUE: PeerState.QUEUED, PeerSignal.DIAL: PeerState.DIALLING, **_ALWAYS}
_BUSY: Final = {PeerSignal.WAIT: PeerState.WAITING, **_ALWAYS}

TRANSITIONS: Final[dict[PeerState, dict[PeerSignal, PeerState]]] = {
    PeerState.IDLE: _READY,
    PeerState.QUEUED: {PeerSignal.DIAL: PeerState.DIALLING, **_ALWAYS},
    PeerState.DIALLING: _BUSY,
    PeerState.CONNECTED: _BUSY,
    PeerState.WAITING: _READY,
}
"""Every legal transition."""


PRIORITIES: Final = range(5)
_BY_ATTEMPTS: Final = (2, 4, 3, 1)
"""The priority by the number of attempts: a peer that was just lost comes first."""


@attrs.define(eq=False)
class SwarmPeer:
    """A public key that the swarm knows."""

    public_key: bytes
    relays: tuple[SocketAddress, ...] = ()
    topics: set[bytes] = attrs.field(factory=set)
    """The topics under which it was found."""
    state: PeerState = PeerState.IDLE
    attempts: int = 0
    """The number of dials that failed, and connections that ended, since the last one that lasted."""
    proven: bool = False
    """Whether a dial has ever succeeded."""
    postponements: int = 0
    """The number of dials that were postponed, since the last connection or search that found the peer."""
    retry_at: float = math.inf
    connected_at: float = math.nan
    _file: Callable[[SwarmPeer], None] = attrs.field(default=lambda peer: None, alias="file", repr=False)
    """A function that is called after each change, so that the owner can file the peer again."""

    def signal(self, signal: PeerSignal, retry_at: float = math.inf) -> None:
        """Change the state; `retry_at` is for WAIT. Raises `LocalProtocolError` for an illegal signal."""
        self.state = follow(TRANSITIONS, self.state, signal, "peer")
        self.retry_at = retry_at
        self._file(self)

    @property
    def priority(self) -> int:
        """One of `PRIORITIES`: the larger, the sooner it is dialled."""
        return _BY_ATTEMPTS[self.attempts] if self.attempts < len(_BY_ATTEMPTS) else 0

    def connected(self, now: float) -> None:
        """Note that a connection exists, no matter which side dialled."""
        self.proven = True
        self.postponements = 0
        self.connected_at = now
        self.signal(PeerSignal.CONNECT)

    def failed(self, now: float, wanted: bool, chance: float) -> None:
        """Note that a dial has failed or a connection has ended; `chance`, from 0 to 1, spreads retries in
        time.
        """
        if self.state is PeerState.CONNECTED and now - self.connected_at >= LASTING:
            self.attempts = 0
        waits = _AFTER_CONNECTING if self.proven else _BEFORE_CONNECTING
        self.attempts += 1
        if not wanted or self.attempts >= len(waits):
            self.signal(PeerSignal.GIVE_UP)
            return
        self.signal(PeerSignal.WAIT, now + waits[self.attempts] * (_EARLIEST + _SPREAD * chance))

    def postponed(self, until: float) -> None:
        """Note that a dial has to wait for another punch through a random NAT, which is no failed attempt."""
        self.postponements += 1
        self.signal(PeerSignal.WAIT, until)

    def found_again(self) -> None:
        """Note that a search has found it again, so that it may be back."""
        self.postponements = 0
        if self.attempts > 3:
            self.attempts = 0
            self.proven = False
            self._file(self)

    def network_changed(self) -> None:
        """Forget earlier failures, which mean nothing on another network, and retry a waiting peer now."""
        if self.state is PeerState.WAITING:
            self.attempts = 0
            self.signal(PeerSignal.QUEUE)
