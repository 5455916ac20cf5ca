"""`peersockets_trio.instruments`: observers of a node, and the removal of one that raises."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

from adapter.support import KEY, LOOPBACK, WIRE, all_tasks_blocked, limited, tasks
from peersockets_core import WIRES
from peersockets_trio import (
    ConnectionInfo,
    DriveKey,
    Instrument,
    PeerJoined,
    PeerLeft,
    Refused,
    RemoteProtocolError,
    open_node,
)
from peersockets_trio.instruments import Instruments
from peersockets_trio.testing import join_side
from ports import unused_port


class Recorder(Instrument):
    """Records its calls, and adds up sizes."""

    def __init__(self) -> None:
        self.recorded: list[tuple[Any, ...]] = []
        self.received = self.sent = 0

    def connection_opened(self, info: ConnectionInfo) -> None:
        self.recorded.append(("opened", info))

    def connection_closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        self.recorded.append(("closed", info, reason, unsent))

    def connection_failed(self, address: Any, wire: Any, error: Exception) -> None:
        self.recorded.append(("failed", address, wire, error))

    def peer_joined(self, drive_key: DriveKey, event: PeerJoined) -> None:
        self.recorded.append(("joined", drive_key, event))

    def peer_left(self, drive_key: DriveKey, event: PeerLeft) -> None:
        self.recorded.append(("left", drive_key, event))

    def retrying(self, address: tuple[str, int], seconds: float, error: Exception | None) -> None:
        self.recorded.append(("retrying", address, seconds, error))

    def topic_announced(self, topic: bytes, nodes: int) -> None:
        self.recorded.append(("announced", topic, nodes))

    def peer_found(self, topic: bytes, public_key: bytes) -> None:
        self.recorded.append(("found", topic, public_key))

    def data_received(self, info: ConnectionInfo, size: int) -> None:
        self.received += size

    def data_sent(self, info: ConnectionInfo, size: int) -> None:
        self.sent += size


@pytest.mark.parametrize("wire", WIRES)
async def test_the_life_of_a_connection(wire: Any) -> None:
    ours, theirs = Recorder(), Recorder()
    with limited():
        async with open_node(instruments=[theirs]) as other:
            (listener,) = await other.listen_tcp(0, host=LOOPBACK)
            async with (
                open_node(instruments=[ours]) as node,
                node.open_drive(KEY) as drive,
                node.open_drive(KEY),
                other.open_drive(KEY) as same,
            ):
                info = await node.connect_tcp(*listener.address, wire=wire)
                await join_side(node, drive)
                await join_side(other, same)
                same.close()
                await all_tasks_blocked()
                other.open_drive(KEY)
                await all_tasks_blocked()
                joined = PeerJoined(1, other.public_keys[wire], wire)
                left = PeerLeft(1, other.public_keys[wire], wire)
                events = [("joined", KEY, joined), ("left", KEY, left), ("joined", KEY, joined)]
                assert ours.recorded == [("opened", info), *events]
            # The last opening of the drive was closed with the node, ahead of the connection.
            here = PeerLeft(1, other.public_keys[wire], wire, "the drive was closed here")
            assert ours.recorded[4:] == [("left", KEY, here), ("closed", info, "", 0)]
            await all_tasks_blocked()
        assert [kind for kind, *_ in theirs.recorded] == [
            "opened",
            "joined",
            "left",
            "joined",
            "left",
            "closed",
        ]
        assert theirs.recorded[0][1].public_key == node.public_keys[wire]
        assert theirs.recorded[2][2].reason == "the drive was closed here"
        # The figures leave out the handshake, whose last message is the dialler's.
        assert 0 < ours.received <= theirs.sent
        assert 0 < theirs.received <= ours.sent


@pytest.mark.slow
async def test_connections_that_fail() -> None:
    recorder = Recorder()

    async def refuse(info: ConnectionInfo) -> None:
        raise Refused("nobody is wanted")

    address = (LOOPBACK, unused_port())
    with limited():
        async with open_node(instruments=[recorder], authenticate=refuse) as node, open_node() as other:
            with pytest.raises(OSError, match=LOOPBACK):
                await node.connect_tcp(*address, wire=WIRE)
            (listener,) = await other.listen_tcp(0, host=LOOPBACK)
            with pytest.raises(Refused):
                await node.connect_tcp(*listener.address, wire=WIRE)
            stream, far = trio.testing.memory_stream_pair()
            await far.send_all(b"HTTP")
            with pytest.raises(RemoteProtocolError):
                await node.attach(stream, wire=WIRE, initiator=False)
            (ours,) = await node.listen_tcp(0, host=LOOPBACK)
            async with await trio.open_tcp_stream(*ours.address) as silent:
                await silent.send_eof()
                await all_tasks_blocked()
            await all_tasks_blocked()
            assert not tasks(node)
    refused, unwanted, garbage, silence = recorder.recorded
    assert refused[:3] == ("failed", address, WIRE)
    assert isinstance(refused[3], OSError)
    assert unwanted[:3] == ("failed", listener.address, WIRE)
    assert isinstance(unwanted[3], Refused)
    assert garbage[:3] == ("failed", None, WIRE)
    assert isinstance(garbage[3], RemoteProtocolError)
    assert silence[2] is None
    assert "before the handshake was finished" in str(silence[3])
    assert recorder.received == recorder.sent == 0


async def test_retries_are_reported(autojump_clock: trio.testing.MockClock) -> None:
    recorder = Recorder()
    address = (LOOPBACK, unused_port())
    with limited():
        async with open_node(instruments=[recorder]) as node, node.keep_connected(address, wire=WIRE) as kept:
            event: Any = await kept.receive()
            await all_tasks_blocked(0)
    assert [kind for kind, *_ in recorder.recorded[:2]] == ["failed", "retrying"]
    assert recorder.recorded[1] == ("retrying", address, event.retry_in, event.error)


async def test_an_instrument_that_raises_is_removed(caplog: pytest.LogCaptureFixture) -> None:
    """The other instruments and the node continue."""

    class Broken(Instrument):
        calls = 0

        def connection_opened(self, info: ConnectionInfo) -> None:
            self.calls += 1
            raise ZeroDivisionError("broken instrument")

        def peer_joined(self, drive_key: DriveKey, event: PeerJoined) -> None:
            self.calls += 1

    broken, recorder = Broken(), Recorder()
    with limited():
        async with (
            open_node(instruments=[broken, recorder]) as node,
            open_node() as other,
            node.open_drive(KEY) as drive,
            other.open_drive(KEY),
        ):
            (listener,) = await other.listen_tcp(0, host=LOOPBACK)
            await node.connect_tcp(*listener.address, wire=WIRE)
            await join_side(node, drive)
    assert broken.calls == 1
    assert [kind for kind, *_ in recorder.recorded] == ["opened", "joined", "left", "closed"]
    (record,) = [record for record in caplog.records if record.name == "peersockets.instruments"]
    assert record.levelname == "ERROR"
    assert "its connection_opened has raised" in record.getMessage()
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_an_instrument_must_be_an_instrument() -> None:
    instruments: Any = [object()]
    with pytest.raises(TypeError, match="instruments must be Instruments, not object"):
        async with open_node(instruments=instruments):
            pass


def test_without_instruments_no_method_is_called() -> None:
    assert not Instruments()
    assert Instruments([Instrument()])


def test_the_base_does_nothing() -> None:
    """A subclass need not override every method."""
    hooks = [name for name in vars(Instrument) if not name.startswith("_")]
    assert set(hooks) == {name for name in vars(Recorder) if not name.startswith("_")}
    for hook in hooks:
        count = {"connection_closed": 3, "connection_failed": 3, "retrying": 3}.get(hook, 2)
        count = 1 if hook == "connection_opened" else count
        assert getattr(Instrument(), hook)(*[None] * count) is None
