"""`Relaying`: meets peers through blind relays, where hole punching alone may fail.

Both sides dial the relay that one of them has named in the handshake, and name the same token there. The
relay then forwards the packets of their streams, which stay encrypted from end to end. Source: hyperdht
6.34.0, `lib/connect.js`, `lib/server.js` and `lib/relay-connection.js`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Final, Generic, TypeAlias, TypeVar

import attrs

from ..address import PathAddress
from ..errors import RemoteProtocolError
from ..keys import Entropy
from ..transitions import follow
from ..wires.keys import Keys
from .blind_relay import PAIRING_TOKEN_SIZE, BlindRelayClient, Pair
from .limits import HyperDhtLimits
from .messages import RelayThrough
from .signing import is_key

UNUSABLE_RELAY: Final = "the blind relay has no valid key, or this node uses as many relays as it may"

D = TypeVar("D")
"""The type of the dials of a node."""


class PairingState(enum.Enum):
    """The state of a pairing.

    OFFERED ──dial──▶ DIALLING ──reach──▶ WAITING ──pair──▶ PAIRED
       │                 │                   │                 │
       └─────────────────┴───────end─────────┴─────────────────┴──▶ OVER
    """

    OFFERED = "offered"
    """The application has not dialled the relay yet."""
    DIALLING = "dialling the relay"
    WAITING = "waiting for the peer"
    """The relay is connected, and the peer is not there yet."""
    PAIRED = "paired"
    """The relay forwards the stream."""
    OVER = "over"


class PairingSignal(enum.Enum):
    """An occurrence that changes the state."""

    DIAL = "dial"
    REACH = "reach"
    PAIR = "pair"
    END = "end"


_END: Final = {PairingSignal.END: PairingState.OVER}

TRANSITIONS: Final[dict[PairingState, dict[PairingSignal, PairingState]]] = {
    PairingState.OFFERED: {PairingSignal.DIAL: PairingState.DIALLING, **_END},
    PairingState.DIALLING: {PairingSignal.REACH: PairingState.WAITING, **_END},
    PairingState.WAITING: {PairingSignal.PAIR: PairingState.PAIRED, **_END},
    PairingState.PAIRED: _END,
    PairingState.OVER: {},
}
"""Every legal transition."""


@attrs.frozen
class RelayOffered:
    """A peer may be met at a blind relay. The caller opens a stream to the relay, and calls
    `HyperDht.dial_relay`.
    """

    pairing: Pairing


@attrs.frozen
class RelayReached:
    """A blind relay has been dialled. The caller connects the stream to it, passes its bytes to
    `HyperDht.receive_from_relay`, and sends `Pairing.data_to_send`.
    """

    pairing: Pairing
    remote_stream_id: int
    address: PathAddress | None
    """The address of the relay's stream, as in `Dialled`."""


@attrs.frozen
class Relayed:
    """A blind relay forwards the stream between us and a peer. The caller connects the peer's stream to the
    relay's `remote_stream_id`, at the address of the stream to the relay.
    """

    pairing: Pairing
    remote_stream_id: int


@attrs.frozen
class Upgraded:
    """A relayed stream has found a direct path. The caller calls `Stream.change_remote` with the id and the
    address, sends an empty message, and calls `HyperDht.end_relay` once the peer's packets come that way.
    """

    pairing: Pairing
    remote_stream_id: int
    address: PathAddress


@attrs.frozen
class RelayClosed:
    """A pairing is over. The caller ends the stream to the relay, and a peer's stream that still uses it."""

    pairing: Pairing
    reason: str
    """A reason for people to read; empty if we ended it ourselves."""


RelayingEvent: TypeAlias = RelayOffered | RelayReached | Relayed | Upgraded | RelayClosed
"""An event of a pairing."""


@attrs.define(eq=False)
class Pairing:
    """One attempt to meet a peer at a blind relay, and the relayed stream that comes of it."""

    through: RelayThrough
    initiator: bool
    """Whether we have named the relay."""
    keys: Keys
    """The keys of the stream between us and the peer."""
    stream_id: int
    """Our stream to the peer."""
    remote_stream_id: int
    """The peer's own stream, for a direct path."""
    expires: float
    on_paired: Callable[[float], None]
    on_failed: Callable[[str, float], None]
    """Called with a reason for people to read, if the two do not meet at the relay."""
    state: PairingState = attrs.field(default=PairingState.OFFERED, init=False)
    client: BlindRelayClient | None = attrs.field(default=None, init=False)
    """Our end of the connection to the relay, once that is reached."""

    @property
    def pending(self) -> bool:
        """Whether the two may still meet at the relay."""
        return self.state not in (PairingState.PAIRED, PairingState.OVER)

    def data_to_send(self) -> bytes:
        """Return the bytes to send to the relay."""
        return b"" if self.client is None else self.client.data_to_send()

    def signal(self, signal: PairingSignal) -> None:
        """Change the state. Raises `LocalProtocolError` for an illegal signal."""
        self.state = follow(TRANSITIONS, self.state, signal, "pairing")


