"""`peersockets_trio.requests`: replies, errors, and hostile peers."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import AsyncExitStack
from contextvars import ContextVar
from typing import Any

import pytest
import trio
import trio.testing

from adapter.request_support import CONNECTS, NOTHING, End, Held, ends, refuse, shout
from adapter.support import (
    KEY,
    all_tasks_blocked,
    connect_hypercore11,
    connect_lockstep,
    connect_memory,
    connect_tcp,
    limited,
    raw_member,
)
from peersockets_core.topics.envelope import Kind, encode
from peersockets_trio import (
    Limits,
    MessageTooLarge,
    PeerGone,
    Request,
    RequestError,
    RequestStatistics,
    UnknownPeer,
    open_node,
)
from peersockets_trio.testing import Connect

# Replies


@CONNECTS
@pytest.mark.parametrize("size", [0, 1, 23, 24, 255, 256, 65_536, 1024 * 1024])
async def test_a_request_gets_its_reply(connect: Connect, size: int) -> None:
    async with ends(connect) as (asker, answerer), answerer.topic.serve(shout):
        assert await asker.ask(b"x" * size) == b"X" * size
        await all_tasks_blocked(0)
        assert asker.topic.request_statistics() == answerer.topic.request_statistics() == NOTHING


async def test_a_handler_knows_the_sender_of_a_request() -> None:
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
    """Each end sends more than the other has room for, and its handlers send requests, too."""
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


async def test_a_handler_that_fails_is_logged_and_serving_continues(caplog: pytest.LogCaptureFixture) -> None:
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
        with pytest.raises(trio.WouldBlock):  # it is not a topic of requests yet
            asker.topic.receive_nowait()


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


async def test_a_task_that_receives_is_not_disturbed() -> None:
    async with ends() as (asker, answerer), trio.open_nursery() as nursery:
        nursery.start_soon(answerer.topic.receive)
        await all_tasks_blocked(0)
        with pytest.raises(trio.BusyResourceError, match="another task is receiving"):
            await answerer.ask(b"")
        with pytest.raises(trio.BusyResourceError, match="another task is receiving"):
            answerer.topic.serve(shout)
        await asker.topic.send(asker.side.peer_id, b"for receive")


async def test_two_servers_on_one_handle_are_refused() -> None:
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


async def test_malformed_and_unexpected_messages_are_counted_and_change_nothing() -> None:
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
