"""Turns the pending output of a stream into datagrams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from ..buffer import Buffer
from .events import Address
from .flight import Fate, Run
from .packet import HEADER_SIZE, Flag, header, headers, pack_ranges, word
from .state import State
from .stream import Stream
from .timers import Timer

Transmission: TypeAlias = tuple[Address, list[Buffer], int]
"""The destination, the buffers to gather, and the size of each datagram, of which the last may be shorter."""

_PADDING = bytes(256)


def transmissions(stream: Stream, now: float) -> Iterator[Transmission]:
    """Yield everything that may leave now. A yielded transmission counts as sent."""
    receiving, sending = stream.receiving, stream.sending
    while stream.messages:
        yield _lone(stream, Flag.MESSAGE, stream.take_message())
    if receiving.ack_due and receiving.assembler.ranges:
        yield state(stream)
    while stream.urgent:
        run = stream.urgent.pop()
        if run.fate is Fate.SENT:
            yield _run(stream, run)
    while stream.state is not State.CLOSED:
        if (next_run := sending.next_run(now)) is not None:
            yield _run(stream, next_run)
        elif not sending.catch_up():
            break
    if sending.wants_window and stream.timers.due[Timer.WINDOW] > now + 2 * sending.rtt.timeout:
        stream.timers.due[Timer.WINDOW] = now + sending.rtt.timeout
    if stream.heartbeat_due and stream.state is not State.CLOSED:
        stream.heartbeat_due = False
        yield _lone(stream, Flag.HEARTBEAT)
    if receiving.ack_due and stream.state is not State.CLOSED:
        yield state(stream)


def state(stream: Stream) -> Transmission:
    """Return a packet that only acknowledges."""
    stream.receiving.ack_due = False
    ranges = stream.receiving.ranges()
    return _lone(stream, Flag.SACK, pack_ranges(ranges)) if ranges else _lone(stream, 0)


def farewell(stream: Stream) -> Transmission:
    """Return the packet that destroys the remote's stream."""
    return _lone(stream, Flag.DESTROY)


def _lone(stream: Stream, flags: int, body: bytes = b"") -> Transmission:
    assert stream.remote_address is not None
    receiving = stream.receiving
    head = header(
        word(flags), stream.remote_id, receiving.advertise(), stream.sending.next, receiving.assembler.next
    )
    return stream.remote_address, [head + body], HEADER_SIZE + len(body)


def _run(stream: Stream, run: Run) -> Transmission:
    assert stream.remote_address is not None
    receiving = stream.receiving
    receiving.ack_due = False
    window = receiving.advertise()
    flags = (Flag.DATA if len(run.payload) else 0) | (Flag.END if run.ended else 0)
    if run.count == 1:
        first_word = word(flags, run.padding)
        head = header(first_word, stream.remote_id, window, run.first, receiving.assembler.next)
        head += _PADDING[: run.padding]
        return stream.remote_address, [head, run.payload], len(head) + len(run.payload)
    heads = headers(run.count, stream.remote_id, window, run.first, receiving.assembler.next)
    heads[2 - HEADER_SIZE] = flags
    payload, size = memoryview(run.payload), run.size
    buffers: list[Buffer] = []
    for index in range(run.count):
        buffers.append(heads[HEADER_SIZE * index : HEADER_SIZE * (index + 1)])
        buffers.append(payload[size * index : size * (index + 1)])
    return stream.remote_address, buffers, HEADER_SIZE + size
