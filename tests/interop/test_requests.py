"""Requests between our node and examples/requests.js, on real hyperdrives of both generations."""

import base64
import json
import math
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio

from core.test_envelope import HOSTILE, KNOWN
from interop import hyperdrive13
from interop.node_peer import NodePeerError
from interop.real_peer import RealPeer, meet, open_real_peer, webapp
from peersockets_trio import (
    Drive,
    Limits,
    Node,
    PeerGone,
    Request,
    RequestError,
    RequestStatistics,
    Topic,
    open_node,
)

pytestmark = pytest.mark.interop

EXAMPLE = Path(__file__).parents[2] / "examples" / "requests.js"
LARGEST = 1024 * 1024
NOT_UTF_8 = [HOSTILE["text that is not UTF-8"], HOSTILE["text with a lone surrogate"]]


@attrs.frozen
class Ends:
    """A topic of requests on both sides."""

    node: Node
    topic: Topic
    """Ours."""
    peer: RealPeer
    handle: int
    """Theirs."""
    member: int
    our_key: bytes

    async def ask(self, data: bytes, *, timeout: float = math.inf) -> bytes:
        return await self.topic.request(self.member, data, timeout=timeout)

    async def asked(self, data: bytes, *, timeout: int = 0) -> bytes:
        """Have the real peer ask us; the timeout is in milliseconds."""
        answer = await self.peer.call(
            "request",
            handle=self.handle,
            publicKey=self.our_key.hex(),
            data=base64.b64encode(data).decode(),
            timeout=timeout,
        )
        return base64.b64decode(answer["reply"])


@pytest.fixture(params=["hypercore9", "hypercore11"])
async def ends(request: pytest.FixtureRequest) -> AsyncIterator[Ends]:
    elder = request.param == "hypercore9"
    opened = open_real_peer() if elder else hyperdrive13.open_real_peer()
    async with opened as peer, open_node(limits=Limits(peer_requests=200)) as node:
        key = (await peer.call("createDrive"))["key"]
        async with node.open_drive(key) as drive, drive.join("ask") as topic:
            come_together = meet if elder else hyperdrive13.meet
            member = await come_together(node, drive, peer, "initiator")
            handle = await join(peer, drive)
            yield Ends(node, topic, peer, handle, member, node.public_keys[request.param])


async def join(peer: RealPeer, drive: Drive) -> int:
    joined = await peer.call("joinRequests", topic="ask", drive=str(drive.key), webapp=webapp(drive))
    handle: int = joined["handle"]
    return handle


async def backwards(request: Request) -> bytes:
    if request.data.startswith(b"refuse "):
        raise RequestError(request.data.removeprefix(b"refuse ").decode())
    return request.data[::-1]


