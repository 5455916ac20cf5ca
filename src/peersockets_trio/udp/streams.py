"""`UdxStream`: a UDX stream with the interface of Trio's streams."""

from __future__ import annotations

import operator
from collections import deque
from typing import Final, Protocol

import trio

from peersockets_core.address import SocketAddress
from peersockets_core.transitions import follow
from peersockets_core.udx import Address, State, Stream

from ..runtime.direct import DirectStream
from .stream_state import TRANSITIONS, StreamSignal, StreamState

_CHUNK: Final = 256 * 1024  # bytes that are copied at a time from a buffer that the caller may change later


class StreamSocket(Protocol):
    """The methods that a stream calls on its socket."""

    def wake(self, size: int = 0) -> None:
        """Send the output that the stream has queued, of which `size` bytes were just written."""

    def take_early(self) -> None:
        """Hand over the packets that arrived before a stream was connected."""

    def let_finish(self, stream: UdxStream) -> None:
        """Give a stream that was closed some time to finish."""

    def left(self) -> None:
        """Note that a stream was destroyed."""


class Watcher(Protocol):
    """The methods of one who follows the path of a stream."""

    def moved(self, address: Address) -> None:
        """Note that the remote's packets come from another address than the one that we send to."""

    def confirmed(self) -> None:
        """Note that the remote's packets come from the address that we send to, as they did not before."""

    def ended(self) -> None:
        """Note that the stream is over."""


