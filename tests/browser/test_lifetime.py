"""Pages that reload, leave, come back and close, and gateways that end and start again."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Final

import pytest
import trio

from browser import chromium
from browser.chromium import ChromiumPage
from browser.drivers import Page, open_commands
from browser.places import Place, connect, open_peer, open_place
from cli.support import COMMAND
from interop.real_peer import listen, next_join
from peersockets_core import DriveKey, KeyPair
from peersockets_trio import open_node

OPEN: Final = """
(() => {
  window.peerIds = new Set()
  window.keys = []
  window.peerEvents = beaker.peersockets.watch()
  peerEvents.addEventListener('join', e => { peerIds.add(e.peerId); keys.push(e.publicKey) })
  peerEvents.addEventListener('leave', e => peerIds.delete(e.peerId))
  window.topic = beaker.peersockets.join('chat')
  topic.addEventListener('message', e => {
    console.log('peer', e.peerId, 'says', new TextDecoder().decode(e.message))
  })
})()
"""


async def test_reload_navigation_and_closing_leave_the_topics(page: Page, place: Place, site: Path) -> None:
    (site / "other.html").write_text("<!doctype html><link rel=icon href=data:,><title>other</title>")
    await page.go(place.url)
    await page.evaluate(OPEN)
    await place.until_handles(2)
    await page.reload()
    await place.until_handles(0)
    await page.evaluate(OPEN)
    await place.until_handles(2)
    await page.go(place.gateway.origin + "/other.html")
    await place.until_handles(0)
    await page.back()
    await page.until("document.title === 'page'")
    if not await page.evaluate("typeof topic === 'object'"):  # otherwise the browser has kept the page
        await page.evaluate(OPEN)
    await place.until_handles(2)
    assert page.errors == []
    await page.close()
    await place.until_handles(0)


async def test_a_page_that_comes_back_as_it_was_joins_again(chrome: ChromiumPage, place: Place) -> None:
    """Chromium keeps a page that has no open socket, and shows it again as it was."""
    await chrome.go(place.url)
    await chrome.evaluate(OPEN)
    async with open_peer("hyperdrive 10", place) as (_, topic):
        await chrome.until("peerIds.has(1)")
        await chrome.evaluate(
            """['pagehide', 'pageshow'].forEach(type => {
              dispatchEvent(new PageTransitionEvent(type, { persisted: true }))
            })"""
        )
        await chrome.until("keys.length === 2")
        assert await chrome.evaluate("[[...peerIds], keys[0] === keys[1]]") == [[1], True]
        await place.until_handles(2)
        await topic.send(place.node.public_keys["hypercore9"], b"again")
        await chrome.until_printed("peer 1 says again")


async def test_a_page_in_five_tabs(chromium_url: str, place: Place) -> None:
    async with open_commands(chromium_url) as commands, chromium.open_context(commands) as context:
        tabs = [await chromium.open_tab(commands, context) for _ in range(5)]
        for tab in tabs:
            await tab.go(place.url)
            await tab.evaluate(OPEN)
        await place.until_handles(10)
        async with open_peer("hyperdrive 13", place) as (peer, topic):
            for number, tab in enumerate(tabs):
                await tab.until("peerIds.has(1)")
                await tab.evaluate(f"topic.send(1, new TextEncoder().encode('tab {number}'))")
                assert (await topic.receive())[1] == f"tab {number}".encode()
            await tabs[2].close()
            await place.until_handles(8)
            await topic.send(place.node.public_keys["hypercore11"], b"all of you")
            for tab in tabs[:2] + tabs[3:]:
                await tab.until_printed("peer 1 says all of you")
            assert peer.happened("peer-add")
        assert [error for tab in tabs for error in tab.errors] == []


async def test_chromium_and_firefox_talk_over_two_gateways(
    chrome: Page, fox: Page, key: bytes, site: Path
) -> None:
    async with open_place(key, site) as place, open_place(key, site) as other:
        await chrome.go(place.url)
        await fox.go(other.url)
        for page, its_place in ((chrome, place), (fox, other)):
            await page.evaluate(OPEN)
            await its_place.until_handles(2)
        await connect(place, other)
        for page, says in ((chrome, "from Chromium"), (fox, "from Firefox")):
            await page.until("peerIds.has(1)")
            await page.evaluate(f"topic.send(1, new TextEncoder().encode('{says}'))")
        await fox.until_printed("peer 1 says from Chromium")
        await chrome.until_printed("peer 1 says from Firefox")
        assert await chrome.evaluate("keys[0]") == await fox.evaluate("beaker.peersockets.publicKey")
        assert chrome.errors + fox.errors == []


# Gateways as processes


@asynccontextmanager
async def serving(*arguments: str) -> AsyncIterator[tuple[trio.Process, str]]:
    """Run `peersockets serve` for the length of the block. Yield the process and its URL."""
    process = await trio.lowlevel.open_process([*COMMAND, "serve", *arguments], stdout=PIPE)
    assert process.stdout is not None
    try:
        line = b""
        while not line.endswith(b"\n"):
            line += await process.stdout.receive_some()
        yield process, line.decode().strip()
    finally:
        if process.returncode is None:
            process.kill()
        await process.stdout.aclose()
        with trio.CancelScope(shield=True):
            await process.wait()


@pytest.fixture
def seed() -> bytes:
    return os.urandom(32)


@pytest.fixture
def key_file(tmp_path: Path, seed: bytes) -> Path:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(seed.hex())
    return file


async def test_a_page_survives_the_death_of_its_gateway(
    page: Page, key: bytes, site: Path, key_file: Path, seed: bytes
) -> None:
    drive_key = DriveKey(key)
    async with (
        open_node() as node,
        node.open_drive(drive_key) as drive,
        drive.join("chat") as chat,
        drive.watch() as events,
    ):
        address = f"127.0.0.1:{await listen(node)}"
        options = (drive_key.url, "--folder", str(site), "--key-file", str(key_file), "--connect", address)
        async with serving(*options, "--port", "0") as (process, url):
            await page.go(url)
            await page.evaluate(OPEN)
            await page.until("peerIds.has(1)")
            process.kill()
            await page.until("peerIds.size === 0")
            assert await page.evaluate("beaker.peersockets.state") == "connecting"
            await page.evaluate("topic.send(1, new TextEncoder().encode('into nothing'))")
        port = url.split("/")[2].rpartition(":")[2]
        async with serving(*options, "--port", port) as (_, again):
            assert again == url
            await page.until("peerIds.has(1)")
            assert await page.evaluate("[beaker.peersockets.state, keys.length, keys[0] === keys[1]]") == [
                "open",
                2,
                True,
            ]
            await page.evaluate("topic.send(1, new TextEncoder().encode('back again'))")
            message = await chat.receive()
            assert message.message == b"back again"
            await next_join(events, KeyPair(seed).public_keys["hypercore11"])
            await chat.send(message.peer_id, b"welcome back")
            await page.until_printed("peer 1 says welcome back")


async def test_ctrl_c_ends_a_gateway_whose_tab_is_paused(
    chrome: ChromiumPage, key: bytes, site: Path, key_file: Path
) -> None:
    options = ("--folder", str(site), "--key-file", str(key_file), "--port", "0", "--no-swarm")
    async with serving(DriveKey(key).url, *options, "--listen", "127.0.0.1:0") as (process, url):
        await chrome.go(url)
        await chrome.evaluate(OPEN)
        await chrome.until("beaker.peersockets.state === 'open'")
        async with chrome.paused():
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
