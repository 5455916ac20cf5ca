"""`beaker.peersockets` as a page sees it, in real browsers, with a node of ours on the other side."""

from __future__ import annotations

from collections.abc import AsyncIterator

import attrs
import pytest

from browser.drivers import DriverError, Page
from browser.places import Place, connect_node
from peersockets_trio import Drive, Node, Topic, open_node

OPEN = """
(() => {
  window.peerEvents = beaker.peersockets.watch()
  window.topic = beaker.peersockets.join('chat')
  window.events = []
  for (const type of ['join', 'leave']) peerEvents.addEventListener(type, event => events.push(event))
  for (const type of ['message', 'lost', 'missed']) topic.addEventListener(type, event => events.push(event))
  window.bytes = text => new TextEncoder().encode(text)
})()
"""


@attrs.frozen
class Meeting:
    """A page and a node that have met, with the topic "chat" joined on both sides."""

    page: Page
    place: Place
    node: Node
    drive: Drive
    chat: Topic
    page_id: int
    """Return the node's id of the page."""

    async def send(self, message: bytes) -> None:
        await self.chat.send(self.page_id, message)

    async def receive(self) -> bytes:
        return (await self.chat.receive()).message


@pytest.fixture
async def met(page: Page, place: Place) -> AsyncIterator[Meeting]:
    await page.go(place.url)
    await page.evaluate(OPEN)
    async with open_node() as node, node.open_drive(place.drive.key) as drive, drive.join("chat") as chat:
        page_id = await connect_node(node, drive, place)
        await page.until("events.length === 1")
        yield Meeting(page, place, node, drive, chat, page_id)


async def test_events_have_fields_of_their_own(met: Meeting) -> None:
    page, key = met.page, met.node.public_keys["hypercore11"].hex()
    await met.send(b"\x00\xff")
    await page.until("events.length === 2")
    assert await page.evaluate("events.map(event => ({...event, type: event.type}))") == [
        {"isTrusted": False, "peerId": 1, "publicKey": key, "type": "join"},
        {"isTrusted": False, "peerId": 1, "publicKey": key, "message": [0, 255], "type": "message"},
    ]
    assert await page.evaluate("[events[1].message.byteOffset, events[1].message.buffer.byteLength]") == [
        0,
        2,
    ]
    assert await page.evaluate("events[1].message instanceof Uint8Array")
    assert await page.evaluate("events.every(event => event instanceof Event && event.constructor !== Event)")
    assert await page.evaluate("topic instanceof EventTarget && peerEvents instanceof EventTarget")
    assert await page.evaluate("Object.keys(topic).concat(Object.keys(peerEvents))") == []
    assert page.errors == []


async def test_messages_keep_their_bytes_and_their_order_both_ways(met: Meeting) -> None:
    sizes = (0, 1, 70_000, 0, 65_520, 65_521, 300_000, 2)
    await met.page.evaluate(
        f"(() => {{ for (const size of {list(sizes)}) topic.send(1, new Uint8Array(size).fill(size)) }})()"
    )
    sent = [bytes([size % 256]) * size for size in sizes]
    assert [await met.receive() for _ in sizes] == sent
    for message in sent:
        await met.send(message)
    await met.page.until(f"events.length === {len(sizes) + 1}")
    assert await met.page.evaluate(
        f"{list(sizes)}.every((size, i) => events[i + 1].message.length === size"
        " && events[i + 1].message.every(byte => byte === size % 256))"
    )


async def test_two_joins_are_two_handles(met: Meeting) -> None:
    page = met.page
    await page.evaluate(
        """(() => {
          window.heard = []
          window.second = beaker.peersockets.join('chat')
          topic.addEventListener('message', () => heard.push('first'))
          second.addEventListener('message', () => heard.push('second'))
        })()"""
    )
    await met.place.until_handles(3)
    await met.send(b"both")
    await page.until("heard.length === 2")
    assert await page.evaluate("heard.sort()") == ["first", "second"]
    assert await page.evaluate("[topic.close(), topic.close(), topic.send(1, bytes('never'))]") == [None] * 3
    await met.place.until_handles(2)
    await met.send(b"one")
    await page.until("heard.length === 3")
    assert await page.evaluate("[heard, second.send(1, bytes('still here'))]") == [
        ["first", "second", "second"],
        None,
    ]
    assert await met.receive() == b"still here"
    assert page.errors == []


