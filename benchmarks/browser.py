"""Measure the browser gateway: `python -m benchmarks.browser` (`--help` for the options).

Two processes, one with the gateway and one with a peer, and a page in a headless Chromium. The page measures.
Each figure is the median over rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import attrs
import trio

from peersockets_core import DriveKey, KeyPair
from peersockets_trio import Topic, open_node
from peersockets_trio.browser import open_gateway, token_of

from .comparison import Better, number, replace_figures
from .process import Report, RoleProcess, arguments, resident, say

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from browser import chromium  # noqa: E402
from browser.chromium import ChromiumPage  # noqa: E402
from browser.drivers import open_commands  # noqa: E402

HOST: Final = "127.0.0.1"
SIZE: Final = 64
COUNT: Final = 200_000
TRIPS: Final = 2_000
TABS: Final = 20
BURST: Final = 500
"""Messages that the page sends in one turn."""

PAGE: Final = """<!doctype html><link rel=icon href=data:,><title>benchmark</title><script>
const topic = beaker.peersockets.join('bench')
const orders = beaker.peersockets.join('orders')
const met = new Promise(done => beaker.peersockets.watch().addEventListener('join', e => done(e.peerId)))
const order = async (...words) => orders.send(await met, new TextEncoder().encode(JSON.stringify(words)))
const answer = () => new Promise(done => orders.addEventListener('message', done, { once: true }))
const turn = () => new Promise(done => {
  const { port1, port2 } = new MessageChannel()
  port1.onmessage = done
  port2.postMessage(0)
})

async function peerToPage (count) {
  let received = 0
  const all = new Promise(done => {
    topic.addEventListener('message', function listen () {
      if (++received === count) { topic.removeEventListener('message', listen); done() }
    })
  })
  const start = performance.now()
  await order('flood', count)
  await all
  return count / (performance.now() - start) * 1000
}

async function pageToPeer (count) {
  const peer = await met
  await order('count', count)
  await answer()
  const message = new Uint8Array(%(size)d)
  const finished = answer()
  const start = performance.now()
  for (let sent = 0; sent < count; sent += %(burst)d) {
    for (let i = 0; i < %(burst)d; i++) topic.send(peer, message)
    await turn()
  }
  await finished
  return count / (performance.now() - start) * 1000
}

