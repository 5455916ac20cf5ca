"""`TopicSearch`: looks for the peers of a topic, and may announce or withdraw our record there.

Source: hyperdht 6.34.0, `index.js` (`lookup`, `lookupAndUnannounce`, `announce`).
"""

from __future__ import annotations

import attrs

from ..address import SocketAddress
from ..errors import RemoteProtocolError
from ..keys import KeyPair
from .exchange import Exchange
from .messages import MOST_RELAYS, HyperDhtCommand, Peer, decode_peers_untrusted
from .rpc.messages import RpcResponse
from .rpc.query import Commit, Query, Reply
from .rpc.requests import PendingRequest
from .signing import sign_announcement


@attrs.frozen
class PeersFound:
    """A node has named peers of a topic that we search for. Many nodes may name the same peer."""

    search: TopicSearch
    peers: tuple[Peer, ...]
    source: SocketAddress | None
    """The node, which may also relay to the peers; None for peers that our own node knows."""


@attrs.frozen
class SearchFinished:
    """All nodes near a topic have been asked, and those closest to it have received our announcement, if
    there is one.
    """

    search: TopicSearch
    announced: int
    """The number of nodes that keep our announcement."""


class TopicSearch:
    """One search of the nodes near a topic, made by a `HyperDht`."""

    def __init__(
        self,
        exchange: Exchange[PeersFound | SearchFinished],
        target: bytes,
        key_pair: KeyPair,
        now: float,
        *,
        announce: tuple[SocketAddress, ...] | None = None,
        withdraw: bool = False,
    ) -> None:
        """Begin. `announce` lists the relays for the record to announce; `withdraw` removes our record."""
        self.target = target
        self._exchange = exchange
        self._key_pair = key_pair
        self._relays = None if announce is None else announce[:MOST_RELAYS]
        self._withdraw = withdraw
        self._ours = key_pair.ed25519_public_key
        self._stale: dict[SocketAddress, Reply] = {}
        """The nodes that have a record of ours."""
        self._query = exchange.query(
            self,
            target,
            now,
            command=HyperDhtCommand.LOOKUP,
            commit=None if announce is None else self._announcement,
        )

    def cancel(self) -> None:
        """Give up; no further event follows."""
        self._exchange.cancel(self._query)

    def replied(self, query: Query, reply: Reply, now: float) -> None:
        """Take in a node's answer, perhaps with peers."""
        if reply.value is None:
            return
        try:
            peers = decode_peers_untrusted(reply.value)
        except RemoteProtocolError:
            self._exchange.node.dropped += 1
            return
        ours = self._key_pair.ed25519_public_key
        if (
            any(peer.public_key == ours for peer in peers)
            and reply.id is not None
            and reply.token is not None
        ):
            self._stale[reply.source] = reply
        self.found(tuple(peers), reply.source)

    def found(self, peers: tuple[Peer, ...], source: SocketAddress | None) -> None:
        """Report peers, except ourselves."""
        others = tuple(peer for peer in peers if peer.public_key != self._ours)
        if others:
            self._exchange.report(PeersFound(self, others, source))

    def finished(self, query: Query, now: float) -> None:
        """Remove our records from nodes that should no longer have them, now that all nodes have been
        asked.
        """
        kept = () if self._relays is None else query.closest_nodes
        if self._withdraw or self._relays is not None:
            for reply in self._stale.values():
                if reply.source not in kept:
                    self._remove_from(reply, now)
        self._exchange.report(SearchFinished(self, len(query.confirmed)))

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Ignore that a node has removed our record."""

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Ignore a node that is gone, because our record is gone with it."""

    def _announcement(self, reply: Reply) -> Commit | None:
        if reply.token is None or reply.id is None or self._relays is None:
            return None
        signed = sign_announcement(
            HyperDhtCommand.ANNOUNCE, self._key_pair, self.target, reply.id, reply.token, self._relays
        )
        return Commit(HyperDhtCommand.ANNOUNCE, reply.token, signed.encode())

    def _remove_from(self, reply: Reply, now: float) -> None:
        assert reply.id is not None
        assert reply.token is not None
        signed = sign_announcement(
            HyperDhtCommand.UNANNOUNCE, self._key_pair, self.target, reply.id, reply.token, ()
        )
        self._exchange.request(
            self,
            reply.source,
            now,
            command=HyperDhtCommand.UNANNOUNCE,
            target=self.target,
            token=reply.token,
            value=signed.encode(),
        )
