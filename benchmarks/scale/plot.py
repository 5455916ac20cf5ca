"""The picture for the documentation: the cost of hosts by the size of the drive, by hour and by cause, and
the reach of a message.

Needs matplotlib: `pip install 'peersockets[bench]'`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from .causes import Cause

ROLES: Final = {
    "node": "a node",
    "nearest": "a node near the drive",
    "member": "a member",
}
REACHED: Final = ("directly", "after 2 hops", "after 3 hops")


def draw(saved: list[Path]) -> None:
    """Draw the figures of some files into an SVG beside the first. The last period of each run in that file
    and of the run with the most nodes shows the cost by members; the longest run shows the cost by hour; and
    the runs of the other files show the cost by cause.
    """
    files = [json.loads(each.read_text())["runs"] for each in saved]
    every = [run for runs in files for run in runs]
    # Text stays text, which halves the size, and equal figures make equal files.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peersockets"})
    figure, ((packets, size), (known, reach), (hours, causes)) = plt.subplots(
        3, 2, figsize=(11, 10.5), layout="constrained"
    )
    largest = max(every, key=lambda run: run["nodes"])
    sizes = [run for run in files[0] if run is not largest]
    _draw_sizes([*sizes, largest], packets, size, known, reach)
    _draw_hours(max(every, key=lambda run: len(run["periods"])), hours)
    others = [run for runs in files[1:] or files for run in runs]
    _draw_causes([run for run in others if "causes" in run["periods"][-1]], causes)
    figure.savefig(saved[0].with_suffix(".svg"), metadata={"Date": None})


def _draw_sizes(runs: list[dict[str, Any]], packets: Axes, size: Axes, known: Axes, reach: Axes) -> None:
    x = [run["members"] for run in runs]
    labels = [f"{run['members']:,}\n({run['nodes']:,})" for run in runs]
    periods = [run["periods"][-1] for run in runs]
    for role, label in ROLES.items():
        packets.plot(x, [period[role]["packets"] / 1000 for period in periods], ".-", label=label)
        size.plot(x, [period[role]["bytes"] / 2**20 for period in periods], ".-", label=label)
    packets.set_title("thousand packets in an hour, sent and received")
    size.set_title("MiB in an hour, with the headers of IP and UDP")
    known.plot(x, [100 * period["known"] for period in periods], ".-", label="in the end, the median")
    known.set_title("% of the members that a newcomer has heard of")
    hops = zip(*(period["spread"]["reached"] for period in periods), strict=False)
    for label, parts in zip(REACHED, hops, strict=False):
        reach.plot(x, [100 * part for part in parts], ".-", label=label)
    reach.set_title("% of the members that a message reaches")
    for axes in (packets, size, known, reach):
        axes.set_xscale("log")
        axes.set_xticks(x, labels)
        axes.minorticks_off()
        axes.set_xlabel("members of the drive (nodes of the DHT)")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)


def _draw_hours(run: dict[str, Any], axes: Axes) -> None:
    x = [period["minutes"] / 60 for period in run["periods"]]
    for role, label in ROLES.items():
        axes.plot(x, [period[role]["packets"] / 1000 for period in run["periods"]], ".-", label=label)
    axes.set_title(f"thousand packets in an hour\n{run['nodes']:,} nodes and {run['members']:,} members")
    axes.set_xlabel("hours")
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8)


def _draw_causes(runs: list[dict[str, Any]], axes: Axes) -> None:
    bars = {
        f"{label}, {run['nodes']:,} nodes": run["periods"][-1]["causes"][role]
        for role, label in ROLES.items()
        for run in runs
        if role in run["periods"][-1]["causes"]
    }
    left = [0.0] * len(bars)
    for cause in Cause:
        width = [costs[cause.value]["packets"] / 1000 for costs in bars.values()]
        axes.barh(list(bars), width, left=left, label=cause.value)
        left = [start + length for start, length in zip(left, width, strict=True)]
    axes.invert_yaxis()
    axes.set_title("thousand packets in an hour, by cause")
    axes.legend(fontsize=7, ncols=2, loc="upper center", bbox_to_anchor=(0.3, -0.08))
