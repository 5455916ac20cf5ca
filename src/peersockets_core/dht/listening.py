"""Answers the handshakes of remotes that dial our key.

Source: hyperdht 6.34.0, `lib/server.js`.
"""

from __future__ import annotations

import enum
import math
from typing import Final

import attrs

from ..address import SocketAddress
from ..errors import LocalProtocolError, RemoteProtocolError
from ..holepunch.nat import Firewall
from ..keys import Entropy, KeyPair
from ..transitions import follow
from ..wires.keys import Keys
from .exchange import Exchange
from .limits import HyperDhtLimits
from .messages import (
    VERSION,
    HandshakeError,
    HandshakePayload,
    RelayedHandshake,
    RelayMode,
    UdxInfo,
    decode_handshake_untrusted,
)
from .noise_ik import HandshakeNoise
from .punching import IncomingPunch
from .relaying import Pairing
from .rpc.events import RequestReceived
from .rpc.requests import Socket


class IncomingState(enum.Enum):
    """The state of a handshake that a remote has begun."""

    UNDECIDED = "undecided"
    ACCEPTED = "already accepted"
    REFUSED = "already refused"


class Decision(enum.Enum):
    """The application's decision on a handshake."""

    ACCEPT = "accept"
    REFUSE = "refuse"


TRANSITIONS: Final[dict[IncomingState, dict[Decision, IncomingState]]] = {
    IncomingState.UNDECIDED: {
        Decision.ACCEPT: IncomingState.ACCEPTED,
        Decision.REFUSE: IncomingState.REFUSED,
    },
    IncomingState.ACCEPTED: {},
    IncomingState.REFUSED: {},
}
"""Every legal transition."""


@attrs.frozen
class Accepted:
    """An accepted connection: the keys of its stream, and the address to which the stream connects."""

    keys: Keys
    remote_stream_id: int
    address: SocketAddress | None
    """The address of the remote's stream, or None if only its first packet reveals that."""


@attrs.define(eq=False)
class Incoming:
    """A handshake that a remote has begun."""

    remote_public_key: bytes
    address: SocketAddress
    """The remote's address as the relay sees it, or as we see it if the handshake came directly."""
    our_address: SocketAddress | None
    """Our own address as the relay sees it, or None if the handshake came directly."""
    payload: HandshakePayload
    expires: float
    state: IncomingState = IncomingState.UNDECIDED
    _noise: HandshakeNoise = attrs.field(alias="noise", kw_only=True)
    _message: bytes = attrs.field(alias="message", kw_only=True)
    punch: IncomingPunch | None = attrs.field(default=None, init=False)
    """The hole punching with the remote, if it is accepted and has to punch."""
    _waiting: list[tuple[RequestReceived, RelayedHandshake]] = attrs.field(factory=list, init=False)
    """The requests that carried the handshake here while it is undecided; it may come through several
    relays."""
    _reply: bytes = attrs.field(default=b"", init=False)

    @property
    def relayed(self) -> bool:
        """Whether it came through a relay."""
        return self.our_address is not None

    @property
    def pairing(self) -> Pairing | None:
        """The attempt to meet the remote at a blind relay, if one of the two has named one."""
        return None if self.punch is None else self.punch.pairing

    def expired(self, now: float) -> bool:
        """Return whether the handshake has waited so long that the remote has given up."""
        return now >= self.expires


@attrs.frozen
class ConnectionRequested:
    """A remote wants to connect. The caller answers with `HyperDht.accept` or `HyperDht.refuse`.

    The remote has proved its key, unless an attacker has replayed an older message; an attacker cannot use
    our answer.
    """

    incoming: Incoming


_MOST_COPIES: Final = 8  # the most requests that wait for the decision on one handshake


