"""`peersockets_trio.requests`: asking and answering on a topic."""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from adapter.support import (
    KEY,
    all_tasks_blocked,
    connect_hypercore11,
    connect_lockstep,
    connect_memory,
    connect_tcp,
    fill,
    limited,
    meet,
    raw_member,
    tasks,
)
from peersockets_core import Message, RequestBook, TopicHandle
from peersockets_core.topics.envelope import Kind, decode_untrusted, encode
from peersockets_trio import (
    Limits,
    MessageTooLarge,
    PeerGone,
    Request,
    RequestError,
    RequestStatistics,
    Topic,
    UnknownPeer,
    open_node,
)
from peersockets_trio.testing import Connect, NodeSide, cancelled_at_every_step, join_side
from peersockets_trio.testing.internals import topic_handle

NOTHING = RequestStatistics()
CONNECTS = pytest.mark.parametrize("connect", [connect_memory, connect_tcp, connect_hypercore11])


@attrs.frozen
class End:
    """One of two ends of a topic."""

    side: NodeSide
    topic: Topic

    async def ask(self, data: bytes, *, timeout: float = math.inf) -> bytes:
        return await self.topic.request(self.side.peer_id, data, timeout=timeout)

    async def send(self, kind: Kind, number: int, body: bytes | str | None = None) -> None:
        """Send an envelope by hand."""
        await self.topic.send(self.side.peer_id, encode(kind, number, body))


@asynccontextmanager
async def ends(connect: Connect = connect_memory, **options: Any) -> AsyncIterator[tuple[End, End]]:
    """Bob's end and Alice's; one asks and one answers as the test likes."""
    async with (
        meet(connect, **options) as (alice, bob),
        bob.drive.join("ask") as asking,
        alice.drive.join("ask") as answering,
    ):
        yield End(bob, asking), End(alice, answering)


async def shout(request: Request) -> bytes:
    return request.data.upper()


async def refuse(request: Request) -> bytes:
    raise RequestError(f"not you, {request.data.decode()}")


class Held:
    """A handler that holds requests until they are released, and counts what becomes of them."""

    def __init__(self) -> None:
        self.release = trio.Event()
        self.begun: list[bytes] = []
        self.cancelled: list[bytes] = []

    async def __call__(self, request: Request) -> bytes:
        self.begun.append(request.data)
        try:
            await self.release.wait()
        except trio.Cancelled:
            self.cancelled.append(request.data)
            raise
        return b"at last: " + request.data


def cut_off(end: End) -> None:
    """End its connections without a word."""
    for task in tasks(end.side.node):
        task.cancel()


@asynccontextmanager
async def expecting(
    error: type[Exception], operation: Callable[[], Awaitable[object]], match: str | None = None
) -> AsyncIterator[None]:
    """Run an operation beside the block; it has to end with this error by the end of the block."""

    async def expect() -> None:
        with pytest.raises(error, match=match):
            await operation()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect)
        await all_tasks_blocked(0)
        yield


# Replies


@CONNECTS
@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 65_536, 1024 * 1024])
async def test_a_reply(connect: Connect, size: int) -> None:
    async with ends(connect) as (asker, answerer), answerer.topic.serve(shout):
        assert await asker.ask(b"x" * size) == b"X" * size
        await all_tasks_blocked(0)
        assert asker.topic.request_statistics() == answerer.topic.request_statistics() == NOTHING


async def test_a_handler_knows_who_asks() -> None:
    async def who(request: Request) -> bytes:
        assert request.peer_id == answerer.side.peer_id
        return request.public_key

    async with ends() as (asker, answerer), answerer.topic.serve(who):
        assert await asker.ask(b"") == asker.side.node.public_keys["hypercore9"]


@pytest.mark.parametrize("buffer", [bytearray, memoryview])
async def test_buffers_are_data_and_replies(buffer: Callable[[bytes], Any]) -> None:
    async def echo(request: Request) -> Any:
        return buffer(request.data)

    async with ends() as (asker, answerer), answerer.topic.serve(echo):
        reply = await asker.ask(buffer(b"abc"))
        assert (reply, type(reply)) == (b"abc", bytes)


