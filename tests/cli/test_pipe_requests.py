"""`peersockets pipe`: requests between the programs on both sides."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from cli.support import KEY, WIRE, Event, Pipe, pipe, two_pipes
from peersockets_core import Request, RequestError
from peersockets_trio import Topic, open_node

ASK: Event = {"command": "request", "id": "a", "topic": "files", "peerId": 1, "timeout": 60}
ORIGIN: Event = {"id": "a", "topic": "files", "peerId": 1}
SERVE: Event = {"command": "serve", "topic": "files"}


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def asked(asker: Pipe, text: str, number: int = 1) -> Event:
    """Return the event of a request of the first peer."""
    return {
        "event": "request",
        "id": number,
        "topic": "files",
        "peerId": 1,
        "publicKey": asker.ready["publicKeys"][WIRE],
        "message": b64(text.encode()),
        "text": text,
    }


def failed(kind: str, text: str) -> Event:
    return {"event": "error", "error": kind, "message": text, **ORIGIN}


@asynccontextmanager
async def asker_and_server() -> AsyncIterator[tuple[Pipe, Pipe]]:
    async with two_pipes() as (asker, server):
        await server.say(SERVE, {"command": "peers"})
        await server.hear_until("peers")  # it serves requests
        yield asker, server


@asynccontextmanager
async def asker_and_topic() -> AsyncIterator[tuple[Pipe, Topic]]:
    """A pipe, and the topic of a peer in this process. Each is the other's peer 1."""
    async with open_node() as node, node.open_drive(KEY) as drive, drive.join("files") as topic:
        (listener,) = await node.listen_tcp(0, host="127.0.0.1")
        async with pipe("--connect", str(listener.address), "--wire", WIRE) as asker:
            await asker.hear_until("join")
            yield asker, topic


async def test_a_request_and_its_reply() -> None:
    async with asker_and_server() as (asker, server):
        await asker.say({**ASK, "text": "greeting"})
        assert await server.hear() == asked(asker, "greeting")
        await server.say({"command": "reply", "id": 1, "text": "hello"})
        reply = {"event": "reply", **ORIGIN, "message": b64(b"hello"), "text": "hello"}
        assert await asker.hear() == reply
        await asker.say({**ASK, "message": b64(b"\xff")})  # the id is free again
        request = await server.hear()
        assert (request["id"], request["message"]) == (2, b64(b"\xff"))
        assert "text" not in request
        await server.say({"command": "reply", "id": 2, "message": ""})
        assert await asker.hear() == {"event": "reply", **ORIGIN, "message": "", "text": ""}


async def test_replies_in_any_order_and_large_ones() -> None:
    large = "x" * 100_000
    async with asker_and_server() as (asker, server):
        await asker.say({**ASK, "id": 1, "text": "one"}, {**ASK, "id": 2, "text": large})
        requests = {event["text"]: event["id"] for event in (await server.hear(), await server.hear())}
        await server.say({"command": "reply", "id": requests[large], "text": large})
        reply = await asker.hear()
        assert (reply["id"], reply["text"]) == (2, large)
        await server.say({"command": "reply", "id": requests["one"], "text": "1"})
        assert (await asker.hear())["id"] == 1


async def test_a_refusal() -> None:
    async with asker_and_server() as (asker, server):
        await asker.say({**ASK, "text": "secret"})
        await server.hear()
        await server.say({"command": "refuse", "id": 1, "text": "no such file"})
        assert await asker.hear() == failed("RequestError", "no such file")


async def test_a_request_that_is_cancelled() -> None:
    async with asker_and_server() as (asker, server):
        await asker.say({**ASK, "text": "slow"})
        await server.hear()
        await asker.say({"command": "cancel", "id": "a"})
        assert await asker.hear() == failed("Cancelled", "the request is cancelled")
        assert await server.hear() == {"event": "cancel", "id": 1}
        late = {"command": "reply", "id": 1, "text": "too late"}
        await server.say(late)
        error = await server.hear()
        assert (error["error"], error["command"]) == ("ValueError", late)
        assert error["message"] == "id 1 is no request that waits for an answer"


async def test_a_topic_that_is_closed_on_either_side() -> None:
    async with asker_and_server() as (asker, server):
        await asker.say({**ASK, "text": "one"})
        await server.hear()
        # In one piece, so the answer finds the topic closed.
        reply = {"command": "reply", "id": 1, "text": ""}
        await server.say({"command": "close", "topic": "files"}, reply, SERVE)
        assert await server.hear() == {"event": "cancel", "id": 1}
        assert (await server.hear())["command"] == reply
        assert await asker.hear() == failed("RequestError", "no longer answering")
        await server.say({"command": "peers"})
        await server.hear_until("peers")  # it serves requests again
        await asker.say({**ASK, "text": "two"})
        assert await server.hear() == asked(asker, "two", 2)
        await asker.say({"command": "close", "topic": "files"})
        assert await asker.hear() == failed("ClosedResourceError", "this Topic was closed")
        assert await server.hear() == {"event": "cancel", "id": 2}


