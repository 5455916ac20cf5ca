"""`open_gateway`: a local web server that gives the pages of one folder `beaker.peersockets` on one drive."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from email.utils import formatdate
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

import attrs
import trio
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.trio.server import Server, ServerConnection, serve
from websockets.typing import Subprotocol

from peersockets_core import RemoteProtocolError

from ..drive import Drive
from ..node import Node
from .access import (
    HEADERS,
    Decision,
    ErrorResponse,
    GatewayAddress,
    LogIn,
    OwnFile,
    SiteFile,
    WebSocketUpgrade,
    authorize_untrusted,
)
from .connections import BrowserConnection, ConnectionLimiter
from .files import Content, IsFolder, Site, TooLarge
from .frames import LARGEST_FRAME, SUBPROTOCOL, read_binary_untrusted, read_text_untrusted
from .limits import DEFAULT_GATEWAY_LIMITS, GatewayLimits
from .loopback import listen_on_loopback
from .tab import Tab

_HERE: Final = Path(__file__).parent
_NAME_SIZE: Final = 16
"""Bytes of the discovery key in the host's name."""
_ICON: Final = ("favicon.ico",)
_FAULT: Final = 4400
"""The close code of a page that broke a rule of the protocol."""
_LONGEST_REASON: Final = 123
"""Bytes of the reason in a close frame."""
_GO_ON: Final = b"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">
<title>peersockets</title></head><body><a href="/">Go on to the site</a></body></html>
"""

# Its debug lines hold the token, and its warnings are of no use to the user.
_logger: Final = logging.getLogger("peersockets.browser")
_logger.setLevel(logging.ERROR)


@attrs.frozen
class Gateway:
    """A gateway that listens."""

    _address: GatewayAddress = attrs.field(repr=False)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 and ::1."""
        return self._address.port

    @property
    def origin(self) -> str:
        """The origin of the pages."""
        return self._address.origin

    @property
    def url(self) -> str:
        """The address with which a browser logs in. Everyone who knows it can speak as this node on the
        drive.
        """
        return self._address.url


@asynccontextmanager
async def open_gateway(
    node: Node,
    drive: Drive,
    *,
    token: str,
    folder: Path | None = None,
    port: int = 0,
    limits: GatewayLimits = DEFAULT_GATEWAY_LIMITS,
) -> AsyncIterator[Gateway]:
    """Serve the files of `folder`, or the chat, to browsers on this machine that know `token`.

    The pages have `beaker.peersockets`, which speaks as `node` on `drive`. Port 0 takes any free port. Make
    the token with `token_of`. Leaving the block closes all pages' sockets, which takes at most
    `limits.close_time`.

    Entering the block raises `OSError` if the folder cannot be read, or the port is not free on both
    127.0.0.1 and ::1.
    """
    site = Site(folder or _HERE / "site", limits.file_size)
    own = Site(_HERE / "static", limits.file_size)
    try:
        listeners = await listen_on_loopback(port)
        name = f"{drive.key.discovery_key[:_NAME_SIZE].hex()}.localhost"
        address = GatewayAddress(name, listeners[0].socket.getsockname()[1], token)
        handler = _RequestHandler(node, drive, address, site, own, limits)
        async with trio.open_nursery() as nursery:
            server = await nursery.start(partial(handler.serve, listeners))
            try:
                yield Gateway(address)
                with trio.move_on_after(limits.close_time):
                    await server.aclose()
            finally:
                nursery.cancel_scope.cancel()
    finally:
        site.close()
        own.close()