@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 65_535, 65_536, LARGEST])
async def test_replies_both_ways(ends: Ends, size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    assert await ends.ask(data) == data[::-1]
    async with ends.topic.serve(backwards):
        assert await ends.ask(data) == data[::-1]
        assert await ends.asked(data) == data[::-1]
    assert ends.topic.request_statistics() == RequestStatistics()


async def test_each_side_knows_who_asks(ends: Ends) -> None:
    async def who(request: Request) -> bytes:
        assert request.peer_id == ends.member
        return request.public_key

    assert await ends.ask(b"who") == ends.our_key.hex().encode()
    async with ends.topic.serve(who):
        assert await ends.asked(b"") == ends.peer.public_key


async def test_errors_both_ways(ends: Ends) -> None:
    with pytest.raises(RequestError, match=r"^not for Größe$"):
        await ends.ask("refuse not for Größe".encode())
    async with ends.topic.serve(backwards):
        with pytest.raises(NodePeerError, match=r"^not for Größe$"):
            await ends.asked("refuse not for Größe".encode())


async def test_many_at_once_both_ways(ends: Ends) -> None:
    async def ask(number: int) -> None:
        data = b"request %d" % number
        assert await ends.ask(data) == data[::-1]

    async def asked(number: int) -> None:
        data = b"request %d" % number
        assert await ends.asked(data) == data[::-1]

    async with ends.topic.serve(backwards), trio.open_nursery() as nursery:
        for number in range(60):
            nursery.start_soon(ask, number)
            nursery.start_soon(asked, number)


async def test_hostile_bytes_do_the_example_no_harm(ends: Ends) -> None:
    for message in HOSTILE.values():
        await ends.topic.send(ends.member, bytes.fromhex(message))
    assert await ends.ask(b"ab") == b"ba"
    assert ends.topic.request_statistics() == RequestStatistics()  # it has answered to none of them


async def test_the_example_decodes_and_encodes_as_we_do() -> None:
    known = [*KNOWN, *HOSTILE.values()]
    script = f"""
      const {{ decode, encode }} = require({json.dumps(str(EXAMPLE))})
      for (const message of {json.dumps(known)}) {{
        const envelope = decode(Buffer.from(message, 'hex'))
        console.log(envelope.length ? encode(...envelope).toString('hex') : 'none')
      }}"""
    finished = await trio.run_process(["node", "-"], stdin=script.encode(), capture_stdout=True)
    for message, result in zip(known, finished.stdout.decode().split(), strict=True):
        # Node reads any bytes as text.
        expected = message if message in KNOWN or message in NOT_UTF_8 else "none"
        assert result == expected, message


async def test_what_is_cancelled_here_is_aborted_there(ends: Ends) -> None:
    async def give_up() -> None:
        with pytest.raises(trio.TooSlowError):
            await ends.ask(b"hold", timeout=0.1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_up)
        await ends.peer.wait_event("held", publicKey=ends.our_key.hex())
        await ends.peer.wait_event("aborted", publicKey=ends.our_key.hex())
    assert await ends.ask(b"ab") == b"ba"
    assert ends.topic.request_statistics() == RequestStatistics()  # nothing came of the other


async def test_what_is_aborted_there_is_cancelled_here(ends: Ends) -> None:
    cancelled = trio.Event()

    async def hold(request: Request) -> bytes:
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async with ends.topic.serve(hold):
        with pytest.raises(NodePeerError, match="timeout"):
            await ends.asked(b"", timeout=100)
        await cancelled.wait()


async def test_busy_both_ways(ends: Ends) -> None:
    full, release = trio.Event(), trio.Event()

    async def hold(request: Request) -> bytes:
        if ends.topic.request_statistics().answering == 200:
            full.set()
        await release.wait()
        return b""

    async with trio.open_nursery() as nursery:
        for _ in range(64):
            nursery.start_soon(ends.ask, b"hold")
        for _ in range(64):
            await ends.peer.wait_event("held")
        with pytest.raises(RequestError, match=r"^busy$"):
            await ends.ask(b"hold")
        nursery.cancel_scope.cancel()
    async with ends.topic.serve(hold), trio.open_nursery() as nursery:
        for _ in range(200):
            nursery.start_soon(ends.asked, b"")
        await full.wait()
        with pytest.raises(NodePeerError, match=r"^busy$"):
            await ends.asked(b"")
        release.set()


async def test_a_real_peer_that_leaves_fails_its_requests(ends: Ends) -> None:
    async def expect() -> None:
        with pytest.raises(PeerGone):
            await ends.ask(b"hold")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect)
        await ends.peer.wait_event("held")
        await ends.peer.process.kill()


async def test_our_leaving_fails_requests_there_and_aborts_their_handlers(ends: Ends) -> None:
    began = trio.Event()

    async def hold(request: Request) -> bytes:
        began.set()
        await trio.sleep_forever()
        raise AssertionError

    async def expect_there() -> None:
        with pytest.raises(NodePeerError, match="no longer answering"):
            await ends.asked(b"")

    async def expect_here() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await ends.ask(b"hold")

    async with ends.topic.serve(hold), trio.open_nursery() as nursery:
        nursery.start_soon(expect_there)
        nursery.start_soon(expect_here)
        await began.wait()
        await ends.peer.wait_event("held")
        ends.topic.close()
        await ends.peer.wait_event("aborted")


async def test_connections_that_break_fail_requests_there(ends: Ends) -> None:
    began = trio.Event()

    async def hold(request: Request) -> bytes:
        began.set()
        await trio.sleep_forever()
        raise AssertionError

    async def expect_there() -> None:
        with pytest.raises(NodePeerError, match="peer is gone"):
            await ends.asked(b"")

    async def expect_here() -> None:
        with pytest.raises(PeerGone):
            await ends.ask(b"hold")

    async with ends.topic.serve(hold), trio.open_nursery() as nursery:
        nursery.start_soon(expect_there)
        nursery.start_soon(expect_here)
        await began.wait()
        await ends.peer.wait_event("held")
        await ends.peer.call("disconnect")
        await ends.peer.wait_event("aborted")