async def test_a_peer_that_leaves() -> None:
    async with asker_and_server() as (asker, server):
        await asker.say({**ASK, "text": "one"})
        await server.hear()
        await server.say({"command": "disconnect", "peerId": 1})
        events = [await asker.hear(), await asker.hear()]
        assert {event["event"] for event in events} == {"leave", "error"}
        (error,) = (event for event in events if event["event"] == "error")
        assert (error["error"], error["id"]) == ("PeerGone", "a")


async def test_no_answer_in_time() -> None:
    async with asker_and_topic() as (asker, _):  # no handler serves them
        await asker.say({**ASK, "text": "", "timeout": 0.01})
        assert await asker.hear() == failed("TooSlowError", "peer 1 did not answer within 0.01 seconds")


async def test_the_end_of_the_input_waits_for_replies() -> None:
    answer = trio.Event()

    async def echo(request: Request) -> bytes:
        await answer.wait()
        return request.data

    async with asker_and_topic() as (asker, topic), topic.serve(echo):
        await asker.say({**ASK, "text": "hello"})
        await asker.end_input()
        answer.set()
        assert (await asker.hear())["text"] == "hello"
        assert (await asker.hear_until("closed")) == {"event": "closed"}


async def test_the_end_of_the_input_sends_answers() -> None:
    replies: list[bytes] = []
    async with asker_and_topic() as (server, topic), trio.open_nursery() as nursery:
        await server.say(SERVE, {"command": "peers"})
        await server.hear_until("peers")  # it serves requests

        async def ask() -> None:
            replies.append(await topic.request(1, b"question", timeout=60))

        nursery.start_soon(ask)
        assert (await server.hear())["text"] == "question"
        await server.say({"command": "reply", "id": 1, "text": "answer"})
        assert (await server.finish())[-1] == {"event": "closed"}
    assert replies == [b"answer"]


async def test_a_long_error_of_a_peer_is_shortened() -> None:
    async def refuse(_: Request) -> bytes:
        raise RequestError("no" * 100_000)

    async with asker_and_topic() as (asker, topic), topic.serve(refuse):
        await asker.say({**ASK, "text": ""})
        assert await asker.hear() == failed("RequestError", "no" * 500)


WRONG: dict[str, tuple[Event, str]] = {
    "no id": ({**ASK, "id": None, "text": ""}, "id must be text or a whole number, not null"),
    "no topic": ({**ASK, "topic": None, "text": ""}, "topic must be text, not null"),
    "no peer": ({**ASK, "peerId": "x", "text": ""}, 'peerId must be a number, not "x"'),
    "no data": (ASK, 'give exactly one of "message" and "text"'),
    "no timeout": ({**ASK, "timeout": None, "text": ""}, "timeout must be a number of seconds"),
    "nobody": ({**ASK, "peerId": 7, "text": ""}, "peer_id 7 is not a peer"),
    "a joined topic": ({**ASK, "topic": "chat", "text": ""}, "topic 'chat' is joined for messages"),
    "serve a joined topic": ({"command": "serve", "topic": "chat"}, "topic 'chat' is joined for messages"),
    "serve twice": (SERVE, "topic 'files' is already served"),
    "join a served topic": ({"command": "join", "topic": "files"}, "topic 'files' carries requests"),
    "cancel nothing": ({"command": "cancel", "id": "b"}, 'id "b" is no request in progress'),
    "an id in use": ({**ASK, "id": "busy", "text": ""}, 'id "busy" is already in use by a request'),
    "reply without id": ({"command": "reply", "text": ""}, "id must be a number, not null"),
    "reply to nothing": ({"command": "reply", "id": 9, "text": ""}, "id 9 is no request that waits"),
    "refuse nothing": ({"command": "refuse", "id": 9, "text": ""}, "id 9 is no request that waits"),
}


@pytest.mark.parametrize("together", [True, False])
async def test_the_error_of_a_wrong_command_names_its_fault(together: bool) -> None:
    async with asker_and_topic() as (asker, _):
        await asker.say({"command": "join", "topic": "chat"}, SERVE, {**ASK, "id": "busy", "text": ""})
        lines = [line for line, _ in WRONG.values()]
        if together:
            await asker.say(*lines)
        for line, text in WRONG.values():
            if not together:
                await asker.say(line)
            event = await asker.hear()
            assert event["command"] == line
            assert text in event["message"]


async def test_too_many_requests_at_a_time() -> None:
    async with asker_and_topic() as (asker, _):
        await asker.say(*({**ASK, "id": number, "text": ""} for number in range(1025)))
        error = await asker.hear()
        assert error["command"]["id"] == 1024
        assert error["message"].startswith("1024 requests with 0 bytes are in progress")
