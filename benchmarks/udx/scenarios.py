"""The measurements: the table of scenarios."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from ..process import Report

KIB, MIB = 1024, 1024 * 1024

Pairing: TypeAlias = tuple[str, str]
"""The implementations of the client and the server."""

OURS: Final = ("ours", "ours")
OURS_TO_THEIRS: Final = ("ours", "reference")
THEIRS_TO_OURS: Final = ("reference", "ours")
THEIRS: Final = ("reference", "reference")
BARE: Final = ("bare", "bare")
"""Bare datagrams in place of streams, as a lower bound of the cost."""


@attrs.frozen
class Run:
    """The reports of one run."""

    options: Mapping[str, Any]
    before: Report
    """The server, before it is connected."""
    after: Report
    """The server, when the client has done its work."""
    result: Report
    """Client and server, in the end."""


@attrs.frozen
class Figure:
    """One number made of a run."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    value: Callable[[Run], float]
    targets: Mapping[Pairing, float]
    """The target of each pairing's ratio to udx-native with itself, as a minimum or a maximum."""


@attrs.frozen
class Scenario:
    """Two processes, the line between them, and the figures that come of them."""

    server: str
    client: str
    figures: tuple[Figure, ...]
    options: Mapping[str, Any]
    line: Mapping[str, float] | None = None
    """Conditions of a `simulation.Link`, for a relay between the two."""
    quick: bool = False
    """Whether it is part of the quick run."""
    floor: bool = False
    """Whether the same work is measured with bare datagrams, too."""

    @property
    def pairings(self) -> list[Pairing]:
        """The pairings that play it, besides udx-native with itself."""
        played = dict.fromkeys(pairing for figure in self.figures for pairing in figure.targets)
        return [*played, BARE] if self.floor else [*played]


def _megabytes(run: Run) -> float:
    return float(run.result["bytes"] / run.result["seconds"] / 1e6)


def _messages(run: Run) -> float:
    return float(run.result["messages"] / run.result["seconds"])


def _streams(run: Run) -> float:
    return float(run.options["count"] / run.result["seconds"])


def _memory(run: Run) -> float:
    return float((run.after["resident"] - run.before["resident"]) / run.options["count"] / KIB)


def _bulk(size: int, name: str, total: int) -> Scenario:
    targets = {OURS: 2, OURS_TO_THEIRS: 1, THEIRS_TO_OURS: 1}
    figure = Figure(f"bulk, {name}", "MB/s", "higher", _megabytes, targets)
    options = {"size": size, "count": total // size}
    return Scenario("sink", "bulk", (figure,), options, quick=size == 256 * KIB, floor=True)


def _lossy(loss: float, total: int) -> Scenario:
    figure = Figure(f"20 ms, {loss:.0%} loss", "MB/s", "higher", _megabytes, {OURS: 1})
    line = {"delay": 0.01, "loss": loss, "bandwidth": BOTTLENECK, "queue": BOTTLENECK / 8 * 0.04}
    options = {"size": 64 * KIB, "count": total // (64 * KIB)}
    return Scenario("sink", "bulk", (figure,), options, line, quick=False)


def _batch(size: int, name: str, count: int) -> Scenario:
    figure = Figure(f"messages, {name}", "messages/s", "higher", _messages, {OURS: 2})
    return Scenario("receive", "send", (figure,), {"size": size, "count": count}, quick=size == 64)


BOTTLENECK: Final = 100e6
"""Bits a second of the bad line, which the relay manages in any case. Its queue holds 40 ms of them."""

_ROUND_TRIP = Scenario(
    "echo",
    "ping",
    (
        Figure("round trip, p50", "µs", "lower", lambda run: float(run.result["p50"]), {OURS: 2}),
        Figure("round trip, p99", "µs", "lower", lambda run: float(run.result["p99"]), {OURS: 2}),
    ),
    {"size": 64, "count": 5000},
    quick=True,
    floor=True,
)

_OPEN = Scenario(
    "accept",
    "open",
    (Figure("streams, 64 at once", "streams/s", "higher", _streams, {OURS: 1}),),
    {"count": 3000},
    floor=True,
)

_IDLE = Scenario(
    "idle", "idle", (Figure("idle stream", "KiB", "lower", _memory, {OURS: 1}),), {"count": 1000}, quick=True
)

SCENARIOS: Final = (
    _bulk(16 * KIB, "16 KiB", 512 * MIB),
    _bulk(256 * KIB, "256 KiB", 512 * MIB),
    _bulk(MIB, "1 MiB", 512 * MIB),
    _batch(64, "64 B", 400_000),
    _batch(KIB, "1 KiB", 200_000),
    _ROUND_TRIP,
    _OPEN,
    _IDLE,
    _lossy(0.0, 48 * MIB),
    _lossy(0.01, 48 * MIB),
    _lossy(0.05, 48 * MIB),
)
