"""A node without a network: it notes everything that a punch asks of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from core.dht.support import entropy
from peersockets_core.address import SocketAddress
from peersockets_core.holepunch import PunchLimits, Round, Throttle
from peersockets_core.holepunch.client import ClientPunch
from peersockets_core.holepunch.puncher import Puncher
from peersockets_core.holepunch.server import Refusal, RoundReceived, ServerPunch

NODES: list[SocketAddress] = [(f"10.0.0.{number}", 7) for number in range(1, 13)]
OURS, THEIRS = "88.0.0.1", "99.0.0.9"
TOKEN, THEIR_TOKEN = b"t" * 32, b"T" * 32


@attrs.define(eq=False)
class Noted:
    """The host of one punch."""

    limits: PunchLimits = attrs.field(factory=PunchLimits)
    known: list[SocketAddress] = attrs.field(factory=lambda: NODES[:])
    room: int = 99
    """The number of requests that can still be made."""
    throttle: Throttle = attrs.field(init=False)
    entropy: Any = attrs.field(init=False)
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
        self.entropy = entropy(5)

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

    # For the tests

    def take_probes(self) -> list[tuple[int, SocketAddress, int]]:
        taken, self.probes = self.probes, []
        return taken

    def take_rounds(self) -> list[tuple[SocketAddress, SocketAddress, Round]]:
        taken, self.rounds = self.rounds, []
        return taken

    def sample(self, puncher: Puncher, *ports: int, now: float = 0.0) -> None:
        """Answer a ping for each port at which a node sees the socket; 0 stands for no answer."""
        for port in ports:
            node, _ = self.pings.pop(0)
            if port:
                puncher.sampled((OURS, port), node, now)
            else:
                puncher.sample_lost(now)


CONSISTENT, RANDOM = (7, 7, 7), (7, 8, 9, 10)
"""Samples of the two kinds of NAT."""


def run(punch: Any, seconds: float, now: float = 0.0) -> float:
    """Let time pass for a punch; returns the time afterwards."""
    until = now + seconds
    while (deadline := deadline_of(punch)) <= until:
        now = max(now, deadline)
        punch.handle_deadline(now)
    return until


def deadline_of(punch: Any) -> float:
    due = punch.next_deadline
    return float(due() if callable(due) else due)
