"""`PipeRequests`: the requests that a program asks and answers through `pipe`."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Any, Final

import attrs
import trio

from peersockets_core import PeersocketsError, Request, RequestError

from ..drive import Drive
from ..topic import Topic
from .feed import Feed
from .large import data_event_line
from .lines import Output
from .pipe_commands import PipeCommand, field, identifier, payload, timeout

MAX_ASKED: Final = 1024
"""Requests of the program that wait for a reply at a time: as many as a topic answers."""
MAX_ASKED_BYTES: Final = 64 * 1024 * 1024
"""Bytes of these requests: eight of the largest messages of hypercore9."""
ENVELOPE: Final = 12
"""The most bytes that an envelope has around its data."""
LONGEST_TEXT: Final = 1000
"""Characters of a peer's error that an event repeats: the text is for people."""


class Cancelled(PeersocketsError):
    """The program has cancelled its request."""


@attrs.define(eq=False)
class _Asked:
    """A request of the program that is in progress."""

    size: int
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)


@attrs.define(eq=False)
class _Question:
    """A request of a peer that waits for the program's answer."""

    topic: Topic
    peer_id: int
    shown: bool = False
    answer: bytes | RequestError | None = None
    answered: trio.Event = attrs.field(factory=trio.Event)


class PipeRequests:
    """The topics that carry requests, and the requests in progress in both directions."""

    def __init__(self, drive: Drive, feed: Feed, output: Output, nursery: trio.Nursery) -> None:
        """Begin; tasks run in `nursery`."""
        self._drive = drive
        self._feed = feed
        self._output = output
        self._nursery = nursery
        self.topics: dict[str, Topic] = {}
        """The topics that carry requests, by name."""
        self._servers: dict[str, trio.CancelScope] = {}
        self._asked: dict[int | str, _Asked] = {}
        self._questions: dict[int, _Question] = {}
        self._numbers = count(1)
        self._changed = trio.lowlevel.ParkingLot()

    # Commands

    async def serve(self, command: PipeCommand) -> None:
        """Show the requests of peers on a topic to the program from now on."""
        name = field(command, "topic", str)
        if name in self._servers:
            raise ValueError(f"topic {name!r} is already served")
        topic = self._open(name)
        self._servers[name] = await self._nursery.start(self._serve, topic)

    async def request(self, command: PipeCommand) -> None:
        """Ask a peer; a `reply` or an `error` with the same id follows."""
        number = identifier(command)
        name, peer_id = field(command, "topic", str), field(command, "peerId", int)
        data, seconds = payload(command), timeout(command)
        if number in self._asked:
            raise ValueError(f"id {json.dumps(number)[:80]} is already in use by a request")
        size = sum(asked.size for asked in self._asked.values())
        if len(self._asked) >= MAX_ASKED or (size and size + len(data) > MAX_ASKED_BYTES):
            raise ValueError(
                f"{len(self._asked)} requests with {size} bytes are in progress: await some first"
            )
        topic = self._open(name)
        topic.check_size(peer_id, len(data) + ENVELOPE)
        asked = self._asked[number] = _Asked(len(data))
        origin = {"id": number, "topic": name, "peerId": peer_id}
        self._nursery.start_soon(
            self._ask, asked, origin, partial(topic.request, peer_id, data, timeout=seconds)
        )

    async def cancel(self, command: PipeCommand) -> None:
        """Cancel a request of the program."""
        number = identifier(command)
        if number not in self._asked:
            raise ValueError(f"id {json.dumps(number)[:80]} is no request in progress")
        self._asked[number].scope.cancel()

    async def reply(self, command: PipeCommand) -> None:
        """Answer a peer's request."""
        question, data = self._question(command), payload(command)
        self._answer(command["id"], question, data, len(data))

    async def refuse(self, command: PipeCommand) -> None:
        """Answer a peer's request with an error, whose text the peer gets."""
        question, error = self._question(command), RequestError(field(command, "text", str))
        self._answer(command["id"], question, error, len(error.text.encode()))

    def close(self, name: str) -> None:
        """Close a topic, and end its requests."""
        if name in self._servers:
            self._servers.pop(name).cancel()
        topic = self.topics.pop(name)
        for number in [number for number, question in self._questions.items() if question.topic is topic]:
            self._withdraw(number)
        topic.close()

    # The end

    async def until_replied(self) -> None:
        """Wait until no request of the program is in progress."""
        while self._asked:
            await self._changed.park()

    @property
    def unsent_answers(self) -> int:
        """The number of the program's answers that have not been sent yet."""
        answering = sum(topic.request_statistics().answering for topic in self.topics.values())
        return answering - len(self._questions)

    # Asking

    def _open(self, name: str) -> Topic:
        if name in self._feed.topics:
            raise ValueError(f"topic {name!r} is joined for messages: close it first, or use another")
        if name not in self.topics:
            self.topics[name] = self._drive.join(name)
        return self.topics[name]

    async def _ask(self, asked: _Asked, origin: dict[str, Any], request: Any) -> None:
        try:
            with asked.scope:
                event = {"event": "reply", **origin}
                line = await data_event_line(event, await request())
                await self._output.room()
                self._output.write_line(line)
                return
            self._fail(origin, Cancelled("the request is cancelled"))
        except (PeersocketsError, trio.TooSlowError, trio.ClosedResourceError) as error:
            self._fail(origin, error)
        finally:
            del self._asked[origin["id"]]
            self._changed.unpark_all()

    def _fail(self, origin: dict[str, Any], error: Exception) -> None:
        text = str(error)[:LONGEST_TEXT]
        self._output.write(event="error", error=type(error).__name__, message=text, **origin)

    # Answering

    async def _serve(
        self, topic: Topic, *, task_status: trio.TaskStatus[trio.CancelScope] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.CancelScope() as scope, suppress(trio.ClosedResourceError):
            async with topic.serve(partial(self._show, topic)):
                task_status.started(scope)
                await trio.sleep_forever()

    async def _show(self, topic: Topic, request: Request) -> bytes:
        """Show a request to the program, and return its answer."""
        number = next(self._numbers)
        event: dict[str, Any] = {
            "event": "request",
            "id": number,
            "topic": topic.name,
            "peerId": request.peer_id,
            "publicKey": request.public_key.hex(),
        }
        question = self._questions[number] = _Question(topic, request.peer_id)
        try:
            line = await data_event_line(event, request.data)
            await self._output.room()
            async with self._feed.turn_after_joins():
                self._output.write_line(line)
                question.shown = True
            await question.answered.wait()
        finally:
            self._withdraw(number)
        if isinstance(question.answer, bytes):
            return question.answer
        assert question.answer is not None
        raise question.answer

    def _question(self, command: PipeCommand) -> _Question:
        number = field(command, "id", int)
        if number not in self._questions:
            raise ValueError(f"id {json.dumps(number)[:80]} is no request that waits for an answer")
        return self._questions[number]

    def _answer(self, number: int, question: _Question, answer: bytes | RequestError, size: int) -> None:
        question.topic.check_size(question.peer_id, size + ENVELOPE)
        del self._questions[number]
        question.answer = answer
        question.answered.set()

    def _withdraw(self, number: int) -> None:
        """Forget a request that waits for an answer; the program learns that it no longer does."""
        question = self._questions.pop(number, None)
        if question is not None and question.shown:
            self._output.write(event="cancel", id=number)
