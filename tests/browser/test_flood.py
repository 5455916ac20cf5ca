"""A tab that does not read while a peer sends more than the gateway keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal

import attrs
import pytest
import trio

from browser import chromium
from browser.chromium import ChromiumPage
from browser.test_lifetime import serving
from interop.real_peer import listen
from peersockets_core import DriveKey
from peersockets_trio import Topic, open_node

SIZE: Final = 16_384
ROUND: Final = 64
"""Messages that the peer sends before it waits for the tab that reads."""
ENOUGH: Final = 96 * 1024 * 1024
"""Bytes: six times the gateway's queue for a tab, and more than browser and kernel keep besides."""
BOUND: Final = 64 * 1024 * 1024
"""Bytes by which the gateway may grow: less than the tab misses."""

# The first four bytes of each message are its number.
READER: Final = """
(() => {
  window.got = 0
  window.missed = 0
  window.next = 0
  window.disorder = 0
  window.topic = beaker.peersockets.join('flood')
  topic.addEventListener('message', ({ message }) => {
    const number = new DataView(message.buffer).getUint32(0)
    if (number < next) disorder++
    next = number + 1
    got++
  })
  beaker.peersockets.watch().addEventListener('join', e => topic.send(e.peerId, new Uint8Array()))
  topic.addEventListener('missed', event => { event.preventDefault(); missed += event.messages })
})()
"""
# The tab that reads sends an empty message after each round.
ACKNOWLEDGE: Final = f"""
topic.addEventListener('message', e => {{ if (next % {ROUND} === 0) topic.send(e.peerId, new Uint8Array()) }})
"""
BUSY: Final = "(() => { const end = performance.now() + 5000; while (performance.now() < end); })()"


@attrs.define
class Flood:
    """The peer that sends."""

    chat: Topic
    peer_id: int
    sent: int = 0

    async def round(self) -> None:
        for _ in range(ROUND):
            await self.chat.send(self.peer_id, self.sent.to_bytes(4) + bytes(SIZE - 4))
            self.sent += 1
        await self.chat.receive()

    async def until(self, done: trio.Event) -> None:
        """Send until the event, but at least a minimum."""
        while not done.is_set() or self.sent * SIZE < ENOUGH:
            await self.round()


def peak(process: trio.Process) -> int:
    """Return the most memory that a process has held, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024


@asynccontextmanager
async def tabs(url: str) -> AsyncIterator[list[ChromiumPage]]:
    """Open two tabs in contexts of their own, so that they do not share a process."""
    async with chromium.open_page(url) as one, chromium.open_page(url) as other:
        yield [one, other]


@pytest.mark.parametrize("way", ["busy", "paused"])
async def test_a_tab_that_does_not_read_costs_a_bounded_number_of_bytes(
    chromium_url: str, key: bytes, site: Path, way: Literal["busy", "paused"]
) -> None:
    async with (
        open_node() as node,
        node.open_drive(key) as drive,
        drive.join("flood") as chat,
        drive.watch() as events,
        tabs(chromium_url) as [slow, other],
    ):
        address = f"127.0.0.1:{await listen(node)}"
        options = ("--folder", str(site), "--port", "0", "--connect", address)
        async with serving(DriveKey(key).url, *options) as (process, url):
            member = (await events.receive()).peer_id
            for tab in (slow, other):
                await tab.go(url)
                await tab.evaluate(READER)
                await chat.receive()  # the tab greets the peer, so it has joined
            await other.evaluate(f"void {ACKNOWLEDGE}")
            flood = Flood(chat, member)
            await flood.round()
            await slow.until(f"got === {ROUND}")
            before = peak(process)
            await (flood_while_busy if way == "busy" else flood_while_paused)(flood, slow)
            assert peak(process) - before < BOUND
            await slow.until(f"got + missed === {flood.sent}")
            counts = "[got, missed, disorder]"
            assert await other.evaluate(counts) == [flood.sent, 0, 0]
            got, missed, disorder = await slow.evaluate(counts)
            assert (got + missed, disorder) == (flood.sent, 0)
            if way == "paused":
                assert missed * SIZE > BOUND // 2
            await flood.round()
            await slow.until(f"got + missed === {flood.sent}")
            assert (await slow.evaluate("missed")) == missed
        assert slow.errors + other.errors == []


async def flood_while_busy(flood: Flood, tab: ChromiumPage) -> None:
    idle = trio.Event()

    async def keep_busy() -> None:
        await tab.evaluate(BUSY)
        idle.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_busy)
        await flood.until(idle)


async def flood_while_paused(flood: Flood, tab: ChromiumPage) -> None:
    enough = trio.Event()
    enough.set()
    async with tab.paused():
        await flood.until(enough)
