"""Announces our key to the nodes near it, which then relay handshakes to us, and keeps these relays alive.

Source: hyperdht 6.34.0, `lib/announcer.js`.
"""

from __future__ import annotations

import enum
import math
from typing import Final

import attrs

from ..address import SocketAddress
from ..keys import KeyPair
from ..transitions import follow
from .exchange import Exchange
from .messages import MOST_RELAYS, HyperDhtCommand
from .rpc.messages import RpcCommand, RpcErrorCode, RpcResponse
from .rpc.query import Commit, Query, Reply
from .rpc.requests import PendingRequest
from .signing import key_hash, sign_announcement

PING_INTERVAL: Final = 3.0
"""Seconds between pings to a relay. The pings keep our NAT's mapping open, and show whether the relay is
alive."""

_ROUNDS: Final = 100
"""Rounds of pings until we announce again: five minutes."""


class AnnouncerState(enum.Enum):
    """The state of an announcer."""

    IDLE = "idle"
    ANNOUNCING = "announcing"
    KEEPING = "keeping its relays"
    STOPPED = "stopped"


class AnnouncerSignal(enum.Enum):
    """An occurrence that changes the state."""

    ANNOUNCE = "announce"
    ANNOUNCED = "keep relays"
    STOP = "stop"


TRANSITIONS: Final[dict[AnnouncerState, dict[AnnouncerSignal, AnnouncerState]]] = {
    AnnouncerState.IDLE: {
        AnnouncerSignal.ANNOUNCE: AnnouncerState.ANNOUNCING,
        AnnouncerSignal.STOP: AnnouncerState.STOPPED,
    },
    AnnouncerState.ANNOUNCING: {
        AnnouncerSignal.ANNOUNCE: AnnouncerState.ANNOUNCING,
        AnnouncerSignal.ANNOUNCED: AnnouncerState.KEEPING,
        AnnouncerSignal.STOP: AnnouncerState.STOPPED,
    },
    AnnouncerState.KEEPING: {
        AnnouncerSignal.ANNOUNCE: AnnouncerState.ANNOUNCING,
        AnnouncerSignal.STOP: AnnouncerState.STOPPED,
    },
    AnnouncerState.STOPPED: {AnnouncerSignal.ANNOUNCE: AnnouncerState.ANNOUNCING},
}
"""Every legal transition."""


@attrs.frozen
class Listening:
    """Nodes near our key relay handshakes to us from now on. The event repeats whenever these nodes
    change.
    """

    relays: tuple[SocketAddress, ...]


