"""Runs the scenarios: both implementations take their turn in every round, on one network."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from peersockets_core.dht.messages import HyperDhtCommand
from peersockets_core.dht.rpc.messages import RpcCommand

from ..comparison import Better, Comparison, node_command
from ..process import Report, RoleProcess
from .load import Load

NETWORK: Final = 20
"""Nodes of the network on which both meet; hyperdht's."""

IMPLEMENTATIONS: Final = ("reference", "ours")
Figures = dict[str, float]
MIB: Final = 1 << 20


def start(stack: ExitStack, implementation: str, role: str, **options: object) -> tuple[RoleProcess, Report]:
    """Start a process; returns it and its first report."""
    if implementation == "ours":
        command = [sys.executable, "-m", "benchmarks.dht.ours"]
    else:
        command = node_command(Path(__file__).with_name("reference.js"))
    process = stack.enter_context(RoleProcess(command, role, {"bootstrap": [], **options}))
    return process, process.next()


_FLOORS: Final = {
    "ours": (sys.executable, "-c", "import nacl.bindings, trio; from benchmarks.process import resident;"
             " print(resident()['resident'])"),
    "reference": ("node", "-e", "console.log(process.memoryUsage().rss)"),
}  # fmt: skip


def floor(implementation: str) -> float:
    """Return the MiB of a process that has loaded only the indispensable parts: the interpreter, and for ours
    Trio and PyNaCl.
    """
    ended = subprocess.run(_FLOORS[implementation], capture_output=True, text=True, check=True)
    return int(ended.stdout) / MIB


def lookups(implementation: str, network: int) -> Figures:
    """Lookups of random topics, one after the other."""
    count = 50
    with ExitStack() as stack:
        client, _ = start(stack, implementation, "lookup", bootstrap=[network], count=count)
        before = client.ask("cpu")["cpu"]
        seconds = client.ask("run")["seconds"]
        used = client.ask("cpu")["cpu"] - before
        return {"lookups": count / seconds, "lookup, processor": used / count * 1e3}


def dials(implementation: str, network: int) -> Figures:
    """Dials of the same key, one after the other, each closed before the next."""
    with ExitStack() as stack:
        _, server = start(stack, implementation, "server", bootstrap=[network])
        client, _ = start(stack, implementation, "dial", bootstrap=[network], count=100, key=server["key"])
        percentiles = statistics.quantiles(client.ask("run")["times"], n=100)
        return {"dial, p50": percentiles[49] * 1e3, "dial, p99": percentiles[98] * 1e3}


def answers(implementation: str, network: int) -> Figures:
    """Requests that one node with a full table answers, for each second of the processor that it uses."""
    with ExitStack() as stack:
        # A node of ours is persistent where it begins a network, hyperdht's where it joins one.
        bootstrap = [network] if implementation == "reference" else []
        node, opened = start(stack, implementation, "node", bootstrap=bootstrap)
        load = stack.enter_context(closing(Load(opened["port"])))
        load.fill()
        figures = {
            "node with a full table": node.ask("resident")["resident"] / MIB,
            "process without a node": floor(implementation),
        }
        for name, command, internal in (
            ("FIND_NODE answered", RpcCommand.FIND_NODE, True),
            ("LOOKUP answered", HyperDhtCommand.LOOKUP, False),
        ):
            before = node.ask("cpu")["cpu"]
            answered = load.ask(command, internal=internal, seconds=3)
            figures[name] = answered / (node.ask("cpu")["cpu"] - before)
        return figures


SCENARIOS: Final[dict[str, Callable[[str, int], Figures]]] = {
    "lookups": lookups,
    "dials": dials,
    "answers": answers,
}

_FIGURES: Final[dict[str, tuple[str, Better, float]]] = {
    "lookups": ("lookups/s", "higher", 1.0),
    "lookup, processor": ("ms", "lower", 1.0),
    "dial, p50": ("ms", "lower", 1.0),
    "dial, p99": ("ms", "lower", 1.0),
    "FIND_NODE answered": ("requests/s", "higher", 0.5),
    "LOOKUP answered": ("requests/s", "higher", 0.5),
    "node with a full table": ("MiB", "lower", 0.5),
    "process without a node": ("MiB", "lower", 1.0),
}


def compare(name: str, rounds: int) -> Iterator[Comparison]:
    """Measure both implementations, in turns."""
    scenario = SCENARIOS[name]
    results: dict[str, list[Figures]] = {implementation: [] for implementation in IMPLEMENTATIONS}
    with ExitStack() as stack:
        _, network = start(stack, "reference", "network", size=NETWORK)
        for _ in range(rounds):
            for implementation in IMPLEMENTATIONS:
                results[implementation].append(scenario(implementation, network["port"]))
    for figure in results["ours"][0]:
        theirs, ours = ([found[figure] for found in results[each]] for each in IMPLEMENTATIONS)
        unit, better, target = _FIGURES[figure]
        yield Comparison.of(theirs, ours, figure=figure, unit=unit, better=better, target=target)
