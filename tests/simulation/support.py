"""Machines for the tests of the network itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from simulation.pattern import Address, Buffer


@attrs.define(eq=False)
class Recorder:
    """Sends the given datagrams, and returns one event for each run that arrives."""

    outbox: list[tuple[Address, list[bytes], int]] = attrs.field(factory=list)
    deadline: float = float("inf")
    woken: list[float] = attrs.field(factory=list)
    runs: list[tuple[float, Address, int, bytes]] = attrs.field(factory=list)

    def post(self, destination: Address, *payloads: bytes) -> None:
        self.outbox += [(destination, [payload], max(1, len(payload))) for payload in payloads]

    @property
    def received(self) -> list[bytes]:
        """Every datagram, in order of arrival."""
        return [
            data[start : start + size]
            for _, _, size, data in self.runs
            for start in range(0, len(data) or 1, size or 1)
        ]

    @property
    def times(self) -> list[float]:
        return [time for time, _, _, _ in self.runs]

    def receive_datagrams(
        self, buffer: Buffer, segment_size: int, source: Address, now: float
    ) -> Iterable[object]:
        run = (now, source, segment_size, bytes(buffer))
        self.runs.append(run)
        return [run]

    def datagrams_to_send(self, now: float) -> Iterator[tuple[Address, list[bytes], int]]:
        posted, self.outbox = self.outbox, []
        yield from posted

    def next_deadline(self) -> float:
        return self.deadline

    def handle_deadline(self, now: float) -> Iterable[object]:
        self.woken.append(now)
        self.deadline = float("inf")
        return ()
