"""Runs scenarios. All pairings take turns, because only figures of one run can be compared."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from operator import truediv
from pathlib import Path
from typing import Any

import attrs

from ..comparison import Comparison, node_command
from ..process import Report, RoleProcess
from .scenarios import BARE, OURS, THEIRS, Figure, Pairing, Run, Scenario

RELAY_TICK = 0.001
"""Seconds between two times at which a bad line passes datagrams on."""
ROOT = Path(__file__).parent.parent.parent


@attrs.frozen(kw_only=True)
class Row(Comparison):
    """One figure of one pairing, beside udx-native with itself."""

    client: str
    server: str
    floor: float | None
    """The ratio of bare datagrams between two Trio processes, if it was measured."""


def command(implementation: str) -> list[str]:
    """How to start a process of an implementation."""
    if implementation != "reference":
        return [sys.executable, "-m", f"benchmarks.udx.{implementation}"]
    return node_command(Path(__file__).with_name("reference.js"))


def run(scenario: Scenario, pairing: Pairing, options: Mapping[str, Any]) -> Run:
    """Let two processes play a scenario once."""
    client_kind, server_kind = pairing
    with ExitStack() as processes:
        server, client = (
            processes.enter_context(RoleProcess(command(kind), role, {**options, "side": side}))
            for kind, role, side in (
                (server_kind, scenario.server, "server"),
                (client_kind, scenario.client, "client"),
            )
        )
        ports = {"a": client.next()["port"], "b": server.next()["port"]}
        if scenario.line is not None:
            ports = processes.enter_context(_relay(ports, scenario.line)).next()
            ports = {"a": ports["b"], "b": ports["a"]}  # the peer of b sends to a's side of the relay
        before = server.ask("resident")
        server.ask(f"connect {ports['a']}")
        client.ask(f"connect {ports['b']}")
        done = client.ask("run")
        after = server.ask("resident")
        return Run(options, before, after, server.ask("result") | done)


def _relay(ports: Mapping[str, int], line: Mapping[str, float]) -> RoleProcess:
    os.environ["PYTHONPATH"] = str(ROOT / "tests")
    options: Report = {**ports, "conditions": dict(line), "tick": RELAY_TICK}
    return RoleProcess([sys.executable, "-m", "interop.udp_relay"], "relay", options)


def compare(scenario: Scenario, rounds: int, shrink: int) -> Iterator[Row]:
    """Measure every pairing, in turns."""
    options: Report = {**scenario.options, "count": scenario.options["count"] // shrink}
    pairings = [THEIRS, *scenario.pairings]
    runs: dict[Pairing, list[Run]] = {pairing: [] for pairing in pairings}
    for _ in range(rounds):
        for pairing in pairings:
            runs[pairing].append(run(scenario, pairing, options))
    for figure in scenario.figures:
        for pairing in figure.targets:
            yield _row(figure, pairing, runs)


def _row(figure: Figure, pairing: Pairing, runs: Mapping[Pairing, list[Run]]) -> Row:
    theirs, mine, bare = (
        [figure.value(each) for each in runs.get(sides, ())] for sides in (THEIRS, pairing, BARE)
    )
    client, server = pairing
    floor = statistics.median(map(truediv, bare, theirs)) if bare and pairing == OURS else None
    return Row.of(
        theirs,
        mine,
        figure=figure.name,
        unit=figure.unit,
        better=figure.better,
        target=figure.targets[pairing],
        client=client,
        server=server,
        floor=floor,
    )