async def test_replies_come_in_any_order() -> None:
    numbers = range(50)
    finished: list[int] = []
    turns = {number: trio.Event() for number in numbers}

    async def last_first(request: Request) -> bytes:
        await turns[request.data[0]].wait()
        return request.data

    async def ask(number: int) -> None:
        assert await asker.ask(bytes([number])) == bytes([number])
        finished.append(number)

    async with (
        ends() as (asker, answerer),
        answerer.topic.serve(last_first),
        trio.open_nursery() as nursery,
    ):
        for number in numbers:
            nursery.start_soon(ask, number)
        for number in reversed(numbers):
            await all_tasks_blocked(0)
            turns[number].set()
    assert finished == list(reversed(numbers))


async def test_many_peers_are_asked_at_once() -> None:
    async def ask(peer_id: int) -> None:
        for number in range(20):
            data = b"%d %d" % (peer_id, number)
            assert await topic.request(peer_id, data, timeout=math.inf) == b"ALICE'S " + data

    async def answer(request: Request) -> bytes:
        return b"ALICE'S " + request.data

    with limited():
        async with AsyncExitStack() as stack:
            node = await stack.enter_async_context(open_node())
            drive = await stack.enter_async_context(node.open_drive(KEY))
            topic = await stack.enter_async_context(drive.join("ask"))
            for _ in range(5):
                other = await stack.enter_async_context(open_node())
                others = await stack.enter_async_context(other.open_drive(KEY))
                their_topic = await stack.enter_async_context(others.join("ask"))
                await stack.enter_async_context(their_topic.serve(answer))
                await connect_memory(other, node)
            await all_tasks_blocked()
            async with trio.open_nursery() as nursery:
                for peer_id in drive.peers:
                    nursery.start_soon(ask, peer_id)
            assert len(drive.peers) == 5


@pytest.mark.parametrize("connect", [connect_lockstep, connect_tcp, connect_hypercore11])
async def test_both_ends_ask_and_answer_past_every_mark(connect: Connect) -> None:
    """Each end has more to say than the other's room holds, and handlers that ask back."""
    limits = Limits(send_buffer=1000, receive_messages=2, receive_bytes=1000)

    async def ask(end: End) -> None:
        for _ in range(10):
            assert await end.ask(b"ping" * 100) == b"pong" * 200

    async def answer(end: End, request: Request) -> bytes:
        return b"pong" * 200 if request.data == b"pang" else await end.ask(b"pang")

    async with ends(connect, limits=limits) as (one, two):

        async def answer_one(request: Request) -> bytes:
            return await answer(one, request)

        async def answer_two(request: Request) -> bytes:
            return await answer(two, request)

        async with (
            one.topic.serve(answer_one),
            two.topic.serve(answer_two),
            trio.open_nursery() as nursery,
        ):
            for _ in range(20):
                nursery.start_soon(ask, one)
                nursery.start_soon(ask, two)


async def test_requests_that_came_before_serving_are_answered() -> None:
    async with ends() as (asker, answerer), trio.open_nursery() as nursery:
        replies = []

        async def ask() -> None:
            replies.append(await asker.ask(b"early"))

        nursery.start_soon(ask)
        await all_tasks_blocked(0)
        async with answerer.topic.serve(shout):
            await all_tasks_blocked(0)
        assert replies == [b"EARLY"]


async def test_a_handler_has_the_context_of_the_server() -> None:
    who: ContextVar[str] = ContextVar("who", default="nobody")

    async def answer(request: Request) -> bytes:
        return who.get().encode()

    async with ends() as (asker, answerer):
        who.set("the server")
        async with answerer.topic.serve(answer):
            who.set("somebody else")
            assert await asker.ask(b"") == b"the server"


# Errors


async def test_a_handler_refuses() -> None:
    async with ends() as (asker, answerer), answerer.topic.serve(refuse):
        with pytest.raises(RequestError, match=r"^not you, Bob$") as caught:
            await asker.ask(b"Bob")
        assert caught.value.text == "not you, Bob"


