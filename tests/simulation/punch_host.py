"""A node without a network, for machines that punch holes: it notes all their calls."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import attrs

from peersockets_core import Entropy
from peersockets_core.address import SocketAddress
from peersockets_core.holepunch import (
    ClientPunch,
    PunchLimits,
    Refusal,
    Round,
    RoundReceived,
    ServerPunch,
    Throttle,
)
from peersockets_core.holepunch.puncher import Puncher

NODES: list[SocketAddress] = [(f"10.0.0.{number}", 7) for number in range(1, 13)]
TOKEN = b"t" * 32


@attrs.define(eq=False)
class PunchHost:
    """The host of one punch, without a network below."""

    limits: PunchLimits = attrs.field(factory=PunchLimits)
    known: list[SocketAddress] = attrs.field(factory=lambda: NODES[:])
    room: int = 99
    """The number of requests that can still be made."""
    throttle: Throttle = attrs.field(init=False)
    entropy: Entropy = attrs.field(factory=lambda: Random("5").randbytes)
    opened: int = 1
    open: set[int] = attrs.field(factory=set)
    kept: list[int] = attrs.field(factory=list)
    probes: list[tuple[int, SocketAddress, int]] = attrs.field(factory=list)
    pings: list[tuple[SocketAddress, int]] = attrs.field(factory=list)
    rounds: list[tuple[SocketAddress, SocketAddress, Round]] = attrs.field(factory=list)
    answers: list[tuple[Round, int | None]] = attrs.field(factory=list)
    refusals: list[Refusal] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.throttle = Throttle(self.limits)

    def open_socket(self, puncher: Puncher) -> int:
        self.opened += 1
        self.open.add(self.opened)
        return self.opened

    def close_socket(self, socket: int) -> None:
        self.open.remove(socket)

    def keep_socket(self, socket: int) -> None:
        self.open.remove(socket)
        self.kept.append(socket)

    def probe(self, socket: int, to: SocketAddress, ttl: int) -> None:
        assert socket in self.open
        self.probes.append((socket, to, ttl))

    def nodes(self) -> Iterable[SocketAddress]:
        return self.known

    def ping(self, puncher: Puncher, node: SocketAddress, socket: int, now: float) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.pings.append((node, socket))
        return True

    def forget_pings(self, puncher: Puncher) -> None:
        self.pings.clear()

    def send_round(
        self, client: ClientPunch, relay: SocketAddress, to: SocketAddress, message: Round, now: float
    ) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.rounds.append((relay, to, message))
        return True

    def forget_round(self, client: ClientPunch) -> None: ...

    def token(self, punch: ClientPunch | ServerPunch, to: SocketAddress) -> bytes:
        return TOKEN

    def answer_round(
        self, server: ServerPunch, received: RoundReceived, message: Round, *, socket: int | None
    ) -> None:
        self.answers.append((message, socket))

    def server_ended(self, server: ServerPunch, refusal: Refusal, now: float) -> None:
        self.refusals.append(refusal)
