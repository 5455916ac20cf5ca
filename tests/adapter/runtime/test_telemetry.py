"""`peersockets_trio.runtime.telemetry`: the log, which shows everything but secrets, and the counters."""

from __future__ import annotations

import base64
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    LOOPBACK,
    WIRE,
    all_tasks_blocked,
    connect_hypercore11,
    connect_lockstep,
    connect_tcp,
    fill,
    limited,
    meet,
    tasks,
)
from peersockets_core import WIRES, Address
from peersockets_trio import ConnectionInfo, Instrument, KeyPair, Limits, NodeStatistics, open_node
from peersockets_trio.runtime.telemetry import explain
from peersockets_trio.testing import Connect, connect_nodes, join_side

# The log


async def test_one_line_an_event(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "peersockets")
    with limited():
        async with open_node() as node, node.open_drive(KEY) as drive, open_node() as other:
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            async with other.open_drive(KEY) as same:
                await other.connect_tcp(*listener.address, wire=WIRE)
                await join_side(node, drive)
                await join_side(other, same)
            await all_tasks_blocked()
            key, other_key = (one.public_keys[WIRE].hex() for one in (node, other))
    place = f"{LOOPBACK}:{listener.address[1]}"
    closed_here = "the drive was closed here"
    mine = [text for text in caplog.messages if other_key not in text]
    assert mine == [
        f"listening: {place}",
        f"connected: {place} on {WIRE}, key {key}",
        f"joined: peer 1 of drive {KEY} on {WIRE}, key {key}",
        f"left: peer 1 of drive {KEY} on {WIRE}, key {key}: {closed_here} (0 bytes unsent)",
        f"disconnected: {place} on {WIRE}, key {key}: closed (0 bytes unsent)",
    ]
    theirs = [text.partition(":")[0] for text in caplog.messages if other_key in text]
    assert theirs == ["connected", "joined", "left", "disconnected"]
    assert {record.levelname for record in caplog.records} == {"INFO"}


