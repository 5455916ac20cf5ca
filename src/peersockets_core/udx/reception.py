"""Applies a batch of packets to their stream.

A batch's acknowledgements are applied together, because a later one includes every earlier one. A lone packet
that is exactly the expected one takes a shorter way, as in TCP's header prediction.
"""

from __future__ import annotations

from ..buffer import Buffer
from ..owners import S
from .errors import StreamReset
from .events import Address, AddressChanged, AddressConfirmed, DataReceived, Event, MessageReceived
from .packet import (
    DATA_WORD,
    HEADER_SIZE,
    MASK,
    STATE_WORD,
    Columns,
    Fields,
    Flag,
    flags_untrusted,
    parse_ranges_untrusted,
    unwrap,
)
from .receive_half import REACH
from .state import RECEIVING, State
from .stream import Stream


def receive_untrusted(
    stream: Stream[S],
    columns: Columns,
    packets: memoryview,
    size: int,
    source: Address,
    now: float,
    events: list[Event[Stream[S]]],
) -> int:
    """Take in packets for a connected stream; returns how many of them it accepted.

    Packets that cannot come from its remote change nothing. Raises nothing.
    """
    words, _, windows, sequences, acks = columns
    count = len(words)
    stream.sending.catch_up()
    una = stream.sending.una
    ranges: list[tuple[int, int]] = []
    first = words[0]
    if (
        first in (DATA_WORD, STATE_WORD)
        and words.count(first) == count
        and (ack := _latest(acks, una, stream.sending.next)) >= 0
        and (
            _receive_run(stream, sequences, packets, size, events)
            if first == DATA_WORD
            else _plausible(unwrap(sequences[-1], stream.receiving.assembler.next), stream)
        )
    ):
        number = unwrap(sequences[-1], stream.receiving.assembler.next)
        stream.sending.receive_window(windows[-1], number, ack)
        taken = count
    else:
        ack, taken = -1, 0
        for index in range(count):
            packet = packets[index * size : (index + 1) * size]
            number = unwrap(sequences[index], stream.receiving.assembler.next)
            this = unwrap(acks[index], una)
            flags = flags_untrusted(words[index])
            if (
                flags is None
                or not _plausible(number, stream)
                or not una - REACH <= this <= stream.sending.next
            ):
                continue
            taken += 1
            offset = words[index] >> 24
            if flags & Flag.SACK and this >= ack:
                ranges = [
                    (unwrap(start, una), unwrap(end, una))
                    for start, end in parse_ranges_untrusted(packet[HEADER_SIZE:], offset)
                ]
            ack = max(ack, this)
            stream.sending.receive_window(windows[index], number, this)
            if _receive_packet(stream, flags, number, packet[HEADER_SIZE + offset :], events):
                # A reset acknowledges packets, too: the remote received those before it reset the stream.
                stream.sending.receive_ack(ack, ranges, now)
                stream.settle(events)
                if stream.state is not State.CLOSED:
                    stream.fail(StreamReset(), events)
                return taken
    if taken:
        stream.heard(now)
        if source != stream.source:
            stream.source = source
            if source != stream.remote_address:
                events.append(AddressChanged(stream, source))
            else:
                events.append(AddressConfirmed(stream))
        stream.sending.receive_ack(ack, ranges, now)
        stream.settle(events)
    return taken


def receive_expected_untrusted(
    stream: Stream[S],
    fields: Fields,
    packet: memoryview,
    source: Address,
    now: float,
    events: list[Event[Stream[S]]],
) -> bool:
    """Take in a packet that only carries data, if it is exactly the next one, and nothing is out of the
    ordinary; returns whether it did. Raises nothing. This is the path of requests and answers: the answer
    leaves before the acknowledgement counts.
    """
    if stream.state is not State.CONNECTED or stream.held_up or source != stream.source:
        return False
    sending, receiving = stream.sending, stream.receiving
    assembler = receiving.assembler
    first, _, window, sequence, this = fields
    number, size = assembler.next, len(packet) - HEADER_SIZE
    ack = unwrap(this, sending.una)
    if (
        first != DATA_WORD
        or sequence != number & MASK
        or not size
        or assembler.ranges
        or assembler.end is not None
        or not sending.una - REACH <= ack <= sending.next
        or not sending.undisturbed
        or not receiving.takes(size)
    ):
        return False
    sending.receive_window(window, number, ack)
    sending.defer_ack(ack, now)
    stream.heard(now)
    events.append(DataReceived(stream, receiving.expected(packet[HEADER_SIZE:])))
    return True


def _latest(acks: tuple[int, ...], una: int, beyond: int) -> int:
    """Return the highest number that a batch acknowledges, or -1 if any of them is impossible."""
    last = unwrap(acks[-1], una)
    if acks.count(acks[-1]) == len(acks):
        return last if una - REACH <= last <= beyond else -1
    numbers = [unwrap(ack, una) for ack in set(acks)]
    last = max(numbers)
    return last if una - REACH <= min(numbers) and last <= beyond else -1


def _plausible(number: int, stream: Stream) -> bool:
    """Return whether a packet of the remote can have this number."""
    return -REACH <= number - stream.receiving.assembler.next <= REACH


def _receive_run(
    stream: Stream[S],
    sequences: tuple[int, ...],
    packets: memoryview,
    size: int,
    events: list[Event[Stream[S]]],
) -> bool:
    """Take in packets that only carry data, if they are exactly the next ones. This is the path of bulk
    data.
    """
    receiving = stream.receiving
    assembler = receiving.assembler
    count = len(sequences)
    start = assembler.next & MASK
    if (
        sequences[0] != start
        or sequences != tuple(range(start, start + count))
        or assembler.end is not None
        or stream.state not in RECEIVING
        or not receiving.takes(len(packets) - HEADER_SIZE * count)
    ):
        return False
    payloads = [packets[at + HEADER_SIZE : at + size] for at in range(0, len(packets), size)]
    data = receiving.in_order(count, payloads)
    if data:  # without payload, the event would look like the end of the stream
        events.append(DataReceived(stream, data))
    receiving.ack_due = True
    return True


def _receive_packet(
    stream: Stream[S], flags: int, number: int, payload: Buffer, events: list[Event[Stream[S]]]
) -> bool:
    """Take in a packet of any kind; returns whether it destroys the stream."""
    receiving = stream.receiving
    if flags & (Flag.DATA | Flag.END):
        receiving.ack_due = True
        if stream.state in RECEIVING:
            data = receiving.receive(number, payload, ended=bool(flags & Flag.END))
            if data:
                events.append(DataReceived(stream, data))
    if flags & Flag.HEARTBEAT:
        receiving.ack_due = True
    if flags & Flag.DESTROY and number >= receiving.assembler.next:
        return True
    if flags & Flag.MESSAGE:
        events.append(MessageReceived(stream, bytes(payload)))
    return False
