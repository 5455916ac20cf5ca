"""An asyncio node with the interface of a Trio node, so that one scenario can test both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Self

import trio

from peersockets_asyncio import Drive, PeerEvents, Topic, open_node


class Threaded:
    """An object of an event loop in another thread. Its coroutines can be awaited in Trio."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wrapped: Any) -> None:
        self._loop = loop
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if inspect.iscoroutinefunction(value):
            return partial(self._wait, value)
        return partial(self._call, value) if inspect.ismethod(value) else value

    async def _wait(self, function: Any, *arguments: Any, **named: Any) -> Any:
        future = asyncio.run_coroutine_threadsafe(function(*arguments, **named), self._loop)
        try:
            return await trio.to_thread.run_sync(future.result, abandon_on_cancel=True)
        finally:
            future.cancel()

    def _call(self, function: Any, *arguments: Any, **named: Any) -> Any:
        async def call() -> Any:
            return function(*arguments, **named)

        value = asyncio.run_coroutine_threadsafe(call(), self._loop).result(60)
        return Threaded(self._loop, value) if isinstance(value, Drive | PeerEvents | Topic) else value

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._call(self._wrapped.close)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        return await self._wait(self._wrapped.receive)


@asynccontextmanager
async def open_threaded_node(**options: Any) -> AsyncIterator[Any]:
    """Open a node in an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        opening = Threaded(loop, open_node(**options))
        node = await opening._wait(opening._wrapped.__aenter__)
        try:
            yield Threaded(loop, node)
        finally:
            with trio.CancelScope(shield=True):
                await opening._wait(opening._wrapped.__aexit__, None, None, None)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
