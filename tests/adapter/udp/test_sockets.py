"""`peersockets_trio.udp.sockets`: the tasks that move datagrams, and the life of a socket."""

from __future__ import annotations

import pytest
import trio

from adapter.support import LOOPBACK, limited
from adapter.udp.support import SMALL_WINDOW, pair, sockets, streams
from peersockets_core import LocalProtocolError
from peersockets_core.address import PathAddress
from peersockets_core.buffer import Buffer
from peersockets_core.udx import Address, State
from peersockets_trio import open_node
from peersockets_trio.udp import UdxStream, open_udp_socket
from peersockets_trio.udp.datagrams import Datagrams

from ..support import KEY


async def test_datagrams_of_other_protocols_share_the_socket() -> None:
    async with sockets() as (alice, bob):
        heard: list[tuple[bytes, PathAddress]] = []
        ours, theirs = pair(alice, bob)
        alice.send_datagram(b"nobody listens", bob.address)
        bob.on_datagram = lambda data, source: heard.append((bytes(data), source))
        for number in range(3):
            alice.send_datagram(b"note %d" % number, bob.address)
        await ours.send_all(b"data")
        assert await theirs.receive_some() == b"data"
        assert [(data, source) for data, source in heard if data.startswith(b"note")] == [
            (b"note %d" % number, alice.address) for number in range(3)
        ]


async def test_a_run_of_one_sender_may_mix_udx_and_other_datagrams() -> None:
    """As an open peer's does: the answer to a handshake, and at once the first packet of its stream."""
    async with sockets() as (alice, bob):
        heard: list[bytes] = []
        bob.on_datagram = lambda data, source: heard.append(bytes(data))
        ours, theirs = pair(alice, bob)
        alice.send_datagram(b"a" * 100, bob.address)
        ours.write(b"first")
        assert await theirs.receive_some() == b"first"
        ours.write(b"second")
        alice.send_datagram(b"b", bob.address)
        assert await theirs.receive_some() == b"second"
        while len(heard) < 2:
            await trio.lowlevel.checkpoint()
        assert heard == [b"a" * 100, b"b"]
        assert bob.endpoint.statistics().malformed == 0


async def test_leaving_destroys_open_streams() -> None:
    with limited():
        async with open_udp_socket(LOOPBACK) as bob:
            async with open_udp_socket(LOOPBACK) as alice:
                ours, theirs = pair(alice, bob)
                await ours.send_all(b"data")
                assert await theirs.receive_some() == b"data"
            with pytest.raises(trio.BrokenResourceError):
                await theirs.receive_some()
            with pytest.raises(trio.ClosedResourceError):
                await ours.receive_some()
            with pytest.raises(trio.ClosedResourceError):
                alice.open_stream(9)
            alice.send_datagram(b"late", bob.address)


async def test_leaving_sends_accepted_bytes_of_closed_streams() -> None:
    received = 0

    async def read(stream: UdxStream) -> None:
        nonlocal received
        async with stream:
            async for data in stream:
                received += len(data)

    async with sockets() as (_, bob), trio.open_nursery() as nursery, open_udp_socket(LOOPBACK) as alice:
        ours, theirs = pair(alice, bob)
        await ours.send_all(bytes(300_000))
        nursery.start_soon(ours.aclose)
        nursery.start_soon(read, theirs)
        await trio.testing.wait_all_tasks_blocked()
    assert received == 300_000


async def test_an_exception_of_the_block_propagates_unchanged() -> None:
    async def leave() -> None:
        async with open_udp_socket(LOOPBACK) as alice:
            alice.open_stream(1)
            raise KeyError

    with pytest.raises(KeyError):
        await leave()


async def test_a_remote_that_does_not_end_gets_some_time(autojump_clock: trio.testing.MockClock) -> None:
    async with sockets(linger=3.0) as (alice, bob):
        ours, theirs = pair(alice, bob)
        await ours.send_all(b"data")
        await theirs.receive_some()
        with trio.move_on_after(1):
            await ours.aclose()
        await trio.sleep(5)
        assert ours.core.state is State.CLOSED


async def test_an_id_is_used_once() -> None:
    async with sockets() as (alice, _):
        alice.open_stream(7)
        with pytest.raises(LocalProtocolError):
            alice.open_stream(7)


