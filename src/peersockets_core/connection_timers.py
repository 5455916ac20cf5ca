"""`ConnectionTimers`: decides when a connection must act, and when its remote has run out of time."""

from __future__ import annotations

import math
from collections.abc import Callable

from .connection_state import ENDED, UNPROVED, ConnectionState
from .errors import Refused, RemoteProtocolError
from .events import WireName
from .lateness import LATENESS, absence
from .limits import Limits
from .wires.table import WIRES
from .wires.wire import Wire


class ConnectionTimers:
    """The times of one connection, each on the caller's monotonic clock."""

    __slots__ = (
        "_frame", "_frame_began", "_limits", "_listening_since", "_reading", "_waiting_since",
        "handshake_deadline", "heard_at", "now", "sent_at",
    )  # fmt: skip

    def __init__(self, limits: Limits, now: float) -> None:
        self.now = now
        """The latest time that a caller has passed in."""
        self.heard_at = now
        """The time of the last input from the remote."""
        self.sent_at = now
        """The time at which output last left, or a keepalive was last due."""
        self.handshake_deadline = now + limits.handshake_time
        """The time by which the handshake must be finished and the remote admitted."""
        self._limits = limits
        self._listening_since = now
        self._waiting_since = math.inf  # since when the stream has taken no output
        self._reading = True
        self._frame = 0
        self._frame_began = now

    def advance(self, now: float, next_deadline: Callable[[], float]) -> None:
        """Set the time. If the deadline is long past, the remote gets back the time that we were away."""
        if now - self.now > LATENESS:
            away = absence(now, since=self.now, due=next_deadline())
            self.handshake_deadline += away
            self._listening_since = max(self.heard_at, self._listening_since) + away
            self._frame_began += away
            self._waiting_since += away
        self.now = max(self.now, now)

    def listen(self) -> None:
        """Give the remote the full time to be heard, from now on."""
        self._listening_since = self.now

    def pause_reading(self) -> None:
        """Stop counting the remote's silence, because we do not read."""
        self._reading = False

    def resume_reading(self) -> None:
        """Count the remote's silence again, from now on."""
        self._listening_since = self._frame_began = self.now
        self._reading = True

    def reached(self, frame: int) -> None:
        """Note the number of the incomplete frame; its time runs as long as the number stays the same."""
        if frame != self._frame:
            self._frame, self._frame_began = frame, self.now

    def sent(self) -> None:
        """Note that output leaves now."""
        self.sent_at = self.now
        self._waiting_since = math.inf

    def output_taken(self) -> None:
        """Note that the stream takes output."""
        self._waiting_since = math.inf

    def output_waits(self) -> None:
        """Note that output waits because the stream does not take it."""
        self._waiting_since = min(self._waiting_since, self.now)

    def next_deadline(self, state: ConnectionState, wire: Wire) -> float:
        """Return the latest time at which there is something to do; infinity for never."""
        if state in ENDED:
            return math.inf
        if state in UNPROVED:
            return self.handshake_deadline
        own = self.handshake_deadline if state is ConnectionState.ON_HOLD else math.inf
        return min(self.sent_at + wire.keepalive, own, self.remote_deadline(state, wire))

    def remote_deadline(self, state: ConnectionState, wire: Wire) -> float:
        """Return the time at which the remote is given up if it sends nothing until then; infinity for
        never.
        """
        if state is ConnectionState.ADMITTED:
            return min(self._silence_deadline(wire), self._frame_deadline(wire), self._send_deadline)
        return self.handshake_deadline if state in UNPROVED else math.inf

    def overdue(
        self, state: ConnectionState, wire: Wire, dialled: WireName | None
    ) -> RemoteProtocolError | Refused | None:
        """Return the error for a deadline that has passed, or None if only a keepalive is due.

        `dialled` is the wire that an initiator has chosen.
        """
        limits = self._limits
        if state in UNPROVED:
            text = f"no handshake within {limits.handshake_time:g} seconds"
            if dialled is not None:
                text += f"; does the remote speak {dialled}?"
                text += "".join(
                    f" For {wire}, pass wire={wire!r} or --wire {wire}." for wire in WIRES if wire != dialled
                )
            return RemoteProtocolError(text)
        if state is ConnectionState.ON_HOLD:
            waits = self.now < self.handshake_deadline
            return None if waits else Refused(f"no decision within {limits.handshake_time:g} seconds")
        if self.now >= self._silence_deadline(wire):
            return RemoteProtocolError(f"nothing received for {wire.silence:g} seconds")
        if self.now >= self._frame_deadline(wire):
            return RemoteProtocolError(f"a message has been incomplete for {limits.frame_time:g} seconds")
        if self.now >= self._send_deadline:
            return RemoteProtocolError(f"the remote has taken no output for {limits.send_time:g} seconds")
        return None

    def _silence_deadline(self, wire: Wire) -> float:
        return max(self.heard_at, self._listening_since) + wire.silence if self._reading else math.inf

    def _frame_deadline(self, wire: Wire) -> float:
        if not self._reading:
            return math.inf
        return self._frame_began + self._limits.frame_time if wire.unfinished else math.inf

    @property
    def _send_deadline(self) -> float:
        return self._waiting_since + self._limits.send_time
