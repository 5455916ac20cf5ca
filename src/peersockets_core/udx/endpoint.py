"""`Endpoint`: manages all streams of one UDP socket.

The caller passes in the datagrams of the socket, sends the datagrams that the endpoint yields, and calls
`handle_deadline` at the next deadline. The endpoint finds the stream for each packet by the stream id; the
streams do everything else.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from typing import Generic, TypeAlias

import attrs

from ..buffer import Buffer
from ..errors import LocalProtocolError, RemoteProtocolError
from ..owners import S
from .early import EarlyPackets
from .events import Address, EarlyPacket
from .events import Event as EventOf
from .farewells import Farewells
from .limits import DEFAULT_UDX_LIMITS, UdxLimits
from .packet import MASK, Columns, flags_untrusted, parse_header_untrusted, parse_run_untrusted
from .reception import receive_expected_untrusted, receive_untrusted
from .state import State
from .stream import Stream
from .transmission import Transmission, farewell, state, transmissions

Event: TypeAlias = EventOf[Stream[S]]
"""An event of an endpoint."""


@attrs.define
class EndpointStatistics:
    """Counts since the endpoint was made."""

    received: int = 0
    """Datagrams that arrived."""
    received_bytes: int = 0
    sent: int = 0
    """Datagrams that the endpoint yielded for sending."""
    sent_bytes: int = 0
    malformed: int = 0
    """Datagrams that are not UDX."""
    unknown: int = 0
    """Packets with an id that no stream has."""
    refused: int = 0
    """Packets that cannot come from the stream's remote: they acknowledge a packet that was never sent, or
    have a number far from all others."""
    early_dropped: int = 0
    """Early packets that were dropped for lack of room or for their age."""


class Endpoint(Generic[S]):
    """The streams that share one UDP socket."""

    def __init__(self, *, limits: UdxLimits = DEFAULT_UDX_LIMITS, now: float) -> None:
        self.limits = limits
        self.streams: dict[int, Stream[S]] = {}
        """The streams by local id."""
        self.black_holes: set[Address] = set()
        """Destinations whose path turned out to carry smaller packets than some that are in flight. The
        caller lets routers fragment the datagrams to these. The packets cannot be cut smaller, because the
        remote may have received them already."""
        self._now = now
        # Streams that may have something to send, and whether that is news since they were last asked.
        self._ready: dict[Stream[S], bool] = {}
        self._loose: list[Transmission] = []  # the last packets of streams that are over
        self._early = EarlyPackets(limits)
        self._farewells = Farewells(limits)
        self._connected: dict[Stream[S], None] = {}  # streams that have early packets to receive
        self._deadlines: list[tuple[float, int]] = []  # with the stream's id; only `Stream.scheduled` counts
        self._statistics = EndpointStatistics()

    def open_stream(self, local_id: int, now: float, *, owner: S | None = None) -> Stream[S]:
        """Open a stream under a 32-bit id, which the remote learns in some other way.

        Packets for it may arrive at once; the endpoint keeps them until the stream is connected. Raises
        `LocalProtocolError` if the id is taken or does not have 32 bits.
        """
        if not 0 <= local_id <= MASK:
            raise LocalProtocolError(f"a stream id must have 32 bits: {local_id}")
        if local_id in self.streams:
            raise LocalProtocolError(f"the stream id {local_id} is taken")
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
    ) -> list[Event[S]]:
        """Take in one read of the socket: datagrams of one size back to back, of which the last may be
        shorter.

        `segment_size` is that size in bytes; with 0, or more than `buffer` has, the buffer is one
        datagram. The caller may reuse the buffer afterwards. A bad datagram is dropped and counted.
        """
        events: list[Event[S]] = []
        size = segment_size if 0 < segment_size < len(buffer) else len(buffer)
        self._now = now
        statistics = self._statistics
        statistics.received += max(-(-len(buffer) // size), 1) if size else 1
        statistics.received_bytes += len(buffer)
        if size == len(buffer) and self._receive_expected_untrusted(memoryview(buffer), source, now, events):
            return events
        try:
            columns = parse_run_untrusted(buffer, size)
        except RemoteProtocolError:
            statistics.malformed += 1
            return events
        view = memoryview(buffer)
        ids = columns.ids
        if len(ids) * size < len(buffer):  # the rest is too short for a header
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

    def _receive_expected_untrusted(
        self, packet: memoryview, source: Address, now: float, events: list[Event[S]]
    ) -> bool:
        """Take in a lone packet if it is exactly the one that its stream expects. Raises nothing."""
        fields = parse_header_untrusted(packet)
        stream = None if fields is None else self.streams.get(fields[1])
        if (
            stream is None
            or fields is None
            or not receive_expected_untrusted(stream, fields, packet, source, now, events)
        ):
            return False
        self._ready[stream] = True
        return True

    def _receive(
        self,
        columns: Columns,
        packets: memoryview,
        size: int,
        source: Address,
        now: float,
        events: list[Event[S]],
    ) -> None:
        """Take in packets for one stream id."""
        statistics = self._statistics
        local_id, count = columns.ids[0], len(columns.ids)
        stream = self.streams.get(local_id)
        if stream is not None and stream.state is not State.OPEN:
            taken = receive_untrusted(stream, columns, packets, size, source, now, events)
            statistics.refused += count - taken
            if taken and stream.connected:
                self.ready(stream)
                self.schedule(stream)
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
        """Whether only acknowledgements would leave now; they may wait a little for data."""
        return not self._loose and not any(stream.sending.has_work for stream in self._ready)

    @property
    def others_ready(self) -> bool:
        """Whether other streams than that of the last transmission may have some."""
        return bool(self._loose) or True in self._ready.values()

    def datagrams_to_send(self, now: float) -> Iterator[Transmission]:
        """Yield the transmissions that are due now: destination, buffers to gather, size of a datagram.

        Each one is a single `sendmsg`, with UDP_SEGMENT if the buffers hold more than one datagram; the last
        datagram may be shorter. A yielded transmission counts as sent. A caller that has to stop early calls
        again later. A caller that sends each one before it takes the next loses no time: measurements and
        timers that the datagram does not depend on come after it.
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
                self.schedule(stream)

    def datagrams_refused(self, destination: Address, segment_size: int, now: float) -> None:
        """Note that the local system refuses datagrams of this size to this destination (EMSGSIZE)."""
        for stream in self.streams.values():
            if stream.remote_address == destination and stream.connected:
                stream.sending.refused(segment_size, now)
                self.changed(stream)
                self.schedule(stream)

    # Time

    def next_deadline(self) -> float:
        """Return the time at which to call `handle_deadline`; infinity for never."""
        if self._connected:
            return self._now
        return self._deadlines[0][0] if self._deadlines else math.inf

    def handle_deadline(self, now: float) -> list[Event[S]]:
        """Do whatever is due by `now`, and return the events that it causes."""
        events: list[Event[S]] = []
        self._now = now
        while self._connected:
            stream = next(iter(self._connected))
            del self._connected[stream]
            for packets, size, source in self._early.take(stream.local_id):
                events += self.receive_datagrams(packets, size, source, now)
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            due, local_id = heapq.heappop(deadlines)
            timed = self.streams.get(local_id)
            if timed is not None and timed.scheduled == due:
                timed.scheduled = math.inf
                timed.handle_timers(now, events)
                self.schedule(timed)
        return events

    def schedule(self, stream: Stream[S]) -> None:
        """Schedule a stream's next timer. A timer that has moved to a later time causes one look at the
        stream in vain. The schedule holds ids, so that it does not keep streams that are over.
        """
        due = stream.timers.next()
        if due < stream.scheduled:
            stream.scheduled = due
            heapq.heappush(self._deadlines, (due, stream.local_id))

    # For the streams

    def ready(self, stream: Stream[S]) -> None:
        """Note that a stream may have something to send."""
        self._ready[stream] = True

    def changed(self, stream: Stream[S]) -> None:
        """Note that a stream may have something to send, or that its path may have changed."""
        self._ready[stream] = True
        if stream.sending.black_hole and stream.remote_address is not None:
            self.black_holes.add(stream.remote_address)

    def black_hole_ended(self, stream: Stream[S]) -> None:
        """Note that no packet in flight from this stream is too large for the path."""
        if stream.remote_address is not None:
            self.black_holes.discard(stream.remote_address)

    def connected(self, stream: Stream[S], now: float) -> None:
        """Note that a stream is connected, so that it receives its early packets."""
        self._now = now
        self.schedule(stream)
        if stream.local_id in self._early:
            self._connected[stream] = None

    def ended(self, stream: Stream[S]) -> None:
        """Note that both halves of a stream have ended in good order."""
        unconfirmed = stream.receiving.ack_due
        last = state(stream)
        if unconfirmed:
            self._loose.append(last)
        self._farewells.add(stream.local_id, last, self._now)
        self.forget(stream)

    def destroy(self, stream: Stream[S]) -> None:
        """End a stream at once, because the caller asks for it."""
        if stream.connected:
            self._loose.append(farewell(stream))
        self.forget(stream)

    def forget(self, stream: Stream[S]) -> None:
        """Remove a stream that is over."""
        del self.streams[stream.local_id]
        self.black_hole_ended(stream)
        self._ready.pop(stream, None)
        self._connected.pop(stream, None)
        self._early.discard(stream.local_id)
