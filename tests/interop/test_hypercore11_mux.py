"""The real protomux as a bare peer of our mux layer, with a protocol of our own."""

import base64
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final

import attrs
import pytest
import trio

from interop.hyperdrive13 import WIRE, open_real_peer
from interop.node_peer import JsonObject, NodePeerError
from interop.real_peer import HOST, RealPeer, Role
from peersockets_core import Connection, DriveOpened, Event, KeyPair
from peersockets_core.wires.hypercore11.protomux import Channel, Mux
from peersockets_trio import (
    DriveKey,
    MessageTooLarge,
)

pytestmark = pytest.mark.interop

PROTOCOL: Final = "test/echo"
FRAME: Final = 2**24 - 1 - 17  # three bytes of length leave this much for a message of the mux


@attrs.define(eq=False)
class Recorder:
    """A handler of our mux that records its calls."""

    handshake: bytes | None = None
    messages: list[tuple[int, bytes]] = attrs.field(factory=list)
    end: bool = False

    def opened_untrusted(self, handshake: bytes) -> None:
        self.handshake = handshake

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        self.messages.append((message_type, data[start:end]))

    def closed(self) -> None:
        self.end = True

    def is_opened(self) -> bool:
        return self.handshake is not None

    def is_closed(self) -> bool:
        return self.end


@attrs.define(eq=False)
class Bare:
    """Our core on a socket, and a real peer at the other end, which numbers its bare muxes."""

    peer: RealPeer
    number: int
    connection: Connection
    stream: trio.SocketStream
    events: list[Event] = attrs.field(factory=list)
    sending: trio.Lock = attrs.field(factory=trio.Lock)
    news: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)

    @property
    def mux(self) -> Mux:
        return self.connection.mux

    async def flush(self) -> None:
        async with self.sending:
            data = self.connection.data_to_send()
            if data:
                await self.stream.send_all(data)

    async def run(self) -> None:
        await self.flush()
        async for data in self.stream:
            self.events += self.connection.receive_data(bytes(data), trio.current_time())
            await self.flush()
            self.news.unpark_all()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await self.news.park()

    async def open(self, channel_id: bytes = b"", handshake: bytes = b"ours") -> tuple[Channel, Recorder]:
        recorder = Recorder()
        channel = self.mux.open(PROTOCOL, channel_id, handshake, recorder)
        await self.flush()
        return channel, recorder

    async def call(self, command: str, /, **parameters: object) -> int:
        answer = await self.peer.call(command, mux=self.number, protocol=PROTOCOL, **parameters)
        return int(answer.get("channel", -1))


@asynccontextmanager
async def open_bare(peer: RealPeer, role: Role, *, replicating: bool = False) -> AsyncIterator[Bare]:
    """Connect with a bare mux of the real peer, or with one that also replicates its drives."""
    opening: JsonObject = {}
    if role == "initiator":
        opening = {"port": peer.port} if replicating else await peer.call("rawMux")
        stream = await trio.open_tcp_stream(HOST, opening["port"])
    else:
        [listener] = await trio.open_tcp_listeners(0, host=HOST)
        async with listener:
            port = listener.socket.getsockname()[1]
            opening = await peer.call("connect" if replicating else "rawMux", port=port)
            stream = await listener.accept()
    connection = Connection(
        wire=WIRE if role == "initiator" else None,
        initiator=role == "initiator",
        key_pair=KeyPair.generate(os.urandom),
        entropy=os.urandom,
        now=trio.current_time(),
    )
    our_key = connection.key_pair.ed25519_public_key.hex()
    bare = Bare(peer, opening.get("mux", -1), connection, stream)
    async with stream, trio.open_nursery() as nursery:
        nursery.start_soon(bare.run)
        await bare.until(lambda: bare.events)
        await peer.wait_event("connection" if replicating else "mux-open", publicKey=our_key)
        if replicating:
            bare.number = (await peer.call("rawMux", publicKey=our_key))["mux"]
        yield bare
        nursery.cancel_scope.cancel()


@pytest.fixture
async def peer() -> AsyncIterator[RealPeer]:
    async with open_real_peer() as peer:
        yield peer


@pytest.fixture
async def bare(peer: RealPeer, role: Role) -> AsyncIterator[Bare]:
    async with open_bare(peer, role) as bare:
        yield bare


def encoded(message: bytes) -> str:
    return base64.b64encode(message).decode()


