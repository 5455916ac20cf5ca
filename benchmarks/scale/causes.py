"""Attributes the packets of a host to their causes: the commands of the requests that they are or answer."""

from __future__ import annotations

import enum
from collections import Counter
from typing import Final

from peersockets_core.address import SocketAddress
from peersockets_core.dht.messages import HyperDhtCommand
from peersockets_core.dht.rpc.address import ADDRESS_SIZE, ID_SIZE
from peersockets_core.dht.rpc.messages import REQUEST, TOKEN_SIZE, RpcCommand

_ID, _TOKEN, _INTERNAL = 1, 2, 4
"""Flags of a request."""
_COMMAND_AT: Final = 4 + ADDRESS_SIZE
"""The place of the command in a request without an id and a token."""

_UNANSWERED: Final = 4096
"""The most requests whose answers are awaited; those to dead nodes get none."""


class Cause(enum.Enum):
    """The purpose of a request."""

    TABLES = "pings of nodes to the nodes of their tables"
    RELAYS = "pings of members, most of them to their relays"
    REFRESH = "searches that refresh tables"
    KEYS = "searches for keys, to announce or to dial them"
    TOPICS = "searches for topics"
    RECORDS = "announcements and withdrawals"
    DIALS = "handshakes"
    OTHER = "hints of dead nodes, and the rest"


_OWN: Final = {RpcCommand.FIND_NODE: Cause.REFRESH}
_CAUSES: Final = {
    HyperDhtCommand.PEER_HANDSHAKE: Cause.DIALS,
    HyperDhtCommand.PEER_HOLEPUNCH: Cause.DIALS,
    HyperDhtCommand.FIND_PEER: Cause.KEYS,
    HyperDhtCommand.LOOKUP: Cause.TOPICS,
    HyperDhtCommand.ANNOUNCE: Cause.RECORDS,
    HyperDhtCommand.UNANNOUNCE: Cause.RECORDS,
}


def cause_of(request: bytes) -> Cause:
    """Return the cause of a request that one of our machines has made."""
    flags = request[1]
    command = request[_COMMAND_AT + ID_SIZE * bool(flags & _ID) + TOKEN_SIZE * bool(flags & _TOKEN)]
    if not flags & _INTERNAL:
        return _CAUSES.get(HyperDhtCommand(command), Cause.OTHER)
    if command == RpcCommand.PING:
        return Cause.TABLES if flags & _ID else Cause.RELAYS
    return _OWN.get(RpcCommand(command), Cause.OTHER)


class Tally:
    """The packets of one host, sent and received, by cause."""

    def __init__(self) -> None:
        self.packets: Counter[Cause] = Counter()
        self.bytes: Counter[Cause] = Counter()
        self._asked: dict[tuple[SocketAddress, bytes], Cause] = {}

    def count(self, remote: SocketAddress, datagram: bytes, size: int) -> None:
        """Count a packet to or from a remote; `size` includes the headers."""
        request = remote, datagram[2:4]
        if datagram[0] == REQUEST:
            if len(self._asked) >= _UNANSWERED:
                self._asked.clear()
            cause = self._asked[request] = cause_of(datagram)
        else:
            cause = self._asked.pop(request, Cause.OTHER)
        self.packets[cause] += 1
        self.bytes[cause] += size
