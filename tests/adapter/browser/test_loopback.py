from __future__ import annotations

import errno
import socket

import pytest
import trio

from peersockets_trio.browser.loopback import listen_on_loopback


async def close(listeners: list[trio.SocketListener]) -> None:
    for listener in listeners:
        await listener.aclose()


async def test_it_listens_on_both_addresses_on_one_port() -> None:
    listeners = await listen_on_loopback(0)
    addresses = [listener.socket.getsockname()[:2] for listener in listeners]
    port = addresses[0][1]
    assert addresses == [("127.0.0.1", port), ("::1", port)]
    with pytest.raises(OSError, match=rf"cannot listen on port {port} of both 127.0.0.1 and ::1"):
        await listen_on_loopback(port)
    await close(listeners)
    await close(await listen_on_loopback(port))


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
async def test_a_port_that_somebody_has_on_one_address_is_refused(family: int, host: str) -> None:
    with socket.socket(family) as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind((host, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="cannot listen") as caught:
            await listen_on_loopback(port)
        assert caught.value.errno == errno.EADDRINUSE
        # Neither address is kept.
        for free, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            if free != family:
                with socket.socket(free) as taken:
                    taken.bind((address, port))


async def test_any_port_is_one_that_is_free_on_both(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first port that the system offers for IPv4 is taken for IPv6."""
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await listener.aclose()
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        other.listen()
        taken = other.getsockname()[1]
        sockets = type(listener.socket)
        bind = sockets.bind
        offered: list[int] = []

        async def offer(self: trio.socket.SocketType, address: tuple[str, int]) -> None:
            if address == ("127.0.0.1", 0) and not offered:
                offered.append(taken)
                address = ("127.0.0.1", taken)
            await bind(self, address)

        monkeypatch.setattr(sockets, "bind", offer)
        listeners = await listen_on_loopback(0)
        assert offered == [taken]
        assert listeners[0].socket.getsockname()[1] == listeners[1].socket.getsockname()[1] != taken
        await close(listeners)
