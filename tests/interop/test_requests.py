"""Requests between our node and javascript/requests.js, on real hyperdrives of both generations."""

import base64
import json
import math
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from core.topics.test_envelope import HOSTILE, KNOWN
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

ASKING = Path(__file__).parent / "hypercore9" / "asking.js"
MODULE = Path(__file__).parents[2] / "javascript" / "requests.js"
LARGEST = 1024 * 1024
SECRET = "/home/somebody/secret"  # in the failures of its handlers that are bugs
FAILED = "the handler failed"


@attrs.frozen
class Ends:
    """A topic of requests on both sides."""

    node: Node
    drive: Drive
    topic: Topic
    """Our side of the topic."""
    peer: RealPeer
    handle: int
    """The real peer's side."""
    member: int
    our_key: bytes

    async def ask(self, data: bytes, *, timeout: float = math.inf) -> bytes:
        return await self.topic.request(self.member, data, timeout=timeout)

    async def asked(self, data: bytes) -> bytes:
        """Let the real peer send us a request."""
        answer = await self.peer.call(
            "request",
            handle=self.handle,
            publicKey=self.our_key.hex(),
            data=base64.b64encode(data).decode(),
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
            yield Ends(node, drive, topic, peer, handle, member, node.public_keys[request.param])


async def join(peer: RealPeer, drive: Drive, topic: str = "ask", **how: bool) -> int:
    key = drive.key.public_key.hex()
    joined = await peer.call("joinRequests", topic=topic, drive=key, webapp=webapp(drive), **how)
    handle: int = joined["handle"]
    return handle


async def backwards(request: Request) -> bytes:
    if request.data.startswith(b"refuse "):
        raise RequestError(request.data.removeprefix(b"refuse ").decode())
    return request.data[::-1]


async def test_replies_of_every_size_both_ways(ends: Ends) -> None:
    for size in (0, 1, 23, 24, 255, 256, 65_535, 65_536, LARGEST):
        data = bytes(number % 251 for number in range(size))
        assert await ends.ask(data) == data[::-1]
        async with ends.topic.serve(backwards):
            assert await ends.ask(data) == data[::-1]
            assert await ends.asked(data) == data[::-1]
    assert ends.topic.request_statistics() == RequestStatistics()


async def test_each_side_knows_the_sender_of_a_request(ends: Ends) -> None:
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


async def test_hostile_bytes_do_no_harm_to_the_example(ends: Ends) -> None:
    for message in HOSTILE.values():
        await ends.topic.send(ends.member, bytes.fromhex(message))
    assert await ends.ask(b"ab") == b"ba"
    assert ends.topic.request_statistics() == RequestStatistics()  # it has answered none of them


async def test_the_module_decodes_and_encodes_like_ours() -> None:
    known = [*KNOWN, *HOSTILE.values()]
    script = f"""
      const {{ decode, encode }} = require({json.dumps(str(MODULE))})
      for (const message of {json.dumps(known)}) {{
        const envelope = decode(Buffer.from(message, 'hex'))
        console.log(envelope.length ? encode(...envelope).toString('hex') : 'none')
      }}"""
    finished = await trio.run_process(["node", "-"], stdin=script.encode(), capture_stdout=True)
    for message, result in zip(known, finished.stdout.decode().split(), strict=True):
        assert result == (message if message in KNOWN else "none"), message


OUTCOMES: dict[str, bytes | str] = {
    "returns at once": b"fine",
    "returns a Uint8Array": b"fine",
    "returns a string": FAILED,
    "returns nothing": FAILED,
    "resolves to a number": FAILED,
    "throws at once": FAILED,
    "throws later": FAILED,
    "throws a string": FAILED,
    "throws null": FAILED,
    "refuses at once": "no",
    "refuses later": "no",
    "returns too much": "the reply is too large",
    "refuses with too much": "the reply is too large",
}
"""The behaviour of a handler on the real side, and the reply, or the text of the error."""


async def test_an_application_survives_anything_that_a_handler_does(ends: Ends) -> None:
    """The asking side learns only the error that the handler meant to send, even if the log fails, too."""
    for number, (does, outcome) in enumerate(OUTCOMES.items()):
        logged = len(ends.peer.happened("failed"))
        if isinstance(outcome, bytes):
            assert await ends.ask(does.encode()) == outcome, does
        else:
            with pytest.raises(RequestError) as caught:
                await ends.ask(does.encode())
            assert caught.value.text == outcome, does
        assert await ends.ask(b"%d" % number) == (b"%d" % number)[::-1]
        assert len(ends.peer.happened("failed")) - logged == (outcome == FAILED), does
    for does in ("throws at once", "throws later", "throws a string"):
        with pytest.raises(RequestError):
            await ends.ask(does.encode())
        assert SECRET in ends.peer.happened("failed")[-1]["message"]


async def test_a_handler_that_answers_a_peer_that_has_gone(
    ends: Ends, caplog: pytest.LogCaptureFixture
) -> None:
    """The application does not listen for leaves."""
    await join(ends.peer, ends.drive, "late", forgetful=True)

    async def expect() -> None:
        with pytest.raises(PeerGone):
            await late.request(ends.member, b"waits", timeout=math.inf)

    async with ends.drive.join("late") as late, trio.open_nursery() as nursery:
        nursery.start_soon(expect)
        await ends.peer.wait_event("held")
        await ends.peer.call("disconnect")
        await ends.peer.wait_event("connection-closed")
    await ends.peer.call("release")
    await ends.peer.call("stats")  # the peer is alive


async def test_a_request_to_a_peer_that_does_not_answer_requests_is_ignored(ends: Ends) -> None:
    await join(ends.peer, ends.drive, "only asks", answer=False)
    async with ends.drive.join("only asks") as topic, trio.open_nursery() as nursery:
        nursery.start_soon(partial(topic.request, ends.member, b"x", timeout=math.inf))
        await trio.testing.wait_all_tasks_blocked()
        assert topic.request_statistics().asked == 1
        assert await ends.ask(b"ab") == b"ba"  # it has read the other message, and is alive
        assert topic.request_statistics().asked == 1
        nursery.cancel_scope.cancel()


async def test_an_empty_message_is_ignored() -> None:
    """Hypercore 10 passes null for it."""
    async with hyperdrive13.open_real_peer("hypercore10") as peer, open_node() as node:
        key = (await peer.call("createDrive"))["key"]
        async with node.open_drive(key) as drive, drive.join("ask") as topic, drive.join("ask") as plain:
            member = await hyperdrive13.meet(node, drive, peer, "initiator")
            await join(peer, drive)
            await plain.send(member, b"")
            assert await topic.request(member, b"ab", timeout=math.inf) == b"ba"


async def test_the_asking_side_of_the_example() -> None:
    """Check bad arguments, an id in use, a signal for many requests, and a topic that cannot send."""
    run = await trio.run_process(["node", str(ASKING)], capture_stdout=True)
    assert json.loads(run.stdout) == []


async def test_a_request_cancelled_by_us_is_aborted_there(ends: Ends) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.ask, b"hold")
        await ends.peer.wait_event("held", publicKey=ends.our_key.hex())
        nursery.cancel_scope.cancel()
    await ends.peer.wait_event("aborted", publicKey=ends.our_key.hex())
    assert await ends.ask(b"ab") == b"ba"
    assert ends.topic.request_statistics() == RequestStatistics()  # the other request had no effect


async def test_a_request_aborted_there_is_cancelled_here(ends: Ends) -> None:
    began, cancelled = trio.Event(), trio.Event()

    async def hold(request: Request) -> bytes:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    async def expect_there() -> None:
        with pytest.raises(NodePeerError, match="given up"):
            await ends.asked(b"")

    async with ends.topic.serve(hold), trio.open_nursery() as nursery:
        nursery.start_soon(expect_there)
        await began.wait()
        await ends.peer.call("abortRequests", handle=ends.handle)
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


async def test_our_leave_fails_requests_there_and_aborts_their_handlers(ends: Ends) -> None:
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


async def test_broken_connections_fail_requests_there(ends: Ends) -> None:
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
