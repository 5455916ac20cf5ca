"""`PeerBook`: the peers that a swarm knows, filed by the next thing to do with each.

A change of one peer takes constant time, plus the logarithm of the number of peers that wait for a retry.
"""

from __future__ import annotations

import heapq
import itertools
import math

from .peers import PRIORITIES, PeerSignal, PeerState, SwarmPeer

_BUSY = frozenset({PeerState.DIALLING, PeerState.CONNECTED})


class PeerBook:
    """All peers by public key. A peer moves to the right list by itself when it changes."""

    def __init__(self, limit: int) -> None:
        """Begin. At `limit` known peers, each new peer replaces an old one, unless all are dialled or
        connected.
        """
        self.peers: dict[bytes, SwarmPeer] = {}
        self._limit = limit
        # Ordered sets: the peers to dial, by priority; and the peers that can be forgotten, by whether they
        # are proven.
        self._queued: tuple[dict[SwarmPeer, None], ...] = tuple({} for _ in PRIORITIES)
        self._spare: tuple[dict[SwarmPeer, None], ...] = ({}, {})
        self._connected: set[SwarmPeer] = set()
        # A heap. An entry is stale once its peer no longer waits, or waits for another time.
        self._retries: list[tuple[float, int, SwarmPeer]] = []
        self._count = itertools.count()

    @property
    def connected(self) -> int:
        """The number of connected peers."""
        return len(self._connected)

    def note(self, public_key: bytes) -> SwarmPeer:
        """Return the peer with a key, which may be new."""
        peer = self.peers.get(public_key)
        if peer is None:
            if len(self.peers) >= self._limit:
                self._forget_one()
            peer = self.peers[public_key] = SwarmPeer(public_key, file=self._file)
            self._file(peer)
        return peer

    def next_retry(self) -> float:
        """Return the time of the next retry; infinity for never."""
        while self._retries and self._stale(*self._retries[0]):
            heapq.heappop(self._retries)
        return self._retries[0][0] if self._retries else math.inf

    def queue_due(self, now: float) -> None:
        """Queue the peers whose retry is due."""
        while self.next_retry() <= now:
            heapq.heappop(self._retries)[2].signal(PeerSignal.QUEUE)

    def first_queued(self) -> SwarmPeer | None:
        """Return the peer to dial next: among those of the highest priority, the one that was queued
        first.
        """
        for queue in reversed(self._queued):
            for peer in queue:
                return peer
        return None

    def _stale(self, at: float, _: int, peer: SwarmPeer) -> bool:
        return peer.state is not PeerState.WAITING or peer.retry_at != at

    def _file(self, peer: SwarmPeer) -> None:
        for queue in self._queued:
            queue.pop(peer, None)
        if peer.state is PeerState.QUEUED:
            self._queued[peer.priority][peer] = None
        elif peer.state is PeerState.WAITING:
            heapq.heappush(self._retries, (peer.retry_at, next(self._count), peer))
        (self._connected.add if peer.state is PeerState.CONNECTED else self._connected.discard)(peer)
        for proven, spare in enumerate(self._spare):
            if peer.state in _BUSY or peer.proven != proven:
                spare.pop(peer, None)
            else:
                spare.setdefault(peer)

    def _forget_one(self) -> None:
        """Make room: forget the oldest peer that was never reached, or else the oldest."""
        for spare in self._spare:
            for peer in spare:
                peer.signal(PeerSignal.GIVE_UP)
                del spare[peer], self.peers[peer.public_key]
                return
