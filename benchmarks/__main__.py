"""Run the benchmarks: `python -m benchmarks [--rounds N] [--json FILE]`.

Each figure is the median over rounds in which the reference and ours take turns; the ratio is the median
of the rounds' ratios, with their spread. Absolute numbers say little on a shared machine.
"""

import argparse
import itertools
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SIZES = {64: 300_000, 1024: 100_000, 65_536: 6_000}
"""Message sizes in bytes, and how many messages of each."""
REFERENCES = (("hypercore9", "plain"), ("hypercore11", "plain"), ("hypercore11", "corked"))
"""The wires, and how the reference sends: message by message, or many in one mux batch."""


def throughput(command: Sequence[str], count: int, size: int) -> float:
    """Messages a second between two processes of one implementation."""
    receiver = subprocess.Popen([*command, "receive", str(count)], stdout=subprocess.PIPE, text=True)
    assert receiver.stdout is not None
    try:
        port = json.loads(receiver.stdout.readline())["port"]
        with subprocess.Popen([*command, "send", str(count), str(size), str(port)]) as sender:
            result = json.loads(receiver.stdout.readline())
            receiver.wait(timeout=20)
            sender.wait(timeout=20)
    finally:
        receiver.kill()
        receiver.stdout.close()
        receiver.wait()
    return float(result["messages"] / result["seconds"])


def compare(wire: str, variant: str, size: int, count: int, rounds: int) -> dict[str, Any]:
    """Measure the reference, in one of its variants, and ours in turns."""
    node = shutil.which("node")
    if node is None:
        raise SystemExit("benchmarks: Node is needed for the reference")
    reference = [node, str(HERE / f"{wire}.js"), variant]
    ours = [sys.executable, "-m", "benchmarks.ours", wire]
    pairs = [(throughput(reference, count, size), throughput(ours, count, size)) for _ in range(rounds)]
    ratios = [mine / theirs for theirs, mine in pairs]
    return {
        "wire": wire,
        "variant": variant,
        "size": size,
        "reference": statistics.median(theirs for theirs, _ in pairs),
        "ours": statistics.median(mine for _, mine in pairs),
        "ratio": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
    }


def main() -> None:
    """Print a table of ratios."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (default 3)")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    options = parser.parse_args()
    print(f"{'wire':<12}{'reference':<10}{'bytes':>7}{'reference/s':>14}{'ours/s':>12}{'ratio':>8}   spread")
    rows = []
    for (wire, variant), (size, count) in itertools.product(REFERENCES, SIZES.items()):
        row = compare(wire, variant, size, count, options.rounds)
        rows.append(row)
        print(
            "{wire:<12}{variant:<10}{size:>7}{reference:>14,.0f}{ours:>12,.0f}{ratio:>8.2f}   "
            "{lowest:.2f} to {highest:.2f}".format(**row),
            flush=True,
        )
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
