"""`Peers`: the peers that a node has met, by key and by id."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic

from ..errors import UnknownPeer
from ..events import WireName
from ..owners import C, H
from .members import KnownPeer


class Peers(Generic[C, H]):
    """The connected peers, and the peers that have an id and are gone.

    Ids count from 1, and no id is used twice. At most `limit` peers have one. To make room for a newcomer,
    a peer that is gone is forgotten: first those that never were members, and among these the one that has
    been gone longest. Its id is unknown from then on, and its key gets a new id if it returns.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_key: dict[tuple[WireName, bytes], KnownPeer[C, H]] = {}
        self._by_id: dict[int, KnownPeer[C, H]] = {}
        self._last_id = 0
        # In a plain dictionary, finding the first entry takes longer and longer after many removals.
        self._gone: tuple[OrderedDict[KnownPeer[C, H], None], ...] = (OrderedDict(), OrderedDict())

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[KnownPeer[C, H]]:
        return iter(self._by_key.values())

    @property
    def identified(self) -> int:
        """The number of peers that have an id."""
        return len(self._by_id)

    def get(self, wire: WireName, public_key: bytes) -> KnownPeer[C, H] | None:
        """Return the peer with a key if it is connected or has an id, otherwise None."""
        return self._by_key.get((wire, public_key))

    def arrive(self, wire: WireName, public_key: bytes) -> KnownPeer[C, H]:
        """Note a new connection to a key; returns its peer."""
        peer = self._by_key.get((wire, public_key))
        if peer is None:
            peer = self._by_key[wire, public_key] = KnownPeer(wire, public_key)
        self._gone[peer.was_member].pop(peer, None)
        return peer

    def depart(self, peer: KnownPeer[C, H]) -> None:
        """Note that a peer has no connection left and is a member of no drive."""
        if peer.id is None:
            del self._by_key[peer.wire, peer.public_key]
        else:
            self._gone[peer.was_member][peer] = None

    def identify(self, peer: KnownPeer[C, H]) -> int | None:
        """Return the id of a present peer, and give it one the first time.

        Returns None if too many peers have an id, and none can be forgotten.
        """
        if peer.id is None:
            if len(self._by_id) >= self._limit and not self._forget():
                return None
            self._last_id += 1
            peer.id = self._last_id
            self._by_id[peer.id] = peer
        return peer.id

    def by_id(self, peer_id: int) -> KnownPeer[C, H]:
        """Return the peer with an id. Raises `UnknownPeer` if the id was never given, or its peer was
        forgotten.
        """
        try:
            return self._by_id[peer_id]
        except KeyError:
            raise UnknownPeer(peer_id) from None

    def _forget(self) -> bool:
        for gone in self._gone:
            if gone:
                peer, _ = gone.popitem(last=False)
                assert peer.id is not None
                del self._by_key[peer.wire, peer.public_key]
                del self._by_id[peer.id]
                return True
        return False
