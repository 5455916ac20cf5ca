"""`peersockets_trio.reconnect`: a connection that is made anew, in virtual time and over TCP."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from adapter.support import (
    KEY,
    LARGER_KEY,
    LOOPBACK,
    SMALLER_KEY,
    WIRE,
    all_tasks_blocked,
    attach,
    check_folded,
    connect_memory,
    limited,
    tasks,
)
from peersockets_core import WIRES, Address
from peersockets_trio import (
    Backoff,
    Connected,
    ConnectionInfo,
    Disconnected,
    KeptConnection,
    KeyPair,
    Limits,
    Node,
    PeerJoined,
    PeerLeft,
    Refused,
    RemoteProtocolError,
    UnexpectedKey,
    open_node,
)
from peersockets_trio.reconnect import DEFAULT_BACKOFF
from peersockets_trio.runtime.background import background_tasks
from peersockets_trio.testing import join_side
from ports import unused_port

EXACT = Backoff(jitter=(1.0, 1.0))
"""A backoff without randomness."""
QUICK = Backoff(first=0.01, longest=0.02)
ADDRESS = Address("host.example", 4200)


# How long to wait


def test_waits_grow_to_the_longest() -> None:
    waits = [EXACT.seconds(failures) for failures in range(1, 12)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60])
    assert EXACT.seconds(10**9) == pytest.approx(60)


@pytest.mark.parametrize(("number", "factor"), [(0.0, 0.66), (1.0, 1.32)])
def test_waits_are_spread(number: float, factor: float) -> None:
    backoff = Backoff(random=lambda: number)
    assert backoff.seconds(3) == pytest.approx(4 * factor)


def test_waits_are_random_unless_given() -> None:
    assert len({DEFAULT_BACKOFF.seconds(1) for _ in range(10)}) > 1


# In virtual time


class Line:
    """Stands for the address: while there is somebody, dialling leads to him."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dialled: list[float] = []
        self.answering: Node | None = None

        self._nursery: trio.Nursery | None = None
        self._streams: set[trio.abc.Stream] = set()  # our ends
        monkeypatch.setattr("peersockets_trio.node.connect", self._connect)
        monkeypatch.setattr("peersockets_trio.node.remote_address", self._remote_address)

    async def _connect(self, host: str, port: int, timeout: float) -> trio.abc.Stream:
        assert (host, port) == ADDRESS
        assert timeout == 10
        self.dialled.append(trio.current_time())
        await trio.lowlevel.checkpoint()
        if self.answering is None or self._nursery is None:
            raise OSError("nobody is there")
        ours, theirs = trio.testing.memory_stream_pair()
        self._streams.add(ours)
        self._nursery.start_soon(_answer, self.answering, theirs, WIRE)
        return ours

    def _remote_address(self, stream: trio.abc.Stream) -> Address | None:
        return ADDRESS if stream in self._streams else None

    @asynccontextmanager
    async def answered(self, key_pair: KeyPair | None = None) -> AsyncIterator[Node]:
        """Somebody answers there for the length of the block, with a drive open."""
        async with (
            open_node(key_pair=key_pair) as node,
            node.open_drive(KEY),
            background_tasks() as self._nursery,
        ):
            self.answering = node
            try:
                yield node
            finally:
                self.answering = self._nursery = None


async def _answer(node: Node, stream: trio.abc.Stream, wire: Any) -> None:
    with suppress(RemoteProtocolError, trio.BrokenResourceError):  # the dialler may think better of it
        await attach(node, stream, False, wire)


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Line:
    return Line(monkeypatch)


def keep(node: Node, **options: Any) -> KeptConnection:
    return node.keep_connected(ADDRESS, wire=WIRE, backoff=EXACT, **options)


async def test_an_address_where_nobody_is_is_dialled_less_and_less(
    line: Line, autojump_clock: MockClock
) -> None:
    with limited():
        async with open_node() as node, keep(node) as kept:
            assert kept.connected is None
            assert kept.address == ADDRESS
            waits = []
            for _ in range(8):
                event = await kept.receive()
                assert isinstance(event, Disconnected)
                assert event.reason == "nobody is there"
                assert type(event.error) is OSError
                waits.append(event.retry_in)
            assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])
            gaps = [later - earlier for earlier, later in itertools.pairwise(line.dialled)]
            assert gaps == pytest.approx(waits[:-1])


