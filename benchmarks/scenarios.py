"""The measurements: the table of scenarios, and the series that show the growth of the cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import attrs

from .process import Report

Variant: TypeAlias = tuple[str, str]
"""A wire, and how the reference sends on it: message by message, or many in one mux batch."""

HYPERCORE9: Final = ("hypercore9", "plain")
HYPERCORE11: Final = ("hypercore11", "plain")
CORKED: Final = ("hypercore11", "corked")
WIRES: Final = ("hypercore9", "hypercore11")

KIB, MIB = 1024, 1024 * 1024


@attrs.frozen
class Run:
    """The reports of one run."""

    options: Mapping[str, Any]
    before: Report
    """The server's report before the client starts."""
    held: Report
    """The server's report when the client is ready."""
    ready: Report
    """The client's report when it is ready."""
    result: Report
    """The memory of client and server at the end."""
    after: Report
    """The server's report at the end."""


@attrs.frozen
class Figure:
    """One number made of a run."""

    name: str
    unit: str
    better: Literal["higher", "lower"]
    value: Callable[[Run], float]
    targets: Mapping[Variant, float] = attrs.field(factory=dict)
    """The target of the ratio, ours divided by the reference, as a minimum or a maximum."""


@attrs.frozen
class Scenario:
    """Two processes, and the figures that their reports yield."""

    server: str
    client: str
    figures: tuple[Figure, ...]
    options: Mapping[str, Any]
    quick: bool = False
    """Whether it is part of the quick run."""

    @property
    def variants(self) -> list[Variant]:
        """The variants of the reference for the comparison."""
        return list(dict.fromkeys(variant for figure in self.figures for variant in figure.targets))


def _rate(run: Run) -> float:
    return float(run.result["messages"] / run.result["seconds"])


def _megabytes(run: Run) -> float:
    return _rate(run) * float(run.options["size"]) / 1e6


def _connections(run: Run) -> float:
    return float(run.options["count"] / run.result["seconds"])


def _memory(later: Report, run: Run) -> float:
    return float((later["resident"] - run.before["resident"]) / run.options["count"] / KIB)


def _both(hypercore9: float, hypercore11: float) -> dict[Variant, float]:
    return {HYPERCORE9: hypercore9, HYPERCORE11: hypercore11}


def _batch(size: int, name: str, count: int, plain9: float, plain11: float, corked: float) -> Scenario:
    targets = {**_both(plain9, plain11), CORKED: corked}
    figure = Figure(f"batch, {name}", "messages/s", "higher", _rate, targets)
    options = {"size": size, "count": count, "style": "batch"}
    return Scenario("receive", "send", (figure,), options, quick=size == 64)


def _single(size: int, name: str, count: int) -> Scenario:
    figure = Figure(f"one at a time, {name}", "messages/s", "higher", _rate, _both(2.5, 2.5))
    options = {"size": size, "count": count, "style": "single"}
    return Scenario("receive", "send", (figure,), options, quick=size == 64)


def _bulk(size: int, name: str, count: int) -> Scenario:
    figure = Figure(f"bulk, {name}", "MB/s", "higher", _megabytes, _both(1, 1))
    options = {"size": size, "count": count, "style": "batch"}
    return Scenario("receive", "send", (figure,), options, quick=size == 256 * KIB)


def _new_connections(name: str, at_once: int, count: int) -> Scenario:
    figure = Figure(f"connections, {name}", "connections/s", "higher", _connections, _both(1.5, 1.2))
    return Scenario("room", "dial", (figure,), {"count": count, "at_once": at_once}, quick=at_once > 1)


_ROUND_TRIP = Scenario(
    "echo",
    "ping",
    (
        Figure("round trip, p50", "µs", "lower", lambda run: float(run.result["p50"]), _both(1.3, 1.3)),
        Figure("round trip, p99", "µs", "lower", lambda run: float(run.result["p99"]), _both(1.3, 1.3)),
    ),
    {"size": 64, "count": 5000, "style": "single"},
    quick=True,
)

