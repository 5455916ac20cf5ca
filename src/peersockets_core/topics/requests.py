"""`RequestBook`: keeps track of requests and replies on one topic handle, in both directions, without I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, Generic, TypeAlias, cast

import attrs

from ..errors import PeerGone, RemoteProtocolError, RequestError
from ..limits import Limits
from ..owners import AnswerOwner, AskOwner
from .envelope import LARGEST_ID, Envelope, Kind, decode_untrusted
from .handles import Message, check_peer_id

# The error texts that an asker gets instead of a reply.
BUSY: Final = "busy"
FAILED: Final = "the handler failed"
STOPPED: Final = "no longer answering"
TOO_LARGE: Final = "the reply is too large"


@attrs.frozen
class Request:
    """A request of a peer, which the handler of a topic gets, and whose return value is the reply."""

    peer_id: int
    """The asker's peer id."""
    public_key: bytes = attrs.field(repr=lambda key: key.hex())
    """The asker's 32-byte public key, which it has proved."""
    data: bytes
    """The question, as the asker sent it."""


@attrs.define(eq=False)
class Asked(Generic[AskOwner]):
    """A request of ours that waits for its reply."""

    peer_id: int
    id: int
    owner: AskOwner
    """The object to wake when `result` is available."""
    reply: bytes = b""
    error: Exception | None = None

    def result(self) -> bytes:
        """Return the reply, or raise the error that arrived instead."""
        if self.error is not None:
            raise self.error
        return self.reply


@attrs.define(eq=False)
class Answering(Generic[AnswerOwner]):
    """A peer's request that is being answered here."""

    request: Request
    id: int
    wanted: bool = True
    """Whether the asker still waits for the answer."""
    owner: AnswerOwner = attrs.field(factory=lambda: cast(AnswerOwner, None))
    """The object to cancel when the answer is no longer `wanted`; None until the handler's task sets it."""


@attrs.frozen
class OverLimit:
    """A peer's request that exceeds the limits; the answer is the error `BUSY`."""

    peer_id: int
    id: int


News: TypeAlias = Asked[AskOwner] | Answering[AnswerOwner] | OverLimit
"""A change: an `Asked` has its reply or error; an `Answering` is new, or no longer `wanted`."""


@attrs.frozen
class RequestStatistics:
    """Counters of the requests on one topic handle at one moment."""

    asked: int = 0
    """Sent requests that wait for a reply."""
    answering: int = 0
    """Received requests whose handlers are at work."""
    refused: int = 0
    """Received requests that were refused because too many were being answered, since the beginning."""
    unexpected: int = 0
    """Ignored messages since the beginning: replies, errors and cancels of requests that are not in
    progress (mostly late ones), requests whose id is already in progress, and requests that arrived while
    no task served."""
    malformed: int = 0
    """Ignored messages that are not envelopes, since the beginning."""


