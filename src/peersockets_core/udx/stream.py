"""`Stream`: one reliable stream of bytes, and messages beside it, between two ids."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any

from ..crypto.sodium import Buffer
from ..errors import LocalProtocolError
from .errors import StreamTimedOut
from .events import Address, EndAcknowledged, Event, StreamClosed, StreamEnded, WritableAgain
from .flight import Run
from .packet import HEADER_SIZE, MASK
from .receive_half import ReceiveHalf
from .send_half import SendHalf
from .state import RECEIVING, SENDING, TRANSITIONS, Signal, State
from .timers import Timer, Timers

if TYPE_CHECKING:
    from .endpoint import Endpoint


class Stream:
    """Made by `Endpoint.open_stream`.

    What its methods queue leaves with the endpoint's next `datagrams_to_send`.
    """

    __slots__ = (
        "_endpoint",
        "_held_up",
        "_last_heard",
        "_message_size",
        "_receiving",
        "_sending",
        "_unanswered",
        "heartbeat_due",
        "keepalive",
        "local_id",
        "messages",
        "owner",
        "remote_address",
        "remote_id",
        "scheduled",
        "source",
        "state",
        "timers",
        "urgent",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, local_id: int, owner: Any) -> None:
        self.local_id = local_id
        """The id by which the remote names this stream."""
        self.remote_id = 0
        """The id by which we name it to the remote, once connected."""
        self.remote_address: Address | None = None
        """Where its packets go, once connected."""
        self.state = State.OPEN
        self.owner = owner
        """The caller's own."""
        self.keepalive = endpoint.limits.keepalive
        """Seconds without a packet from the remote after which a heartbeat asks for one."""
        self._endpoint = endpoint
        self._sending: SendHalf | None = None
        self._receiving: ReceiveHalf | None = None
        self._message_size = 0
        self._held_up = False  # whether the caller waits for `WritableAgain`
        self._unanswered = 0  # heartbeats since a packet has come
        self._last_heard = 0.0
        # For the modules beside this one:
        self.timers = Timers()
        self.scheduled = math.inf  # the earliest time at which the endpoint looks at the timers
        self.messages: deque[bytes] = deque()
        self.urgent: list[Run] = []  # packets that leave ahead of others
        self.heartbeat_due = False
        self.source: Address | None = None  # where a packet last came from

    @property
    def sending(self) -> SendHalf:
        """The half that sends; only once connected."""
        assert self._sending is not None
        return self._sending

    @property
    def receiving(self) -> ReceiveHalf:
        """The half that receives; only once connected."""
        assert self._receiving is not None
        return self._receiving

    # Commands

    def connect(
        self, remote_id: int, address: Address, now: float, *, remote_seq: int = 0, local_seq: int = 0
    ) -> None:
        """Connect to the remote's stream; nothing is sent by that.

        The first packets of either side are numbered `remote_seq` and `local_seq`. Packets that have come
        early are received at the next `handle_deadline`, which is due at once.

        Raises `LocalProtocolError` if the stream is not open, or an id is none.
        """
        _check_id(remote_id)
        self._check(Signal.CONNECT)
        limits = self._endpoint.limits
        self.remote_id, self.remote_address, self.source = remote_id, address, address
        self._receiving = ReceiveHalf(first=remote_seq & MASK, limits=limits)
        self._sending = SendHalf(
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
        """Send everything from now on to another address and id, which name the same stream of the remote.

        Raises `LocalProtocolError` if the stream is not connected.
        """
        _check_id(remote_id)
        self._check_connected()
        self._endpoint.light(self)
        self.remote_id, self.remote_address, self.source = remote_id, address, address
        self.sending.change_path(ipv6=":" in address[0], phase=self.local_id, now=now)
        self._endpoint.changed(self)

    def write(self, data: Buffer) -> None:
        """Queue data by reference: it must not change until it is acknowledged.

        It is always taken; whether more should follow is what `writable` says.

        Raises `LocalProtocolError` before the stream is connected, and after `end` or its own end.
        """
        if self.state not in SENDING:
            raise LocalProtocolError(f"a stream that is {self.state.value} cannot be written to")
        if data:
            self.sending.write(data)
            self._held_up |= not self.sending.writable
            self._endpoint.ready(self)

    def end(self) -> None:
        """Let nothing follow what was written. Raises `LocalProtocolError` as `write`."""
        self._check(Signal.END)
        self.sending.ending = True
        self.signal(Signal.END)
        self._endpoint.ready(self)

    def destroy(self) -> None:
        """End both halves at once, and tell the remote if there is one; what was written may be lost.

        The remote is told once, and does not confirm it. No event follows.
        """
        if self.state is not State.CLOSED:
            self._endpoint.destroy(self)
            self._finish()

    def send_message(self, data: bytes) -> None:
        """Send a message that may be lost, or doubled, or overtake others.

        Raises `LocalProtocolError` if the stream is not connected, or the message does not fit a packet.
        """
        self._check_connected()
        largest = self.sending.mtud.payload
        if len(data) > largest:
            raise LocalProtocolError(f"a message has {largest} bytes at most, not {len(data)}")
        self.messages.append(data)
        self._message_size += len(data) + HEADER_SIZE
        while self._message_size > self._endpoint.limits.messages:
            self.take_message()
        self._endpoint.ready(self)

    def take_message(self) -> bytes:
        """Remove the first message that waits."""
        message = self.messages.popleft()
        self._message_size -= len(message) + HEADER_SIZE
        return message

    def consume(self, size: int) -> bool:
        """So many bytes of what was received have been used up, so that the remote may send more.

        Returns whether the remote should be told of it now. Raises `LocalProtocolError` for more than came.
        """
        if self._receiving is None or not 0 <= size <= self._receiving.unread:
            raise LocalProtocolError(f"{size} bytes cannot be consumed: so many have not been received")
        if not self._receiving.consume(size) or self.state is State.CLOSED:
            return False
        self._receiving.ack_due = True
        self._endpoint.ready(self)
        return True

    # What is known of it

    @property
    def connected(self) -> bool:
        """Whether it has a remote."""
        return self.state is not State.OPEN and self.state is not State.CLOSED

    @property
    def unsent(self) -> int:
        """Bytes that were written and have not been sent."""
        return self._sending.queue.size if self._sending else 0

    @property
    def unacknowledged(self) -> int:
        """Bytes that were written and the remote has not acknowledged."""
        return self._sending.unacknowledged if self._sending else 0

    @property
    def unread(self) -> int:
        """Bytes that were received and not consumed."""
        return self._receiving.unread if self._receiving else 0

    @property
    def writable(self) -> bool:
        """Whether more should be written. Once this has been False, `WritableAgain` follows."""
        if self.state in SENDING and self.sending.writable:
            return True
        self._held_up = True  # a stream stops being writable without a write, too: the path has become worse
        return False

    @property
    def rtt(self) -> float:
        """The smoothed round trip in seconds, 0 before the first is measured."""
        return self._sending.rtt.smoothed if self._sending else 0.0

    @property
    def mtu(self) -> int:
        """Bytes of the largest IP packet that the path is known to take."""
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
        """Change the state. The transition exists."""
        self.state = TRANSITIONS[self.state][signal]

    def heard(self, now: float) -> None:
        """A packet of the remote has come."""
        self._last_heard = now
        self._unanswered = 0

    def settle(self, events: list[Event]) -> None:
        """See what packets, or time, have changed."""
        sending, receiving = self.sending, self.receiving
        if self.state in RECEIVING and receiving.assembler.ended:
            self.signal(Signal.REMOTE_END)
            events.append(StreamEnded(self))
        if self.state in _AWAITING and sending.all_acknowledged:
            self.signal(Signal.END_ACKNOWLEDGED)
            events.append(EndAcknowledged(self))
        self._watch_writable(events)
        if sending.black and sending.see_light():
            self._endpoint.light(self)
        if self.state is State.CLOSED:
            self._endpoint.ended(self)
            self._finish()
            events.append(StreamClosed(self, None))

    def fail(self, error: Exception, events: list[Event]) -> None:
        """The remote has ended the stream, or is gone."""
        self._endpoint.forget(self)
        self._finish()
        events.append(StreamClosed(self, error))  # type: ignore[arg-type]

    def handle_timers(self, now: float, events: list[Event]) -> None:
        """Handle the timers that are due."""
        sending = self.sending
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

    def _watch_writable(self, events: list[Event]) -> None:
        """What may be written changes with every acknowledgement and timeout, in either direction."""
        if self._held_up and self.state in SENDING and self.sending.writable:
            self._held_up = False
            events.append(WritableAgain(self))

    def _keep_alive(self, now: float) -> None:
        due = self._last_heard + self.keepalive
        if due <= now:
            if not self.sending.flight.runs:
                self._ask()
            due = now + self.keepalive
        self.timers.due[Timer.KEEPALIVE] = due

    def _ask(self) -> None:
        """Make the remote speak. Raises `StreamTimedOut` if it has not for too long."""
        if self._unanswered > self._endpoint.limits.timeouts:
            raise StreamTimedOut
        self._unanswered += 1
        self.heartbeat_due = True

    def _finish(self) -> None:
        """It is over: let go of everything."""
        if self.state is not State.CLOSED:
            self.signal(Signal.CLOSE)
        self.timers.stop_all()
        self.messages.clear()
        self.urgent.clear()
        self._held_up = False

    def _check(self, signal: Signal) -> None:
        if signal not in TRANSITIONS[self.state]:
            raise LocalProtocolError(f"{signal.value} is not possible: the stream is {self.state.value}")

    def _check_connected(self) -> None:
        if not self.connected:
            raise LocalProtocolError(f"the stream is {self.state.value}, and not connected")


_AWAITING = frozenset({State.ENDING, State.CLOSING})


def _check_id(number: int) -> None:
    if not 0 <= number <= MASK:
        raise LocalProtocolError(f"an id of a stream has 32 bits, and is not {number}")
