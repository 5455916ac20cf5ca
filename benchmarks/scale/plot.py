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
REACHED: Final = ("directly", "after 2 hops", "after 3 hops")


def draw(saved: Path) -> None:
    """Draw saved figures into an SVG beside them: of several runs, the last period of each by its members; of
    one run, all periods.
    """
    runs = json.loads(saved.read_text())["runs"]
    if len(runs) > 1:
        axis, x = "members of the drive", [run["members"] for run in runs]
        periods = [run["periods"][-1] for run in runs]
    else:
        axis, periods = "minutes", runs[0]["periods"]
        x = [period["minutes"] for period in periods]
    # Text stays text, which halves the size, and equal figures make equal files.
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "peersockets"})
    figure, ((packets, size), (known, reach)) = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
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
        if len(runs) > 1:
            axes.set_xscale("log")
            axes.set_xticks(x, [f"{members:,}" for members in x])
            axes.minorticks_off()
        axes.set_xlabel(axis)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
    figure.savefig(saved.with_suffix(".svg"), metadata={"Date": None})