async def test_a_handler_that_fails_is_logged_and_serving_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def fragile(request: Request) -> bytes:
        async with trio.open_nursery():
            return bytes([1 // len(request.data)])

    async with ends() as (asker, answerer), answerer.topic.serve(fragile):
        with pytest.raises(RequestError, match=r"^the handler failed$"):
            await asker.ask(b"")
        assert await asker.ask(b"x") == b"\1"
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.name == "peersockets"
    assert record.message == "request of peer 1: the handler failed"
    assert record.exc_info is not None
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("reply", [None, "text", 5, [b"x"]])
async def test_a_handler_that_returns_no_bytes(reply: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def wrong(request: Request) -> Any:
        return reply

    async with ends() as (asker, answerer), answerer.topic.serve(wrong):
        with pytest.raises(RequestError, match="the handler failed"):
            await asker.ask(b"")
    assert f"the handler's result must be bytes, not {type(reply).__name__}" in caplog.text


async def test_a_reply_over_the_wires_limit(caplog: pytest.LogCaptureFixture) -> None:
    async def verbose(request: Request) -> bytes:
        return bytes(8 * 1024 * 1024)

    async with ends() as (asker, answerer), answerer.topic.serve(verbose):
        with pytest.raises(RequestError, match="the reply is too large"):
            await asker.ask(b"")
    assert "request of peer 1: the reply is too large: message of 83886" in caplog.text


async def test_an_error_of_any_text() -> None:
    async def strange(request: Request) -> bytes:
        raise RequestError("ü\0" * 100)

    async with ends() as (asker, answerer), answerer.topic.serve(strange):
        with pytest.raises(RequestError) as caught:
            await asker.ask(b"")
        assert caught.value.text == "ü\0" * 100


async def test_requests_that_cannot_be_sent() -> None:
    async with ends() as (asker, answerer), answerer.topic.serve(shout):
        with pytest.raises(UnknownPeer, match="peer_id 9 is not a peer"):
            await asker.topic.request(9, b"", timeout=1)
        with pytest.raises(MessageTooLarge):
            await asker.ask(bytes(8 * 1024 * 1024))
        wrong: list[Any] = ["1", None, []]
        for peer_id in wrong:
            with pytest.raises(TypeError, match="peer_id must be int"):
                await asker.topic.request(peer_id, b"", timeout=1)
        answerer.side.drive.close()
        await all_tasks_blocked(0)
        with pytest.raises(PeerGone, match="peer 1 is gone"):
            await asker.ask(b"")
        assert asker.topic.request_statistics() == NOTHING


@pytest.mark.parametrize(
    ("data", "timeout", "error", "text"),
    [
        ("text", 1, TypeError, "data must be bytes, not str"),
        (b"", "1", TypeError, "timeout must be a number of seconds, not str"),
        (b"", None, TypeError, "timeout must be a number of seconds, not NoneType"),
        (b"", -1, ValueError, "timeout must be 0 seconds or more, not -1"),
        (b"", math.nan, ValueError, "timeout must be 0 seconds or more, not nan"),
    ],
)
async def test_bad_arguments(data: Any, timeout: Any, error: type[Exception], text: str) -> None:
    async with ends() as (asker, _):
        with pytest.raises(error, match=text):
            await asker.ask(data, timeout=timeout)
        with pytest.raises(TypeError, match="handler must be an async function, not int"):
            asker.topic.serve(5)  # type: ignore[arg-type]
        with pytest.raises(trio.WouldBlock):  # it is not yet a topic of requests
            asker.topic.receive_nowait()


# Timeouts and cancellation


async def test_a_peer_that_says_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with ends() as (asker, answerer):
        for timeout in (0, 5):
            began = trio.current_time()
            with pytest.raises(trio.TooSlowError, match=r"^peer 1 did not answer within"):
                await asker.ask(b"", timeout=timeout)
            assert trio.current_time() - began == timeout
        assert asker.topic.request_statistics() == NOTHING
        assert answerer.topic.statistics().waiting_messages == 3  # two requests and a cancel


async def test_a_request_that_takes_too_long_is_cancelled_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    held = Held()
    async with ends() as (asker, answerer), answerer.topic.serve(held):
        with pytest.raises(trio.TooSlowError, match=r"^peer 1 did not answer within"):
            await asker.ask(b"too slow", timeout=5)
        await all_tasks_blocked(0)
        assert held.cancelled == [b"too slow"]
        with trio.move_on_after(5):
            await asker.ask(b"never mind")
        await all_tasks_blocked(0)
        assert held.cancelled == [b"too slow", b"never mind"]
        assert answerer.topic.request_statistics() == NOTHING
        assert asker.topic.request_statistics() == NOTHING


async def test_a_handler_that_does_not_give_way_is_not_answered_and_keeps_its_room() -> None:
    began, release = trio.Event(), trio.Event()

    async def stubborn(request: Request) -> bytes:
        began.set()
        with trio.CancelScope(shield=True):
            await release.wait()
        return b"late"

    async with ends(limits=Limits(peer_requests=1)) as (asker, answerer), answerer.topic.serve(stubborn):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(asker.ask, b"")
            await began.wait()
            nursery.cancel_scope.cancel()
        await all_tasks_blocked(0)
        with pytest.raises(RequestError, match="busy"):
            await asker.ask(b"")
        release.set()
        await all_tasks_blocked(0)
        assert asker.topic.request_statistics() == NOTHING  # so the late reply was not sent
        assert await asker.ask(b"") == b"late"


async def test_a_request_that_is_cancelled_in_the_same_read_is_not_begun() -> None:
    held = Held()
    async with ends() as (asker, answerer), answerer.topic.serve(held):
        await asker.send(Kind.REQUEST, 7, b"x")
        await asker.send(Kind.CANCEL, 7)
        await all_tasks_blocked(0)
        assert held.begun == []
        assert answerer.topic.request_statistics() == NOTHING


async def test_cancellation_at_any_point_leaves_nothing_behind() -> None:
    async with ends(connect_lockstep) as (asker, answerer), answerer.topic.serve(shout):
        assert await cancelled_at_every_step(lambda: asker.ask(b"x")) >= 1
        await all_tasks_blocked(0)
        assert asker.topic.request_statistics().asked == 0
        assert answerer.topic.request_statistics().answering == 0
        assert await asker.ask(b"after all") == b"AFTER ALL"


async def test_requests_wait_for_room_and_can_be_cancelled_there() -> None:
    with limited():
        async with open_node(limits=Limits(send_buffer=1000)) as node, node.open_drive(KEY) as drive:
            deaf = await raw_member(node)
            side = await join_side(node, drive)
            async with drive.join("ask") as topic:
                await fill(topic, side.peer_id)
                sent = topic.statistics().sent_messages
                with pytest.raises(trio.TooSlowError, match=r"^peer 1 did not answer within"):
                    await topic.request(side.peer_id, b"", timeout=0.01)
                assert topic.statistics().sent_messages == sent
            await deaf.stream.aclose()


# Leaving and closing


@CONNECTS
async def test_a_peer_that_is_cut_off_fails_its_requests_and_only_those(connect: Connect) -> None:
    held = Held()
    async with (
        ends(connect) as (asker, answerer),
        answerer.topic.serve(held),
        open_node() as third,
        third.open_drive(KEY) as thirds,
        thirds.join("ask") as topic,
        topic.serve(held),
    ):
        await connect_memory(third, asker.side.node)
        joined = await asker.side.events.receive()
        async with trio.open_nursery() as nursery:
            replies: list[bytes] = []

            async def ask_third() -> None:
                replies.append(await asker.topic.request(joined.peer_id, b"third", timeout=math.inf))

            nursery.start_soon(ask_third)
            async with expecting(PeerGone, lambda: asker.ask(b"first"), "peer 1 is gone"):
                cut_off(answerer)
            assert not replies
            assert held.cancelled == [b"first"]
            held.release.set()
        assert replies == [b"at last: third"]


async def test_a_peer_that_closes_the_drive_says_so_first() -> None:
    async with (
        ends() as (asker, answerer),
        answerer.topic.serve(Held()),
        expecting(RequestError, lambda: asker.ask(b""), "no longer answering"),
    ):
        answerer.side.drive.close()


@pytest.mark.parametrize("serving", [False, True])
async def test_a_reply_that_comes_in_one_read_with_the_leave_counts(serving: bool) -> None:
    async with ends() as (asker, answerer), AsyncExitStack() as stack:
        if serving:
            await stack.enter_async_context(asker.topic.serve(shout))

        async def ask() -> None:
            replies.append(await asker.ask(b""))

        replies: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            request = await answerer.topic.receive()
            number = decode_untrusted(request.message).id
            await answerer.send(Kind.REPLY, number, b"farewell")
            answerer.side.drive.close()
        assert replies == [b"farewell"]


async def test_many_messages_at_once_are_taken_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order in which they came, and a leave behind them is heard behind them."""
    taken: list[int] = []
    rounds = itertools.count()
    take = RequestBook.receive_untrusted

    class Rounds(trio.abc.Instrument):
        def before_io_wait(self, timeout: float) -> None:
            self.now = next(rounds)

    counter = Rounds()

    def note(book: RequestBook, message: Message) -> object:
        taken.append(counter.now)
        return take(book, message)

    trio.lowlevel.add_instrument(counter)
    async with ends() as (asker, answerer):

        async def ask() -> None:
            replies.append(await asker.ask(b""))

        replies: list[bytes] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            request = await answerer.topic.receive()
            number = decode_untrusted(request.message).id
            await all_tasks_blocked(0)
            monkeypatch.setattr(RequestBook, "receive_untrusted", note)
            for other in range(1000):
                await answerer.send(Kind.CANCEL, other)
            await answerer.send(Kind.REPLY, number, b"farewell")
            answerer.side.drive.close()
        assert replies == [b"farewell"]
        assert len(taken) == 1001
        assert max(Counter(taken).values()) <= 64
        assert asker.topic.request_statistics().unexpected == 1000


@CONNECTS
async def test_the_handlers_of_a_peer_that_leaves_are_cancelled(connect: Connect) -> None:
    held = Held()
    async with ends(connect) as (asker, answerer), answerer.topic.serve(held):
        async with expecting(trio.ClosedResourceError, lambda: asker.ask(b"x"), "this Topic was closed"):
            asker.side.drive.close()
        await all_tasks_blocked()
        assert held.cancelled == [b"x"]
        assert answerer.topic.request_statistics().answering == 0


async def test_a_stranger_in_network_scope_that_leaves() -> None:
    """It is no member, so no watch reports it."""
    held = Held()
    with limited():
        async with (
            open_node() as alice,
            open_node() as bob,
            alice.open_drive(KEY, topic_scope="network") as drive,
            drive.join("ask") as topic,
            topic.serve(held),
        ):
            async with bob.open_drive(bytes(32), topic_scope="network") as bobs, bobs.join("ask") as asking:
                await connect_memory(bob, alice)
                async with alice.open_drive(bytes(32)) as shared:
                    peer_id = (await join_side(alice, shared)).peer_id
                    bobs_peer = (await join_side(bob, bobs)).peer_id
                async with (
                    expecting(PeerGone, lambda: _ask(asking, bobs_peer)),
                    expecting(PeerGone, lambda: _ask(topic, peer_id)),
                ):
                    assert held.begun == [b"x"]
                    for task in tasks(bob):
                        task.cancel()
            await all_tasks_blocked(0)
            assert held.cancelled == [b"x"]


async def _ask(topic: Topic, peer_id: int) -> bytes:
    return await topic.request(peer_id, b"x", timeout=math.inf)


@pytest.mark.parametrize("closed", [lambda end: end.topic, lambda end: end.side.drive])
async def test_closing_ends_what_waits_and_what_is_answered(closed: Callable[[End], Any]) -> None:
    held = Held()
    async with ends() as (one, two), one.topic.serve(held), two.topic.serve(held):
        async with (
            expecting(trio.ClosedResourceError, lambda: one.ask(b"from one"), "this Topic was closed"),
            expecting(RequestError, lambda: two.ask(b"from two"), "no longer answering"),
        ):
            closed(one).close()
        assert sorted(held.cancelled) == [b"from one", b"from two"]
        for _ in range(2):
            with pytest.raises(trio.ClosedResourceError, match="this Topic is closed"):
                await one.ask(b"")
            with pytest.raises(trio.ClosedResourceError, match="this Topic is closed"):
                one.topic.serve(held)
            one.topic.close()
        assert one.topic.request_statistics() == NOTHING


async def test_closing_while_a_request_waits_for_room() -> None:
    with limited():
        async with open_node(limits=Limits(send_buffer=1000)) as node, node.open_drive(KEY) as drive:
            deaf = await raw_member(node)
            side = await join_side(node, drive)
            topic = drive.join("ask")
            await fill(topic, side.peer_id)
            async with expecting(trio.ClosedResourceError, lambda: _ask(topic, side.peer_id)):
                topic.close()
                await deaf.read()
                await deaf.read()
            await deaf.stream.aclose()


async def test_leaving_serve_answers_what_is_in_progress() -> None:
    held = Held()
    async with ends() as (asker, answerer):
        async with (
            expecting(RequestError, lambda: asker.ask(b"x"), "no longer answering"),
            answerer.topic.serve(held),
        ):
            await all_tasks_blocked(0)
        assert held.cancelled == [b"x"]
        async with answerer.topic.serve(shout):
            assert await asker.ask(b"again") == b"AGAIN"


async def test_cancelling_a_server_answers_what_is_in_progress() -> None:
    held = Held()
    async with ends() as (asker, answerer):
        async with expecting(RequestError, lambda: asker.ask(b"x"), "no longer answering"):
            with trio.CancelScope() as scope:
                async with answerer.topic.serve(held):
                    await all_tasks_blocked(0)
                    scope.cancel()
                    await trio.sleep_forever()
        assert scope.cancelled_caught


async def test_a_request_that_comes_while_the_server_is_cancelled() -> None:
    async with ends() as (asker, answerer):
        with trio.CancelScope() as scope:
            async with answerer.topic.serve(shout):
                await all_tasks_blocked(0)
                scope.cancel()
                # As the node does when it has read the message just now.
                topic_handle(answerer.topic).put(
                    answerer.side.peer_id, bytes(32), [encode(Kind.REQUEST, 7, b"x")]
                )
                answerer.topic.wake()
        message = await asker.topic.receive()
        assert message.message == encode(Kind.ERROR, 7, "no longer answering")
        assert answerer.topic.request_statistics() == NOTHING


async def test_what_the_block_raises_comes_out_as_it_was() -> None:
    async with ends() as (_, answerer):
        with pytest.raises(ZeroDivisionError):
            async with answerer.topic.serve(shout):
                raise ZeroDivisionError


async def test_after_serving_one_may_still_ask() -> None:
    async with ends() as (one, two), two.topic.serve(shout):
        async with one.topic.serve(shout):
            assert await one.ask(b"a") == await two.ask(b"a") == b"A"
        assert await one.ask(b"b") == b"B"
        with pytest.raises(trio.TooSlowError, match=r"^peer 1 did not answer within"):
            await two.ask(b"b", timeout=0.01)
        await all_tasks_blocked(0)
        assert one.topic.request_statistics().unexpected == 2  # the request and its cancel


async def test_who_has_gone_is_looked_for_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections end: each look goes through everybody that is asked."""
    strangers, looked, reaches = 20, 0, TopicHandle.reaches

    def look(handle: TopicHandle, peer_id: int) -> bool:
        nonlocal looked
        looked += 1
        return reaches(handle, peer_id)

    monkeypatch.setattr(TopicHandle, "reaches", look)
    held = Held()
    async with ends() as (asker, answerer), answerer.topic.serve(held), AsyncExitStack() as stack:
        node = answerer.side.node
        with limited():
            others = [await raw_member(node) for _ in range(strangers)]
        async with expecting(PeerGone, lambda: asker.ask(b"")):
            assert held.begun == [b""]
            looked = 0
            theirs = {other.key_pair.x25519_public_key for other in others}
            for task in tasks(node):
                if task.connection.remote_public_key in theirs:
                    task.disconnect("enough")
            await all_tasks_blocked(0)
            assert 0 < looked <= 3
            cut_off(asker)
        for other in others:
            stack.push_async_callback(trio.aclose_forcefully, other.stream)


# One handle, one use


async def test_a_topic_of_requests_is_not_for_receiving() -> None:
    async with ends() as (asker, answerer), answerer.topic.serve(shout):
        await asker.ask(b"")
        for topic in (asker.topic, answerer.topic):
            with pytest.raises(trio.BusyResourceError, match="join the topic once more to receive"):
                await topic.receive()
            with pytest.raises(trio.BusyResourceError):
                await topic.receive_batch()
            with pytest.raises(trio.BusyResourceError):
                topic.receive_nowait()


async def test_who_is_receiving_is_not_disturbed() -> None:
    async with ends() as (asker, answerer), trio.open_nursery() as nursery:
        nursery.start_soon(answerer.topic.receive)
        await all_tasks_blocked(0)
        with pytest.raises(trio.BusyResourceError, match="another task is receiving"):
            await answerer.ask(b"")
        with pytest.raises(trio.BusyResourceError, match="another task is receiving"):
            answerer.topic.serve(shout)
        await asker.topic.send(asker.side.peer_id, b"for receive")


async def test_two_servers() -> None:
    async with ends() as (asker, answerer), answerer.topic.serve(shout):
        with pytest.raises(trio.BusyResourceError, match="another task is serving this Topic"):
            async with answerer.topic.serve(refuse):
                pass
        assert await asker.ask(b"a") == b"A"


async def test_handles_of_one_topic_ask_independently() -> None:
    async with (
        ends() as (asker, answerer),
        answerer.topic.serve(shout),
        asker.side.drive.join("ask") as second,
    ):
        for topic in (asker.topic, second, asker.topic):
            assert await topic.request(1, b"a", timeout=math.inf) == b"A"
        await all_tasks_blocked(0)
        # Each heard the replies to the other, and took none of them for its own.
        assert asker.topic.request_statistics() == RequestStatistics(unexpected=1)
        assert second.request_statistics() == RequestStatistics(unexpected=2)


# Hostile peers


async def test_more_requests_than_the_limits(autojump_clock: trio.testing.MockClock) -> None:
    held = Held()
    async with ends(limits=Limits(peer_requests=3)) as (asker, answerer), answerer.topic.serve(held):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(asker.ask, b"x")
            await all_tasks_blocked(0)
            for _ in range(5):
                with pytest.raises(RequestError, match=r"^busy$"):
                    await asker.ask(b"x")
            assert answerer.topic.request_statistics() == RequestStatistics(answering=3, refused=5)
            held.release.set()
        assert await asker.ask(b"y") == b"at last: y"


async def test_messages_that_are_none_or_not_expected_are_counted_and_change_nothing() -> None:
    held = Held()
    async with ends() as (asker, answerer), answerer.topic.serve(held):
        for message in (b"", b"hello", b"\x81" * 100_000, b"\x83\x00\x01\x5b" + b"\xff" * 8):
            await asker.topic.send(asker.side.peer_id, message)
        await asker.send(Kind.REPLY, 7, b"never asked for")
        await asker.send(Kind.ERROR, 7, "never asked for")
        await asker.send(Kind.CANCEL, 7)
        await asker.send(Kind.REQUEST, 7, b"first")
        await asker.send(Kind.REQUEST, 7, b"second")
        await all_tasks_blocked(0)
        statistics = RequestStatistics(answering=1, unexpected=4, malformed=4)
        assert answerer.topic.request_statistics() == statistics
        assert held.begun == [b"first"]
        held.release.set()
        assert (await asker.topic.receive()).message == encode(Kind.REPLY, 7, b"at last: first")
        with pytest.raises(trio.WouldBlock):
            asker.topic.receive_nowait()


async def test_a_peer_that_asks_and_does_not_read_costs_no_more_than_its_bound() -> None:
    limits = Limits(send_buffer=1000, peer_requests=10)

    async def verbose(request: Request) -> bytes:
        return bytes(500)

    with limited():
        async with open_node(limits=limits) as node, node.open_drive(KEY) as drive:
            deaf = await raw_member(node)
            async with drive.join("ask") as topic, topic.serve(verbose):
                for number in range(200):
                    await deaf.send_message("ask", encode(Kind.REQUEST, number, b""))
                await all_tasks_blocked(0)
                statistics = topic.request_statistics()
                assert statistics.answering == 10  # whose replies wait for room
                assert statistics.refused > 100
                assert topic.statistics().sent_bytes < 3000
                assert topic.statistics().waiting_messages == 0
                await deaf.stream.aclose()
                await all_tasks_blocked(0)
                assert topic.request_statistics().answering == 0
