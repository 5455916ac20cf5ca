"""The relay that other tests use applies the conditions that they set."""

from __future__ import annotations

import trio

from interop.udp_relay import HOST, open_relay


async def bound() -> tuple[trio.socket.SocketType, int]:
    udp = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    await udp.bind((HOST, 0))
    return udp, udp.getsockname()[1]


async def test_datagrams_pass_in_both_directions() -> None:
    (alice, a), (bob, b) = await bound(), await bound()
    with alice, bob:
        async with open_relay(a, b, delay=0.01) as relay:
            await alice.sendto(b"to bob", (HOST, relay.a))
            assert await bob.recvfrom(100) == (b"to bob", (HOST, relay.b))
            await bob.sendto(b"to alice", (HOST, relay.b))
            assert await alice.recvfrom(100) == (b"to alice", (HOST, relay.a))
            assert await relay.change() == {side: {"offered": 1, "delivered": 1} for side in "ab"}


async def test_conditions_change() -> None:
    (alice, a), (bob, b) = await bound(), await bound()
    with alice, bob:
        async with open_relay(a, b, loss=1.0) as relay:
            await alice.sendto(b"lost", (HOST, relay.a))
            while not (await relay.change())["a"].get("lost"):
                pass
            await relay.change(loss=0.0)
            await alice.sendto(b"kept", (HOST, relay.a))
            assert await bob.recv(100) == b"kept"
