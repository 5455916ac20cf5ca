"""A page played by hand: plain HTTP, and the WebSocket as a browser opens it."""

from __future__ import annotations

import json
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import trio
from websockets.exceptions import ConnectionClosed
from websockets.trio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from adapter.support import connect_memory, meet
from peersockets_core import KeyPair
from peersockets_trio.browser import GatewayLimits, open_gateway, token_of
from peersockets_trio.browser.frames import SUBPROTOCOL
from peersockets_trio.testing import Connect
from peersockets_trio.testing.nodes import NodeSide

LOOPBACK: Final = "127.0.0.1"
KEY_PAIR: Final = KeyPair(bytes(32))


@attrs.frozen
class Site:
    """A gateway's address, as printed."""

    url: str

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def origin(self) -> str:
        return f"http://{self.host}"

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def token(self) -> str:
        return self.url.rpartition("/")[2]

    @property
    def cookie(self) -> str:
        return f"peersockets-{self.port}={self.token}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a browser that is logged in."""
        return {"Host": self.host, "Cookie": self.cookie, "Sec-Fetch-Site": "same-origin"}


class Ended(Exception):
    """The gateway has closed the connection."""


@attrs.frozen
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse_answer(data: bytes) -> Answer:
    """Read an answer. Its header names are in lower case."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(headers) == len(lines)
    return Answer(int(first.split(" ")[1]), headers, body)


async def exchange(site: Site, request: bytes, host: str = LOOPBACK) -> bytes:
    """Send bytes, and return everything that comes until the connection ends."""
    stream = await trio.open_tcp_stream(host, site.port)
    received = b""
    async with stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(request)
            async for data in stream:
                received += data
    return received


def request_bytes(method: str, target: str, headers: dict[str, str] | list[tuple[str, str]]) -> bytes:
    pairs = headers.items() if isinstance(headers, dict) else headers
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in pairs), "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def ask(
    site: Site,
    target: str,
    method: str = "GET",
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
) -> Answer:
    """Return the answer to a request. By default the browser is logged in."""
    given = site.headers if headers is None else headers
    data = await exchange(site, request_bytes(method, target, given))
    if not data:
        raise Ended
    return parse_answer(data)


class Frames:
    """The frames of a gateway, read in order."""

    def __init__(self) -> None:
        self.peers: dict[int, tuple[str, str]] = {}
        """The public keys and wires of the peers by the socket's id."""
        self._unpacked: deque[tuple[int, int, bytes]] = deque()

    async def receive(self) -> str | bytes:
        """Return the next frame, not decoded."""
        raise NotImplementedError

    async def hear(self) -> Any:
        """Return the next frame: a list of fields, or a message as a tuple of handle, peer and payload."""
        if self._unpacked:
            return self._unpacked.popleft()
        frame = await self.receive()
        if isinstance(frame, str):
            fields = json.loads(frame)
            if fields[0] == "peer":
                self.peers[fields[1]] = (fields[2], fields[3])
            return fields
        handle, peer_id = struct.unpack_from(">II", frame)
        if handle:
            return handle, peer_id, frame[8:]
        position = 4
        while position < len(frame):
            handle, peer_id, size = struct.unpack_from(">III", frame, position)
            position += 12 + size
            self._unpacked.append((handle, peer_id, frame[position - size : position]))
        return self._unpacked.popleft()

    async def until(self, *fields: object) -> Any:
        """Return the next frame that begins with these fields. Skip others."""
        while list((frame := await self.hear())[: len(fields)]) != list(fields):
            pass
        return frame

    async def message(self) -> tuple[int, int, bytes]:
        """Return the next message. Skip other frames."""
        while not isinstance(frame := await self.hear(), tuple):
            pass
        return frame


class Page(Frames):
    """The socket of a page."""

    greeting: Any

    def __init__(self, socket: ClientConnection) -> None:
        super().__init__()
        self.socket = socket

    async def receive(self) -> str | bytes:
        return await self.socket.recv()

    async def say(self, *fields: object) -> None:
        await self.socket.send(json.dumps(fields))

    async def send(self, handle: int, peer_id: int, message: bytes) -> None:
        await self.socket.send(struct.pack(">II", handle, peer_id) + message)

    async def send_batch(self, *messages: tuple[int, int, bytes]) -> None:
        records = (struct.pack(">III", handle, peer, len(body)) + body for handle, peer, body in messages)
        await self.socket.send(bytes(4) + b"".join(records))

    async def until_closed(self) -> None:
        """Wait until the socket has ended. Skip frames."""
        with suppress(ConnectionClosed):
            while True:
                await self.socket.recv()