async def test_a_channel_that_we_open_carries_messages_of_every_type_both_ways(bare: Bare) -> None:
    await bare.call("rawPair", handshake=encoded(b"theirs"))
    channel, recorder = await bare.open()
    opened = await bare.peer.wait_event("channel-open")
    assert opened["handshake"] == encoded(b"ours")
    await bare.until(recorder.is_opened)
    assert recorder.handshake == b"theirs"
    sent = [(i % 4, os.urandom(size)) for i, size in enumerate([0, 1, 252, 253, 65_600, 0, FRAME - 2])]
    for message_type, message in sent:
        bare.mux.send(channel, message_type, message)
        await bare.peer.call(
            "rawSend", channel=opened["channel"], type=message_type, message=encoded(message)
        )
    await bare.flush()
    for message_type, message in sent:
        event = await bare.peer.wait_event("channel-message")
        assert (event["type"], event["message"]) == (message_type, encoded(message))
    await bare.until(lambda: len(recorder.messages) == len(sent))
    assert recorder.messages == sent
    with pytest.raises(MessageTooLarge):
        bare.mux.send(channel, 0, bytes(FRAME - 1))


async def test_a_channel_opened_by_the_real_side_is_paired_refused_or_decided_later(bare: Bare) -> None:
    wanted: list[tuple[str, bytes]] = []
    recorder = Recorder()

    def pair(protocol: str, channel_id: bytes) -> bool:
        wanted.append((protocol, channel_id))
        if channel_id == b"now":
            bare.mux.open(protocol, channel_id, b"", recorder)
        return channel_id == b"later"

    bare.mux.pair(PROTOCOL, None, pair)
    for name in (b"now", b"never", b"later"):
        number = await bare.call("rawChannel", channelId=name.hex(), handshake=encoded(name))
        await bare.peer.call("rawSend", channel=number, type=1, message=encoded(b"early"))
    assert (await bare.peer.wait_event("channel-open"))["channel"] == 0
    closed = await bare.peer.wait_event("channel-closed")
    assert (closed["channel"], closed["remote"]) == (1, True)
    await bare.until(lambda: len(wanted) == 3)
    assert wanted == [(PROTOCOL, name) for name in (b"now", b"never", b"later")]
    assert (recorder.handshake, recorder.messages) == (b"now", [(1, b"early")])

    _, late = await bare.open(b"later")
    assert (await bare.peer.wait_event("channel-open"))["channel"] == 2
    assert (late.handshake, late.messages) == (b"later", [(1, b"early")])


async def test_either_side_may_refuse_a_channel_that_it_put_off_or_does_not_know(bare: Bare) -> None:
    bare.mux.pair(PROTOCOL, b"theirs", lambda protocol, channel_id: True)
    number = await bare.call("rawChannel", channelId=b"theirs".hex(), handshake="")
    _, recorder = await bare.open(b"ours")  # the real side refuses it
    await bare.until(recorder.is_closed)
    assert recorder.handshake is None
    bare.mux.reject(PROTOCOL, b"theirs")
    await bare.flush()
    closed = await bare.peer.wait_event("channel-closed")
    assert (closed["channel"], closed["remote"]) == (number, True)


async def test_channels_close_from_either_side_and_their_numbers_are_used_again(bare: Bare) -> None:
    await bare.call("rawPair", handshake="")
    for turn in range(10):
        channel, recorder = await bare.open(b"first")
        opened = await bare.peer.wait_event("channel-open")
        await bare.until(recorder.is_opened)
        assert channel.local == 1
        if turn % 2:
            bare.mux.close(channel)
            await bare.flush()
        else:
            await bare.peer.call("rawClose", channel=opened["channel"])
            await bare.until(recorder.is_closed)
        closed = await bare.peer.wait_event("channel-closed")
        assert (closed["channel"], closed["remote"]) == (opened["channel"], bool(turn % 2))