_HALF_OPEN = Scenario(
    "room",
    "half-open",
    (
        Figure("unfinished handshake", "KiB", "lower", lambda run: _memory(run.held, run), _both(0.2, 1)),
        Figure(
            "held after the limit", "connections", "lower", lambda run: float(run.result["held"]), _both(0, 0)
        ),
    ),
    {"count": 1000, "handshake_time": 4, "wait": 5},
)

_IDLE = Scenario(
    "room",
    "members",
    (
        Figure("idle member", "KiB", "lower", lambda run: _memory(run.held, run), _both(0.6, 1)),
        Figure(
            "one message to 1,000 peers",
            "ms",
            "lower",
            lambda run: float(run.result["round"] * 1e3),
            _both(1, 1),
        ),
    ),
    {"count": 1000, "size": 64, "rounds": "broadcast", "repeat": 12},
    quick=True,
)

_FLOOD = Scenario(
    "sink",
    "flood",
    (
        Figure(
            "sender to a peer that does not read",
            "MB",
            "lower",
            lambda run: float(run.result["growth"] / 1e6),
            _both(0.1, 0.1),
        ),
    ),
    {"size": KIB, "count": 300_000, "style": "single"},
)

SCENARIOS: Final = (
    _batch(16, "16 B", 400_000, 6, 6, 0.8),
    _batch(64, "64 B", 400_000, 6, 6, 0.8),
    _batch(KIB, "1 KiB", 200_000, 3.5, 3, 1),
    _single(16, "16 B", 300_000),
    _single(64, "64 B", 300_000),
    _bulk(16 * KIB, "16 KiB", 40_000),
    _bulk(256 * KIB, "256 KiB", 3000),
    _bulk(MIB, "1 MiB", 800),
    _ROUND_TRIP,
    _new_connections("one by one", 1, 300),
    _new_connections("64 at once", 64, 600),
    _HALF_OPEN,
    _IDLE,
    _FLOOD,
)


@attrs.frozen
class Series:
    """A scenario of ours, run with one option growing: its figures should stay flat."""

    name: str
    option: str
    values: tuple[int, ...]
    scenario: Scenario
    quick_values: tuple[int, ...]


def _per_message(run: Run) -> float:
    return 1e6 / _rate(run)


def _per_peer(run: Run) -> float:
    return float(run.result["round"] / run.options["count"] * 1e6)


def _per_delivery(run: Run) -> float:
    return float(run.result["round"] / run.options["count"] ** 2 * 1e6)


def _join(run: Run) -> float:
    return float(run.ready["seconds"] / run.options["count"] * 1e6)


def _open(run: Run) -> float:
    return float(run.result["connect_seconds"] / run.options["drives"] * 1e6)


_SEND = {"size": 64, "count": 200_000, "style": "batch"}
_PER_MESSAGE = Figure("a message", "µs", "lower", _per_message)

SERIES: Final = (
    Series(
        "idle members",
        "count",
        (100, 1000, 5000),
        Scenario(
            "room",
            "members",
            (
                Figure("memory of a member", "KiB", "lower", lambda run: _memory(run.held, run)),
                Figure("joining of a member", "µs", "lower", _join),
                Figure("a message to all, for each", "µs", "lower", _per_peer),
            ),
            {"size": 64, "rounds": "broadcast", "repeat": 6},
        ),
        (100, 1000),
    ),
    Series(
        "topics on one connection",
        "topics",
        (1, 10, 100, 1000),
        Scenario("receive", "send", (_PER_MESSAGE,), _SEND),
        (1, 1000),
    ),
    Series(
        "drives on one node",
        "drives",
        (1, 10, 100, 1000),
        Scenario(
            "receive", "send", (_PER_MESSAGE, Figure("opening of a drive", "µs", "lower", _open)), _SEND
        ),
        (1, 1000),
    ),
    Series(
        "chatting members",
        "count",
        (10, 50, 200),
        Scenario(
            "room",
            "members",
            (Figure("a message, for each that hears it", "µs", "lower", _per_delivery),),
            {"size": 64, "rounds": "chat", "repeat": 4},
        ),
        (10, 200),
    ),
)
