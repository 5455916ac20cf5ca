"""Connections that are kept while the peer is connected in another way, and over TCP."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from adapter.reconnect_support import ADDRESS, QUICK, Line, keep
from adapter.support import (
    KEY,
    LARGER_KEY,
    LOOPBACK,
    SMALLER_KEY,
    WIRE,
    all_tasks_blocked,
    check_folded,
    connect_memory,
    limited,
    tasks,
)
from peersockets_core import WIRES
from peersockets_trio import (
    Connected,
    ConnectionInfo,
    Disconnected,
    Limits,
    PeerLeft,
    open_node,
)
from peersockets_trio.testing import join_side
from ports import unused_port

# Where the peer is connected in another way


async def test_a_key_that_has_dialled_us_is_not_dialled(line: Line, autojump_clock: MockClock) -> None:
    """Not before that connection has ended."""
    with limited():
        async with open_node() as node, line.answered(SMALLER_KEY) as other:
            await connect_memory(other, node)
            async with keep(node, expect=SMALLER_KEY.public_keys[WIRE]) as kept:
                event = await kept.receive()
                assert event == Connected(ConnectionInfo(SMALLER_KEY.public_keys[WIRE], WIRE, None))
                await trio.sleep(1000)
                assert line.dialled == []
                tasks(other)[0].finish(1)
                assert isinstance(await kept.receive(), Disconnected)
                event = await kept.receive()
                assert isinstance(event, Connected)
                assert event.info.address == ADDRESS
                assert len(line.dialled) == 1
                assert len(tasks(node)) == 1


async def test_a_key_that_dials_us_while_we_wait_is_not_dialled(
    line: Line, autojump_clock: MockClock
) -> None:
    with limited():
        async with open_node() as node, keep(node, expect=SMALLER_KEY.public_keys[WIRE]) as kept:
            while trio.current_time() < 100:
                await kept.receive()
            count = len(line.dialled)
            async with open_node(key_pair=SMALLER_KEY) as other:
                await connect_memory(other, node)
                assert isinstance(await kept.receive(), Connected)
                await trio.sleep(1000)
                assert len(line.dialled) == count
                assert kept.connected is not None


async def test_closing_keeps_connections_that_it_has_not_dialled(
    line: Line, autojump_clock: MockClock
) -> None:
    with limited():
        async with open_node() as node, open_node(key_pair=SMALLER_KEY) as other:
            await connect_memory(other, node)
            async with keep(node, expect=SMALLER_KEY.public_keys[WIRE]) as kept:
                assert isinstance(await kept.receive(), Connected)
            await trio.sleep(100)
            assert len(tasks(node)) == len(tasks(other)) == 1


async def test_two_handles_for_the_same_address_share_a_connection(
    line: Line, autojump_clock: MockClock
) -> None:
    with limited():
        async with line.answered(), open_node() as node, keep(node) as one, keep(node) as two:
            await trio.sleep(1000)
            assert len(tasks(node)) == 1
            assert one.connected is not None
            assert two.connected is not None
            assert len(line.dialled) == 2


# Over TCP


@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("drives_are_open", [True, False])
async def test_two_nodes_that_keep_each_other_settle_on_one_connection(
    wire: Any, drives_are_open: bool
) -> None:
    with limited():
        async with (
            open_node(key_pair=SMALLER_KEY, limits=Limits(fold_time=0.1)) as alice,
            open_node(key_pair=LARGER_KEY, limits=Limits(fold_time=0.1)) as bob,
        ):
            drives = [node.open_drive(KEY) for node in (alice, bob) if drives_are_open]
            ours, theirs = [(await node.listen_tcp(0, host=LOOPBACK))[0].address for node in (alice, bob)]
            to_bob = alice.keep_connected(theirs, wire=wire, backoff=QUICK)
            to_alice = bob.keep_connected(ours, wire=wire, backoff=QUICK)
            await all_tasks_blocked(0.2)  # many times as long as a wait
            assert len(tasks(alice)) == len(tasks(bob)) == 1
            assert tasks(alice)[0].connection.initiator != tasks(bob)[0].connection.initiator
            assert to_bob.connected is not None
            assert to_alice.connected is not None
            assert to_bob.connected.public_key == bob.public_keys[wire]
            if drives_are_open:
                await check_folded(await join_side(alice, drives[0]), await join_side(bob, drives[1]))


async def test_it_comes_back_over_tcp() -> None:
    port = unused_port()
    with limited():
        async with (
            open_node() as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            node.keep_connected((LOOPBACK, port), wire="hypercore11", backoff=QUICK) as kept,
        ):
            event = await kept.receive()
            assert isinstance(event, Disconnected)
            assert "refused" in event.reason  # the system's reason, as well as the address
            assert event.reason == "Connection refused"
            for _ in range(2):
                async with open_node(key_pair=SMALLER_KEY) as other, other.open_drive(KEY):
                    await other.listen_tcp(port, host=LOOPBACK)
                    assert (await events.receive()).peer_id == 1
                assert isinstance(await events.receive(), PeerLeft)


async def test_events_are_logged(
    line: Line, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "peersockets")
    with limited():
        async with open_node() as node, keep(node) as kept:
            await kept.receive()
            async with line.answered():
                assert isinstance(await kept.receive(), Connected)
            await kept.receive()
    retrying = [text for text in caplog.messages if text.startswith("retrying")]
    assert retrying == [
        "retrying: host.example:4200 on hypercore9 in 1.0 seconds: nobody is there",
        "retrying: host.example:4200 on hypercore9 in 2.0 seconds: it has ended",
    ]