async def test_many_streams_at_once() -> None:
    async with sockets() as (alice, bob):
        async with trio.open_nursery() as nursery:

            async def talk(number: int) -> None:
                ours, theirs = pair(alice, bob, number)
                data = bytes([number]) * 50_000
                async with trio.open_nursery() as both:
                    both.start_soon(ours.send_all, data)
                    both.start_soon(theirs.send_all, data)
                    for stream in (ours, theirs):
                        missing = len(data)
                        while missing:
                            part = await stream.receive_some()
                            assert set(part) == {number}
                            missing -= len(part)
                await ours.send_eof()
                await theirs.aclose()
                await ours.aclose()

            for number in range(40):
                nursery.start_soon(talk, number)
        assert not alice.endpoint.streams
        assert not bob.endpoint.streams


@pytest.mark.parametrize("refusals", [0, 3])
async def test_datagrams_of_several_streams_share_system_calls(
    monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock, refusals: int
) -> None:
    """None of them is lost if the kernel has no room for a while."""
    send = Datagrams.send
    accepted: list[int] = []

    def count(
        self: Datagrams, destination: Address, buffers: list[Buffer], size: int, **options: bool
    ) -> bool:
        nonlocal refusals
        if refusals and len(buffers) > 2:
            refusals -= 1
            return False
        accepted.append(-(-sum(map(len, buffers)) // size))
        return send(self, destination, buffers, size, **options)

    async def write(stream: UdxStream, number: int) -> None:
        await stream.send_all(bytes([number]) * (10 if number % 20 else 100))

    monkeypatch.setattr(Datagrams, "send", count)
    async with sockets() as (alice, bob):
        streams = [pair(alice, bob, number) for number in range(100)]
        async with trio.open_nursery() as nursery:
            for number, (ours, _) in enumerate(streams):
                nursery.start_soon(write, ours, number)
        for number, (_, theirs) in enumerate(streams):
            assert set(await theirs.receive_some()) == {number}
        sent = alice.endpoint.statistics().sent + bob.endpoint.statistics().sent
    assert sum(accepted) >= sent >= 100
    assert len(accepted) < sum(accepted) / 4
    assert not refusals


async def test_two_nodes_over_udx() -> None:
    async with sockets() as (alice, bob), open_node() as one, open_node() as two:
        ours, theirs = pair(alice, bob)
        async with (
            one.open_drive(KEY) as drive,
            two.open_drive(KEY) as same,
            drive.watch() as events,
            drive.join("chat") as chat,
            same.join("chat") as other,
        ):
            async with trio.open_nursery() as nursery:

                async def attach(node: object, stream: object, initiator: bool) -> None:
                    await node.attach(stream, wire="hypercore11", initiator=initiator)  # type: ignore[attr-defined]

                nursery.start_soon(attach, one, ours, True)
                nursery.start_soon(attach, two, theirs, False)
            joined = await events.receive()
            assert one.peer(joined.peer_id).address == bob.address
            for size in (0, 5, 100_000, 3_000_000):
                await chat.send(joined.peer_id, bytes(size))
                assert await other.receive() is not None


async def test_a_reader_that_waits_costs_the_sender_no_message() -> None:
    async with sockets(SMALL_WINDOW) as (alice, bob):
        ours, theirs = pair(alice, bob)
        data = bytes(range(256)) * 2000

        async def send() -> None:
            for at in range(0, len(data), 1000):
                await ours.send_all(data[at : at + 1000])
            await ours.send_eof()

        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            async for part in theirs:
                received += part
        assert received == data


async def test_a_task_answers_before_a_timer_is_set_for_the_acknowledgement(
    mock_clock: trio.testing.MockClock,
) -> None:
    timers: list[float] = []  # seconds until the next one

    async def receive(stream: UdxStream) -> None:
        await stream.receive_some()
        timers.append(trio.lowlevel.current_statistics().seconds_to_next_deadline)

    async with streams() as (ours, theirs):
        for _ in range(10):  # in whichever order Trio runs the tasks of a turn
            await ours.send_all(b"question")
            await receive(theirs)
            await theirs.send_all(b"answer")
            await receive(ours)
        await ours.send_all(b"no question")
        await receive(theirs)
        await trio.testing.wait_all_tasks_blocked()
        unanswered = trio.lowlevel.current_statistics().seconds_to_next_deadline
        mock_clock.autojump_threshold = 0
    assert min(timers) > 0.001 >= unanswered
