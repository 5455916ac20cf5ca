"""`Storage`: keeps the announcements and values of others, on a persistent node.

Source: hyperdht 6.34.0, `lib/persistent.js`. The reference has no bound for the records of one host;
here, one host cannot push out the records of all others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..errors import RemoteProtocolError
from ..keys import Entropy
from .limits import HyperDhtLimits
from .messages import (
    MOST_PEERS,
    Announcement,
    HyperDhtCommand,
    HyperDhtErrorCode,
    MutableValue,
    Peer,
    decode_announcement_untrusted,
    decode_mutable_put_untrusted,
    decode_mutable_untrusted,
    decode_peer_untrusted,
    decode_seq_untrusted,
    encode_peers,
)
from .rpc.events import RequestReceived
from .signing import key_hash, verify_announcement, verify_mutable
from .store import BoundedStore

if TYPE_CHECKING:
    from .forwarding import Forwarding
    from .rpc.node import DhtNode


class Storage:
    """Answers the commands that look up and store records."""

    def __init__(
        self, node: DhtNode, forwarding: Forwarding, entropy: Entropy, limits: HyperDhtLimits
    ) -> None:
        self._node = node
        self.forwarding = forwarding
        self._entropy = entropy
        self.topics: dict[bytes, dict[bytes, bytes]] = {}
        """Encoded records by topic and public key, oldest first."""
        self._per_topic = limits.topic_records
        self.records: BoundedStore[tuple[bytes, bytes], None] = BoundedStore(
            lifetime=limits.record_lifetime,
            size=limits.records,
            per_owner=limits.host_records,
            on_removed=self._forget,
        )
        self.values: BoundedStore[tuple[HyperDhtCommand, bytes], bytes] = BoundedStore(
            lifetime=limits.value_lifetime, size=limits.values, per_owner=limits.host_values
        )

    def __len__(self) -> int:
        return len(self.records) + len(self.values)

    def serve(self, received: RequestReceived, now: float) -> bool:
        """Answer a request, or ignore an invalid one; returns False for an unknown command.

        Requests that store something need a token, which proves the sender's address.
        """
        serve = _COMMANDS.get(received.request.command)
        if serve is None:
            return False
        target = received.request.target
        if target is not None:
            try:
                serve(self, received, target, now)
            except RemoteProtocolError:
                self._node.dropped += 1
        return True

    # Our own announcement

    def keep_own(self, topic: bytes, peer: Peer, now: float) -> None:
        """Keep our own announcement; in a small network, no other node may keep it."""
        self._keep(topic, peer, "", now)

    def remove_own(self, topic: bytes, public_key: bytes) -> None:
        """Remove our own announcement, if it is here."""
        self._remove(topic, public_key)

    def peers(self, topic: bytes, now: float) -> tuple[Peer, ...]:
        """Return the peers of a topic that this node keeps, as many as an answer holds."""
        self.records.expire(now)
        return tuple(map(decode_peer_untrusted, self._sample(list(self.topics.get(topic, {}).values()))))

    # Peers of a topic, and of a key

    def _lookup_untrusted(self, received: RequestReceived, target: bytes, now: float) -> None:
        self.records.expire(now)
        topic = self.topics.get(target)
        records = [] if topic is None else self._sample(list(topic.values()))
        forward = self.forwarding.record(target, now)
        if forward is not None and len(records) < MOST_PEERS:
            records.append(forward)
        self._node.reply(received, now, value=encode_peers(records) if records else None)

    def _find_peer_untrusted(self, received: RequestReceived, target: bytes, now: float) -> None:
        self._node.reply(received, now, value=self.forwarding.record(target, now))

    def _announce_untrusted(self, received: RequestReceived, target: bytes, now: float) -> None:
        peer = self._signed_untrusted(HyperDhtCommand.ANNOUNCE, received, target)
        if peer is None:
            return
        if target == key_hash(peer.public_key):
            self.forwarding.add(target, peer.encode(), received.source, now)
            self._remove(target, peer.public_key)
        else:
            self._keep(target, peer, received.source[0], now)
        self._node.reply(received, now, token=False, closer_nodes=False)

    def _unannounce_untrusted(self, received: RequestReceived, target: bytes, now: float) -> None:
        peer = self._signed_untrusted(HyperDhtCommand.UNANNOUNCE, received, target)
        if peer is None:
            return
        if target == key_hash(peer.public_key):
            self.forwarding.remove(target)
        self._remove(target, peer.public_key)
        self._node.reply(received, now, token=False, closer_nodes=False)

    def _signed_untrusted(
        self, command: HyperDhtCommand, received: RequestReceived, target: bytes
    ) -> Peer | None:
        """Return the announced peer, if its owner has signed the announcement for this node and token."""
        request = received.request
        if request.token is None or self._node.id is None:
            return None
        announcement: Announcement = decode_announcement_untrusted(request.value or b"")
        if not verify_announcement(command, announcement, target, self._node.id, request.token):
            return None
        return announcement.peer

    def _keep(self, target: bytes, peer: Peer, host: str, now: float) -> None:
        key = (target, peer.public_key)
        self._remove(*key)
        topic = self.topics.get(target, {})
        if len(topic) >= self._per_topic:
            self._remove(target, next(iter(topic)))
        self.records.put(key, None, host, now)
        self.topics.setdefault(target, {})[peer.public_key] = peer.encode()

    def _remove(self, target: bytes, public_key: bytes) -> None:
        if public_key in self.topics.get(target, {}):
            self.records.remove((target, public_key))
            self._forget((target, public_key))

    def _forget(self, key: tuple[bytes, bytes]) -> None:
        target, public_key = key
        topic = self.topics[target]
        del topic[public_key]
        if not topic:
            del self.topics[target]

    def _sample(self, records: list[bytes]) -> list[bytes]:
        """Choose as many records as an answer holds, starting at a random one, so that every record
        is found by some search.
        """
        if len(records) <= MOST_PEERS:
            return records
        start = int.from_bytes(self._entropy(4)) % len(records)
        return (records[start:] + records[:start])[:MOST_PEERS]

    # Values

    def _mutable_get_untrusted(self, received: RequestReceived, target: bytes, now: float) -> None:
        wanted = decode_seq_untrusted(received.request.value or b"")
        value = self.values.get((HyperDhtCommand.MUTABLE_PUT, target), now)
        if value is not None and decode_mutable_untrusted(value).seq < wanted:
            value = None
        self._node.reply(received, now, value=value)

    def _mutable_put_untrusted(self, received: RequestReceived, target: bytes, now: float) -> None:
        public_key, put = decode_mutable_put_untrusted(received.request.value or b"")
        signed = put.value and key_hash(public_key) == target and verify_mutable(put, public_key)
        if received.request.token is None or not signed:
            return
        error = self._refuse(put, self.values.get((HyperDhtCommand.MUTABLE_PUT, target), now))
        if error is not None:
            self._node.reply(received, now, error=error, token=False)
            return
        self.values.put((HyperDhtCommand.MUTABLE_PUT, target), put.encode(), received.source[0], now)
        self._node.reply(received, now)

    def _refuse(self, put: MutableValue, stored: bytes | None) -> HyperDhtErrorCode | None:
        if stored is None:
            return None
        current = decode_mutable_untrusted(stored)
        if put.seq < current.seq:
            return HyperDhtErrorCode.SEQ_TOO_LOW
        if put.seq == current.seq and put.value != current.value:
            return HyperDhtErrorCode.SEQ_REUSED
        return None

    def _immutable_get_untrusted(self, received: RequestReceived, target: bytes, now: float) -> None:
        self._node.reply(received, now, value=self.values.get((HyperDhtCommand.IMMUTABLE_PUT, target), now))

    def _immutable_put_untrusted(self, received: RequestReceived, target: bytes, now: float) -> None:
        value = received.request.value
        if received.request.token is None or value is None or key_hash(value) != target:
            return
        self.values.put((HyperDhtCommand.IMMUTABLE_PUT, target), value, received.source[0], now)
        self._node.reply(received, now)


_COMMANDS: Final[dict[int, Callable[[Storage, RequestReceived, bytes, float], None]]] = {
    HyperDhtCommand.FIND_PEER: Storage._find_peer_untrusted,
    HyperDhtCommand.LOOKUP: Storage._lookup_untrusted,
    HyperDhtCommand.ANNOUNCE: Storage._announce_untrusted,
    HyperDhtCommand.UNANNOUNCE: Storage._unannounce_untrusted,
    HyperDhtCommand.MUTABLE_PUT: Storage._mutable_put_untrusted,
    HyperDhtCommand.MUTABLE_GET: Storage._mutable_get_untrusted,
    HyperDhtCommand.IMMUTABLE_PUT: Storage._immutable_put_untrusted,
    HyperDhtCommand.IMMUTABLE_GET: Storage._immutable_get_untrusted,
}