async def test_ids_count_from_1_and_are_the_same_for_joins_and_watches(met: Meeting) -> None:
    page = met.page
    async with open_node() as other, other.open_drive(met.drive.key) as drive, drive.join("chat") as chat:
        await chat.send(await connect_node(other, drive, met.place), b"from the second")
        await page.until("events.length === 3")
        assert await page.evaluate("events.map(event => [event.type, event.peerId])") == [
            ["join", 1],
            ["join", 2],
            ["message", 2],
        ]
        later = (
            "window.later = new Promise(done => beaker.peersockets.watch().addEventListener('join', done))"
        )
        assert await page.evaluate(f"{later}, later.then(event => event.peerId)") == 1
    await page.until("events.length === 4")
    assert await page.evaluate("[events[3].type, events[3].peerId, typeof events[3].reason]") == [
        "leave",
        2,
        "string",
    ]


async def test_a_message_to_an_unknown_or_departed_peer_harms_nothing(met: Meeting) -> None:
    for unknown in ("0", "2", "-1", "1.5", "NaN", "4294967297"):
        await met.page.evaluate(f"topic.send({unknown}, bytes('nobody'))")
    await met.page.evaluate("topic.send(1, bytes('somebody'))")
    assert await met.receive() == b"somebody"
    await met.page.until("topic.bufferedAmount === 0")


async def test_a_page_learns_which_messages_were_lost(met: Meeting) -> None:
    await met.page.evaluate("peerEvents.addEventListener('leave', () => topic.send(1, bytes('too late')))")
    met.drive.close()
    await met.page.until("events.length === 3")
    lost = {"peerId": 1, "reason": "gone", "messages": 1, "bytes": 8}
    assert lost.items() <= (await met.page.evaluate("({ ...events[2] })")).items()
    assert await met.page.evaluate("events[2].type") == "lost"
    assert await met.page.evaluate("topic.bufferedAmount") == 0


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ("topic.send(1, 'text')", "TypeError: message must be a Uint8Array, not string"),
        ("topic.send(1, [1, 2])", "TypeError: message must be a Uint8Array, not Array"),
        ("topic.send(1, new Float64Array(1))", "TypeError: message must be a Uint8Array, not Float64Array"),
        ("topic.send(1, new ArrayBuffer(1))", "TypeError: message must be a Uint8Array, not ArrayBuffer"),
        ("topic.send(1)", "TypeError: message must be a Uint8Array, not undefined"),
        ("topic.send('1', bytes(''))", "TypeError: peerId must be a number, not string"),
        ("topic.send(null, bytes(''))", "TypeError: peerId must be a number, not null"),
        ("topic.send(1, new Uint8Array(8388609))", "RangeError: message must have at most 8388608 bytes"),
        ("beaker.peersockets.join()", "TypeError: topic must be a string, not undefined"),
        ("beaker.peersockets.join('\\ud800')", "TypeError: topic must be text without lone surrogates"),
        ("beaker.peersockets.join('ä'.repeat(32769))", "RangeError: topic must have at most 65536 bytes"),
        (
            "(() => { for (;;) beaker.peersockets.watch() })()",
            "RangeError: a page has at most 1024 topics and watches at a time",
        ),
    ],
)
async def test_misuse_throws_and_leaves_the_socket_open(
    chrome: Page, place: Place, call: str, error: str
) -> None:
    await chrome.go(place.url)
    await chrome.evaluate(OPEN)
    await chrome.until("beaker.peersockets.state === 'open'")
    with pytest.raises(DriverError, match=f"^{error}"):
        await chrome.evaluate(call)
    assert await chrome.evaluate("beaker.peersockets.state") == "open"


