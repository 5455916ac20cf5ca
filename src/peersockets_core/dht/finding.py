"""`RelayFinder`: finds the nodes that relay to a key, and sends a handshake through several of them.

Source: hyperdht 6.34.0, `lib/connect.js` (`findAndConnect`).
"""

from __future__ import annotations

import enum
import math
from collections import deque
from typing import Final, Never, Protocol

from ..address import SocketAddress
from ..transitions import follow
from .exchange import Exchange
from .messages import HyperDhtCommand
from .rpc.messages import RpcResponse
from .rpc.query import Query, Reply
from .rpc.requests import PendingRequest

_PARALLEL: Final = 2  # relays that carry the handshake at the same time
_PARALLEL_WITH_KNOWN_RELAYS: Final = 3

_HEAD_START: Final = 0.1
"""Seconds for which known relays are tried before a search for others begins. Most answer sooner, and a
search asks twenty nodes. The reference searches at the same time."""


class FinderState(enum.Enum):
    """The state of a finder."""

    KNOWN = "trying the known relays"
    SEARCHING = "searching for others"
    SEARCHED = "trying the last relays"
    """The search is over."""
    OVER = "over"


class FinderSignal(enum.Enum):
    """An occurrence that changes the state."""

    SEARCH = "search"
    END_SEARCH = "end the search"
    STOP = "stop"


_STOP: Final = {FinderSignal.STOP: FinderState.OVER}

TRANSITIONS: Final[dict[FinderState, dict[FinderSignal, FinderState]]] = {
    FinderState.KNOWN: {FinderSignal.SEARCH: FinderState.SEARCHING, **_STOP},
    FinderState.SEARCHING: {FinderSignal.END_SEARCH: FinderState.SEARCHED, **_STOP},
    FinderState.SEARCHED: _STOP,
    FinderState.OVER: {},
}
"""Every legal transition."""


class FinderOwner(Protocol):
    """The methods of a dial that its finder calls."""

    def relay_answered(self, relay: SocketAddress, response: RpcResponse, now: float) -> None:
        """Take in a relay's answer. The finder goes on unless the owner stops it."""

    def relays_exhausted(self, reason: str, now: float) -> None:
        """Note that no relay is left; `reason` is for people to read."""


class RelayFinder:
    """The search of one dial for relays."""

    def __init__(
        self,
        owner: FinderOwner,
        exchange: Exchange[Never],
        target: bytes,
        message: bytes,
        relays: tuple[SocketAddress, ...],
    ) -> None:
        """Prepare; `message` is the handshake for the key with the hash `target`, and `relays` are the known
        relays.
        """
        self.state = FinderState.KNOWN
        """Where it looks for relays."""
        self.attempts = 0
        """The number of nodes through which the handshake was sent."""
        self.tried: set[SocketAddress] = set()
        """The relays to which the handshake was sent."""
        self._owner = owner
        self._exchange = exchange
        self._target = target
        self._message = message
        self._relays = relays
        self._to_try = deque(relays)
        self._most = _PARALLEL_WITH_KNOWN_RELAYS if relays else _PARALLEL
        self._handshakes: dict[PendingRequest, None] = {}  # an ordered set of those on their way
        self._query: Query | None = None
        self._search_at = math.inf

    def begin(self, now: float) -> None:
        """Try the known relays; search for others soon, or at once if there are none."""
        self._search_at = now + _HEAD_START
        self._try_next(now)
        if not self._handshakes:
            self._search(now)

    def stop(self) -> None:
        """Forget everything that is unanswered. Calling it twice is fine."""
        if self.state is FinderState.OVER:
            return
        self._signal(FinderSignal.STOP)
        self._search_at = math.inf
        for asked in (*self._handshakes, self._query):
            if asked is not None:
                self._exchange.cancel(asked)
        self._handshakes.clear()
        self._to_try.clear()

    def next_deadline(self) -> float:
        """Return the time at which to call `handle_deadline`; infinity for never."""
        return self._search_at

    def handle_deadline(self, now: float) -> None:
        """Search for other relays, if it is time."""
        if self._search_at <= now:
            self._search(now)

    # The methods of `Searcher` and `Requester`

    def replied(self, query: Query, reply: Reply, now: float) -> None:
        """Take in a node's answer. A node that knows the key relays to it."""
        if reply.value is not None:
            self._to_try.append(reply.source)
            self._try_next(now)

    def finished(self, query: Query, now: float) -> None:
        """Note that all nodes near the key have been asked."""
        self._signal(FinderSignal.END_SEARCH)
        self._end_if_exhausted(now)

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Hand the remote's answer that a relay has sent, or a relay's refusal, to the dial."""
        del self._handshakes[request]
        self._owner.relay_answered(request.to, response, now)
        self._go_on(now)

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Note that a relay does not answer."""
        del self._handshakes[request]
        self._go_on(now)

    # Inside

    def _search(self, now: float) -> None:
        """Search for nodes that relay to the key."""
        self._signal(FinderSignal.SEARCH)
        self._search_at = math.inf
        command = HyperDhtCommand.FIND_PEER
        self._query = self._exchange.query(self, self._target, now, command=command, nodes=self._relays)

    def _try_next(self, now: float) -> None:
        while self._to_try and len(self._handshakes) < self._most:
            relay = self._to_try.popleft()
            if relay in self.tried:
                continue
            self.tried.add(relay)
            handshake = self._exchange.request(
                self,
                relay,
                now,
                command=HyperDhtCommand.PEER_HANDSHAKE,
                target=self._target,
                value=self._message,
            )
            if handshake is not None:
                self.attempts += 1
                self._handshakes[handshake] = None

    def _go_on(self, now: float) -> None:
        """Try the next relays; without any, search at once; end if the search is over as well."""
        if self.state is FinderState.OVER:
            return
        self._try_next(now)
        if self.state is FinderState.KNOWN and not self._handshakes:
            self._search(now)
        self._end_if_exhausted(now)

    def _end_if_exhausted(self, now: float) -> None:
        if self.state is FinderState.SEARCHED and not self._handshakes and not self._to_try:
            self._owner.relays_exhausted(
                f"the peer did not answer through any of {self.attempts} relays"
                if self.attempts
                else "no node of the DHT knows the peer: it is not listening",
                now,
            )

    def _signal(self, signal: FinderSignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "search for relays")
