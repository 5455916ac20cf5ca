"""Plays a recorded session again: a `Connection` with a side's secrets plays that side.

Each side gets the input that its original got, in any chunks, and has to send and report the same.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

import attrs

from ..errors import TraceError
from ..limits import DEFAULT_LIMITS
from .entries import SIDES, Command, Digest, Ended, Entry, Received, Report, Sent, Side, Trace
from .player import Player
from .transcript import Transcript, WireMessage

Cutter: TypeAlias = Callable[[bytes], Iterable[bytes]]
"""A function that cuts bytes into the chunks in which they arrive."""

_LIMITS = attrs.evolve(DEFAULT_LIMITS, silence=math.inf)
_NOW = 0.0  # a recording has no times
_DATA_FIELDS = {"flags"}
"""Fields that describe a drive's data in messages that are otherwise compared: whether the peer seeks."""


def whole(data: bytes) -> Iterable[bytes]:
    """Return the bytes as a single chunk."""
    return (data,)


def replay(trace: Trace, *, sides: Iterable[Side] = (), cut: Cutter = whole, ahead: int = 0) -> None:
    """Play the given `sides` of a session (by default, all whose secrets are known), and compare the result.

    `cut` divides each chunk that arrives. With `ahead`, that many bytes of the next chunk arrive early,
    together with the chunk before it. The comparison covers the reports, and the output to the extent
    of `trace.comparison`. Raises `TraceError`, which names the entry, at the first difference.
    """
    _Replay(trace, tuple(sides) or tuple(trace.secrets), cut, ahead).run()


class _Stream:
    """The known bytes that one side sent. The bytes behind a digest become known when the player produces
    them.
    """

    def __init__(self, chunks: Iterable[Sent]) -> None:
        self.sent = 0
        self._chunks = deque(chunks)
        self._known = bytearray()
        self._position = 0
        self._extend()

    def resolve(self, data: bytes) -> None:
        """Supply the bytes behind the next digest."""
        self._chunks.popleft()
        self._known += data
        self._extend()

    def take(self, size: int, ahead: int) -> tuple[bytes, int]:
        """Return the next `size` bytes and up to `ahead` known bytes more, and the number of those extra
        bytes.
        """
        end = self._position + size
        if end > self.sent:
            raise TraceError("received more than was sent")
        if end > len(self._known):
            raise TraceError("received bytes of which the trace has only a digest")
        early = len(self._known[end : end + ahead])
        data = bytes(self._known[self._position : end + early])
        self._position = end
        return data, early

    def _extend(self) -> None:
        while self._chunks:
            data = self._chunks[0].sent
            if isinstance(data, Digest):
                return
            self._known += data
            self._chunks.popleft()


class _Replay:
    def __init__(self, trace: Trace, sides: tuple[Side, ...], cut: Cutter, ahead: int) -> None:
        self._trace = trace
        self._cut = cut
        self._ahead = ahead
        self._players = {side: _player(trace, side) for side in sides}
        self._streams = {side: _Stream(_sent_by(trace, side)) for side in SIDES}
        self._early = dict.fromkeys(SIDES, 0)
        self._output = {side: bytearray() for side in sides}
        self._exact = trace.comparison == "bytes"

    def run(self) -> None:
        for number, entry in enumerate(self._trace.entries, 1):
            try:
                self._step(entry)
            except TraceError as error:
                raise TraceError(f"entry {number}, {' '.join(filter(None, entry.kind))}: {error}") from None
        for side, player in self._players.items():
            self._output[side] += player.data_to_send(_NOW)
            _compare_reports(self._trace, player)
            if self._exact and self._output[side]:
                raise TraceError(f"the {side} sent {len(self._output[side])} bytes more than the recording")
            if not self._exact:
                _compare_messages(self._trace, side, bytes(self._output[side]))

    def _step(self, entry: Entry) -> None:
        player = self._players.get(entry.side)
        match entry:
            case Sent():
                self._sent(entry, player)
            case Received() if player is not None:
                other = SIDES[entry.side == SIDES[0]]
                data, early = self._streams[other].take(entry.received, self._ahead)
                data = data[self._early[entry.side] :]
                self._early[entry.side] = early
                for chunk in self._cut(data):
                    player.receive(chunk, _NOW)
            case Ended() if player is not None:
                player.receive_eof(_NOW)
            case Command() if player is not None:
                player.carry_out(entry)

    def _sent(self, entry: Sent, player: Player | None) -> None:
        stream = self._streams[entry.side]
        stream.sent += entry.size
        if player is None:
            return
        output = self._output[entry.side]
        if not self._exact:
            output += player.data_to_send(_NOW)
            return
        # One read can cause several writes in the original; our player returns all of them at once.
        if len(output) < entry.size:
            output += player.data_to_send(_NOW)
        data = bytes(output[: entry.size])
        del output[: entry.size]
        _compare_bytes(entry, data)
        if isinstance(entry.sent, Digest):
            stream.resolve(data)


