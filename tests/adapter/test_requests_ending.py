"""`peersockets_trio.requests`: timeouts, cancellation, leaving and closing."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing

from adapter.request_support import CONNECTS, NOTHING, End, Held, cut_off, ends, expecting, shout
from adapter.support import (
    KEY,
    all_tasks_blocked,
    connect_lockstep,
    connect_memory,
    fill,
    limited,
    raw_member,
    tasks,
)
from peersockets_core import Message, RequestBook, TopicHandle
from peersockets_core.topics.envelope import Kind, decode_untrusted, encode
from peersockets_trio import (
    Limits,
    PeerGone,
    Request,
    RequestError,
    Topic,
    open_node,
)
from peersockets_trio.testing import Connect, cancelled_at_every_step, join_side
from peersockets_trio.testing.internals import topic_handle

# Timeouts and cancellation


async def test_a_peer_that_does_not_answer(autojump_clock: trio.testing.MockClock) -> None:
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


async def test_a_handler_that_ignores_its_cancellation_is_not_answered_and_keeps_its_slot() -> None:
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


async def test_a_peer_that_closes_the_drive_answers_first() -> None:
    async with (
        ends() as (asker, answerer),
        answerer.topic.serve(Held()),
        expecting(RequestError, lambda: asker.ask(b""), "no longer answering"),
    ):
        answerer.side.drive.close()


@pytest.mark.parametrize("serving", [False, True])
async def test_a_reply_in_one_read_with_the_leave_counts(serving: bool) -> None:
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


async def test_many_messages_at_once_are_processed_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are processed in the order of arrival, and a leave that follows them takes effect after
    them."""
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
async def test_closing_ends_waiting_requests_and_handlers(closed: Callable[[End], Any]) -> None:
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


async def test_leaving_serve_answers_requests_in_progress() -> None:
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


async def test_cancelling_a_server_answers_requests_in_progress() -> None:
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
                # The node does the same when it has just read the message.
                topic_handle(answerer.topic).put(
                    answerer.side.peer_id, bytes(32), [encode(Kind.REQUEST, 7, b"x")]
                )
                answerer.topic.wake()
        message = await asker.topic.receive()
        assert message.message == encode(Kind.ERROR, 7, "no longer answering")
        assert answerer.topic.request_statistics() == NOTHING


async def test_an_exception_of_the_block_propagates_unchanged() -> None:
    async with ends() as (_, answerer):
        with pytest.raises(ZeroDivisionError):
            async with answerer.topic.serve(shout):
                raise ZeroDivisionError


async def test_after_serving_a_topic_can_still_send_requests() -> None:
    async with ends() as (one, two), two.topic.serve(shout):
        async with one.topic.serve(shout):
            assert await one.ask(b"a") == await two.ask(b"a") == b"A"
        assert await one.ask(b"b") == b"B"
        with pytest.raises(trio.TooSlowError, match=r"^peer 1 did not answer within"):
            await two.ask(b"b", timeout=0.01)
        await all_tasks_blocked(0)
        assert one.topic.request_statistics().unexpected == 2  # the request and its cancel


async def test_departed_peers_are_looked_for_once_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """This holds for any number of ended connections: each look goes through all peers with requests."""
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