class _RequestHandler:
    """Answers requests, and serves the sockets of pages."""

    def __init__(
        self, node: Node, drive: Drive, address: GatewayAddress, site: Site, own: Site, limits: GatewayLimits
    ) -> None:
        self._node = node
        self._drive = drive
        self._address = address
        self._site = site
        self._own = own
        self._limits = limits
        self._limiter = ConnectionLimiter(limits)

    async def serve(
        self,
        listeners: list[trio.SocketListener],
        task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled."""
        limits = self._limits
        await serve(
            self._serve_tab,
            listeners=listeners,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            process_request=self._answer,
            process_response=_complete,
            server_header=None,
            open_timeout=limits.response_time,
            # Its pings would end the socket of a busy tab. The kernel reports a tab that is gone.
            ping_interval=None,
            close_timeout=limits.close_time,
            max_size=LARGEST_FRAME,
            logger=_logger,
            create_connection=partial(BrowserConnection, self._limiter),  # type: ignore[arg-type]
            task_status=task_status,
        )

    # Requests

    async def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer a request. Returns None for one that opens a WebSocket."""
        assert isinstance(connection, BrowserConnection)
        decision: Decision
        if connection.is_foreign():
            decision = ErrorResponse(HTTPStatus.FORBIDDEN, "Another user of this machine may not connect.")
        else:
            get_all = request.headers.get_all
            decision = authorize_untrusted(self._address, request.method, request.path, get_all)
        match decision:
            case WebSocketUpgrade():
                if connection.reserve_tab():
                    return None
                response = _respond_error(ErrorResponse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many tabs."))
            case ErrorResponse():
                response = _respond_error(decision)
            case LogIn(by_page):
                response = self._log_in(by_page)
            case OwnFile(name):
                response = await self._send(connection, self._own, (name,), request.path)
            case SiteFile(names):
                response = await self._send(connection, self._site, names, request.path)
        if request.method == "HEAD":
            response.body = b""
        return response

    def _log_in(self, by_page: bool) -> Response:
        if by_page:
            response = _respond(HTTPStatus.OK, "text/html; charset=utf-8", _GO_ON)
        else:
            response = _respond(HTTPStatus.SEE_OTHER)
            response.headers["Location"] = "/"
        response.headers["Set-Cookie"] = self._address.cookie
        return response

    async def _send(
        self, connection: BrowserConnection, site: Site, names: tuple[str, ...], target: str
    ) -> Response:
        try:
            content: Content = await trio.to_thread.run_sync(site.read, names)
        except FileNotFoundError:
            if names == _ICON:  # browsers ask for it by themselves, and complain
                return _respond(HTTPStatus.NO_CONTENT)
            return _respond_error(ErrorResponse(HTTPStatus.NOT_FOUND, "There is no such file."))
        except IsFolder:
            response = _respond(HTTPStatus.PERMANENT_REDIRECT)
            path, mark, query = target.partition("?")
            response.headers["Location"] = f"{path}/{mark}{query}"
            return response
        except TooLarge:
            text = f"The file is larger than {self._limits.file_size} bytes."
            return _respond_error(ErrorResponse(HTTPStatus.INTERNAL_SERVER_ERROR, text))
        if not connection.reserve(len(content.body)):
            return _respond_error(ErrorResponse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many files at once."))
        return _respond(HTTPStatus.OK, content.media_type, content.body)

    # Sockets

    async def _serve_tab(self, socket: ServerConnection) -> None:
        """Serve the socket of a page until it ends."""
        async with trio.open_nursery() as nursery:
            tab = Tab(self._node, self._drive, self._limits, nursery)
            nursery.start_soon(self._write, socket, tab)
            try:
                await _read(socket, tab)
            finally:
                tab.close()
                nursery.cancel_scope.cancel()

    async def _write(self, socket: ServerConnection, tab: Tab) -> None:
        """Send the frames that wait for a page. If the page reads none for a while, end its socket."""
        with suppress(ConnectionClosed):
            while True:
                frame = await tab.next_frame()
                with trio.move_on_after(self._limits.stalled) as patience:
                    await socket.send(frame)
                if patience.cancelled_caught:
                    await trio.aclose_forcefully(socket.stream)


async def _read(socket: ServerConnection, tab: Tab) -> None:
    """Read the frames of a page until its socket ends. A page that breaks a rule is disconnected."""
    with suppress(ConnectionClosed, trio.ClosedResourceError):
        try:
            while True:
                frame = await socket.recv()
                if isinstance(frame, str):
                    tab.execute(read_text_untrusted(frame))
                else:
                    await tab.send(read_binary_untrusted(frame))
        except RemoteProtocolError as error:
            with trio.move_on_after(socket.close_timeout or 0):  # another frame may be stuck
                await socket.aclose(_FAULT, str(error)[:_LONGEST_REASON])


def _respond_error(error: ErrorResponse) -> Response:
    response = _respond(error.status, "text/plain; charset=utf-8", f"{error.text}\n".encode())
    response.headers.update(error.headers)
    return response


def _respond(status: HTTPStatus, media_type: str | None = None, body: bytes = b"") -> Response:
    headers = Headers({"Date": formatdate(usegmt=True), "Content-Length": str(len(body))})
    if media_type is not None:
        headers["Content-Type"] = media_type
    return Response(status.value, status.phrase, headers, body)


def _complete(_: ServerConnection, request: Request, response: Response) -> None:
    """Add the headers that all answers have."""
    for name, value in HEADERS.items():
        if name not in response.headers:
            response.headers[name] = value
