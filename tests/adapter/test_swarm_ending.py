"""Swarms and discoveries that are closed, suspended or left, and computers that sleep."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from adapter.swarm_support import HOST, KEY, Net, meet, network
from peersockets_trio import (
    Instrument,
    PeerJoined,
    PeerLeft,
    PeerUnreachable,
    open_node,
)
from peersockets_trio.runtime import swarm_runtime as runtime_module
from peersockets_trio.runtime.network_watch import NetworkWatch
from peersockets_trio.runtime.swarm_state import SwarmState
from peersockets_trio.testing.internals import node_runtime, swarm_runtime


async def test_closing_a_discovery() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        async with alice.swarm.join(alice.drive) as discovery:
            await discovery.flushed()
            discovery.refresh()
            assert discovery.topic == alice.drive.key.discovery_key
        assert discovery.closed
        discovery.close()
        await discovery.aclose()
        with pytest.raises(trio.ClosedResourceError, match="this Discovery is closed"):
            await discovery.flushed()
        with pytest.raises(trio.ClosedResourceError):
            discovery.refresh()
        await swarm_runtime(alice.swarm).wait_withdrawn()
        found = bob.swarm.join(bob.drive, announce=False)
        await found.flushed()
        assert bob.swarm.statistics().peers == 0


async def test_closing_wakes_waiting_tasks() -> None:
    async with network() as net:
        alice = await net.add(bootstrap=[(HOST, 9)])
        discovery = alice.swarm.join(alice.drive)

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await discovery.flushed()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked(0.01)
            discovery.close()


async def test_a_closed_swarm() -> None:
    async with open_node() as node:
        async with node.open_swarm(bootstrap=(), host=HOST) as swarm:
            discovery = swarm.join(KEY)
        assert swarm.closed
        assert discovery.closed
        with pytest.raises(trio.ClosedResourceError, match="this Swarm is closed"):
            swarm.join(KEY)
        with pytest.raises(trio.ClosedResourceError):
            await swarm.connect(bytes(32))
    with pytest.raises(trio.ClosedResourceError):
        node.open_swarm()


class Mishap(Exception):
    """An exception that ends a program."""


async def found_by(net: Net) -> int:
    """Return how many peers a new node finds."""
    async with open_node() as node, node.open_swarm(bootstrap=net.bootstrap, host=HOST) as swarm:
        await swarm.join(KEY, announce=False).flushed()
        return swarm.statistics().peers


@pytest.mark.parametrize("how", ["error", "cancellation", "error within the discovery"])
async def test_an_announcement_is_withdrawn_however_the_swarm_ends(how: str) -> None:
    async with network() as net:
        with trio.CancelScope() as scope, suppress(Mishap):
            async with open_node() as node, node.open_swarm(bootstrap=net.bootstrap, host=HOST) as swarm:
                discovery = swarm.join(KEY)
                await discovery.flushed()
                assert await found_by(net) == 1
                if how == "cancellation":
                    scope.cancel()
                    await trio.sleep_forever()
                if how == "error":
                    raise Mishap
                async with discovery:
                    raise Mishap
        assert await found_by(net) == 0


async def test_withdrawing_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_module, "WITHDRAW_TIME", 0.0)
    with trio.fail_after(120):
        with trio.CancelScope() as scope:
            async with (
                open_node() as first,
                first.open_swarm(bootstrap=(), host=HOST) as begun,
                open_node() as node,
                node.open_swarm(bootstrap=[begun.bound_address], host=HOST) as swarm,
            ):
                await swarm.join(KEY).flushed()
                await begun.suspend()  # nobody confirms anything any more
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert swarm.closed
        assert swarm_runtime(swarm).machine.withdrawing


async def test_a_suspended_swarm_is_silent_and_comes_back() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        await meet(alice, bob)
        (before,) = alice.drive.peers
        async with alice.drive.watch() as events:
            await events.receive()
            for _ in range(2):
                await bob.swarm.suspend()
            assert isinstance(await events.receive(), PeerLeft)
            assert bob.swarm.suspended
            assert bob.node.statistics().connections == 0
            assert await found_by(net) == 1  # alice
            sent = swarm_runtime(bob.swarm).udp.datagrams_sent
            with pytest.raises(PeerUnreachable, match="the swarm is suspended"):
                await bob.swarm.connect(alice.key)
            later = bob.swarm.join(b"t" * 32)
            bob.swarm.resume()
            while (joined := await events.receive()).public_key != bob.key:
                pass
            assert isinstance(joined, PeerJoined)
            assert joined.peer_id == before
            await later.flushed()
            assert swarm_runtime(bob.swarm).udp.datagrams_sent > sent


async def test_suspending_that_is_cancelled_is_silent_all_the_same() -> None:
    async with network() as net:
        alice, bob = await net.add(), await net.add()
        await meet(alice, bob)
        with trio.CancelScope() as scope:
            scope.cancel()
            await bob.swarm.suspend()
        assert not bob.swarm.suspended
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bob.swarm.suspend)
            while not swarm_runtime(bob.swarm).machine.suspended:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        assert swarm_runtime(bob.swarm).state is SwarmState.SUSPENDED
        bob.swarm.resume()
        await bob.swarm.join(bob.drive).flushed()


async def test_a_sleep_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a sleep, the clock that also runs while sleeping is ahead of ours."""
    slept = 0.0

    def clock() -> float:
        return trio.current_time() + slept

    monkeypatch.setattr(runtime_module, "INTERVAL", 0.01)
    monkeypatch.setattr(runtime_module, "NetworkWatch", partial(NetworkWatch, clock=clock))
    async with network() as net:
        alice = await net.add()
        await alice.swarm.join(alice.drive).flushed()
        announced = trio.Event()

        class Announcements(Instrument):
            def topic_announced(self, topic: bytes, nodes: int) -> None:
                announced.set()

        node_runtime(alice.node).telemetry.add(Announcements())
        slept = 3600.0
        await announced.wait()