async def test_unsent_messages_are_logged_as_a_warning(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    caplog.set_level("INFO", "peersockets")
    limits = Limits(receive_messages=1, send_buffer=1000)
    async with (
        meet(connect_lockstep, limits=limits) as (alice, bob),
        alice.drive.join("chat"),
        bob.drive.join("chat") as chat,
    ):
        await fill(chat, bob.peer_id)
        for task in tasks(bob.node):
            task.cancel()
        await all_tasks_blocked(0)
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert warnings[0].startswith("disconnected: ")
    assert int(warnings[0].rpartition("(")[2].split()[0]) > 0


@pytest.mark.parametrize("wire", WIRES)
async def test_no_secret_is_logged(
    wire: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log shows no seed or secret key, ephemeral or not, no drive key and no message, in any encoding."""
    caplog.set_level("DEBUG", "peersockets")
    key_pairs = [KeyPair(os.urandom(32)) for _ in range(2)]
    messages = [b"for your eyes only", os.urandom(300)]
    drawn: list[bytes] = []

    def urandom(size: int) -> bytes:
        drawn.append(entropy(size))
        return drawn[-1]

    entropy = os.urandom
    monkeypatch.setattr("peersockets_trio.runtime.node_runtime.os.urandom", urandom)
    with limited():
        async with (
            open_node(key_pair=key_pairs[0]) as node,
            open_node(key_pair=key_pairs[1]) as other,
            node.open_drive(KEY) as drive,
            other.open_drive(KEY) as same,
            drive.join("chat") as here,
            same.join("chat") as there,
        ):
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            await other.connect_tcp(*listener.address, wire=wire)
            peer_id = (await join_side(node, drive)).peer_id
            await join_side(other, same)
            for message in messages:
                await here.send(peer_id, message)
                assert (await there.receive()).message == message
    assert len(drawn) >= 4
    # A part that is too long to be an accident.
    secrets = [*messages, *drawn, KEY.public_key, *(pair.seed for pair in key_pairs)]
    secrets += [key for pair in key_pairs for key in (pair.x25519_secret_key, pair.ed25519_secret_key[:32])]
    text = "\n".join(caplog.messages + [repr(record.args) for record in caplog.records])
    assert "MessagesReceived" in text
    for secret in secrets:
        for part in (secret[:12], secret[-12:]):
            spellings = [
                part.hex(),
                base64.b64encode(part).decode(),
                repr(part)[2:-1],
                repr(list(part))[1:-1],
            ]
            assert not [spelling for spelling in spellings if spelling in text]


async def test_frames_are_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "peersockets")
    async with (
        meet(connect_tcp) as (alice, bob),
        alice.drive.join("chat") as here,
        bob.drive.join("chat") as there,
    ):
        await all_tasks_blocked()
        caplog.clear()
        for _ in range(3):
            here.send_nowait(alice.peer_id, bytes(100))
        for _ in range(3):
            await there.receive()
        frames = [record.getMessage() for record in caplog.records if record.name == "peersockets.frames"]
    sent = [frame for frame in frames if re.fullmatch(r"sent \d+ bytes to \S+: \d+ of messages", frame)]
    assert sent
    received = [frame for frame in frames if frame not in sent]
    assert all(frame.startswith("received ") for frame in received)
    assert all("MessagesReceived 'peersockets/v0/webapp/" in frame for frame in received)
    counts = re.findall(r"(\d+) of (\d+) bytes", "\n".join(received))
    assert [sum(map(int, column)) for column in zip(*counts, strict=True)] == [3, 300]


async def test_slices_of_a_read_are_logged_at_debug_and_bytes_are_counted_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sizes: list[int] = []

    class Sizes(Instrument):
        def data_received(self, info: ConnectionInfo, size: int) -> None:
            sizes.append(size)

    caplog.set_level("DEBUG", "peersockets")
    async with (
        open_node(limits=Limits(member_items=50), instruments=[Sizes()]) as node,
        open_node() as other,
        node.open_drive(KEY) as drive,
        other.open_drive(KEY) as same,
        drive.join("chat") as here,
        same.join("chat") as there,
    ):
        await connect_nodes(other, node)
        peer_id = (await join_side(other, same)).peer_id
        for _ in range(500):
            there.send_nowait(peer_id, b"x")
        received = 0
        while received < 500:
            received += len(await here.receive_batch())
        notes = [text for text in caplog.messages if "continued with input" in text]
        assert len(notes) >= 9
        assert all("MessagesReceived 'peersockets/v0/chat'" in text for text in notes)
        assert all(sizes)


async def test_a_remotes_name_cannot_break_the_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "peersockets")
    async with meet(connect_hypercore11) as (alice, bob):
        name = "a\n2026-01-01 root: all is well \x1b[31m" + "x" * 1000
        async with alice.drive.join(name) as here, bob.drive.join(name) as there:
            await here.send(alice.peer_id, b"")
            await there.receive()
    assert not [text for text in caplog.messages if "\n" in text or "\x1b" in text or "x" * 100 in text]


async def test_the_level_is_checked_once_a_read_and_once_a_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not checked for each message."""
    with counted(monkeypatch) as asked:
        async with (
            meet(connect_tcp) as (alice, bob),
            alice.drive.join("chat") as here,
            bob.drive.join("chat") as there,
        ):
            await all_tasks_blocked()
            asked.clear()
            for _ in range(10_000):
                here.send_nowait(alice.peer_id, b"x" * 10)
            received = 0
            while received < 10_000:
                received += len(await there.receive_batch())
            assert len(asked) < 100


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    asked: list[int] = []
    is_enabled_for = logging.Logger.isEnabledFor

    def count(self: logging.Logger, level: int) -> bool:
        asked.append(level)
        return is_enabled_for(self, level)

    with monkeypatch.context() as patch:
        patch.setattr(logging.Logger, "isEnabledFor", count)
        yield asked


# The texts of failures


def test_the_reason_of_the_system_is_given() -> None:
    error = OSError("all attempts to connect to host:1 failed")
    assert explain(error) == "all attempts to connect to host:1 failed"
    error.__cause__ = ExceptionGroup("several", [ConnectionRefusedError(111, "whatever")])
    assert explain(error) == "all attempts to connect to host:1 failed: Connection refused"


def test_a_reason_does_not_repeat_the_address_beside_it() -> None:
    host = Address("host", 1)
    error = OSError("all attempts to connect to host:1 failed")
    assert explain(error, host) == "all attempts to connect to host:1 failed", "there is no other reason"
    error.__cause__ = ConnectionRefusedError(111, "whatever")
    assert explain(error, host) == "Connection refused"
    assert explain(TimeoutError("host:1 did not answer"), host) == "did not answer"
    assert explain(ValueError("host is bad"), host) == "host is bad"


# The counters


NOTHING = NodeStatistics(**{field.name: 0 for field in attrs.fields(NodeStatistics)})


async def test_a_new_node() -> None:
    async with open_node() as node:
        assert node.statistics() == NOTHING


@pytest.mark.parametrize("connect", [connect_tcp, connect_lockstep, connect_hypercore11])
async def test_the_counters_of_a_conversation(connect: Connect) -> None:
    async with meet(connect) as (alice, bob):
        async with alice.drive.join("chat") as here, bob.drive.join("chat") as there:
            for size in range(100):
                await here.send(alice.peer_id, bytes(size))
            while there.statistics().received_messages < 100:
                await all_tasks_blocked(0)
            await there.receive()
            ours, theirs = alice.node.statistics(), bob.node.statistics()
        for statistics in (ours, theirs):
            assert (statistics.connections, statistics.handshaking) == (1, 0)
            assert (statistics.drives, statistics.members, statistics.peer_ids) == (1, 1, 1)
            assert (statistics.unsent_bytes, statistics.messages_dropped) == (0, 0)
        assert (ours.messages_sent, ours.messages_received) == (100, 0)
        assert (theirs.messages_sent, theirs.messages_received) == (0, 100)
        assert (theirs.waiting_messages, theirs.waiting_bytes) == (99, sum(range(100)))
        assert ours.bytes_sent == theirs.bytes_received > sum(range(100))
        assert theirs.bytes_sent == ours.bytes_received > 0
        # The handles are closed.
        assert bob.node.statistics().messages_received == 100
        assert bob.node.statistics().waiting_messages == 0


async def test_queued_bytes_are_counted(autojump_clock: trio.testing.MockClock) -> None:
    limits = Limits(receive_messages=1, send_buffer=10_000)
    async with (
        meet(connect_lockstep, limits=limits) as (alice, bob),
        alice.drive.join("chat") as inbox,
        bob.drive.join("chat") as chat,
    ):
        sent = await fill(chat, bob.peer_id)
        statistics = bob.node.statistics()
        assert statistics.messages_sent == sent
        assert statistics.unsent_bytes >= limits.send_buffer
        received = 0
        while received < sent:
            received += len(await inbox.receive_batch())
        await all_tasks_blocked(0)
        assert bob.node.statistics().unsent_bytes == 0


async def test_handshakes_are_counted_until_they_are_decided() -> None:
    asked = trio.Event()

    async def never(info: object) -> None:
        asked.set()
        await trio.sleep_forever()

    with limited():
        async with open_node(authenticate=never) as node, open_node() as other:
            (listener,) = await node.listen_tcp(0, host=LOOPBACK)
            await other.connect_tcp(*listener.address, wire=WIRE)
            await asked.wait()
            statistics = node.statistics()
            assert (statistics.connections, statistics.handshaking) == (0, 1)
            assert statistics.bytes_received > 0
            assert other.statistics().connections == 1