async def test_the_bytes_of_another_frame_are_bytes(met: Meeting) -> None:
    await met.page.evaluate(
        """(() => {
          const frame = document.body.appendChild(document.createElement('iframe'))
          topic.send(1, new frame.contentWindow.Uint8Array([1, 2, 3]).subarray(1))
        })()"""
    )
    assert await met.receive() == b"\x02\x03"


async def test_a_page_knows_its_own_keys_and_loads_the_script_once(page: Page, place: Place) -> None:
    await page.go(place.url)
    assert await page.evaluate("[beaker.peersockets.state, beaker.peersockets.publicKey]") == ["idle", None]
    await page.evaluate("window.states = [], void beaker.peersockets.addEventListener('statechange', "
                        "() => states.push(beaker.peersockets.state))")  # fmt: skip
    await page.evaluate(
        "window.before = beaker.peersockets, window.chat = beaker.peersockets.join('chat'), 0"
    )
    await page.until("states.length === 2")
    assert await page.evaluate("states") == ["connecting", "open"]
    keys = {wire: key.hex() for wire, key in place.node.public_keys.items()}
    assert await page.evaluate("beaker.peersockets.publicKeys") == keys
    assert await page.evaluate("beaker.peersockets.publicKey") == keys["hypercore11"]
    await page.evaluate(
        """new Promise((done, failed) => {
          const script = document.createElement('script')
          Object.assign(script, { src: '/.peersockets/peersockets.js', onload: done, onerror: failed })
          document.head.append(script)
        }).then(() => 0)"""
    )
    assert await page.evaluate("before === beaker.peersockets")
    assert page.errors == []


async def test_messages_of_one_turn_leave_as_one_frame(chrome: Page, place: Place) -> None:
    await chrome.go(place.url)
    await chrome.evaluate(
        """(() => {
          window.sizes = []
          const { send } = WebSocket.prototype
          WebSocket.prototype.send = function (data) { sizes.push(data.length); send.call(this, data) }
        })()"""
    )
    await chrome.evaluate(OPEN)
    async with open_node() as node, node.open_drive(place.drive.key) as drive, drive.join("chat") as chat:
        await connect_node(node, drive, place)
        await chrome.until("events.length === 1")
        await chrome.evaluate("sizes.length = 0, [1, 2, 3].forEach(i => topic.send(1, new Uint8Array([i])))")
        assert [(await chat.receive()).message for _ in range(3)] == [b"\x01", b"\x02", b"\x03"]
    assert await chrome.evaluate("sizes") == [4 + 3 * 13]


async def test_messages_for_a_stuck_peer_wait_in_the_page(chrome: Page, place: Place) -> None:
    """A peer that does not read holds up no other, and `bufferedAmount` shows it."""
    await chrome.go(place.url)
    await chrome.evaluate(OPEN)
    async with (
        open_node() as stuck,
        stuck.open_drive(place.drive.key) as stuck_drive,
        stuck_drive.join("chat") as unread,
        open_node() as node,
        node.open_drive(place.drive.key) as drive,
        drive.join("chat") as chat,
    ):
        await connect_node(stuck, stuck_drive, place)
        await chrome.until("events.length === 1")
        await connect_node(node, drive, place)
        await chrome.until("events.length === 2")
        size, count = 65_536, 1_000
        await chrome.evaluate(
            f"(() => {{ for (let i = 0; i < {count}; i++) topic.send(1, new Uint8Array({size}).fill(i)) }})()"
        )
        await chrome.evaluate("(topic.send(2, bytes('to the other')), topic.close())")
        assert (await chat.receive()).message == b"to the other"
        assert await chrome.evaluate("topic.bufferedAmount") > 16 * size
        for i in range(count):
            assert (await unread.receive()).message == bytes([i % 256]) * size
        await chrome.until("topic.bufferedAmount === 0")
        await place.until_handles(1)
    assert chrome.errors == []
