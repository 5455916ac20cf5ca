"""`ValueSearch`: gets and puts values; immutable ones under their hash, mutable ones under their owner's key.

Source: hyperdht 6.34.0, `index.js` (`immutableGet`, `immutablePut`, `mutableGet`, `mutablePut`).
"""

from __future__ import annotations

from typing import Final

import attrs

from ..errors import RemoteProtocolError
from ..wires.hypercore11.encoding import encode_uint
from .exchange import Exchange
from .messages import HyperDhtCommand, MutableValue, decode_mutable_untrusted
from .rpc.query import Commit, Query, Reply
from .signing import key_hash, verify_mutable

MOST_VALUE: Final = 1000
"""The most bytes of a value: with everything around them, they fit into one datagram on every path."""


@attrs.frozen
class ValueFound:
    """A search for a value has ended."""

    search: ValueSearch
    value: MutableValue | bytes | None
    """The newest signed value of a key, or the bytes with a hash; None if no node has it."""
    stored: int
    """The number of nodes that have stored the value, if the search was to store one."""


class ValueSearch:
    """One search for a value, made by `HyperDht.get_mutable` and its siblings."""

    def __init__(
        self,
        exchange: Exchange[ValueFound],
        now: float,
        *,
        public_key: bytes | None = None,
        target: bytes | None = None,
        minimum_seq: int = 0,
        put: MutableValue | bytes | None = None,
    ) -> None:
        """Begin to search for the value of a key or of a hash; at the end, the closest nodes store `put`."""
        self.target = key_hash(public_key) if public_key is not None else target
        assert self.target is not None
        self._exchange = exchange
        self._public_key = public_key
        self._minimum_seq = minimum_seq
        self._put = put
        self._found: MutableValue | bytes | None = None
        mutable = public_key is not None
        exchange.query(
            self,
            self.target,
            now,
            command=HyperDhtCommand.MUTABLE_GET if mutable else HyperDhtCommand.IMMUTABLE_GET,
            value=encode_uint(minimum_seq) if mutable else None,
            commit=None if put is None else self._store,
        )

    def replied(self, query: Query, reply: Reply, now: float) -> None:
        """Take in a node's answer. A value counts if its hash or signature is right."""
        if reply.value is None:
            return
        if self._public_key is None:
            if key_hash(reply.value) == self.target:
                self._found = reply.value
            return
        try:
            value = decode_mutable_untrusted(reply.value)
        except RemoteProtocolError:
            self._exchange.node.dropped += 1
            return
        newest = self._found.seq if isinstance(self._found, MutableValue) else self._minimum_seq - 1
        if value.seq > newest and verify_mutable(value, self._public_key):
            self._found = value

    def finished(self, query: Query, now: float) -> None:
        """Report the result, now that all nodes have been asked."""
        self._exchange.report(ValueFound(self, self._found, len(query.confirmed)))

    def _store(self, reply: Reply) -> Commit | None:
        if reply.token is None:
            return None
        if isinstance(self._put, MutableValue):
            assert self._public_key is not None
            return Commit(HyperDhtCommand.MUTABLE_PUT, reply.token, self._public_key + self._put.encode())
        return Commit(HyperDhtCommand.IMMUTABLE_PUT, reply.token, self._put)