def _player(trace: Trace, side: Side) -> Player:
    if side not in trace.secrets:
        raise TraceError(f"the trace has no secrets of the {side}, so no player can stand in for it")
    wire = trace.wire if side == "initiator" else None
    return Player(wire, side, trace.secrets[side], now=_NOW, limits=_LIMITS)


def _sent_by(trace: Trace, side: Side) -> list[Sent]:
    return [entry for entry in trace.entries if isinstance(entry, Sent) and entry.side == side]


def _compare_bytes(entry: Sent, data: bytes) -> None:
    if isinstance(entry.sent, Digest):
        same = entry.sent == Digest(len(data), hashlib.blake2b(data, digest_size=32).digest())
    else:
        same = entry.sent == data
    if not same:
        recorded = entry.sent if isinstance(entry.sent, Digest) else entry.sent.hex()
        raise TraceError(f"the {entry.side} sent {recorded!s:.200}, we {data.hex():.200}")


def _compare_reports(trace: Trace, player: Player) -> None:
    recorded = [e for e in trace.entries if isinstance(e, Report) and e.side == player.side]
    _compare(player.side, "reported", recorded, player.reports)


def _compare_messages(trace: Trace, side: Side, output: bytes) -> None:
    recorded, ours = said(trace, side), said(trace, side, output)
    if trace.comparison == "messages":
        _compare(side, "said", recorded, ours)
        return
    for message in (*recorded, *ours):
        one, two = ([m for m in whole if m.order == message.order] for whole in (recorded, ours))
        _compare(side, f"said about {' '.join(map(str, message.order))}", one, two)


def said(trace: Trace, side: Side, output: bytes | None = None) -> list[WireMessage]:
    """Return the messages of `side` that a comparison covers: those in the recording, or those in our
    `output`.

    Messages about a drive's data are left out. Raises `TraceError` for a trace that lacks that
    side's secrets, or that has digests.
    """
    if side not in trace.secrets:
        raise TraceError(f"the trace has no secrets of the {side}")
    transcript = Transcript(trace.wire, side, trace.secrets[side])
    messages: list[WireMessage] = []
    for sent in (entry for entry in trace.entries if isinstance(entry, Sent)):
        if isinstance(sent.sent, Digest):
            raise TraceError("a trace with digests can only be compared byte by byte")
        if sent.side != side:
            transcript.feed(sent.side, sent.sent)
        elif output is None:
            messages += transcript.feed(side, sent.sent)
    if output is not None:
        messages += transcript.feed(side, output)
    return [_compared(message) for message in messages if not message.about_data]


def _compared(message: WireMessage) -> WireMessage:
    fields = {name: value for name, value in message.fields.items() if name not in _DATA_FIELDS}
    return attrs.evolve(message, fields=fields, batch=None)


def _compare(side: Side, verb: str, recorded: Sequence[object], ours: Sequence[object]) -> None:
    for number in range(max(len(recorded), len(ours))):
        one, two = (values[number] if number < len(values) else None for values in (recorded, ours))
        if one != two:
            raise TraceError(f"the {side} {verb}, as number {number + 1}, {one!s:.300}, we {two!s:.300}")