async function roundTrips (count) {
  const peer = await met
  await order('echo', count)
  await answer()
  const message = new Uint8Array(%(size)d)
  const times = []
  await new Promise(done => {
    let start = performance.now()
    topic.addEventListener('message', function listen () {
      const now = performance.now()
      times.push(now - start)
      if (times.length === count) { topic.removeEventListener('message', listen); return done() }
      start = now
      topic.send(peer, message)
    })
    topic.send(peer, message)
  })
  return times.sort((a, b) => a - b)[count / 2]
}
</script>"""


@attrs.frozen
class Figure:
    """One figure: its name, the script that measures it, and the value wanted."""

    name: str
    unit: str
    script: str
    better: Better
    target: float


FIGURES: Final = (
    Figure("peer to page, 64 B", "messages/s", f"peerToPage({COUNT})", "higher", 30_000),
    Figure("page to peer, 64 B", "messages/s", f"pageToPeer({COUNT})", "higher", 30_000),
    Figure("round trip, p50", "ms", f"roundTrips({TRIPS})", "lower", 1),
    Figure("an idle tab in the gateway", "KiB", "", "lower", 64),
)


@attrs.frozen
class Row:
    """The values of one figure: one for each round."""

    figure: Figure
    values: Sequence[float]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool:
        """Whether the median is what it should be."""
        higher = self.figure.better == "higher"
        return self.median >= self.figure.target if higher else self.median <= self.figure.target

    @property
    def cells(self) -> tuple[str, str, str]:
        """The median, the spread, and the value wanted."""
        sign = "≥" if self.figure.better == "higher" else "≤"
        spread = f"{number(min(self.values))} to {number(max(self.values))}"
        return number(self.median), spread, f"{sign} {number(self.figure.target)}"


# The gateway and the peer


async def serve(options: Report) -> None:
    """Serve the page, and report the memory that this process holds when asked."""
    pair = KeyPair(os.urandom(32))
    key = DriveKey(bytes.fromhex(options["key"]))
    async with open_node(key_pair=pair) as node, node.open_drive(key) as drive:
        [listener] = await node.listen_tcp(0, host=HOST)
        token = token_of(pair, key)
        async with open_gateway(node, drive, token=token, folder=Path(options["folder"])) as gateway:
            say({"url": gateway.url, "port": listener.address[1]})
            while await trio.to_thread.run_sync(sys.stdin.readline):
                say(resident())


async def peer(options: Report) -> None:
    """Do what the page orders."""
    async with (
        open_node() as node,
        node.open_drive(options["key"]) as drive,
        drive.join("orders") as orders,
        drive.join("bench") as bench,
    ):
        await node.connect_tcp(HOST, options["port"], wire=options["wire"])
        say({})
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_obey, orders, bench)
            await trio.to_thread.run_sync(sys.stdin.readline)
            nursery.cancel_scope.cancel()


async def _obey(orders: Topic, bench: Topic) -> None:
    async for message in orders:
        kind, count = json.loads(message.message)
        if kind == "flood":
            for _ in range(count):
                await bench.send(message.peer_id, bytes(SIZE))
            continue
        await orders.send(message.peer_id, b"ready")
        received = 0
        while received < count:
            batch = await bench.receive_batch()
            received += len(batch)
            if kind == "echo":
                for echoed in batch:
                    await bench.send(echoed.peer_id, echoed.message)
        if kind == "count":
            await orders.send(message.peer_id, b"finished")


# The runner


async def measure(browser: str, wire: str, only: str, rounds: int) -> list[Row]:
    """Measure everything, round by round."""
    with TemporaryDirectory(prefix="peersockets-benchmark-") as folder:
        await trio.Path(folder, "index.html").write_text(PAGE % {"size": SIZE, "burst": BURST})
        values: dict[Figure, list[float]] = {figure: [] for figure in FIGURES if only in figure.name}
        for _ in range(rounds):
            for figure, measured in values.items():
                measured.append(await _measure_once(browser, wire, folder, figure))
        return [Row(figure, measured) for figure, measured in values.items()]


async def _measure_once(browser: str, wire: str, folder: str, figure: Figure) -> float:
    options = {"key": os.urandom(32).hex(), "folder": folder, "wire": wire}
    command = [sys.executable, "-m", "benchmarks.browser"]
    with RoleProcess(command, "serve", options) as gateway:
        serving = gateway.next()
        with RoleProcess(command, "peer", {**options, "port": serving["port"]}) as process:
            process.next()
            async with chromium.open_page(browser) as page:
                await page.go(serving["url"])
                await page.evaluate("met")
                if figure.script:
                    return float(await page.evaluate(figure.script))
            return await _measure_tabs(browser, gateway, serving["url"])


async def _measure_tabs(browser: str, gateway: RoleProcess, url: str) -> float:
    """Return the memory of a tab in the gateway, in KiB."""
    async with (
        open_commands(browser) as commands,
        chromium.open_context(commands) as context,
    ):

        async def open_tab() -> ChromiumPage:
            tab = await chromium.open_tab(commands, context)
            await tab.go(url)
            await tab.evaluate("met")
            return tab

        await open_tab()
        before = gateway.ask("resident")["resident"]
        for _ in range(TABS):
            await open_tab()
        after = gateway.ask("resident")["resident"]
    return float(after - before) / (1024 * TABS)


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Return the lines of the table for the documentation."""
    yield "| | this | spread | wanted |"
    yield "|---|--:|--:|--:|"
    for row in rows:
        median, spread, wanted = row.cells
        shown = median if row.met else f"**{median}**"
        yield f"| {row.figure.name}, {row.figure.unit} | {shown} | {spread} | {wanted} |"


def main() -> None:
    """Measure, print, and write what is asked for; or play a role."""
    if len(sys.argv) == 3 and sys.argv[1] in ("serve", "peer"):
        role, role_options = arguments()
        trio.run({"serve": serve, "peer": peer}[role], role_options)
        return
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.browser", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default 5)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only figures with TEXT in the name")
    parser.add_argument(
        "--wire", choices=("hypercore9", "hypercore11"), default="hypercore11", help="of the peer"
    )
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the table into that page")
    options = parser.parse_args()
    process = chromium.start()
    try:
        rows = trio.run(measure, process.url, options.wire, options.only, options.rounds)
    finally:
        process.close()
    for row in rows:
        median, spread, wanted = row.cells
        name = f"{row.figure.name}, {row.figure.unit}"
        print(f"{name:<36}{median:>10}   {spread:<22}{wanted:>10}{'' if row.met else '  missed'}", flush=True)
    if options.page is not None:
        replace_figures(options.page, "browser figures", table(rows))


if __name__ == "__main__":
    main()
