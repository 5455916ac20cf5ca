"""`UdpSocket`: moves datagrams between a socket and its endpoint, and handles the endpoint's deadlines."""

from __future__ import annotations

import errno
import math
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Container, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Final

import trio

from peersockets_core.buffer import Buffer
from peersockets_core.udx import (
    DEFAULT_UDX_LIMITS,
    MAX_DATAGRAMS,
    Address,
    AddressChanged,
    AddressConfirmed,
    DataReceived,
    EarlyPacket,
    EndAcknowledged,
    Endpoint,
    Event,
    StreamClosed,
    StreamEnded,
    Transmission,
    UdxLimits,
    WritableAgain,
)

from ..runtime.background import sheltered_task
from ..runtime.memory import keep_memory
from .datagrams import Datagrams
from .paths import Paths
from .readers import Receive
from .streams import UdxStream
from .write_batch import WriteBatch

_UDX_MAGIC: Final = 0xFF

_SMALL: Final = 1500
"""The most bytes of a read that may be a request: one packet."""

_ANSWER_TIME: Final = 0.001
"""Seconds that the acknowledgement of a request waits for the answer: half of the time that libudx allows for
a lone packet."""

_ANSWER_TURNS: Final = 2
"""Turns of the scheduler before a timer is set for that: Trio runs the tasks of a turn in any order."""

_JOINED_SIZE: Final = 512
"""Bytes of the largest datagram that is joined with those of other streams to one run."""

LINGER: Final = 5.0
"""Seconds that closing waits for remotes."""