class RawPage(Frames):
    """A page that reads only when a test says so. It has joined "chat" as 1 and watches as 2."""

    def __init__(self, stream: trio.SocketStream) -> None:
        super().__init__()
        self.stream = stream
        self._data = bytearray()

    async def receive(self) -> str | bytes:
        opcode, size = await self._read(2)
        if size == 126:
            size = int.from_bytes(await self._read(2))
        elif size == 127:
            size = int.from_bytes(await self._read(8))
        body = await self._read(size)
        return body.decode() if opcode == 0x81 else body

    async def _read(self, size: int) -> bytes:
        while len(self._data) < size:
            try:
                data = await self.stream.receive_some(65536)
            except trio.BrokenResourceError:
                raise Ended from None
            if not data:
                raise Ended
            self._data += data
        taken = bytes(self._data[:size])
        del self._data[:size]
        return taken

    async def open(self, site: Site) -> None:
        with suppress(trio.BrokenResourceError):  # reading finds that, too
            await self.stream.send_all(opening(site))
        while await self._read(1) != b"\n" or await self._read(2) != b"\r\n":
            pass
        await self.stream.send_all(masked(0x1, b'["join",1,"chat"]') + masked(0x1, b'["watch",2]'))
        await self.until(2, "join", 1)


@asynccontextmanager
async def open_page(site: Site, **options: Any) -> AsyncIterator[Page]:
    """A page that has logged in and received the greeting."""
    async with connect(
        f"ws://{site.host}/.peersockets/socket",
        host=LOOPBACK,
        port=site.port,
        origin=Origin(site.origin),
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        additional_headers={"Cookie": site.cookie},
        proxy=None,
        open_timeout=None,
        ping_interval=None,
        close_timeout=1,
        max_size=None,
        **options,
    ) as socket:
        page = Page(socket)
        page.greeting = await page.hear()
        yield page


@attrs.frozen
class Served:
    """A gateway of the first of two nodes that have met."""

    site: Site
    ours: NodeSide
    theirs: NodeSide
    scope: trio.CancelScope
    """Cancels the gateway."""


PATIENT: Final = GatewayLimits(close_time=60)
"""On a slow machine, a close frame must have the time to leave."""


@asynccontextmanager
async def open_served(
    folder: Path, *, limits: GatewayLimits = PATIENT, connect: Connect = connect_memory
) -> AsyncIterator[Served]:
    async with meet(connect) as (ours, theirs):
        with trio.CancelScope() as scope:
            token = token_of(KEY_PAIR, ours.drive.key)
            async with open_gateway(
                ours.node, ours.drive, token=token, folder=folder, limits=limits
            ) as gateway:
                yield Served(Site(gateway.url), ours, theirs, scope)


async def hears(served: Served, topic: str) -> bool:
    """Return whether any page has joined a topic, so that a message for it is delivered."""
    async with (
        served.ours.drive.join("probe") as probe,
        served.theirs.drive.join("probe") as asking,
        served.theirs.drive.join(topic) as sending,
    ):
        before = served.ours.node.statistics().messages_received
        await sending.send(served.theirs.peer_id, b"")
        await asking.send(served.theirs.peer_id, b"")
        await probe.receive()
        return served.ours.node.statistics().messages_received > before + 1


async def until_left(served: Served, topic: str) -> None:
    """Wait until no page has joined a topic."""
    while await hears(served, topic):
        pass


@asynccontextmanager
async def open_raw(site: Site) -> AsyncIterator[RawPage]:
    async with await trio.open_tcp_stream(LOOPBACK, site.port) as stream:
        page = RawPage(stream)
        await page.open(site)
        yield page


UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": SUBPROTOCOL,
}


def opening(site: Site, **changes: str | None) -> bytes:
    """Return the request that opens a socket, with other headers or without some."""
    headers: dict[str, str] = {**site.headers, **UPGRADE, "Origin": site.origin}
    for given, value in changes.items():
        name = given.replace("_", "-")
        if value is None:
            del headers[name]
        else:
            headers[name] = value
    return request_bytes("GET", "/.peersockets/socket", headers)


def masked(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    """Return a frame as a browser sends it, with a mask that changes nothing."""
    size = len(payload)
    head = bytes([opcode | final << 7])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + size.to_bytes(2)
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8)
    return head + bytes(4) + payload
