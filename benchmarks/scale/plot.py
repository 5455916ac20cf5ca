"""The picture for the documentation: the cost of a host, the known members, and how far a message gets.

Needs matplotlib: `pip install 'peersockets[bench]'`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

ROLES: Final = {
    "node": "a node",
    "nearest": "a node near the drive",
    "member": "a member",
}


def draw(saved: Path) -> None:
    """Draw saved figures into an SVG beside them."""
    figures = json.loads(saved.read_text())
    periods = figures["periods"]
    # Text stays text, which is a third of the size, and equal figures make equal files.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peersockets"})
    figure, ((packets, size), (known, reach)) = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    figure.suptitle(f"{figures['nodes']:,} nodes, {figures['members']:,} members of one drive")
    minutes = [period["minutes"] for period in periods]
    for role, label in ROLES.items():
        packets.plot(minutes, [period[role]["packets"] for period in periods], ".-", label=label)
        size.plot(minutes, [period[role]["bytes"] / 2**20 for period in periods], ".-", label=label)
    packets.set_title("packets in an hour, sent and received")
    size.set_title("MiB in an hour, with the headers of IP and UDP")
    known.plot([at / 60 for at, _ in figures["known"]], [100 * part for _, part in figures["known"]])
    known.set_title("% of the members that a newcomer has heard of")
    known.set_xlabel("minutes since it came")
    for hop in range(len(periods[-1]["spread"]["reached"])):
        label = "directly" if not hop else f"after {hop + 1} hops"
        part = [100 * period["spread"]["reached"][hop] for period in periods]
        reach.plot(minutes, part, ".-", label=label)
    reach.set_title("% of the members that a message reaches")
    for axes in (packets, size, reach):
        axes.set_xlabel("minutes")
        axes.legend(fontsize=8)
    for axes in (packets, size, known, reach):
        axes.set_ylim(bottom=0)
    figure.savefig(saved.with_suffix(".svg"), metadata={"Date": None})