class UdpSocket:
    """A UDP socket and its streams, made by `open_udp_socket`."""

    def __init__(self, datagrams: Datagrams, limits: UdxLimits, linger: float) -> None:
        self.endpoint: Endpoint[UdxStream] = Endpoint(limits=limits, now=trio.current_time())
        """The state machine. Applications use `UdxStream` instead."""
        self.on_datagram: Callable[[memoryview, Address], None] | None = None
        """A function that is called with each datagram that is not UDX, and its source. The buffer is only
        valid during the call. The source of a datagram at a path also has the number of the path."""
        self.on_datagrams_read: Callable[[], None] | None = None
        """A function that is called after a read with such datagrams, so that it can send and set timers once
        for all of them."""
        self.read_time = trio.current_time()
        """The time of the latest read, which holds for all of its datagrams."""
        self._datagrams_read = False
        self.datagrams_sent = 0
        """The number of datagrams, not counting UDX, that the kernel has accepted."""
        self.datagrams_failed = 0
        """The number of such datagrams that the kernel has refused, for example without a network."""
        self.linger = linger
        self.closed = False
        self._datagrams = datagrams
        self.paths = Paths(datagrams, self._read_all, self._take)
        """Other sockets beside this one, over which some remotes are reached."""
        self._batch = WriteBatch(self._send)
        self.wake = self._batch.wake
        """Send pending output, at once or with what follows soon: see `WriteBatch.wake`."""
        self._answer_time = math.inf  # when waiting acknowledgements leave if no data carries them
        self._read_size = 0  # bytes of UDX in the current read
        self._read_events = 0  # the events that these bytes caused
        self._read_data = False  # whether there was data of a stream among them
        self._blocked: deque[Transmission] = deque()  # transmissions that the kernel had no room for
        self._waiting = False  # whether a task waits for that room
        self._scope = trio.CancelScope()
        self._nursery: trio.Nursery | None = None
        self._gone = trio.lowlevel.ParkingLot()
        self._closing: dict[UdxStream, float] = {}  # the time until which each may linger, in that order
        self.address = datagrams.address
        """The host and port that the socket is bound to."""

    # Streams

    def open_stream(self, local_id: int) -> UdxStream:
        """Open a stream that is not connected yet. Raises `LocalProtocolError` if the id is taken, and
        `trio.ClosedResourceError` if the socket is closed.
        """
        if self.closed:
            raise trio.ClosedResourceError("the UDP socket is closed")
        return UdxStream(self, self.endpoint.open_stream(local_id, trio.current_time()))

    def connect(self, local_id: int, remote_id: int, address: Address) -> UdxStream:
        """Open a stream and connect it to the remote's. Raises `LocalProtocolError` if the id is taken."""
        stream = self.open_stream(local_id)
        stream.connect(remote_id, address)
        return stream

    def send_datagram(self, data: Buffer, destination: Address) -> None:
        """Send a datagram that is not UDX; it may be lost."""
        try:
            self._datagrams.send(destination, [data], len(data))
        except OSError:  # no route or no permission counts as a lost datagram
            self.datagrams_failed += 1
        else:
            self.datagrams_sent += 1

    def send_datagrams(self, datagrams: Iterable[tuple[Address, list[bytes], int]]) -> None:
        """Send datagrams that are not UDX, each in one buffer, as a machine hands them over; they may be
        lost.
        """
        sendto = self._datagrams.socket.sendto
        for destination, (data,), _ in datagrams:
            try:
                sendto(data, destination)
            except OSError:  # no route, no permission or no room counts as a lost datagram
                self.datagrams_failed += 1
            else:
                self.datagrams_sent += 1

    def close_idle_paths(self, wanted: Container[int]) -> None:
        """Close the paths that are not `wanted` and carry no stream."""
        streams = self.endpoint.streams.values()
        self.paths.close_idle(wanted, (stream.remote_address for stream in streams))

    # Moving

    def _send(self) -> None:
        if self._waiting or self.closed:
            return
        now = trio.current_time()
        self._answer_time = math.inf
        while self._blocked:
            if not self._try_send(self._blocked.popleft(), now):
                return
        held: Transmission | None = None  # small datagrams of several streams
        count = 0
        for transmission in self.endpoint.datagrams_to_send(now):
            destination, buffers, size = transmission
            if held is not None:
                if size == held[2] and destination == held[0] and count < MAX_DATAGRAMS and len(buffers) < 3:
                    held[1].extend(buffers)
                    count += 1
                    continue
                if not self._try_send(held, now):
                    self._blocked.append(transmission)
                    return
                held = None
            if size <= _JOINED_SIZE and len(buffers) < 3 and self.endpoint.others_ready:
                held, count = transmission, 1
            elif not self._try_send(transmission, now):
                return
        if held is None or self._try_send(held, now):
            self.look_again()

    def _try_send(self, transmission: Transmission, now: float) -> bool:
        destination, buffers, size = transmission
        fragment = destination in self.endpoint.black_holes
        datagrams, to = self._datagrams, destination
        if len(destination) == 3:
            path = self.paths.get(destination[2])
            if path is None:  # this is the last packet of a stream whose path is closed already
                return True
            datagrams, to = path, destination[:2]
        try:
            sent = datagrams.send(to, buffers, size, fragment=fragment)
        except OSError as error:  # no route, or any other error, counts as a lost datagram
            if error.errno == errno.EMSGSIZE:
                self.endpoint.datagrams_refused(destination, size, now)
            sent = True
        if not sent:
            self._blocked.appendleft(transmission)
            if self._nursery is not None:
                self._waiting = True
                self._nursery.start_soon(self._wait_writable, datagrams)
        return sent

    async def _wait_writable(self, datagrams: Datagrams) -> None:
        with suppress(trio.ClosedResourceError):
            await trio.lowlevel.wait_writable(datagrams.socket)
        self._waiting = False
        self._send()

    def take_early(self) -> None:
        """Hand over the packets that arrived before a stream was connected. Their acknowledgement waits a
        moment for data that carries it.
        """
        now = trio.current_time()
        if self.endpoint.next_deadline() <= now:
            self._dispatch(self.endpoint.handle_deadline(now))
            self._answer_time = min(self._answer_time, now + _ANSWER_TIME)
        self.look_again()

    def look_again(self) -> None:
        """Adjust the timer. An unnecessary wake-up costs more than two moves of the timer."""
        deadline = self._deadline()
        if deadline != self._scope.deadline:
            self._scope.deadline = deadline

    def _deadline(self) -> float:
        deadline = min(self.endpoint.next_deadline(), self._answer_time)
        return min(deadline, self._closing_time()) if self._closing else deadline

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Move datagrams for ever."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.paths.start(nursery)
            nursery.start_soon(self._batch.run)
            nursery.start_soon(self._keep_time)
            task_status.started()
            more = False
            while True:
                if not self._batch.idle:  # acknowledgements of bulk data have time until more of it leaves
                    await self._batch.left.park()
                if more:
                    await trio.lowlevel.checkpoint()
                else:
                    await trio.lowlevel.wait_readable(self._datagrams.socket)
                more = await self._read_all(self._datagrams, self._receive)

    async def _read_all(self, datagrams: Datagrams, receive: Receive) -> bool:
        """Read what has arrived at one socket; returns whether there may be more."""
        self._read_size = self._read_events = 0
        self._read_data = False
        self.read_time = trio.current_time()
        more = datagrams.read(receive)
        if self._datagrams_read and self.on_datagrams_read is not None:
            self.on_datagrams_read()
        self._datagrams_read = False
        if self._read_data:
            self._batch.hurry_next()  # the answer to that data
        self._send_after_read()
        if self._read_data and self._answer_time < math.inf:
            await self._let_answer()
        return more

    async def _let_answer(self) -> None:
        """Let the tasks that have just received data run first: most answer at once, and the acknowledgement
        that their answer carries needs no timer.
        """
        for _ in range(_ANSWER_TURNS):
            await trio.lowlevel.checkpoint()
            if self._answer_time == math.inf:
                return
        self.look_again()

    def _send_after_read(self) -> None:
        """Send acknowledgements, and whatever else may leave now. Small acknowledgements wait for an answer
        that carries them.
        """
        if self._read_size > _SMALL * max(self._read_events, 1):
            self._send()
        elif self._read_events > 1:  # several tasks wake up, and their answers are a batch
            self._batch.open(self.read_time)
        elif self.endpoint.only_acknowledges:
            self._answer_time = min(self._answer_time, self.read_time + _ANSWER_TIME)
            if not self._read_data:
                self.look_again()
        elif self._batch.idle:
            self._send()

    async def _keep_time(self) -> None:
        endpoint = self.endpoint
        while True:
            with trio.CancelScope(deadline=self._deadline()) as self._scope:
                await trio.sleep_forever()
            now = trio.current_time()
            if endpoint.next_deadline() <= now:
                self._dispatch(endpoint.handle_deadline(now))
            self._abandon_overdue(now)
            if self._batch.idle:
                self._send()
            else:
                self._answer_time = math.inf  # the batch answers

    def _receive(self, packets: memoryview, size: int, source: Address) -> None:
        self._take(packets, size, source[:2])

    def _take(self, packets: memoryview, size: int, source: Address) -> None:
        """Take in a run of datagrams from one sender, which may hold both UDX packets and others."""
        if len(packets) == size:
            all_udx = some_udx = packets[0] == _UDX_MAGIC
        else:
            kinds = bytes(packets[:: size or 1])  # the first byte of each datagram
            some_udx = _UDX_MAGIC in kinds
            all_udx = some_udx and kinds.count(_UDX_MAGIC) == len(kinds)
        if all_udx:
            self._read_size += len(packets)
            events = self.endpoint.receive_datagrams(packets, size, source, trio.current_time())
            self._read_events += len(events)
            self._dispatch(events)
        elif some_udx:
            for at in range(0, len(packets), size):
                self._take(packets[at : at + size], size, source)
        elif self.on_datagram is not None:
            self._datagrams_read = True
            for at in range(0, len(packets), size or 1):
                self.on_datagram(packets[at : at + size], source)

    def _dispatch(self, events: list[Event[UdxStream]]) -> None:
        for event in events:
            stream = event.stream.owner
            match event:
                case DataReceived():
                    self._read_data = True
                    stream.received(event.data)
                case WritableAgain():
                    stream.writable_again()
                case StreamEnded():
                    stream.remote_ended()
                case EndAcknowledged():
                    stream.flushed()
                case StreamClosed():
                    stream.over(event.error)
                    self._closing.pop(stream, None)
                    self._gone.unpark_all()
                case EarlyPacket():
                    stream.early(event.address)
                case AddressChanged() if stream.watcher is not None:
                    stream.watcher.moved(event.address)
                case AddressConfirmed() if stream.watcher is not None:
                    stream.watcher.confirmed()

    # Ending

    def let_finish(self, stream: UdxStream) -> None:
        """Give a stream that was closed some time to finish."""
        self._closing[stream] = trio.current_time() + self.linger
        self.look_again()

    def _abandon_overdue(self, now: float) -> None:
        """Destroy streams that were closed too long ago."""
        while self._closing and self._closing_time() <= now:
            stream = next(iter(self._closing))
            del self._closing[stream]
            if stream.lingering:
                stream.abandon()

    def _closing_time(self) -> float:
        """Return the time at which the first closed stream has lingered long enough."""
        return next(iter(self._closing.values())) if self._closing else math.inf

    def left(self) -> None:
        """Note that a stream was destroyed."""
        self._gone.unpark_all()

    async def finish(self) -> None:
        """Wait for the streams that were closed, each for its linger time."""
        while any(stream.owner.lingering for stream in self.endpoint.streams.values()):
            await self._gone.park()

    def shut(self) -> None:
        """Destroy all streams, and stop sending."""
        for stream in list(self.endpoint.streams.values()):
            stream.owner.abandon()
        self._send()
        self.closed = True
        self.paths.close()


@asynccontextmanager
async def open_udp_socket(
    host: str = "0.0.0.0", port: int = 0, *, limits: UdxLimits = DEFAULT_UDX_LIMITS, linger: float = LINGER
) -> AsyncIterator[UdpSocket]:
    """Bind a UDP socket for UDX streams.

    Leaving the block destroys open streams. It waits for closed streams until the remotes have everything,
    but no longer than `linger` seconds. Datagrams move until then, even if the block is cancelled.

    Raises `OSError` if binding fails.
    """
    keep_memory()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.bind((host, port))
        udp = UdpSocket(Datagrams(sock), limits, linger)
        async with sheltered_task(udp.run):
            try:
                yield udp
                await udp.finish()
            finally:
                udp.shut()
    finally:
        sock.close()
