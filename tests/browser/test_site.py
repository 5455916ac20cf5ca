"""The default chat of `peersockets serve`, used as people use it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import trio

from browser.chromium import ChromiumPage
from browser.drivers import Page
from browser.places import Place, connect_node, open_peer, open_place
from peersockets_trio import open_node

LARGEST_SCREENSHOT: Final = 150_000
SIZES: Final = ((320, 568), (768, 900), (1440, 900))

WORDS: Final = "[...document.querySelectorAll('.words')].map(words => words.textContent)"
NAMES: Final = "[...document.querySelectorAll('.message .name')].map(name => name.textContent)"
EVENTS: Final = (
    "[...document.querySelectorAll('.event')].map(event => event.textContent.replace(/ [^ ]*:.*/, ''))"
)
FAILURES: Final = "[...document.querySelectorAll('.event.bad span')].map(failure => failure.textContent)"
NAMELESS: Final = """
[...document.querySelectorAll('button, textarea, [role=region], [role=log], aside, svg')].filter(element =>
  !element.closest('[aria-hidden=true]') && !element.hidden &&
  !(element.getAttribute('aria-label') || element.getAttribute('aria-labelledby') || element.labels?.length ||
    element.textContent.trim())
).map(element => element.outerHTML)
"""
CONTRAST: Final = """
(() => {
  const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d')
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1)
    canvas.fillStyle = color
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const light = color => rgba(color).slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0)
  const ground = element => {
    while (rgba(getComputedStyle(element).backgroundColor)[3] === 0) element = element.parentElement
    return getComputedStyle(element).backgroundColor
  }
  const contrast = element => {
    const [one, other] = [getComputedStyle(element).color, ground(element)].map(light).sort((a, b) => b - a)
    return (one + 0.05) / (other + 0.05)
  }
  return [...document.querySelectorAll('.name, .words, .event, h1, h2, p, time, small, button')]
    .filter(element => element.checkVisibility() && element.textContent.trim() && contrast(element) < 4.5)
    .map(element => [element.outerHTML, contrast(element)])
})()
"""


@pytest.fixture
async def place(key: bytes) -> AsyncIterator[Place]:
    async with open_place(key) as place:
        yield place


async def say(page: ChromiumPage, text: str) -> None:
    """Type a message and press Enter."""
    await page.type(text)
    await page.press("Enter", 13, "\r")


async def test_people_come_talk_and_go(chrome: ChromiumPage, place: Place) -> None:
    await chrome.go(place.url)
    await chrome.until("document.querySelector('#state').textContent === 'Connected'")
    assert await chrome.evaluate("document.activeElement.id") == "text"
    assert "Nobody else is here yet" in await chrome.evaluate("document.body.innerText")
    await say(chrome, "into the void")
    assert await chrome.evaluate("[text.value, messages.childElementCount]") == ["into the void", 0]
    await chrome.evaluate("text.value = ''")
    async with (
        open_peer("hyperdrive 10", place) as (_, elders),
        open_peer("hyperdrive 13", place) as (_, youngers),
    ):
        await chrome.until("document.querySelectorAll('.person').length === 3")
        assert await chrome.evaluate("document.getElementById('people-count').textContent") == "3"
        await say(chrome, "hello <b>both</b>")
        assert (await elders.receive())[1] == (await youngers.receive())[1] == b"hello <b>both</b>"
        keys = place.node.public_keys
        await elders.send(keys["hypercore9"], b"hello page")
        await chrome.until(f"{WORDS}.length === 2")
        await youngers.send(keys["hypercore11"], b"\xff\xfe")
        await chrome.until(f"{WORDS}.length === 3")
        assert await chrome.evaluate(WORDS) == [
            "hello <b>both</b>",
            "hello page",
            "2 bytes that are not text",
        ]
        names = [topic.peer.public_key.hex()[:8] for topic in (elders, youngers)]
        assert await chrome.evaluate(NAMES) == ["You", *names]
    await chrome.until(f"{EVENTS}.filter(event => event.endsWith('left')).length === 2")
    assert chrome.errors == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
async def test_it_fits_the_window_and_is_readable(chrome: ChromiumPage, place: Place, dark: bool) -> None:
    await chrome.go(place.url)
    async with open_node() as node, node.open_drive(place.drive.key) as drive, drive.join("chat") as chat:
        member = await connect_node(node, drive, place)
        await chrome.until("document.querySelectorAll('.person').length === 2")
        await say(chrome, "w" * 300)
        await chat.receive()
        await chat.send(member, b"W" * 300)
        await chat.send(member, "\u202eright to left\nand a line".encode())
        await chrome.until(f"{WORDS}.length === 3")
        await chrome.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished))")
        for width, height in SIZES:
            await chrome.resize(width, height, dark=dark)
            assert await chrome.evaluate(
                "[document.documentElement, log].map(box => box.scrollWidth - box.clientWidth)"
            ) == [0, 0]
            assert await chrome.evaluate("log.scrollHeight - log.scrollTop - log.clientHeight < 2")
            assert await chrome.evaluate(CONTRAST) == []
            assert await chrome.evaluate(NAMELESS) == []
    assert chrome.errors == []


async def test_it_needs_no_mouse_and_does_not_move_for_people_who_ask(
    chrome: ChromiumPage, place: Place
) -> None:
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    await chrome.call("Emulation.setEmulatedMedia", features=[still])
    await chrome.go(place.url)
    async with open_node() as node, node.open_drive(place.drive.key) as drive, drive.join("chat") as chat:
        member = await connect_node(node, drive, place)
        await chrome.until(
            "document.querySelectorAll('.person').length === 2"
        )  # it has joined the topic, too
        await chat.send(member, b"hello")
        await chrome.until(f"{WORDS}.length === 1")
        assert await chrome.evaluate("document.getAnimations().length") == 0
        await chrome.type("by keys alone")
        await chrome.press("Tab", 9)
        assert await chrome.evaluate("document.activeElement.id") == "send"
        assert await chrome.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await chrome.press("Enter", 13, "\r")
        assert (await chat.receive()).message == b"by keys alone"
        assert await chrome.evaluate("document.activeElement.id") == "text"


async def test_unread_messages_are_marked_until_they_have_been_seen(
    chrome: ChromiumPage, place: Place
) -> None:
    await chrome.go(place.url)
    async with open_node() as node, node.open_drive(place.drive.key) as drive, drive.join("chat") as chat:
        member = await connect_node(node, drive, place)
        await chrome.until("document.querySelectorAll('.person').length === 2")
        for i in range(40):
            await chat.send(member, b"line %d" % i)
        await chrome.until(f"{WORDS}.length === 40")
        assert await chrome.evaluate("[document.title, newest.hidden]") == ["chat", True]
        await chrome.evaluate(
            "new Promise(done => { log.addEventListener('scroll', done); log.scrollTop = 0 })"
        )
        await chat.send(member, b"unseen")
        await chat.send(member, b"unseen, too")
        await chrome.until("document.title === '(2) chat'")
        await chrome.until(f"{WORDS}.length === 42")
        assert await chrome.evaluate(
            "[newest.innerText, document.querySelector('.divider').textContent]"
        ) == [
            "2 new",
            "New",
        ]
        await chrome.until("document.querySelector('link[rel=icon]').href.startsWith('data:')")
        await chrome.evaluate("newest.click()")
        await chrome.until("document.title === 'chat' && newest.hidden")


async def test_it_shows_the_state_of_the_connection_and_what_failed(chrome: ChromiumPage, key: bytes) -> None:
    state = "document.querySelector('#state').textContent"
    async with open_place(key) as place, open_node() as node, node.open_drive(key) as drive:
        await chrome.go(place.url)
        await connect_node(node, drive, place)
        await chrome.until("document.querySelectorAll('.person').length === 2")
        assert await chrome.evaluate(state) == "Connected"
        # A text area needs seconds to show that much.
        await chrome.evaluate("Object.defineProperty(text, 'value', { get: () => 'x'.repeat(8388609) })")
        await chrome.evaluate("composer.requestSubmit()")
        await chrome.until(f"{FAILURES}.length === 1")
    await chrome.until(f"{state} === 'Reconnecting'")
    await chrome.until(f"{FAILURES}.length === 2")
    assert await chrome.evaluate(FAILURES) == [
        "Not sent: message must have at most 8388608 bytes, not 8388609",
        "The gateway is gone. Everybody seems to have left.",
    ]
    assert "as soon as the gateway is back" in await chrome.evaluate("hint.textContent")


async def test_a_flood_leaves_the_page_usable(chrome: ChromiumPage, place: Place) -> None:
    await chrome.go(place.url)
    async with open_node() as node, node.open_drive(place.drive.key) as drive, drive.join("chat") as chat:
        member = await connect_node(node, drive, place)
        await chrome.until("document.querySelectorAll('.person').length === 2")
        for i in range(20_000):
            await chat.send(member, b"%d" % i)
        await chrome.until(f"{WORDS}.at(-1) === '19999'")
        assert await chrome.evaluate("messages.childElementCount") <= 500
        await say(chrome, "still here")
        assert (await chat.receive()).message == b"still here"


async def test_firefox_shows_the_same(fox: Page, place: Place) -> None:
    await fox.go(place.url)
    async with open_peer("hyperdrive 13", place) as (_, topic):
        await fox.until("document.querySelectorAll('.person').length === 2")
        await fox.evaluate("(text.value = 'hello', composer.requestSubmit())")
        assert (await topic.receive())[1] == b"hello"
        await fox.until(f"{WORDS}.length === 1")
        assert await fox.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert fox.errors == []


async def test_a_picture_of_it_is_small(chrome: ChromiumPage, tmp_path: Path) -> None:
    """The test writes it to the file that the environment variable PICTURE names. The keys give distant
    colours.
    """
    async with (
        open_place(bytes(range(32)), seed=bytes([127]) * 32) as place,
        open_peer("hyperdrive 10", place, seed=bytes([35]) * 32) as (_, elders),
        open_peer("hyperdrive 13", place, seed=f"{235:02x}" * 32) as (_, youngers),
    ):
        await chrome.go(place.url)
        await chrome.until("document.querySelectorAll('.person').length === 3")
        keys = place.node.public_keys
        await elders.send(keys["hypercore9"], b"Hello! I am an application on hyperdrive 10.")
        await chrome.until(f"{WORDS}.length === 1")
        await youngers.send(keys["hypercore11"], b"And I am on hyperdrive 13. Which browser is that?")
        await chrome.until(f"{WORDS}.length === 2")
        await say(chrome, "An ordinary one, without any extension.")
        await say(chrome, "My words go straight to the two of you, and nowhere else.")
        await chrome.until(f"{WORDS}.length === 4")
        await chrome.evaluate("Promise.all(document.getAnimations().map(animation => animation.finished))")
        await chrome.evaluate("void document.activeElement.blur()")
        picture = await chrome.screenshot(960, 600)
    await trio.Path(os.environ.get("PICTURE", tmp_path / "chat.png")).write_bytes(picture)
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < LARGEST_SCREENSHOT
