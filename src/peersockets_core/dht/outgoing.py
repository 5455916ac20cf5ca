"""`OutgoingDials`: the dials of one node, and the relays through which it has reached keys."""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from ..address import SocketAddress
from ..errors import LocalProtocolError
from ..keys import Entropy, KeyPair, parse_public_key
from .dialing import Dial, DialFailed, Dialled
from .exchange import Exchange
from .forwarding import Forwarding
from .limits import HyperDhtLimits
from .messages import MOST_RELAYS, HandshakePayload
from .punching import Punching
from .relaying import Pairing, Relaying, Upgraded
from .signing import is_key, key_hash


class OutgoingDials:
    """The dials in progress, and the relays that are worth a try when a key is dialled again."""

    def __init__(
        self,
        exchange: Exchange[Dialled | DialFailed | Upgraded],
        punching: Punching,
        forwarding: Forwarding,
        relaying: Relaying[Dial],
        key_pair: KeyPair,
        entropy: Entropy,
        limits: HyperDhtLimits,
    ) -> None:
        self.dials: set[Dial] = set()
        """The dials that are still in progress, and those whose end is not reported yet."""
        self.known_relays: dict[bytes, tuple[SocketAddress, ...]] = {}
        self._exchange = exchange
        self._punching = punching
        self._forwarding = forwarding
        self._relaying = relaying
        self._key_pair = key_pair
        self._entropy = entropy
        self._limits = limits

    def begin(
        self,
        public_key: bytes,
        payload: HandshakePayload,
        now: float,
        *,
        relays: Iterable[SocketAddress],
        relay_through: bytes | None,
    ) -> Dial:
        """Begin to dial a key, as `HyperDht.dial` documents."""
        key = parse_public_key(public_key, "public_key")
        if not is_key(key):
            raise ValueError("public_key is not a valid point of the curve, so no peer can have it")
        if key == self._key_pair.ed25519_public_key:
            raise LocalProtocolError("public_key is our own, and a node does not dial itself")
        known = (*relays, *self.known_relays.get(key, ()))
        announced_here = self._forwarding.address(key_hash(key), now)
        if announced_here is not None:
            known = (announced_here, *known)
        invitation = None if relay_through is None else self._relaying.invite(relay_through)
        dial = Dial(
            self._exchange,
            self._punching,
            self._key_pair,
            self._entropy,
            key,
            attrs.evolve(payload, relay_through=invitation),
            tuple(dict.fromkeys(known)),
            self.learn_relays,
            self._relaying,
            now,
        )
        self.dials.add(dial)
        return dial

    def cancel(self, dial: Dial, now: float) -> None:
        """Cancel a dial; no event follows for it."""
        dial.cancel(now)
        self.dials.discard(dial)

    def end_pairing(self, pairing: Pairing, now: float) -> None:
        """Cancel the dial that punches while its stream is relayed."""
        for dial in [dial for dial in self.dials if dial.pairing is pairing]:
            dial.cancel(now)

    def forget_finished(self) -> None:
        """Drop the dials whose end has been reported."""
        if self.dials:
            self.dials.difference_update([dial for dial in self.dials if not dial.active])

    def learn_relays(self, public_key: bytes, relays: tuple[SocketAddress, ...]) -> None:
        """Remember the nodes through which a key was reached."""
        self.known_relays.pop(public_key, None)
        self.known_relays[public_key] = relays[:MOST_RELAYS]
        if len(self.known_relays) > self._limits.known_relays:
            del self.known_relays[next(iter(self.known_relays))]

    def next_deadline(self) -> float:
        """Return the time at which to call `handle_deadline`; infinity for never."""
        return min((dial.next_deadline() for dial in self.dials), default=math.inf)

    def handle_deadline(self, now: float) -> None:
        """Let the dials do whatever has become due."""
        for dial in tuple(self.dials):
            dial.handle_deadline(now)
