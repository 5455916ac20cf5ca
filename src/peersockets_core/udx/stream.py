"""`Stream`: one reliable stream of bytes between two stream ids, with unreliable messages beside it."""

from __future__ import annotations

import math
from collections import deque
from typing import Generic, Protocol, cast

from ..buffer import Buffer
from ..errors import LocalProtocolError
from ..owners import S_co, S_contra
from ..transitions import follow
from .errors import StreamTimedOut
from .events import Address, EndAcknowledged, Event, StreamClosed, StreamEnded, WritableAgain
from .flight import Run
from .limits import UdxLimits
from .packet import HEADER_SIZE, MASK
from .receive_half import ReceiveHalf
from .send_half import SendHalf
from .state import RECEIVING, SENDING, TRANSITIONS, Signal, State
from .timers import Timer, Timers


class StreamHost(Protocol[S_contra]):
    """The methods that a stream calls on the endpoint it belongs to."""

    limits: UdxLimits

    def ready(self, stream: Stream[S_contra]) -> None:
        """Note that a stream may have something to send."""

    def changed(self, stream: Stream[S_contra]) -> None:
        """Note that a stream may have something to send, or that its path may have changed."""

    def black_hole_ended(self, stream: Stream[S_contra]) -> None:
        """Note that no packet in flight from this stream is too large for the path."""

    def connected(self, stream: Stream[S_contra], now: float) -> None:
        """Note that a stream is connected, so that it receives its early packets."""

    def ended(self, stream: Stream[S_contra]) -> None:
        """Note that both halves of a stream have ended in good order."""

    def destroy(self, stream: Stream[S_contra]) -> None:
        """End a stream at once, because the caller asks for it."""

    def forget(self, stream: Stream[S_contra]) -> None:
        """Remove a stream that is over."""