class RequestBook(Generic[AskOwner, AnswerOwner]):
    """The requests in progress on one topic handle, in both directions."""

    def __init__(self, limits: Limits, ids: Iterator[int]) -> None:
        """Begin. `ids` yields numbers that no other recent request of this identity has.

        Numbers above `LARGEST_ID` wrap around to 0.
        """
        self._limits = limits
        self._ids = ids
        self.asked: dict[int, dict[int, Asked[AskOwner]]] = {}  # by peer and id, like the next one
        self.answering: dict[int, dict[int, Answering[AnswerOwner]]] = {}
        self.answering_count = self.answering_bytes = 0  # number and bytes of the requests being answered
        self._refused = self._unexpected = self._malformed = 0
        self.serving = False
        """Whether a task answers the requests of peers."""

    @property
    def peers(self) -> set[int]:
        """The ids of the peers with requests in progress."""
        return self.asked.keys() | self.answering.keys()

    def new_id(self, peer_id: int) -> int:
        """Return the id for a new request to a peer. Raises `TypeError` for a bad peer id."""
        check_peer_id(peer_id)
        waiting = self.asked.get(peer_id, {})
        return next(number for number in map(LARGEST_ID.__and__, self._ids) if number not in waiting)

    def ask(self, peer_id: int, number: int, owner: AskOwner | None = None) -> Asked[AskOwner]:
        """Note that a request has been sent, so that its reply may arrive."""
        asked = Asked(peer_id, number, cast(AskOwner, owner))
        self.asked.setdefault(peer_id, {})[number] = asked
        return asked

    def withdraw(self, asked: Asked[AskOwner]) -> bool:
        """Stop waiting for a reply; returns whether none has arrived, so that we should send a cancel."""
        return self._take_asked(asked.peer_id, asked.id) is not None

    def receive_untrusted(self, message: Message) -> News[AskOwner, AnswerOwner] | None:
        """Take in a message of a peer; returns the change that it causes, or None if it is ignored and
        counted.
        """
        try:
            envelope = decode_untrusted(message.message)
        except RemoteProtocolError:
            self._malformed += 1
            return None
        news = self._take(message, envelope)
        if news is None:
            self._unexpected += 1
        return news

    def finish(self, answering: Answering[AnswerOwner]) -> bool:
        """Remove a request whose answer was sent or given up; returns whether the asker still waits for the
        answer.
        """
        peer_id = answering.request.peer_id
        theirs = self.answering[peer_id]
        del theirs[answering.id]
        if not theirs:
            del self.answering[peer_id]
        self.answering_count -= 1
        self.answering_bytes -= len(answering.request.data)
        return answering.wanted

    def lose(self, peer_id: int) -> list[Asked[AskOwner] | Answering[AnswerOwner]]:
        """End all requests to and from a peer that cannot be reached any more; returns the affected ones."""
        return self._end(peer_id, partial(PeerGone, peer_id))

    def close(self, make_error: Callable[[], Exception]) -> list[Asked[AskOwner] | Answering[AnswerOwner]]:
        """End all requests; returns the affected ones."""
        return [concerned for peer_id in self.peers for concerned in self._end(peer_id, make_error)]

    def statistics(self) -> RequestStatistics:
        """Return the current counters."""
        return RequestStatistics(
            asked=sum(map(len, self.asked.values())),
            answering=self.answering_count,
            refused=self._refused,
            unexpected=self._unexpected,
            malformed=self._malformed,
        )

    def _take(self, message: Message, envelope: Envelope) -> News[AskOwner, AnswerOwner] | None:
        peer_id, number = message.peer_id, envelope.id
        if envelope.kind is Kind.REQUEST:
            return self._requested(Request(peer_id, message.public_key, envelope.data), number)
        if envelope.kind is Kind.CANCEL:
            return self._cancelled(peer_id, number)
        asked = self._take_asked(peer_id, number)
        if asked is not None:
            asked.reply = envelope.data
            asked.error = RequestError(envelope.text) if envelope.kind is Kind.ERROR else None
        return asked

    def _requested(self, request: Request, number: int) -> Answering[AnswerOwner] | OverLimit | None:
        theirs = self.answering.get(request.peer_id, {})
        if not self.serving or number in theirs:
            return None
        limits = self._limits
        if (
            len(theirs) >= limits.peer_requests
            or self.answering_count >= limits.requests
            or self.answering_bytes >= limits.request_bytes
        ):
            self._refused += 1
            return OverLimit(request.peer_id, number)
        answering: Answering[AnswerOwner] = Answering(request, number)
        theirs[number] = answering
        self.answering[request.peer_id] = theirs
        self.answering_count += 1
        self.answering_bytes += len(request.data)
        return answering

    def _cancelled(self, peer_id: int, number: int) -> Answering[AnswerOwner] | None:
        answering = self.answering.get(peer_id, {}).get(number)
        if answering is None or not answering.wanted:
            return None
        answering.wanted = False
        return answering

    def _take_asked(self, peer_id: int, number: int) -> Asked[AskOwner] | None:
        theirs = self.asked.get(peer_id, {})
        asked = theirs.pop(number, None)
        if asked is not None and not theirs:
            del self.asked[peer_id]
        return asked

    def _end(
        self, peer_id: int, make_error: Callable[[], Exception]
    ) -> list[Asked[AskOwner] | Answering[AnswerOwner]]:
        asked = list(self.asked.pop(peer_id, {}).values())
        for ours in asked:
            ours.error = make_error()  # each one has its own error, for its own traceback
        # They keep their slots until done, so reconnecting gains a peer nothing.
        theirs = [answering for answering in self.answering.get(peer_id, {}).values() if answering.wanted]
        for answering in theirs:
            answering.wanted = False
        return [*asked, *theirs]