@pytest.mark.parametrize("seed", range(3))
async def test_both_sides_stay_in_step_while_they_open_and_close_channels_at_random(
    bare: Bare, seed: int
) -> None:
    names = [b"%d" % i for i in range(5)]
    ours: dict[bytes, tuple[Channel, Recorder]] = {}

    def is_open(name: bytes) -> bool:
        return name in ours and not ours[name][0].closed

    def open_ours(protocol: str, name: bytes) -> bool:
        if not is_open(name):
            recorder = Recorder()
            ours[name] = bare.mux.open(protocol, name, b"", recorder), recorder
        return False

    async def churn_ours(chance: random.Random) -> None:
        for _ in range(400):
            name = chance.choice(names)
            if is_open(name):
                bare.mux.close(ours[name][0])
            else:
                open_ours(PROTOCOL, name)
            if chance.random() < 0.5:  # otherwise together with the next
                await bare.flush()
                for _ in range(chance.choice([0, 1, 10])):
                    await trio.lowlevel.checkpoint()
        await bare.flush()

    async def churn_theirs(chance: random.Random) -> None:
        for _ in range(200):
            if chance.random() < 0.5:
                with suppress(NodePeerError):  # it is open
                    await bare.call("rawChannel", channelId=chance.choice(names).hex(), handshake="")
            elif opened := bare.peer.happened("channel-open"):
                await bare.peer.call("rawClose", channel=chance.choice(opened[-len(names) :])["channel"])

    bare.mux.pair(PROTOCOL, None, open_ours)
    await bare.call("rawPair", handshake="")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(churn_ours, random.Random(2 * seed))
        nursery.start_soon(churn_theirs, random.Random(2 * seed + 1))

    fence, opened = await bare.open(b"fence")
    await bare.until(opened.is_opened)
    bare.mux.send(fence, 0, b"")
    await bare.flush()
    await bare.peer.wait_event("channel-message")
    established = {name for name in ours if is_open(name) and ours[name][1].is_opened()}
    assert len(bare.peer.happened("channel-open")) - len(bare.peer.happened("channel-closed")) == len(
        established | {b"fence"}
    )
    for name in established:
        bare.mux.send(ours[name][0], 0, name)
    await bare.flush()
    received = {(await bare.peer.wait_event("channel-message"))["message"] for _ in established}
    assert received == set(map(encoded, established))


async def test_batches_of_several_channels_arrive_in_order_both_ways(bare: Bare) -> None:
    await bare.call("rawPair", handshake="")
    channels = [await bare.open(name) for name in (b"a", b"b", b"c")]
    numbers = [(await bare.peer.wait_event("channel-open"))["channel"] for _ in channels]
    await bare.until(lambda: all(recorder.is_opened() for _, recorder in channels))
    turns = [i % 3 if i % 5 else 0 for i in range(60)]
    await bare.call("rawCork")
    for i, turn in enumerate(turns):
        bare.mux.send(channels[turn][0], i % 4, b"%d" % i)
        await bare.peer.call("rawSend", channel=numbers[turn], type=i % 4, message=encoded(b"%d" % i))
    await bare.flush()
    await bare.call("rawUncork")
    for i, turn in enumerate(turns):
        event = await bare.peer.wait_event("channel-message")
        assert (event["channel"], event["type"], event["message"]) == (
            numbers[turn],
            i % 4,
            encoded(b"%d" % i),
        )
    await bare.until(lambda: sum(len(recorder.messages) for _, recorder in channels) == len(turns))
    for turn, (_, recorder) in enumerate(channels):
        assert recorder.messages == [(i % 4, b"%d" % i) for i, other in enumerate(turns) if other == turn]


async def test_a_protocol_of_our_own_runs_beside_a_drive(peer: RealPeer, role: Role) -> None:
    created = await peer.call("createDrive")
    key = DriveKey.parse(created["key"])
    async with open_bare(peer, role, replicating=True) as bare:
        bare.connection.open_drive(key)
        await bare.call("rawPair", handshake=encoded(b"theirs"))
        _, recorder = await bare.open()
        await bare.until(recorder.is_opened)
        await bare.until(lambda: DriveOpened(key.discovery_key) in bare.events)
        topic = await peer.call("joinTopic", drive=key.public_key.hex(), topic="chat")
        bare.connection.sender(key.discovery_key, "peersockets/v0/chat").send(b"hello")
        await bare.flush()
        assert (await peer.wait_event("message", **topic))["message"] == encoded(b"hello")


async def test_a_channel_may_be_opened_by_the_alias_of_its_protocol(bare: Bare) -> None:
    recorder = Recorder()

    def pair(protocol: str, channel_id: bytes) -> bool:
        bare.mux.open(protocol, channel_id, b"ours", recorder)
        return False

    bare.mux.pair("hypercore/alpha", bytes(32), pair)
    alias = {"protocol": "hypercore", "aliases": ["hypercore/alpha"], "channelId": bytes(32).hex()}
    await bare.peer.call("rawChannel", mux=bare.number, handshake=encoded(b"theirs"), **alias)
    assert (await bare.peer.wait_event("channel-open"))["handshake"] == encoded(b"ours")
    assert recorder.handshake == b"theirs"


async def test_a_real_drive_ends_a_connection_on_which_we_fail_to_prove_our_right(
    peer: RealPeer, role: Role
) -> None:
    key = DriveKey.parse((await peer.call("createDrive"))["key"])
    async with open_bare(peer, role, replicating=True) as bare:
        bare.mux.open("hypercore/alpha", key.discovery_key, bytes(33), Recorder())
        await bare.flush()
        closed = await peer.wait_event("connection-closed")
        assert "invalid replication capability" in closed["error"]
        assert not peer.happened("peer-add")
