"""The example whose members relay messages: over several hops, once each, and no farther than allowed."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest
import trio

from peersockets_trio import open_node
from peersockets_trio.testing import connect_nodes, wait_for_members

EXAMPLE = Path(__file__).parents[2] / "examples" / "relay.py"
KEY = "11" * 32


def _load() -> Any:
    spec = spec_from_file_location("relay", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


relay = _load()


@asynccontextmanager
async def relays(
    count: int, *connections: tuple[int, int], hops: int = 6
) -> AsyncIterator[tuple[list[Any], list[list[bytes]]]]:
    """Connect members in memory. Yield their relays, and the messages that each has received."""
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(open_node()) for _ in range(count)]
        drives = [await stack.enter_async_context(node.open_drive(KEY)) for node in nodes]
        topics = [await stack.enter_async_context(drive.join("chat")) for drive in drives]
        for one, two in connections:
            await connect_nodes(nodes[one], nodes[two])
        for number, drive in enumerate(drives):
            await wait_for_members(drive, sum(number in pair for pair in connections))
        made = [relay.Relay(drive, topic, hops) for drive, topic in zip(drives, topics, strict=True)]
        received: list[list[bytes]] = [[] for _ in made]

        async def listen(number: int) -> None:
            while True:
                received[number].append(await made[number].receive())

        async with trio.open_nursery() as nursery:
            for number in range(count):
                nursery.start_soon(listen, number)
            yield made, received
            nursery.cancel_scope.cancel()


async def quiet() -> None:
    """Let everything in flight arrive: the clock jumps only when all tasks are idle."""
    await trio.sleep(1)


async def test_a_message_takes_several_hops(autojump_clock: trio.testing.MockClock) -> None:
    async with relays(4, (0, 1), (1, 2), (2, 3)) as (made, received):
        await made[0].broadcast(b"hello")
        await quiet()
        assert received == [[], [b"hello"], [b"hello"], [b"hello"]]


async def test_a_message_arrives_once_over_any_routes(autojump_clock: trio.testing.MockClock) -> None:
    everybody = [(one, two) for two in range(4) for one in range(two)]
    async with relays(4, *everybody) as (made, received):
        await made[2].broadcast(b"one")
        await made[0].broadcast(b"two")
        await quiet()
        assert [sorted(messages) for messages in received] == [
            [b"one"],
            [b"one", b"two"],
            [b"two"],
            [b"one", b"two"],
        ]


async def test_a_message_goes_no_farther_than_its_hops(autojump_clock: trio.testing.MockClock) -> None:
    async with relays(4, (0, 1), (1, 2), (2, 3), hops=2) as (made, received):
        await made[0].broadcast(b"hello")
        await quiet()
        assert received == [[], [b"hello"], [b"hello"], []]


@pytest.mark.parametrize("data", [b"", b"\x05", b"\x05" + bytes(15)])
async def test_a_message_without_an_id_is_dropped(
    data: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    async with relays(3, (0, 1), (1, 2)) as (made, received):
        await made[0].topic.broadcast(data)
        await made[0].broadcast(b"good")
        await quiet()
        assert received == [[], [b"good"], [b"good"]]


async def test_no_message_takes_more_hops_than_a_member_allows(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with relays(4, (0, 1), (1, 2), (2, 3), hops=2) as (made, received):
        await made[0].topic.broadcast(b"\xff" + bytes(16) + b"far")
        await quiet()
        assert received == [[], [b"far"], [b"far"], []]


async def test_two_programs_talk() -> None:
    with trio.fail_after(60):
        async with (
            open_node() as node,
            node.open_swarm(bootstrap=(), host="127.0.0.1") as swarm,
            node.open_drive(KEY) as drive,
            drive.join("chat") as topic,
            swarm.join(drive) as discovery,
        ):
            await discovery.flushed()
            bootstrap = f"127.0.0.1:{swarm.bound_address[1]}"
            process = await trio.lowlevel.open_process(
                [sys.executable, str(EXAMPLE), KEY, "--bootstrap", bootstrap], stdin=PIPE, stdout=PIPE
            )
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                await wait_for_members(drive, 1)
                ours = relay.Relay(drive, topic)
                await ours.broadcast(b"from here")
                printed = b""
                while not printed.endswith(b"\n"):
                    printed += await process.stdout.receive_some()
                assert printed == b"from here\n"
                await process.stdin.send_all(b"from there\n")
                assert await ours.receive() == b"from there"
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
                await process.stdin.aclose()
                await process.stdout.aclose()
