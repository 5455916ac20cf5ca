"""Connections that take up room give way, and none stays for ever."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress
from pathlib import Path

import trio

from adapter.browser.support import (
    LOOPBACK,
    Ended,
    Site,
    ask,
    open_page,
    open_raw,
    open_served,
    opening,
    request_bytes,
)
from peersockets_trio.browser import GatewayLimits


async def until_closed(stream: trio.SocketStream) -> None:
    """Read until the gateway closes the connection."""
    try:
        while await stream.receive_some(65536):
            pass
    except trio.BrokenResourceError:
        pass


async def idle(stack: AsyncExitStack, site: Site, start: bytes = b"") -> trio.SocketStream:
    stream = await stack.enter_async_context(await trio.open_tcp_stream(LOOPBACK, site.port))
    with suppress(trio.BrokenResourceError):  # on a slow machine, its time may be over
        if start:
            await stream.send_all(start)
    return stream


async def test_a_request_has_a_time_limit(tmp_path: Path) -> None:
    limits = GatewayLimits(request_time=0.1)
    async with open_served(tmp_path, limits=limits) as served, AsyncExitStack() as stack:
        slow = [
            await idle(stack, served.site),
            await idle(stack, served.site, b"GET / HTTP/1.1\r\n"),
            await idle(stack, served.site, request_bytes("GET", "/", served.site.headers)[:-1]),
        ]
        for stream in slow:
            await until_closed(stream)


async def test_a_slow_request_gets_no_more_time(tmp_path: Path) -> None:
    limits = GatewayLimits(request_time=0.2)
    async with open_served(tmp_path, limits=limits) as served, AsyncExitStack() as stack:
        stream = await idle(stack, served.site, b"GET / HTTP/1.1\r\nA: ")
        async with trio.open_nursery() as nursery:

            async def trickle() -> None:
                try:
                    while True:
                        await stream.send_all(b"a")
                        await trio.sleep(0.01)
                except trio.BrokenResourceError:
                    pass

            nursery.start_soon(trickle)
            await until_closed(stream)
            nursery.cancel_scope.cancel()


async def test_the_oldest_without_a_request_gives_way(tmp_path: Path) -> None:
    limits = GatewayLimits(connections=4)
    (tmp_path / "file.txt").write_bytes(b"content")
    async with open_served(tmp_path, limits=limits) as served, AsyncExitStack() as stack:
        page = await stack.enter_async_context(open_page(served.site))
        waiting = [await idle(stack, served.site, b"GET") for _ in range(3)]
        for number, stream in enumerate(waiting):
            assert (await ask(served.site, "/file.txt")).body == b"content"
            await until_closed(stream)
            waiting[number] = await idle(stack, served.site, b"GET")
        await page.say("watch", 1)
        assert await page.until(1, "join")


async def test_open_sockets_do_not_give_way(tmp_path: Path) -> None:
    limits = GatewayLimits(connections=2)
    async with open_served(tmp_path, limits=limits) as served, AsyncExitStack() as stack:
        pages = [await stack.enter_async_context(open_page(served.site)) for _ in range(2)]
        await until_closed(await idle(stack, served.site))
        for page in pages:
            await page.say("watch", 1)
            assert await page.until(1, "join")


async def test_connections_that_ended_make_room(tmp_path: Path) -> None:
    limits = GatewayLimits(connections=2, tabs=2)
    (tmp_path / "file.txt").write_bytes(b"content")
    async with open_served(tmp_path, limits=limits) as served:
        rounds = 0
        while rounds < 3:
            # The gateway notices a little later that a connection has ended, and refuses others until then.
            with suppress(Ended):
                async with open_raw(served.site):
                    assert (await ask(served.site, "/file.txt")).body == b"content"
                    rounds += 1


async def test_the_number_of_files_being_sent_is_bounded(tmp_path: Path) -> None:
    size = 10_000_000
    limits = GatewayLimits(file_bytes=size)
    (tmp_path / "large").write_bytes(bytes(size))
    async with open_served(tmp_path, limits=limits) as served, AsyncExitStack() as stack:
        request = request_bytes("GET", "/large", served.site.headers)
        slow = await idle(stack, served.site, request)
        assert (await slow.receive_some(12)) == b"HTTP/1.1 200"
        assert (await ask(served.site, "/large")).status == 503
        await until_closed(slow)
        answer = await ask(served.site, "/large")
        while answer.status == 503:  # the gateway has not yet noticed that the first one has ended
            answer = await ask(served.site, "/large")
        assert (answer.status, len(answer.body)) == (200, size)


async def test_an_answer_that_is_not_read_is_given_up(tmp_path: Path) -> None:
    size = 10_000_000
    limits = GatewayLimits(file_bytes=size, response_time=0.5)
    (tmp_path / "large").write_bytes(bytes(size))
    async with open_served(tmp_path, limits=limits) as served, AsyncExitStack() as stack:
        answer = b""
        while not answer:  # on a slow machine, the time may be over before the file has been read
            slow = await idle(stack, served.site, request_bytes("GET", "/large", served.site.headers))
            answer = bytes(await slow.receive_some(12))
        assert answer == b"HTTP/1.1 200"
        status = 503
        while status == 503:
            with suppress(Ended):
                status = (await ask(served.site, "/large", "HEAD")).status
        assert status == 200


async def test_a_burst_of_sockets_gets_no_more_places(tmp_path: Path) -> None:
    """All requests arrive before the first one is answered."""
    limits = GatewayLimits(tabs=3)
    async with open_served(tmp_path, limits=limits) as served, AsyncExitStack() as stack:
        streams = [await idle(stack, served.site) for _ in range(10)]
        for stream in streams:
            await stream.send_all(opening(served.site))
        statuses = [bytes(await stream.receive_some(12)) for stream in streams]
        assert sorted(statuses) == [b"HTTP/1.1 101"] * 3 + [b"HTTP/1.1 503"] * 7
