"""`Forwarding`: passes handshakes on to the owners of keys that were announced to this node.

The node stores the source address of each self-announcement. It forwards a handshake for that key to
this address, and sends the answer back. Source: hyperdht 6.34.0, `lib/router.js`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..address import SocketAddress
from ..errors import RemoteProtocolError
from .limits import HyperDhtLimits
from .messages import (
    RelayedHandshake,
    RelayedHolepunch,
    RelayMode,
    decode_handshake_untrusted,
    decode_holepunch_untrusted,
)
from .rpc.events import RequestReceived
from .store import BoundedStore

if TYPE_CHECKING:
    from .rpc.node import DhtNode


@attrs.frozen
class _Forward:
    record: bytes
    address: SocketAddress


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

    def add(self, target: bytes, record: bytes, address: SocketAddress, now: float) -> None:
        """Remember the address of the owner of a key; `target` is the hash of that key."""
        self._forwards.put(target, _Forward(record, address), address[0], now)

    def remove(self, target: bytes) -> None:
        """Forget the key with the hash `target`."""
        self._forwards.remove(target)

    def show_own(self, target: bytes, record: bytes | None) -> None:
        """Set our own record, with which we answer requests for it, or remove it."""
        self._own.pop(target, None)
        if record is not None:
            self._own[target] = record

    def record(self, target: bytes, now: float) -> bytes | None:
        """Return the encoded peer record of a key that has announced itself here, or of our own key."""
        if target in self._own:
            return self._own[target]
        forward = self._forwards.get(target, now)
        return None if forward is None else forward.record

    def address(self, target: bytes, now: float) -> SocketAddress | None:
        """Return the address of the owner of a key."""
        forward = self._forwards.get(target, now)
        return None if forward is None else forward.address

    def relay_handshake_untrusted(self, received: RequestReceived, now: float) -> None:
        """Pass a handshake on to its next hop. Raises only `RemoteProtocolError`."""
        message = decode_handshake_untrusted(received.request.value or b"")
        if not message.noise:
            raise RemoteProtocolError("a relayed handshake has no message")
        to = self._address_of(received, now)
        match message.mode:
            case RelayMode.FROM_CLIENT:
                to = message.relay_address or to
                if to is None:  # the reply names nodes near the key, among which the asker finds a better one
                    self._node.reply(received, now, token=False)
                else:
                    passed_on = RelayedHandshake(RelayMode.FROM_RELAY, message.noise, received.source)
                    self._node.relay(received, to, passed_on.encode())
            case RelayMode.FROM_RELAY if to is not None:
                passed_on = RelayedHandshake(
                    RelayMode.FROM_SECOND_RELAY, message.noise, message.peer_address, received.source
                )
                self._node.relay(received, to, passed_on.encode())
            case RelayMode.FROM_SERVER if message.peer_address is not None:
                reply = RelayedHandshake(RelayMode.REPLY, message.noise, received.source)
                self._node.reply_to(received, message.peer_address, now, reply.encode())
            case _:
                raise RemoteProtocolError("a relayed handshake has no destination")

    def relay_holepunch_untrusted(self, received: RequestReceived, now: float) -> None:
        """Pass a hole punching message on to its next hop. Raises only `RemoteProtocolError`."""
        message = decode_holepunch_untrusted(received.request.value or b"")
        match message.mode:
            case RelayMode.FROM_CLIENT:
                to = message.peer_address or self._address_of(received, now)
                if to is not None:
                    passed_on = RelayedHolepunch(
                        RelayMode.FROM_RELAY, message.id, message.payload, received.source
                    )
                    self._node.relay(received, to, passed_on.encode())
            case RelayMode.FROM_SERVER if message.peer_address is not None:
                reply = RelayedHolepunch(RelayMode.REPLY, message.id, message.payload, received.source)
                self._node.reply_to(received, message.peer_address, now, reply.encode())
            case _:
                raise RemoteProtocolError("a relayed hole punching message has no destination")

    def _address_of(self, received: RequestReceived, now: float) -> SocketAddress | None:
        target = received.request.target
        return None if target is None else self.address(target, now)