class Announcer:
    """Keeps our key findable."""

    def __init__(self, exchange: Exchange[Listening], key_pair: KeyPair) -> None:
        self.state = AnnouncerState.IDLE
        self.target = key_hash(key_pair.ed25519_public_key)
        self.relays: dict[SocketAddress, SocketAddress] = {}
        """Our relays, each with our address as it sees it."""
        self._exchange = exchange
        self._key_pair = key_pair
        self._query: Query | None = None
        self._former: set[SocketAddress] = set()
        self._nodes: list[SocketAddress] = []
        self._round = 0
        self._pongs_wanted = 0
        self.pings: set[PendingRequest] = set()
        self._withdrawing: dict[PendingRequest, SocketAddress] = {}
        self._next_round = math.inf

    def start(self, now: float) -> None:
        """Announce our key to the nodes closest to it."""
        if self._query is not None:
            return
        self._signal(AnnouncerSignal.ANNOUNCE)
        self._next_round = math.inf
        self._query = self._exchange.query(
            self,
            self.target,
            now,
            command=HyperDhtCommand.FIND_PEER,
            nodes=self._nodes,
            commit=self._announcement,
        )

    def start_anew(self, now: float) -> None:
        """Announce our key again, even if an announcement is in progress, because the answers to it may be
        lost after a change of the network.
        """
        if self._query is not None:
            self._exchange.cancel(self._query)
            self._query = None
        self.start(now)

    def stop(self, now: float) -> None:
        """Withdraw the announcement from every relay that can be reached."""
        self._signal(AnnouncerSignal.STOP)
        self._next_round = math.inf
        if self._query is not None:
            self._exchange.cancel(self._query)
            self._query = None
        for ping in self.pings:
            self._exchange.cancel(ping)
        self.pings.clear()
        for relay in self.relays:
            self._withdraw_from(relay, now)
        self.relays = {}

    @property
    def withdrawing(self) -> bool:
        """Whether some relays have not yet confirmed that they have removed our announcement."""
        return bool(self._withdrawing)

    def next_deadline(self) -> float:
        """Return the time of the next round of pings; infinity for never."""
        return self._next_round

    def handle_deadline(self, now: float) -> None:
        """Ping the relays or announce again, if it is time."""
        if now < self._next_round:
            return
        self._round += 1
        if self._round > _ROUNDS or len(self.relays) < self._pongs_wanted or not self.relays:
            self.start(now)
            return
        self._next_round = now + PING_INTERVAL
        for relay in self.relays:
            ping = self._exchange.request(self, relay, now, command=RpcCommand.PING, internal=True)
            if ping is not None:
                self.pings.add(ping)

    # The results of queries and requests

    def replied(self, query: Query, reply: Reply, now: float) -> None:
        """Ignore the answers of nodes on the way to the closest ones."""

    def finished(self, query: Query, now: float) -> None:
        """Take the nodes that have confirmed our announcement as our relays."""
        self._query = None
        self._nodes = query.closest_nodes
        confirmed = query.confirmed
        self._former = set(self.relays) - {reply.source for reply in confirmed}
        self.relays = {reply.source: reply.to for reply in confirmed}
        self._pongs_wanted = len(self.relays)
        for relay in self._former:
            self._withdraw_from(relay, now)
        self._signal(AnnouncerSignal.ANNOUNCED)
        self._round = 0
        self._next_round = now + PING_INTERVAL
        self._exchange.report(Listening(tuple(self.relays)))

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Note that a relay is alive, or use the token that it has sent: withdrawing needs a token."""
        self.pings.discard(request)
        relay = self._withdrawing.pop(request, None)
        if (
            relay is None
            or request.message.command == HyperDhtCommand.UNANNOUNCE
            or response.error != RpcErrorCode.NONE
        ):
            return
        if response.token is None or response.id is None:
            return
        signed = sign_announcement(
            HyperDhtCommand.UNANNOUNCE, self._key_pair, self.target, response.id, response.token, ()
        )
        self._ask_to_forget(
            relay, now, HyperDhtCommand.UNANNOUNCE, token=response.token, value=signed.encode()
        )

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Drop a relay that is gone. The next round then announces again."""
        if self._withdrawing.pop(request, None) is None and request in self.pings:
            self.pings.discard(request)
            self.relays.pop(request.to, None)

    def _announcement(self, reply: Reply) -> Commit | None:
        """Make the announcement for one of the closest nodes. Its record names no relays, because the node
        itself is one.
        """
        nearest = () if self._query is None else self._query.closest_nodes[:MOST_RELAYS]
        if reply.source not in nearest or reply.token is None or reply.id is None:
            return None
        signed = sign_announcement(
            HyperDhtCommand.ANNOUNCE, self._key_pair, self.target, reply.id, reply.token, ()
        )
        return Commit(HyperDhtCommand.ANNOUNCE, reply.token, signed.encode())

    def _withdraw_from(self, relay: SocketAddress, now: float) -> None:
        """Ask a relay for a token, which the withdrawal needs."""
        self._ask_to_forget(relay, now, HyperDhtCommand.FIND_PEER)

    def _ask_to_forget(
        self, relay: SocketAddress, now: float, command: HyperDhtCommand, **arguments: bytes
    ) -> None:
        request = self._exchange.request(self, relay, now, command=command, target=self.target, **arguments)
        if request is not None:
            self._withdrawing[request] = relay

    def _signal(self, signal: AnnouncerSignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "announcer")