async def test_whoever_appears_later_is_met(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, keep(node) as kept:
            assert isinstance(await kept.receive(), Disconnected)
            async with line.answered() as other:
                event = await kept.receive()
                info = ConnectionInfo(other.public_keys[WIRE], WIRE, ADDRESS)
                assert event == Connected(info)
                assert kept.connected == info
                assert (await join_side(node, drive)).peer_id == 1


async def test_a_key_that_comes_back_has_its_old_id(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with (
            open_node() as node,
            node.open_drive(KEY) as drive,
            drive.watch() as events,
            keep(node) as kept,
        ):
            for key_pair, peer_id in ((SMALLER_KEY, 1), (LARGER_KEY, 2), (SMALLER_KEY, 1)):
                async with line.answered(key_pair):
                    while not isinstance(await kept.receive(), Connected):
                        pass
                    joined = await events.receive()
                    assert joined == PeerJoined(peer_id, key_pair.public_keys[WIRE], WIRE)
                left = await events.receive()
                assert isinstance(left, PeerLeft)
                assert left.peer_id == peer_id
                event = await kept.receive()
                assert isinstance(event, Disconnected)
                assert (event.reason, event.error) == ("", None)
                assert kept.connected is None


@pytest.mark.parametrize(
    ("lasting", "waits"),
    [(14.0, [1, 2, 4, 8]), (16.0, [1, 1, 1, 1])],
    ids=["short", "long"],
)
async def test_a_connection_that_lasted_counts_for_a_new_beginning(
    line: Line, autojump_clock: MockClock, lasting: float, waits: list[float]
) -> None:
    with limited():
        async with open_node() as node, keep(node) as kept:
            retries = []
            for _ in range(4):
                async with line.answered():
                    while not isinstance(await kept.receive(), Connected):
                        pass
                    await trio.sleep(lasting)
                event = await kept.receive()
                assert isinstance(event, Disconnected)
                retries.append(event.retry_in)
            assert retries[0] == pytest.approx(waits[0])
            # Nobody is there for an instant, which is a failure only if it is dialled in it.
            assert retries == pytest.approx(waits)


async def test_closing_ends_the_dialling_and_the_connection(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with open_node() as node:
            kept = keep(node)
            await kept.receive()
            kept.close()
            kept.close()
            count = len(line.dialled)
            await trio.sleep(1000)
            assert len(line.dialled) == count
            assert kept.closed
            with pytest.raises(trio.ClosedResourceError, match="KeptConnection is closed"):
                await kept.receive()
            async with line.answered() as other:
                async with keep(node) as again:
                    assert isinstance(await again.receive(), Connected)
                    assert len(tasks(other)) == 1
                assert again.connected is None
                await trio.sleep(0.1)
                assert not tasks(other)
                assert not tasks(node)


async def test_closing_before_it_has_begun(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with open_node() as node:
            keep(node).close()
            await trio.sleep(10)
        assert line.dialled == []


async def test_a_receiver_learns_of_the_closing(line: Line, autojump_clock: MockClock) -> None:
    events: list[object] = []

    async def read(kept: KeptConnection) -> None:
        try:
            async for event in kept:
                events.append(event)
        except trio.ClosedResourceError:
            events.append(None)

    with limited():
        async with trio.open_nursery() as nursery, open_node() as node:
            nursery.start_soon(read, keep(node))
            await trio.sleep(5)
        assert len(events) == 3 + 1  # at 0, 1 and 3 seconds, and in the end


async def test_leaving_the_node_is_at_once(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with line.answered():
            async with open_node() as node, node.open_drive(KEY):
                kept = keep(node)
                await kept.receive()
                start = trio.current_time()
            assert trio.current_time() == start
            assert kept.closed
            assert len(line.dialled) == 1
        with pytest.raises(trio.ClosedResourceError):
            keep(node)


async def test_events_that_nobody_reads_are_bounded(line: Line, autojump_clock: MockClock) -> None:
    """The last event always shows the current state."""
    every_second = Backoff(longest=1.0, jitter=(1.0, 1.0))
    with limited():
        async with (
            open_node() as node,
            node.keep_connected(ADDRESS, wire=WIRE, backoff=every_second) as kept,
        ):
            await trio.sleep(500)
            assert len(line.dialled) >= 500
            async with line.answered():
                await trio.sleep(2)
                unread = []
                with suppress(trio.WouldBlock):
                    while True:
                        unread.append(kept.receive_nowait())
        assert len(unread) == 64
        assert [type(event) for event in unread[-2:]] == [Disconnected, Connected]


async def test_another_key_than_expected_is_reported_and_tried_again(
    line: Line, autojump_clock: MockClock
) -> None:
    expected = SMALLER_KEY.public_keys[WIRE]
    with limited():
        async with open_node() as node, keep(node, expect=expected.hex()) as kept:
            async with line.answered(LARGER_KEY):
                event = await kept.receive()
                assert isinstance(event, Disconnected)
                assert isinstance(event.error, UnexpectedKey)
                assert event.reason == str(event.error)
            async with line.answered(SMALLER_KEY):
                while not isinstance(event, Connected):
                    event = await kept.receive()
                assert event.info.public_key == expected


async def test_a_remote_that_we_refuse_is_tried_again(line: Line, autojump_clock: MockClock) -> None:
    async def refuse(info: ConnectionInfo) -> None:
        if line.dialled[-1] < 3:
            raise Refused("not before three o'clock")

    with limited():
        async with line.answered(), open_node(authenticate=refuse) as node, keep(node) as kept:
            kinds = [await kept.receive() for _ in range(3)]
            assert [type(event) for event in kinds] == [Disconnected, Disconnected, Connected]
            assert isinstance(kinds[0], Disconnected)
            assert kinds[0].reason == "refused: not before three o'clock"


async def test_a_bug_in_authenticate_is_not_taken_for_a_failure(
    line: Line, autojump_clock: MockClock
) -> None:
    async def buggy(info: ConnectionInfo) -> None:
        raise ZeroDivisionError

    async def run() -> None:
        async with open_node(authenticate=buggy) as node:
            keep(node)
            await trio.sleep_forever()

    with limited():
        async with line.answered():
            with pytest.raises(ExceptionGroup) as caught:
                await run()
            assert caught.group_contains(ZeroDivisionError)


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


async def test_closing_leaves_alone_what_it_has_not_dialled(line: Line, autojump_clock: MockClock) -> None:
    with limited():
        async with open_node() as node, open_node(key_pair=SMALLER_KEY) as other:
            await connect_memory(other, node)
            async with keep(node, expect=SMALLER_KEY.public_keys[WIRE]) as kept:
                assert isinstance(await kept.receive(), Connected)
            await trio.sleep(100)
            assert len(tasks(node)) == len(tasks(other)) == 1


async def test_two_that_keep_the_same_address_share_a_connection(
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


async def test_what_happens_is_logged(
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


# Bad use


BAD: list[tuple[Any, type[Exception], str]] = [
    ("host:1", TypeError, "address must be a pair"),
    (("host",), TypeError, "address must be a pair"),
    (None, TypeError, "address must be a pair"),
    ((1, 2), TypeError, "host must be str"),
    (("a..b", 2), ValueError, "host"),
    (("host", "2"), TypeError, "port must be int"),
    (("host", 0), ValueError, "port must be from 1"),
]


@pytest.mark.parametrize(("address", "error", "text"), BAD)
async def test_bad_addresses(address: Any, error: type[Exception], text: str) -> None:
    async with open_node() as node:
        with pytest.raises(error, match=text):
            node.keep_connected(address, wire=WIRE)


async def test_bad_wires_and_keys() -> None:
    wire: Any = "hypercore8"
    async with open_node() as node:
        with pytest.raises(ValueError, match="wire must be one of"):
            node.keep_connected(("host", 1), wire=wire)
        with pytest.raises(ValueError, match="expect must be a public key"):
            node.keep_connected(("host", 1), wire=WIRE, expect="00")


@pytest.mark.parametrize(
    ("timeout", "error"), [("5", TypeError), (None, TypeError), (-1, ValueError), (math.nan, ValueError)]
)
async def test_bad_timeouts(timeout: Any, error: type[Exception]) -> None:
    async with open_node() as node:
        with pytest.raises(error, match="timeout must be"):
            node.keep_connected(("host", 1), wire=WIRE, timeout=timeout)
        with pytest.raises(error, match="timeout must be"):
            await node.connect_tcp("host", 1, wire=WIRE, timeout=timeout)


# Running out of file descriptors

# A program that holds more descriptors itself than the listener leaves to it: 24 of 64 are left, where there
# would be places for 48 connections, 24 of them in their handshakes.
LIMITED = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = [os.dup(0) for _ in range(40)]
from peersockets_trio.cli import main
main()
"""


async def test_a_listener_that_runs_out_of_descriptors_recovers() -> None:
    """The listener reports it, existing connections continue, and when some have ended, it accepts again."""
    command = [sys.executable, "-c", LIMITED, "pipe", KEY.url, "--listen", f"{LOOPBACK}:0"]
    with limited(), trio.CancelScope() as scope:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            lines = LineReader(process.stdout)
            ready = await lines.next()
            port = int(ready.rpartition(b'"127.0.0.1:')[2].partition(b'"')[0])
            async with open_node() as early, early.open_drive(KEY) as drive:
                await early.connect_tcp(LOOPBACK, port, wire=WIRE)
                assert b'"event":"join"' in await lines.next()
                idle = [await trio.open_tcp_stream(LOOPBACK, port) for _ in range(60)]
                complaint = b""
                while b"Too many open files" not in complaint:
                    read = await process.stderr.receive_some()
                    assert read, complaint
                    complaint += read
                async with drive.join("chat") as chat:
                    await chat.broadcast(b"still here")
                for stream in idle:
                    await stream.aclose()
                async with open_node() as late, late.open_drive(KEY):
                    await late.connect_tcp(LOOPBACK, port, wire=WIRE)
                    joined = await lines.next()
                    assert b'"event":"join","peerId":2' in joined
                assert len(drive.peers) == 1
        finally:
            scope.shield = True
            process.kill()
            await process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    await pipe.aclose()


class LineReader:
    """Reads lines."""

    def __init__(self, stream: trio.abc.ReceiveStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def next(self) -> bytes:
        while b"\n" not in self._buffer:
            data = await self._stream.receive_some()
            assert data, "the output has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line
