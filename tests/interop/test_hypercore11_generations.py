"""Telling the two generations apart, on one listener, and when one dials the other."""

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio

from interop import real_peer
from interop.hyperdrive13 import Meeting, open_real_peer, our_key
from interop.real_peer import HOST, RealPeer, listen, nothing_waits, webapp
from peersockets_trio import Limits, Node, PeerJoined, RemoteProtocolError, open_node

pytestmark = pytest.mark.interop

HANDSHAKE_TIME = 0.5
SOON = 5.0


@pytest.fixture
async def peer() -> AsyncIterator[RealPeer]:
    async with open_real_peer() as peer:
        yield peer


@pytest.fixture
async def elder() -> AsyncIterator[RealPeer]:
    async with real_peer.open_real_peer() as elder:
        yield elder


@pytest.fixture
async def hasty() -> AsyncIterator[Node]:
    """A node with a short time for handshakes."""
    async with open_node(limits=Limits(handshake_time=HANDSHAKE_TIME)) as node:
        yield node


async def test_dialling_a_hypercore11_peer_with_hypercore9_ends_in_an_error_that_says_so(
    node: Node, hasty: Node, peer: RealPeer
) -> None:
    # A real secret-stream reads the first bytes as the length of a long message, and waits for its end.
    with pytest.raises(RemoteProtocolError, match=r"no handshake within 0.*hypercore9\?"):
        await hasty.connect_tcp(HOST, peer.port, wire="hypercore9")
    await node.connect_tcp(HOST, peer.port, wire="hypercore11")


async def test_dialling_a_hypercore9_peer_with_hypercore11_ends_at_once_in_an_error_that_says_so(
    node: Node, elder: RealPeer
) -> None:
    # The error is not the timeout of the handshake, which has another text.
    with pytest.raises(RemoteProtocolError, match="does not speak hypercore11"):
        await node.connect_tcp(HOST, elder.port, wire="hypercore11")
    await node.connect_tcp(HOST, elder.port, wire="hypercore9")


@pytest.mark.parametrize("order", ["elder first", "younger first"])
async def test_one_listener_serves_both_generations(
    node: Node, elder: RealPeer, peer: RealPeer, order: str
) -> None:
    key = (await peer.call("createDrive"))["key"]
    await elder.call("openDrive", key=key)
    port = await listen(node)
    async with node.open_drive(key) as drive, drive.watch() as events, drive.join("chat") as chat:
        members = {}
        for dialler in (elder, peer) if order == "elder first" else (peer, elder):
            await dialler.call("connect", port=port)
            joined = await events.receive()
            assert isinstance(joined, PeerJoined)
            assert joined.public_key == dialler.public_key
            assert joined.wire == ("hypercore9" if dialler is elder else "hypercore11")
            members[joined.wire] = joined.peer_id
        elders = await elder.join("chat", webapp=webapp(drive))
        theirs = await Meeting(node, drive, peer, members["hypercore11"]).join("chat")
        assert await chat.broadcast(b"to both") == 2
        assert await elders.receive() == (node.public_keys["hypercore9"], b"to both")
        assert await theirs.receive() == (node.public_keys["hypercore11"], b"to both")
        await elders.send(node.public_keys["hypercore9"], b"in")
        assert await chat.receive() == (members["hypercore9"], b"in", elder.public_key)
        await theirs.send(our_key(node), b"in")
        assert await chat.receive() == (members["hypercore11"], b"in", peer.public_key)
        assert nothing_waits(events)


@pytest.mark.parametrize(
    "beginning",
    [b"", b"\x20", b"\x20\x00", b"\x20\x00\x00" + bytes(16), b"\x3a", b"\x3a" + bytes(29)],
    ids=lambda beginning: f"{beginning[:1].hex()} and {len(beginning)} bytes",
)
async def test_a_half_sent_first_message_is_bounded_in_time(
    hasty: Node, peer: RealPeer, beginning: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "peersockets")
    port = await listen(hasty)
    began = trio.current_time()
    async with await trio.open_tcp_stream(HOST, port) as stream:
        if beginning:
            await stream.send_all(beginning)
        assert await stream.receive_some() == b""
    assert trio.current_time() - began >= HANDSHAKE_TIME
    assert any("no handshake within 0.5 seconds" in text for text in caplog.messages)
    assert hasty.statistics().connections == hasty.statistics().handshaking == 0


async def test_a_first_byte_of_no_generation_ends_the_connection_at_once(
    node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "peersockets")
    async with await trio.open_tcp_stream(HOST, await listen(node)) as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        with suppress(trio.BrokenResourceError):  # the remote did not read all of our output
            assert await stream.receive_some() == b""
    # The error is not the timeout of the handshake, which has another text.
    assert any("the first byte 0x47 begins no known wire" in text for text in caplog.messages)
