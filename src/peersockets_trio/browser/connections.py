"""`BrowserConnection`, a TCP connection to the gateway. `ConnectionLimiter` bounds their number."""

from __future__ import annotations

import os
import socket
from typing import Any, Final

import trio
from websockets.protocol import Event
from websockets.trio.server import ServerConnection

from .limits import GatewayLimits
from .users import is_foreign


class ConnectionLimiter:
    """Bounds the connections. If there are too many, it evicts those without a whole request."""

    def __init__(self, limits: GatewayLimits) -> None:
        self.limits: Final = limits
        self.tabs = 0
        """The number of WebSockets."""
        self.file_bytes = 0
        """Bytes of the files that are being sent."""
        self._all: set[BrowserConnection] = set()
        self._waiting: dict[BrowserConnection, None] = {}  # those without a request, the oldest first

    def add(self, connection: BrowserConnection) -> None:
        """Add a connection. If there are too many, evict one, which may be the new one."""
        self._all.add(connection)
        self._waiting[connection] = None
        if len(self._all) > self.limits.connections:
            next(iter(self._waiting)).evict()

    def requested(self, connection: BrowserConnection) -> None:
        """Note that a connection has sent a whole request."""
        self._waiting.pop(connection, None)

    def remove(self, connection: BrowserConnection) -> None:
        """Forget a connection."""
        self._all.discard(connection)
        self._waiting.pop(connection, None)


class BrowserConnection(ServerConnection):
    """One connection. Its request must arrive within `request_time`."""

    def __init__(self, limiter: ConnectionLimiter, *arguments: Any, **options: Any) -> None:
        self._limiter = limiter
        self._arrived = trio.Event()
        self._file_bytes = 0
        self._is_tab = False
        super().__init__(*arguments, **options)
        limiter.add(self)

    def evict(self) -> None:
        """Close the connection at once."""
        assert isinstance(self.stream, trio.SocketStream)
        self.stream.socket.close()
        self._leave()

    def is_foreign(self) -> bool:
        """Return whether another user of this machine has connected."""
        assert isinstance(self.stream, trio.SocketStream)
        with socket.socket(fileno=os.dup(self.stream.socket.fileno())) as accepted:
            return is_foreign(accepted)

    def reserve_tab(self) -> bool:
        """Take a place for a WebSocket until the connection ends; returns whether there is any."""
        if self._limiter.tabs >= self._limiter.limits.tabs:
            return False
        self._limiter.tabs += 1
        self._is_tab = True
        return True

    def reserve(self, size: int) -> bool:
        """Take room for a file of this size until the connection ends; returns whether there is any."""
        if self._limiter.file_bytes + size > self._limiter.limits.file_bytes:
            return False
        self._limiter.file_bytes += size
        self._file_bytes += size
        return True

    async def handshake(self, *arguments: Any, **options: Any) -> None:
        """Wait for the request and answer it."""
        with trio.move_on_after(self._limiter.limits.request_time):
            await self._arrived.wait()
        if self.request is not None:
            await super().handshake(*arguments, **options)

    def process_event(self, event: Event) -> None:
        """Process a request or a frame."""
        super().process_event(event)
        if not self._arrived.is_set():
            self._arrived.set()
            self._limiter.requested(self)

    async def close_stream(self) -> None:
        """Close the connection."""
        self._leave()
        await super().close_stream()

    def _leave(self) -> None:
        self._limiter.remove(self)
        self._limiter.file_bytes -= self._file_bytes
        self._limiter.tabs -= self._is_tab
        self._file_bytes, self._is_tab = 0, False
        self._arrived.set()
