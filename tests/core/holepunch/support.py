"""Support for the tests of hole punching: a host that takes notes, samples of NATs, and passing time."""

from __future__ import annotations

from typing import Any

from peersockets_core.address import SocketAddress
from peersockets_core.holepunch import Round
from peersockets_core.holepunch.puncher import Puncher
from simulation.punch_host import NODES as NODES
from simulation.punch_host import TOKEN as TOKEN
from simulation.punch_host import PunchHost

OURS, THEIRS = "88.0.0.1", "99.0.0.9"
THEIR_TOKEN = b"T" * 32


class Noted(PunchHost):
    """The host of one punch, with methods for the tests."""

    def take_probes(self) -> list[tuple[int, SocketAddress, int]]:
        taken, self.probes = self.probes, []
        return taken

    def take_rounds(self) -> list[tuple[SocketAddress, SocketAddress, Round]]:
        taken, self.rounds = self.rounds, []
        return taken

    def sample(self, puncher: Puncher, *ports: int, now: float = 0.0) -> None:
        """Answer a ping for each port under which a node sees the socket. 0 stands for no answer."""
        for port in ports:
            node, _ = self.pings.pop(0)
            if port:
                puncher.sampled((OURS, port), node, now)
            else:
                puncher.sample_lost(now)


CONSISTENT, RANDOM = (7, 7, 7), (7, 8, 9, 10)
"""Samples of the two kinds of NAT."""


def run(punch: Any, seconds: float, now: float = 0.0) -> float:
    """Let time pass for a punch. Return the time afterwards."""
    until = now + seconds
    while (deadline := deadline_of(punch)) <= until:
        now = max(now, deadline)
        punch.handle_deadline(now)
    return until


def deadline_of(punch: Any) -> float:
    due = punch.next_deadline
    return float(due() if callable(due) else due)
