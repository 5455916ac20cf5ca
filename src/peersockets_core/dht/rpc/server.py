"""`Server`: answers dht-rpc's own requests.

Source: dht-rpc 6.27.0, `index.js` (`_onrequest`, `_ondelayedping`).
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Final, Protocol

from ...address import SocketAddress
from .address import ADDRESS_SIZE, decode_address
from .limits import DhtLimits
from .messages import RpcCommand, RpcErrorCode, RpcRequest

_PORT_SIZE: Final = 2
_DELAY_SIZE: Final = 4


class HintTaker(Protocol):
    """The part of a node that checks which of its nodes are down."""

    def check_hinted(self, address: SocketAddress, now: float) -> None:
        """Check a node that another one says is down."""


class ServerHost(Protocol):
    """The attributes and methods of its node that a server uses."""

    limits: DhtLimits

    @property
    def upkeep(self) -> HintTaker:
        """The routing table, and its housekeeping."""
        ...

    def answer(
        self,
        request: RpcRequest,
        to: SocketAddress,
        now: float,
        *,
        error: int = RpcErrorCode.NONE,
        closer_nodes: bool = False,
    ) -> None:
        """Answer a request."""


class Server:
    """Answers the requests that every node answers, ephemeral or not."""

    def __init__(self, node: ServerHost) -> None:
        self._node = node
        self.delayed: list[tuple[float, int, RpcRequest, SocketAddress]] = []
        self._count = itertools.count()

    def serve(self, request: RpcRequest, source: SocketAddress, now: float) -> None:
        """Answer a request, or ignore it if it lacks a field that its command needs."""
        serve = _COMMANDS.get(request.command)
        if serve is None:
            self._node.answer(request, source, now, error=RpcErrorCode.UNKNOWN_COMMAND, closer_nodes=True)
        else:
            serve(self, request, source, now)

    def next_deadline(self) -> float:
        """Return the time at which to answer the first delayed ping; infinity for never."""
        return self.delayed[0][0] if self.delayed else math.inf

    def handle_deadline(self, now: float) -> None:
        """Answer the delayed pings that are due."""
        while self.delayed and self.delayed[0][0] <= now:
            _, _, request, source = heapq.heappop(self.delayed)
            self._node.answer(request, source, now)

    def _ping(self, request: RpcRequest, source: SocketAddress, now: float) -> None:
        self._node.answer(request, source, now)

    def _ping_nat(self, request: RpcRequest, source: SocketAddress, now: float) -> None:
        """Answer to another port of the same host, so that the sender learns whether that port can be
        reached.
        """
        port = int.from_bytes((request.value or b"")[:_PORT_SIZE], "little")
        if port and request.value is not None and len(request.value) >= _PORT_SIZE:
            self._node.answer(request, (source[0], port), now)

    def _find_node(self, request: RpcRequest, source: SocketAddress, now: float) -> None:
        if request.target is not None:
            self._node.answer(request, source, now, closer_nodes=True)

    def _down_hint(self, request: RpcRequest, source: SocketAddress, now: float) -> None:
        """Check a node of our table that the sender could not reach."""
        if request.value is not None and len(request.value) >= ADDRESS_SIZE:
            self._node.upkeep.check_hinted(decode_address(request.value), now)
            self._node.answer(request, source, now)

    def _delayed_ping(self, request: RpcRequest, source: SocketAddress, now: float) -> None:
        if request.value is None or len(request.value) < _DELAY_SIZE:
            return
        delay = int.from_bytes(request.value[:_DELAY_SIZE], "little") / 1000
        limits = self._node.limits
        if delay <= limits.ping_delay and len(self.delayed) < limits.delayed_pings:
            heapq.heappush(self.delayed, (now + delay, next(self._count), request, source))


_COMMANDS: Final[dict[int, Callable[[Server, RpcRequest, SocketAddress, float], None]]] = {
    RpcCommand.PING: Server._ping,
    RpcCommand.PING_NAT: Server._ping_nat,
    RpcCommand.FIND_NODE: Server._find_node,
    RpcCommand.DOWN_HINT: Server._down_hint,
    RpcCommand.DELAYED_PING: Server._delayed_ping,
}