class Relaying(Generic[D]):
    """The pairings of one node."""

    def __init__(
        self,
        report: Callable[[RelayingEvent], None],
        public_key: bytes,
        entropy: Entropy,
        limits: HyperDhtLimits,
        *,
        cancel_dial: Callable[[D, float], None],
    ) -> None:
        self.pairings: set[Pairing] = set()
        self._report = report
        self._public_key = public_key
        self._entropy = entropy
        self._limits = limits
        self._cancel_dial = cancel_dial
        self._dials: dict[D, Pairing] = {}

    def invite(self, relay: bytes) -> RelayThrough:
        """Return an offer to meet at a relay."""
        return RelayThrough(relay, self._entropy(PAIRING_TOKEN_SIZE))

    def offer(
        self,
        through: RelayThrough,
        initiator: bool,
        keys: Keys,
        streams: tuple[int, int],
        now: float,
        *,
        on_paired: Callable[[float], None],
        on_failed: Callable[[str, float], None],
    ) -> Pairing | None:
        """Begin to meet the peer at a relay; `streams` are the ids of our stream and the peer's.

        Returns None if the relay has no valid key, is one of the two, or is one too many (`UNUSABLE_RELAY`).
        """
        relay = through.public_key
        if (
            not is_key(relay)
            or relay in (self._public_key, keys.remote_public_key)
            or len(self.pairings) >= self._limits.pairings
        ):
            return None
        expires = now + self._limits.relay_time
        pairing = Pairing(through, initiator, keys, *streams, expires, on_paired, on_failed)
        self.pairings.add(pairing)
        self._report(RelayOffered(pairing))
        return pairing

    # Time

    def next_deadline(self) -> float:
        """Return the time at which to call `handle_deadline`; infinity for never."""
        if not self.pairings:  # the usual case
            return math.inf
        return min((pairing.expires for pairing in self.pairings if pairing.pending), default=math.inf)

    def handle_deadline(self, now: float) -> None:
        """End the pairings that have taken too long."""
        for pairing in [pairing for pairing in self.pairings if pairing.pending and pairing.expires <= now]:
            reached = pairing.state is PairingState.WAITING
            self.end(pairing, now, "the peer did not come to it" if reached else "it does not answer")

    # The relay

    def dialling(self, pairing: Pairing, dial: D) -> None:
        """Note that the relay is being dialled."""
        pairing.signal(PairingSignal.DIAL)
        self._dials[dial] = pairing

    def takes(self, dial: D) -> bool:
        """Return whether a dial is that of a relay."""
        return dial in self._dials

    def reached(self, dial: D, keys: Keys, remote_stream_id: int, address: PathAddress | None) -> None:
        """Ask a relay that has been dialled for the pairing."""
        pairing = self._dials.pop(dial)
        pairing.signal(PairingSignal.REACH)
        pair = Pair(pairing.initiator, pairing.through.token, pairing.stream_id)
        pairing.client = BlindRelayClient(
            keys, self._public_key, pair, entropy=self._entropy, limits=self._limits
        )
        self._report(RelayReached(pairing, remote_stream_id, address))

    def not_reached(self, dial: D, reason: str, now: float) -> None:
        """End the pairing of a relay that could not be dialled."""
        self.end(self._dials.pop(dial), now, reason)

    def receive(self, pairing: Pairing, data: bytes, now: float) -> None:
        """Take in bytes from a relay; a fault of the relay ends the pairing."""
        client = pairing.client
        if client is None or pairing.state is PairingState.OVER:
            return
        try:
            client.receive_data_untrusted(data)
        except RemoteProtocolError as error:
            self.end(pairing, now, str(error))
            return
        if client.remote_id is not None and pairing.state is PairingState.WAITING:
            pairing.signal(PairingSignal.PAIR)
            self._report(Relayed(pairing, client.remote_id))
            pairing.on_paired(now)

    def end(self, pairing: Pairing, now: float, reason: str = "") -> None:
        """End a pairing; with a `reason`, because the relay or the peer has failed."""
        if pairing.state is PairingState.OVER:
            return
        pending = pairing.pending
        pairing.signal(PairingSignal.END)
        self.pairings.discard(pairing)
        for dial in [dial for dial, other in self._dials.items() if other is pairing]:
            del self._dials[dial]
            self._cancel_dial(dial, now)
        self._report(RelayClosed(pairing, reason))
        if pending and reason:
            pairing.on_failed(f"the blind relay was of no help: {reason}", now)