class HandshakeServer:
    """Takes in the handshakes for our key. The application decides on each handshake, and we answer
    it as often as it is repeated.
    """

    def __init__(
        self,
        exchange: Exchange[ConnectionRequested],
        key_pair: KeyPair,
        entropy: Entropy,
        limits: HyperDhtLimits,
    ) -> None:
        self._exchange = exchange
        self._key_pair = key_pair
        self._entropy = entropy
        self._limits = limits
        self._incoming: dict[bytes, Incoming] = {}  # by the remote's message, oldest first

    def __len__(self) -> int:
        return len(self._incoming)

    def next_deadline(self) -> float:
        """Return the time at which the oldest handshake expires; infinity for never."""
        return next(iter(self._incoming.values())).expires if self._incoming else math.inf

    def handle_deadline(self, now: float) -> None:
        """Forget the handshakes that have expired."""
        while self._incoming and self.next_deadline() <= now:
            del self._incoming[next(iter(self._incoming))]

    def receive_untrusted(self, received: RequestReceived, now: float) -> None:
        """Take in a handshake for our key. Raises only `RemoteProtocolError`."""
        relayed = decode_handshake_untrusted(received.request.value or b"")
        if relayed.mode not in _REPLY_MODES or (
            relayed.mode != RelayMode.FROM_CLIENT and not relayed.peer_address
        ):
            raise RemoteProtocolError("the handshake does not come from a client")
        incoming = self._incoming.get(relayed.noise)
        if incoming is None:
            incoming = self._begin_untrusted(received, relayed, now)
        if incoming.state is IncomingState.ACCEPTED:
            self._reply(incoming, received, relayed, now)
        elif incoming.state is IncomingState.UNDECIDED and len(incoming._waiting) < _MOST_COPIES:
            incoming._waiting.append((received, relayed))

    def accept(
        self, incoming: Incoming, stream_id: int, payload: HandshakePayload, now: float
    ) -> Accepted | None:
        """Answer a handshake with `payload`; returns the keys and the address for our stream `stream_id`.

        Returns None if the remote asks for something that we do not support, or if `payload` has an error;
        the answer then carries the error. Raises `LocalProtocolError` if the handshake is already decided or
        forgotten.
        """
        incoming.state = self.check_decidable(incoming, Decision.ACCEPT)
        remote = incoming.payload
        error = _fault_of(remote) or HandshakeError(payload.error)
        if error is not HandshakeError.NONE:
            payload = attrs.evolve(payload, error=error, udx=UdxInfo(0), holepunch=None)
        incoming._reply = incoming._noise.write(payload)
        for received, relayed in incoming._waiting:
            self._reply(incoming, received, relayed, now)
        incoming._waiting.clear()
        if error is not HandshakeError.NONE or remote.udx is None:
            return None
        at_once = not incoming.relayed or remote.firewall == Firewall.OPEN
        return Accepted(incoming._noise.keys(), remote.udx.id, incoming.address if at_once else None)

    def refuse(self, incoming: Incoming) -> None:
        """Give no answer at all, neither now nor when the handshake is repeated. Raises `LocalProtocolError`
        as `accept` does.
        """
        incoming.state = self.check_decidable(incoming, Decision.REFUSE)
        incoming._waiting.clear()

    def check_decidable(self, incoming: Incoming, decision: Decision) -> IncomingState:
        """Return the state that follows a decision. Raises `LocalProtocolError` if a handshake is already
        decided or forgotten.
        """
        state = follow(TRANSITIONS, incoming.state, decision, "handshake")
        if self._incoming.get(incoming._message) is not incoming:
            raise LocalProtocolError("the handshake has waited too long for a decision")
        return state

    def _begin_untrusted(self, received: RequestReceived, relayed: RelayedHandshake, now: float) -> Incoming:
        noise = HandshakeNoise(self._key_pair, self._entropy)
        payload = noise.read_untrusted(relayed.noise)
        incoming = Incoming(
            noise.remote_public_key,
            relayed.peer_address or received.source,
            None if relayed.peer_address is None else received.request.to,
            payload,
            now + self._limits.handshake_time,
            noise=noise,
            message=relayed.noise,
        )
        if len(self._incoming) >= self._limits.incoming_handshakes:
            del self._incoming[next(iter(self._incoming))]
        self._incoming[relayed.noise] = incoming
        self._exchange.report(ConnectionRequested(incoming))
        return incoming

    def _reply(
        self, incoming: Incoming, received: RequestReceived, relayed: RelayedHandshake, now: float
    ) -> None:
        """Send the answer back along the path of the handshake."""
        node = self._exchange.node
        reply = RelayedHandshake(_REPLY_MODES[relayed.mode], incoming._reply, relayed.peer_address)
        if relayed.mode == RelayMode.FROM_CLIENT:
            node.reply(
                received,
                now,
                value=attrs.evolve(reply, peer_address=None).encode(),
                token=False,
                closer_nodes=False,
            )
        else:
            # The remote learns the address of the socket that the answer leaves from, and punches towards it.
            punch = incoming.punch
            socket = Socket.MAIN if punch is None or punch.socket is None else punch.socket
            node.relay(received, relayed.relay_address or received.source, reply.encode(), socket=socket)


_REPLY_MODES: Final[dict[int, RelayMode]] = {
    RelayMode.FROM_CLIENT: RelayMode.REPLY,
    RelayMode.FROM_RELAY: RelayMode.FROM_SERVER,
    RelayMode.FROM_SECOND_RELAY: RelayMode.FROM_SERVER,
}


def _fault_of(payload: HandshakePayload) -> HandshakeError:
    if payload.version != VERSION:
        return HandshakeError.VERSION_MISMATCH
    return HandshakeError.NONE if payload.udx is not None else HandshakeError.ABORTED
