"""A page played by hand: plain HTTP, and the WebSocket as a browser opens it."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
import trio
from websockets.trio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from peersockets_trio.browser.frames import SUBPROTOCOL

LOOPBACK: Final = "127.0.0.1"


@attrs.frozen
class Site:
    """A gateway's address, as it is printed."""

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
        """The headers of a browser that has entered."""
        return {"Host": self.host, "Cookie": self.cookie, "Sec-Fetch-Site": "same-origin"}


@attrs.frozen
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


def parse_answer(data: bytes) -> Answer:
    """Read an answer; its header names in lower case."""
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(headers) == len(lines)
    return Answer(int(first.split(" ")[1]), headers, body)


async def exchange(site: Site, request: bytes, host: str = LOOPBACK) -> bytes:
    """Send bytes, and return everything that comes until the connection ends."""
    stream = await trio.open_tcp_stream(host, site.port)
    async with stream:
        await stream.send_all(request)
        return b"".join([bytes(data) async for data in stream])


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
    """The answer to a request, of a browser that has entered unless there are other headers."""
    given = site.headers if headers is None else headers
    return parse_answer(await exchange(site, request_bytes(method, target, given)))


@attrs.define
class Page:
    """The socket of a page."""

    socket: ClientConnection
    peers: dict[int, tuple[str, str]] = attrs.field(factory=dict)
    """The public keys and wires of the peers by the socket's id."""
    _unpacked: list[tuple[int, int, bytes]] = attrs.field(factory=list)

    async def say(self, *fields: object) -> None:
        await self.socket.send(json.dumps(fields))

    async def send(self, handle: int, peer_id: int, message: bytes) -> None:
        await self.socket.send(struct.pack(">II", handle, peer_id) + message)

    async def send_batch(self, *messages: tuple[int, int, bytes]) -> None:
        records = (struct.pack(">III", handle, peer, len(body)) + body for handle, peer, body in messages)
        await self.socket.send(bytes(4) + b"".join(records))

    async def hear(self) -> Any:
        """The next frame: a list of fields, or a message as a tuple of handle, peer and payload."""
        if self._unpacked:
            return self._unpacked.pop(0)
        frame = await self.socket.recv()
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
        return self._unpacked.pop(0)

    async def until(self, *fields: object) -> Any:
        """The next frame that begins with these fields; others are passed over."""
        while list((frame := await self.hear())[: len(fields)]) != list(fields):
            pass
        return frame

    async def message(self) -> tuple[int, int, bytes]:
        """The next message; other frames are passed over."""
        while not isinstance(frame := await self.hear(), tuple):
            pass
        return frame


@asynccontextmanager
async def open_page(site: Site, **options: Any) -> AsyncIterator[Page]:
    """A page that has entered and been greeted."""
    async with connect(
        f"ws://{site.host}/.peersockets/socket",
        host=LOOPBACK,
        port=site.port,
        origin=Origin(site.origin),
        subprotocols=[Subprotocol(SUBPROTOCOL)],
        additional_headers={"Cookie": site.cookie},
        proxy=None,
        ping_interval=None,
        close_timeout=1,
        max_size=None,
        **options,
    ) as socket:
        page = Page(socket)
        greeting = await page.hear()
        assert greeting[0] == "ready"
        yield page
