"""The part of a node that passes handshakes on to the keys announced to it.

A self announcement leaves the address that it came from; whoever asks for the key has its handshake sent
there, and the answer sent back. Source: hyperdht 6.34.0, `lib/router.js`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..errors import RemoteProtocolError
from .limits import HyperDhtLimits
from .messages import (
    Mode,
    RelayedHandshake,
    RelayedHolepunch,
    decode_handshake_untrusted,
    decode_holepunch_untrusted,
)
from .rpc.address import Address
from .rpc.events import RequestReceived
from .store import BoundedStore

if TYPE_CHECKING:
    from .rpc.node import DhtNode


@attrs.frozen
class _Forward:
    record: bytes
    address: Address


class Forwarding:
    """Relays PEER_HANDSHAKE and PEER_HOLEPUNCH for keys that are not ours."""

    def __init__(self, node: DhtNode, limits: HyperDhtLimits) -> None:
        self._node = node
        self._own: dict[bytes, bytes] = {}
        self._forwards: BoundedStore[bytes, _Forward] = BoundedStore(
            lifetime=limits.record_lifetime, size=limits.forwards, per_owner=limits.host_forwards
        )

    def __len__(self) -> int:
        return len(self._forwards)

    def add(self, target: bytes, record: bytes, address: Address, now: float) -> None:
        """Remember where the owner of a key, whose hash is `target`, can be reached."""
        self._forwards.put(target, _Forward(record, address), address[0], now)

    def remove(self, target: bytes) -> None:
        """Forget a key."""
        self._forwards.remove(target)

    def show_own(self, target: bytes, record: bytes | None) -> None:
        """Show our own record to those that ask for it, or show it no longer."""
        self._own.pop(target, None)
        if record is not None:
            self._own[target] = record

    def record(self, target: bytes, now: float) -> bytes | None:
        """Return the encoded peer record of a key that has announced itself here, or of our own."""
        if target in self._own:
            return self._own[target]
        forward = self._forwards.get(target, now)
        return None if forward is None else forward.record

    def address(self, target: bytes, now: float) -> Address | None:
        """Return where the owner of a key can be reached."""
        forward = self._forwards.get(target, now)
        return None if forward is None else forward.address

    def relay_handshake_untrusted(self, received: RequestReceived, now: float) -> None:
        """Pass a handshake on, one leg of its way. Raises only `RemoteProtocolError`."""
        message = decode_handshake_untrusted(received.request.value or b"")
        if not message.noise:
            raise RemoteProtocolError("a handshake without a message")
        to = self._address_of(received, now)
        match message.mode:
            case Mode.FROM_CLIENT:
                to = message.relay_address or to
                if to is None:  # the asker finds a better node among those near the key
                    self._node.reply(received, now, token=False)
                else:
                    passed_on = RelayedHandshake(Mode.FROM_RELAY, message.noise, received.source)
                    self._node.relay(received, to, passed_on.encode())
            case Mode.FROM_RELAY if to is not None:
                passed_on = RelayedHandshake(
                    Mode.FROM_SECOND_RELAY, message.noise, message.peer_address, received.source
                )
                self._node.relay(received, to, passed_on.encode())
            case Mode.FROM_SERVER if message.peer_address is not None:
                reply = RelayedHandshake(Mode.REPLY, message.noise, received.source)
                self._node.reply_to(received, message.peer_address, now, reply.encode())
            case _:
                raise RemoteProtocolError("a handshake that leads nowhere")

    def relay_holepunch_untrusted(self, received: RequestReceived, now: float) -> None:
        """Pass a message of hole punching on, one leg of its way. Raises only `RemoteProtocolError`."""
        message = decode_holepunch_untrusted(received.request.value or b"")
        match message.mode:
            case Mode.FROM_CLIENT:
                to = message.peer_address or self._address_of(received, now)
                if to is not None:
                    passed_on = RelayedHolepunch(
                        Mode.FROM_RELAY, message.id, message.payload, received.source
                    )
                    self._node.relay(received, to, passed_on.encode())
            case Mode.FROM_SERVER if message.peer_address is not None:
                reply = RelayedHolepunch(Mode.REPLY, message.id, message.payload, received.source)
                self._node.reply_to(received, message.peer_address, now, reply.encode())
            case _:
                raise RemoteProtocolError("a message of hole punching that leads nowhere")

    def _address_of(self, received: RequestReceived, now: float) -> Address | None:
        target = received.request.target
        return None if target is None else self.address(target, now)
