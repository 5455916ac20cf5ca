"""`Endpoint`: all streams of one UDP socket.

Hand it what the socket delivers, send what it hands over, and call `handle_deadline` when its next deadline
has come. It only tells streams apart, by the id in each packet; everything else is the streams'.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterator
from typing import Any

import attrs

from ..crypto.sodium import Buffer
from ..errors import LocalProtocolError, RemoteProtocolError
from .early import EarlyPackets
from .events import Address, EarlyPacket, Event
from .farewells import Farewells
from .limits import DEFAULT_UDX_LIMITS, UdxLimits
from .packet import MASK, Columns, flags_untrusted, parse_run_untrusted
from .reception import receive_untrusted
from .state import State
from .stream import Stream
from .transmission import Transmission, farewell, state, transmissions


@attrs.define
class EndpointStatistics:
    """Counts since the endpoint was made."""

    received: int = 0
    """Datagrams that came."""
    received_bytes: int = 0
    sent: int = 0
    """Datagrams that were handed out for sending."""
    sent_bytes: int = 0
    malformed: int = 0
    """Datagrams that are none of UDX."""
    unknown: int = 0
    """Packets for an id that no stream has."""
    refused: int = 0
    """Packets for a stream that cannot be of its remote: they acknowledge what was not sent, or have a number
    far from all others."""
    early_dropped: int = 0
    """Packets for streams that were not connected yet, for which there was no room."""


class Endpoint:
    """The streams that share one UDP socket."""

    def __init__(self, *, limits: UdxLimits = DEFAULT_UDX_LIMITS, now: float) -> None:
        self.limits = limits
        self.streams: dict[int, Stream] = {}
        """By local id."""
        self.black_holes: set[Address] = set()
        """Destinations whose path has turned out to take smaller packets than some that are on their way: let
        routers fragment what goes there. Their payload is fixed, as the remote may have it already."""
        self._now = now
        # Those that may have something to send, and whether that is news since they were last asked.
        self._ready: dict[Stream, bool] = {}
        self._loose: list[Transmission] = []  # last words of streams that are gone
        self._early = EarlyPackets(limits)
        self._farewells = Farewells(limits)
        self._connected: dict[Stream, None] = {}  # those that have early packets to receive
        self._deadlines: list[tuple[float, int, Stream]] = []
        self._count = itertools.count()
        self._statistics = EndpointStatistics()

    def open_stream(self, local_id: int, now: float, *, owner: Any = None) -> Stream:
        """Open a stream under an id of 32 bits, which the remote is told in some other way.

        Packets may come for it at once: they are kept until it is connected. Raises `LocalProtocolError` if
        the id is taken, or none.
        """
        if not 0 <= local_id <= MASK:
            raise LocalProtocolError(f"an id of a stream has 32 bits, and is not {local_id}")
        if local_id in self.streams:
            raise LocalProtocolError(f"the id {local_id} is taken")
        self._now = now
        self._farewells.forget(local_id)
        stream = self.streams[local_id] = Stream(self, local_id, owner)
        return stream

    def statistics(self) -> EndpointStatistics:
        """Return the counts so far."""
        return attrs.evolve(self._statistics, early_dropped=self._early.dropped)

    # Datagrams

    def receive_datagrams(
        self, buffer: Buffer, segment_size: int, source: Address, now: float
    ) -> list[Event]:
        """Take a read of the socket: datagrams of one size back to back, the last may be shorter.

        `segment_size` is that size; 0, or more than there is, says that it is one datagram. The buffer may
        be used again afterwards. A datagram that is wrong is dropped and counted.
        """
        events: list[Event] = []
        size = segment_size if 0 < segment_size < len(buffer) else len(buffer)
        self._now = now
        statistics = self._statistics
        statistics.received += max(-(-len(buffer) // size), 1) if size else 1
        statistics.received_bytes += len(buffer)
        try:
            columns = parse_run_untrusted(buffer, size)
        except RemoteProtocolError:
            statistics.malformed += 1
            return events
        view = memoryview(buffer)
        ids = columns.ids
        if len(ids) * size < len(buffer):  # what follows is too short for a header
            statistics.malformed += 1
            view = view[: len(ids) * size]
        if ids.count(ids[0]) == len(ids):
            self._receive(columns, view, size, source, now, events)
            return events
        start = 0
        for stop in range(1, len(ids) + 1):
            if stop == len(ids) or ids[stop] != ids[start]:
                part = Columns(*(column[start:stop] for column in columns))
                self._receive(part, view[start * size : stop * size], size, source, now, events)
                start = stop
        return events

    def _receive(
        self,
        columns: Columns,
        packets: memoryview,
        size: int,
        source: Address,
        now: float,
        events: list[Event],
    ) -> None:
        """Take packets for one id."""
        statistics = self._statistics
        local_id, count = columns.ids[0], len(columns.ids)
        stream = self.streams.get(local_id)
        if stream is not None and stream.state is not State.OPEN:
            taken = receive_untrusted(stream, columns, packets, size, source, now, events)
            statistics.refused += count - taken
            if taken and stream.connected:
                self.ready(stream)
                self._schedule(stream)
        elif flags_untrusted(columns.words[0]) is None:
            statistics.malformed += count
        elif stream is not None:
            self._early.keep(local_id, packets, size, source, now)
            events.append(EarlyPacket(stream, source))
        elif local_id in self._farewells:
            reply = self._farewells.reply_untrusted(local_id, columns, now)
            if reply is not None:
                self._loose.append(reply)
        else:
            statistics.unknown += count
            self._early.keep(local_id, packets, size, source, now)

    @property
    def only_acknowledges(self) -> bool:
        """Whether nothing would leave now but acknowledgements, which may wait a little for data."""
        return not self._loose and not any(stream.sending.has_work for stream in self._ready)

    def datagrams_to_send(self, now: float) -> Iterator[Transmission]:
        """Yield what is to be sent now: destination, buffers to gather, size of a datagram.

        Each is one `sendmsg`, with UDP_SEGMENT if the buffers hold more than one datagram; the last datagram
        may be shorter. What has been yielded counts as sent. A caller that has to stop calls again later.
        """
        statistics = self._statistics
        while self._loose or self._ready:
            if self._loose:
                items: Iterator[Transmission] = iter([self._loose.pop(0)])
                stream = None
            else:
                stream = next(iter(self._ready))
                self._ready[stream] = False
                items = transmissions(stream, now)
            for item in items:
                size = sum(map(len, item[1]))
                statistics.sent += -(-size // item[2])
                statistics.sent_bytes += size
                yield item
            if stream is not None and not self._ready.get(stream, True):
                del self._ready[stream]
                self._schedule(stream)

    def datagrams_refused(self, destination: Address, segment_size: int, now: float) -> None:
        """This machine does not send datagrams of that size to that destination (EMSGSIZE)."""
        for stream in self.streams.values():
            if stream.remote_address == destination and stream.connected:
                stream.sending.refused(segment_size, now)
                self.changed(stream)
                self._schedule(stream)

    # Time

    def next_deadline(self) -> float:
        """When `handle_deadline` should be called; infinity if not at all."""
        if self._connected:
            return self._now
        return self._deadlines[0][0] if self._deadlines else math.inf

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what is due."""
        events: list[Event] = []
        self._now = now
        while self._connected:
            stream = next(iter(self._connected))
            del self._connected[stream]
            for packets, size, source in self._early.take(stream.local_id):
                events += self.receive_datagrams(packets, size, source, now)
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            stream = heapq.heappop(deadlines)[2]
            stream.scheduled = math.inf
            if stream.connected:
                stream.handle_timers(now, events)
                self._schedule(stream)
        return events

    def _schedule(self, stream: Stream) -> None:
        """See to it that a stream's next timer is not missed. One that has moved on is looked at in vain."""
        due = stream.timers.next()
        if due < stream.scheduled:
            stream.scheduled = due
            heapq.heappush(self._deadlines, (due, next(self._count), stream))

    # For the streams

    def ready(self, stream: Stream) -> None:
        """A stream may have something to send."""
        self._ready[stream] = True

    def changed(self, stream: Stream) -> None:
        """A stream may have something to send, or another view of its path."""
        self._ready[stream] = True
        if stream.sending.black and stream.remote_address is not None:
            self.black_holes.add(stream.remote_address)

    def light(self, stream: Stream) -> None:
        """Nothing on its way to where a stream sends is too large for the path."""
        if stream.remote_address is not None:
            self.black_holes.discard(stream.remote_address)

    def connected(self, stream: Stream, now: float) -> None:
        """A stream is connected: it receives what has come early."""
        self._now = now
        self._schedule(stream)
        if stream.local_id in self._early:
            self._connected[stream] = None

    def ended(self, stream: Stream) -> None:
        """Both halves have ended in good order."""
        last = state(stream)
        self._loose.append(last)
        self._farewells.add(stream.local_id, last, self._now)
        self.forget(stream)

    def destroy(self, stream: Stream) -> None:
        """A stream ends by our will."""
        if stream.connected:
            self._loose.append(farewell(stream))
        self.forget(stream)

    def forget(self, stream: Stream) -> None:
        """A stream is over."""
        del self.streams[stream.local_id]
        self.light(stream)
        self._ready.pop(stream, None)
        self._connected.pop(stream, None)
        self._early.discard(stream.local_id)