class Stream(Generic[S_co]):
    """One stream, made by `Endpoint.open_stream`.

    Its methods queue output, which leaves with the endpoint's next `datagrams_to_send`.
    """

    __slots__ = (
        "_endpoint",
        "_last_heard",
        "_message_size",
        "_receiving",
        "_sending",
        "_unanswered",
        "heartbeat_due",
        "held_up",
        "keepalive",
        "local_id",
        "messages",
        "owner",
        "receiving",
        "remote_address",
        "remote_id",
        "scheduled",
        "sending",
        "source",
        "state",
        "timers",
        "urgent",
    )  # fmt: skip

    def __init__(self, endpoint: StreamHost[S_co], local_id: int, owner: S_co | None) -> None:
        self.local_id = local_id
        """The id that the remote puts into its packets for this stream."""
        self.remote_id = 0
        """The id that we put into our packets, once connected."""
        self.remote_address: Address | None = None
        """The destination of our packets, once connected."""
        self.state = State.OPEN
        self.owner = cast(S_co, owner)
        """An object of the caller's choice; None if there is none."""
        self.keepalive = endpoint.limits.keepalive
        """Seconds without a packet from the remote before a heartbeat asks for one."""
        self._endpoint = endpoint
        self._sending: SendHalf | None = None
        self._receiving: ReceiveHalf | None = None
        self.sending: SendHalf
        """The sending half; only once connected."""
        self.receiving: ReceiveHalf
        """The receiving half; only once connected."""
        self._message_size = 0
        self._unanswered = 0  # heartbeats since the last packet arrived
        self._last_heard = 0.0
        # For the modules beside this one:
        self.timers = Timers()
        self.scheduled = math.inf  # the earliest time at which the endpoint looks at the timers
        self.messages: deque[bytes] = deque()
        self.urgent: list[Run] = []  # packets that leave ahead of others
        self.heartbeat_due = False
        self.held_up = False  # whether the caller waits for `WritableAgain`
        self.source: Address | None = None  # the source address of the last packet

    # Commands

    def connect(
        self, remote_id: int, address: Address, now: float, *, remote_seq: int = 0, local_seq: int = 0
    ) -> None:
        """Connect to the remote's stream. This sends nothing.

        `remote_seq` and `local_seq` are the numbers of each side's first packet. The stream receives
        early packets at the next `handle_deadline`, which is due at once.

        Raises `LocalProtocolError` if the stream is not open, or if the id does not have 32 bits.
        """
        _check_id(remote_id)
        self._check(Signal.CONNECT)
        limits = self._endpoint.limits
        self.remote_id, self.remote_address, self.source = remote_id, address, address
        self._receiving = self.receiving = ReceiveHalf(first=remote_seq & MASK, limits=limits)
        self._sending = self.sending = SendHalf(
            first=local_seq & MASK,
            ipv6=":" in address[0],
            phase=self.local_id,
            limits=limits,
            timers=self.timers,
            now=now,
        )
        self.signal(Signal.CONNECT)
        self._last_heard = now
        self.timers.due[Timer.KEEPALIVE] = now + self.keepalive
        self._endpoint.connected(self, now)

    def change_remote(self, remote_id: int, address: Address, now: float) -> None:
        """Send everything from now on to another address and id of the same remote stream.

        `AddressConfirmed` follows once packets of the remote come from there, too, unless they already do.
        Raises `LocalProtocolError` if the stream is not connected, or if the id does not have 32 bits.
        """
        _check_id(remote_id)
        self._check_connected()
        self._endpoint.black_hole_ended(self)
        self.remote_id, self.remote_address = remote_id, address
        self.sending.change_path(ipv6=":" in address[0], phase=self.local_id, now=now)
        self._endpoint.changed(self)

    def write(self, data: Buffer) -> None:
        """Queue data by reference: `data` must not change until it is acknowledged.

        The stream always accepts the data. `writable` says whether the caller should write more.

        Raises `LocalProtocolError` before the stream is connected, and after `end` or its own end.
        """
        if self.state not in SENDING:
            raise LocalProtocolError(f"a stream that is {self.state.value} cannot be written to")
        if data:
            self.sending.write(data)
            self.held_up |= not self.sending.writable
            self._endpoint.ready(self)

    def end(self) -> None:
        """End our half after the data that was written. Raises `LocalProtocolError` in the same states as
        `write`.
        """
        self._check(Signal.END)
        self.sending.ending = True
        self.signal(Signal.END)
        self._endpoint.ready(self)

    def destroy(self) -> None:
        """End both halves at once, and reset the remote's stream if there is one. Written data may be lost.

        One packet carries the reset, and the remote does not confirm it. No event follows.
        """
        if self.state is not State.CLOSED:
            self._endpoint.destroy(self)
            self._finish()

    def send_message(self, data: bytes) -> None:
        """Send an unreliable message: it may be lost, be duplicated, or overtake others.

        Raises `LocalProtocolError` if the stream is not connected, or if the message does not fit into a
        packet.
        """
        self._check_connected()
        largest = self.sending.mtud.payload
        if len(data) > largest:
            raise LocalProtocolError(
                f"a message of {len(data)} bytes is too large: {largest} bytes fit into a packet"
            )
        self.messages.append(data)
        self._message_size += len(data) + HEADER_SIZE
        while self._message_size > self._endpoint.limits.messages:
            self.take_message()
        self._endpoint.ready(self)

    def take_message(self) -> bytes:
        """Remove and return the first waiting message."""
        message = self.messages.popleft()
        self._message_size -= len(message) + HEADER_SIZE
        return message

    def consume(self, size: int) -> bool:
        """Note that the caller has used up `size` received bytes, so that the remote may send more.

        Returns whether the new window should be sent now. Raises `LocalProtocolError` if fewer bytes are
        unread.
        """
        if self._receiving is None or not 0 <= size <= self._receiving.unread:
            raise LocalProtocolError(f"cannot consume {size} bytes: fewer are unread")
        if not self._receiving.consume(size) or self.state is State.CLOSED:
            return False
        self._receiving.ack_due = True
        self._endpoint.ready(self)
        return True

    # Properties

    @property
    def connected(self) -> bool:
        """Whether the stream has a remote."""
        return self.state is not State.OPEN and self.state is not State.CLOSED

    @property
    def unsent(self) -> int:
        """Bytes that were written but not sent."""
        return self._sending.queue.size if self._sending else 0

    @property
    def unacknowledged(self) -> int:
        """Bytes that were written but not acknowledged."""
        if self._sending is None:
            return 0
        self._sending.catch_up()
        return self._sending.unacknowledged

    @property
    def unread(self) -> int:
        """Bytes that were received but not consumed."""
        return self._receiving.unread if self._receiving else 0

    @property
    def writable(self) -> bool:
        """Whether the caller should write more. After this has been False, a `WritableAgain` event
        follows.
        """
        if self.state in SENDING and self.sending.writable:
            return True
        self.held_up = True  # a stream can become unwritable without a write, when the path gets worse
        return False

    @property
    def rtt(self) -> float:
        """The smoothed round trip in seconds; 0 before the first measurement."""
        return self._sending.rtt.smoothed if self._sending else 0.0

    @property
    def mtu(self) -> int:
        """Bytes of the largest IP packet that the path is known to carry."""
        return self.sending.mtud.mtu

    @property
    def congestion_window(self) -> int:
        """Bytes that may be in flight."""
        return self.sending.controller.window

    @property
    def in_flight(self) -> int:
        """Bytes that are in flight."""
        return self._sending.flight.in_flight if self._sending else 0

    # For the modules beside this one

    def signal(self, signal: Signal) -> None:
        """Change the state. Raises `LocalProtocolError` if there is no such transition."""
        self.state = follow(TRANSITIONS, self.state, signal, "stream")

    def heard(self, now: float) -> None:
        """Note that a packet of the remote has arrived."""
        self._last_heard = now
        self._unanswered = 0

    def settle(self, events: list[Event[Stream[S_co]]]) -> None:
        """Make the transitions, and report the events, that follow from packets or from time."""
        sending, receiving = self.sending, self.receiving
        if self.state in RECEIVING and receiving.assembler.ended:
            self.signal(Signal.REMOTE_END)
            events.append(StreamEnded(self))
        if self.state in _AWAITING and sending.all_acknowledged:
            self.signal(Signal.END_ACKNOWLEDGED)
            events.append(EndAcknowledged(self))
        self._watch_writable(events)
        if sending.black_hole and sending.leave_black_hole():
            self._endpoint.black_hole_ended(self)
        if self.state is State.CLOSED:
            self._endpoint.ended(self)
            self._finish()
            events.append(StreamClosed(self, None))

    def fail(self, error: Exception, events: list[Event[Stream[S_co]]]) -> None:
        """End the stream because the remote has reset it or is gone."""
        self._endpoint.forget(self)
        self._finish()
        events.append(StreamClosed(self, error))  # type: ignore[arg-type]

    def handle_timers(self, now: float, events: list[Event[Stream[S_co]]]) -> None:
        """Handle the timers that are due."""
        sending = self.sending
        sending.catch_up()
        try:
            for timer in self.timers.expired(now):
                match timer:
                    case Timer.LOSS:
                        sending.losses_due(now)
                    case Timer.TAIL:
                        self.urgent.append(sending.tail_due(now))
                    case Timer.TIMEOUT:
                        sending.timeout_due(now)
                    case Timer.PACING:
                        pass  # only a reason to try again
                    case Timer.WINDOW:
                        self._ask()
                        self.timers.due[Timer.WINDOW] = now + 2 * sending.rtt.timeout
                    case _:
                        self._keep_alive(now)
        except StreamTimedOut as error:
            self._endpoint.destroy(self)
            self._finish()
            events.append(StreamClosed(self, error))
        else:
            self._watch_writable(events)
            self._endpoint.changed(self)

    def _watch_writable(self, events: list[Event[Stream[S_co]]]) -> None:
        """Report `WritableAgain` if it is due. Every acknowledgement or timeout can change that, either
        way.
        """
        if self.held_up and self.state in SENDING and self.sending.writable:
            self.held_up = False
            events.append(WritableAgain(self))

    def _keep_alive(self, now: float) -> None:
        due = self._last_heard + self.keepalive
        if due <= now:
            if not self.sending.flight.runs:
                self._ask()
            due = now + self.keepalive
        self.timers.due[Timer.KEEPALIVE] = due

    def _ask(self) -> None:
        """Make the remote send a packet. Raises `StreamTimedOut` if it has been silent for too long."""
        if self._unanswered > self._endpoint.limits.timeouts:
            raise StreamTimedOut
        self._unanswered += 1
        self.heartbeat_due = True

    def _finish(self) -> None:
        """Release everything, because the stream is over."""
        if self.state is not State.CLOSED:
            self.signal(Signal.CLOSE)
        self.timers.stop_all()
        self.messages.clear()
        self.urgent.clear()
        self.held_up = False

    def _check(self, signal: Signal) -> None:
        follow(TRANSITIONS, self.state, signal, "stream")

    def _check_connected(self) -> None:
        if not self.connected:
            raise LocalProtocolError(f"the stream is not connected: it is {self.state.value}")


_AWAITING = frozenset({State.ENDING, State.CLOSING})


def _check_id(number: int) -> None:
    if not 0 <= number <= MASK:
        raise LocalProtocolError(f"a stream id must have 32 bits: {number}")
