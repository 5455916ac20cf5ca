"""The picture for the documentation: what a day costs, who is known, and how far a message gets.

Needs matplotlib: `pip install 'peersockets[bench]'`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

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
    hours = figures["hours"]
    figure, ((packets, size), (known, reach)) = plt.subplots(2, 2, figsize=(11, 7), layout="constrained")
    for role, label in ROLES.items():
        packets.plot(
            *_series(hours, lambda hour, role=role: hour[role]["packets"]),
            marker=".",
            label=label,
        )
        size.plot(
            *_series(hours, lambda hour, role=role: hour[role]["bytes"] / 2**20),
            marker=".",
            label=label,
        )
    packets.set_title("packets in an hour, sent and received")
    size.set_title("MiB in an hour, with the headers of IP and UDP")
    known.plot(
        [at / 60 for at, _ in figures["known"]],
        [100 * part for _, part in figures["known"]],
    )
    known.set_title("% of the members that a newcomer has heard of")
    known.set_xlabel("minutes since it came")
    known.set_xscale("log")
    hops = range(len(hours[-1]["spread"]["reached"]))
    for hop in hops:
        label = "directly" if not hop else f"after {hop + 1} hops"
        line = _series(hours, lambda hour, hop=hop: 100 * hour["spread"]["reached"][hop])
        reach.plot(*line, marker=".", label=label)
    reach.set_title("% of the members that a message reaches")
    for axes in (packets, size, reach):
        axes.set_xlabel("hour")
        axes.legend(fontsize=8)
    for axes in (packets, size, known, reach):
        axes.set_ylim(bottom=0)
    figure.savefig(saved.with_suffix(".svg"), metadata={"Date": None})


def _series(hours: list[Any], value: Any) -> tuple[list[int], list[float]]:
    return [hour["hour"] for hour in hours], [value(hour) for hour in hours]