class UdxStream(DirectStream):
    """One stream of a `UdpSocket`.

    Closing it sends all accepted data, and waits until the remote has that data, but no longer than the
    socket's `linger`. Cancellation destroys the stream.
    """

    def __init__(self, udp: StreamSocket, stream: Stream[UdxStream]) -> None:
        stream.owner = self
        self.core = stream
        """The state machine of this stream."""
        self.error: Exception | None = None
        """The error that ended it, once it is over."""
        self.early_address: Address | None = None
        """The source address of an early packet: one that arrived before the stream was connected."""
        self.watcher: Watcher | None = None
        """One who follows the path, if somebody does."""
        self._udp = udp
        self._state = StreamState.OPEN
        self._unwanted = False  # whether data was dropped because the stream was closed
        self._ended = False  # whether the remote has ended its half
        self._received: deque[bytearray] = deque()
        self._receiver: trio.lowlevel.Task | None = None  # the task that waits for data
        self._sending = trio.lowlevel.ParkingLot()
        self._changed = trio.lowlevel.ParkingLot()
        self._receive_guard = _Guard("another task is receiving from this stream")
        self._send_guard = _Guard("another task is sending on this stream")

    # Ids and addresses

    @property
    def local_id(self) -> int:
        """The id that the remote puts into its packets for this stream."""
        return self.core.local_id

    @property
    def remote_address(self) -> SocketAddress | None:
        """The destination of our packets, once connected."""
        address = self.core.remote_address
        return None if address is None else (address[0], address[1])

    @property
    def closed(self) -> bool:
        """Whether it was closed here."""
        return self._state is _LINGERING or self._state is _CLOSED

    @property
    def lingering(self) -> bool:
        """Whether it was closed and the remote has not ended its half yet."""
        return self._state is _LINGERING

    def connect(self, remote_id: int, address: Address) -> None:
        """Connect to the remote's stream. This sends nothing."""
        self._check_open()
        self.core.connect(remote_id, address, trio.current_time())
        self._udp.take_early()

    def change_remote(self, remote_id: int, address: Address) -> None:
        """Send to another address and id of the remote's stream from now on. An empty message goes there at
        once, so that the remote notices the path.
        """
        self._check_open()
        self.core.change_remote(remote_id, address, trio.current_time())
        self.core.send_message(b"")
        self._udp.wake()

    async def wait_early(self) -> Address:
        """Wait until an early packet arrives for this unconnected stream; returns its source address."""
        while self.early_address is None:
            self._check_open()
            await self._changed.park()
        await trio.lowlevel.checkpoint()
        return self.early_address

    # Sending

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send everything. A `bytes` object is not copied."""
        with self._send_guard:
            await trio.lowlevel.checkpoint_if_cancelled()
            await self._until_writable()
            if isinstance(data, bytes):
                self.write(data)
                await trio.lowlevel.cancel_shielded_checkpoint()
                return
            view = memoryview(data).cast("B")
            for at in range(0, len(view), _CHUNK):
                await self._until_writable()
                self.write(bytes(view[at : at + _CHUNK]))
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until `send_all` would accept something at once."""
        with self._send_guard:
            await trio.lowlevel.checkpoint()
            await self._until_writable()

    async def send_eof(self) -> None:
        """End our half after the data that was sent."""
        with self._send_guard:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._check_open()
            if self.core.state not in _ENDING:
                self._check_sending()
                self.core.end()  # in the turn of the data before it, so that it can ride on that
                self._udp.wake()
            await trio.lowlevel.cancel_shielded_checkpoint()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send data without waiting; the data must not change any more."""
        self.core.write(data)
        self._udp.wake(len(data))

    @property
    def writable(self) -> bool:
        """Whether the caller should `write` more."""
        return self.core.writable and self._state is _OPEN

    @property
    def unacknowledged(self) -> int:
        """The number of sent bytes that the remote has not acknowledged."""
        return self.core.unacknowledged

    async def _until_writable(self) -> None:
        self._check_sending()
        while not self.core.writable:
            await self._sending.park()
            self._check_sending()

    def _check_sending(self) -> None:
        self._check_open()
        if self._state is _OVER:
            raise trio.BrokenResourceError(str(self.error or "the stream has ended")) from self.error
        if self.core.state in _ENDING:
            raise trio.ClosedResourceError("this side of the stream has ended")

    # Receiving

    async def receive_some(self, max_bytes: int | None = None) -> bytearray | bytes:
        """Return received bytes, at most `max_bytes`; none at the end."""
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._receive_guard:
            await trio.lowlevel.checkpoint_if_cancelled()
            if not await self.wait_received():
                await trio.lowlevel.cancel_shielded_checkpoint()
            return self.take(max_bytes)

    async def wait_received(self) -> bool:
        """Wait until there is something to take, or the end; returns whether this had to wait."""
        self._check_open()
        waited = False
        while not (self._received or self._ended):
            if self._state is _OVER:
                raise trio.BrokenResourceError(str(self.error or "the stream has ended")) from self.error
            await self._wait_for_data()
            waited = True
            self._check_open()
        return waited

    async def _wait_for_data(self) -> None:
        """Wait for `_wake_receiver`, without the cost of a `ParkingLot`: only one task may wait."""
        if self._receiver is not None:
            raise trio.BusyResourceError("another task is receiving from this stream")

        def forget(_: object) -> trio.lowlevel.Abort:
            self._receiver = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._receiver = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(forget)

    def _wake_receiver(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            trio.lowlevel.reschedule(receiver)

    @property
    def has_received(self) -> bool:
        """Whether there is something to take."""
        return bool(self._received)

    def take(self, max_bytes: int | None = None) -> bytearray | bytes:
        """Return some received bytes without waiting; none if there are none."""
        if not self._received:
            return b""
        data = self._received.popleft()
        if max_bytes is not None and len(data) > max_bytes:
            self._received.appendleft(data[max_bytes:])
            del data[max_bytes:]
        return self._consumed(data)

    def take_all(self, about: int) -> bytearray | bytes:
        """Return received bytes without waiting: all of them, or slightly more than `about` bytes."""
        received = self._received
        if len(received) < 2:
            return self.take()
        pieces, size = [], 0
        while received and size < about:
            pieces.append(received.popleft())
            size += len(pieces[-1])
        return self._consumed(bytearray().join(pieces))

    def _consumed(self, data: bytearray) -> bytearray:
        if self.core.consume(len(data)):
            self._udp.wake()
        return data

    # Ending

    async def aclose(self) -> None:
        """Send all accepted data and end both halves. Cancellation destroys the stream."""
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
            if not self.closed:
                self._close()
            await trio.lowlevel.cancel_shielded_checkpoint()
            while self.lingering and self.core.state is not State.ENDED:
                await self._changed.park()
        except trio.Cancelled:
            self.abandon()
            raise

    def _close(self) -> None:
        self._drop_received()
        self._wake_all()
        if self.core.state in {State.OPEN, State.CLOSED}:
            self.abandon()
            return
        self._signal(StreamSignal.LINGER)
        if self.core.state not in _ENDING:
            self.core.end()
        self._udp.let_finish(self)
        self._udp.wake()

    def _wake_all(self) -> None:
        self._wake_receiver()
        self._sending.unpark_all()
        self._changed.unpark_all()

    def _drop_received(self) -> None:
        while self._received:
            self.core.consume(len(self._received.popleft()))
            self._unwanted = True

    def abandon(self) -> None:
        """Destroy the stream."""
        self._signal(StreamSignal.ABANDON)
        self.core.destroy()
        self._udp.wake()
        self._wake_all()
        self._udp.left()
        self._leave_watcher()

    def break_off(self, error: Exception) -> None:
        """Destroy the stream because of an error, which its users get."""
        self.core.destroy()
        self._udp.wake()
        self.over(error)

    def _signal(self, signal: StreamSignal) -> None:
        self._state = follow(TRANSITIONS, self._state, signal, "stream")

    def _leave_watcher(self) -> None:
        watcher, self.watcher = self.watcher, None
        if watcher is not None:
            watcher.ended()

    def _check_open(self) -> None:
        if self._state is not _OPEN and self.closed:
            raise trio.ClosedResourceError("the stream is closed")

    # Reports of the endpoint

    def received(self, data: bytearray) -> None:
        """Take in received data."""
        if (
            self._state is not _OPEN and self.closed
        ):  # drop it, and end the stream as soon as the remote has all our data
            self.core.consume(len(data))
            self._unwanted = True
            if self.core.state is State.ENDED:
                self.abandon()
        else:
            self._received.append(data)
            self._wake_receiver()

    def writable_again(self) -> None:
        """Wake the senders, because more may be written."""
        self._sending.unpark_all()

    def remote_ended(self) -> None:
        """Note that no more data follows."""
        self._ended = True
        self._wake_receiver()

    def over(self, error: Exception | None) -> None:
        """Note that the stream has ended."""
        self._signal(StreamSignal.END)
        self.error = error
        self._wake_all()
        self._leave_watcher()

    def flushed(self) -> None:
        """Note that the remote has all our data."""
        if self._unwanted:
            self.abandon()
        self._changed.unpark_all()

    def early(self, address: Address) -> None:
        """Note an early packet."""
        self.early_address = address
        self._changed.unpark_all()


_OPEN: Final = StreamState.OPEN
_OVER: Final = StreamState.OVER
_LINGERING: Final = StreamState.LINGERING
_CLOSED: Final = StreamState.CLOSED
_ENDING: Final = frozenset({State.ENDING, State.ENDED, State.CLOSING})


class _Guard:
    """Admits one task at a time."""

    __slots__ = ("_busy", "_text")

    def __init__(self, text: str) -> None:
        self._busy = False
        self._text = text

    def __enter__(self) -> None:
        if self._busy:
            raise trio.BusyResourceError(self._text)
        self._busy = True

    def __exit__(self, *_: object) -> None:
        self._busy = False
