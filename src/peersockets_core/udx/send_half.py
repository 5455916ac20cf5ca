"""`SendHalf`: sends a stream's outgoing bytes, and repeats them until they are acknowledged."""

from __future__ import annotations

import math
from typing import Final

from ..buffer import Buffer
from .bbr import Bbr
from .congestion import Controller
from .delivery import DeliveryRate, Sample
from .errors import StreamTimedOut
from .flight import Flight, Run
from .limits import UdxLimits
from .mtud import MtuDiscovery
from .pacing import Pacer
from .packet import HEADER_SIZE
from .queue import WriteQueue
from .recovery import LossRecovery, Phase
from .rtt import RoundTrip
from .timers import Timer, Timers

MAX_DATAGRAMS: Final = 64
"""The most packets in one run: UDP_MAX_SEGMENTS of Linux before 6.9."""
MAX_RUN: Final = 65_507 - 200
"""The most bytes in one run. Parts of the kernel treat a run as one UDP datagram; 200 bytes are left for
options."""
_LOOK_AHEAD: Final = 0.001  # seconds of sending that justify a wake-up


class SendHalf:
    """The sending half of one stream. Packet numbers are not wrapped here."""

    __slots__ = (
        "_deferred",
        "_first",
        "_limits",
        "_timeouts",
        "_timers",
        "_window_order",
        "black_hole",
        "controller",
        "end_number",
        "ending",
        "flight",
        "mtud",
        "next",
        "pacer",
        "queue",
        "rate",
        "recovery",
        "rtt",
        "una",
        "window",
    )

    def __init__(
        self, *, first: int, ipv6: bool, phase: int, limits: UdxLimits, timers: Timers, now: float
    ) -> None:
        self._limits = limits
        self._timers = timers
        self._first = first
        self._timeouts = 0
        self._deferred: tuple[int, float] | None = None  # an acknowledgement, and when it arrived
        self.next = first
        """The number of the next packet."""
        self.una = first
        """The number of the first packet that is not acknowledged."""
        self.window = limits.window
        """Bytes that the remote can receive."""
        self._window_order = (-math.inf, -math.inf)  # number and ack of the packet that carried the window
        self.ending = False
        """Whether the END is queued or sent."""
        self.end_number: int | None = None
        """The number of the packet with our END, once it is sent."""
        self.black_hole = False
        """Whether packets are in flight that the path drops because they are too large."""
        self.queue = WriteQueue()
        self.flight = Flight()
        self.recovery = LossRecovery(first)
        self.rate = DeliveryRate(now)
        self.change_path(ipv6=ipv6, phase=phase, now=now)

    def change_path(self, *, ipv6: bool, phase: int, now: float) -> None:
        """Send over a new path from now on, of which nothing is known."""
        self.catch_up()
        self.rtt = RoundTrip()
        self.mtud = MtuDiscovery(ipv6=ipv6, maximum=self._limits.mtu)
        self.rate.restart(now)
        self.pacer = Pacer(now)
        self.controller: Controller = Bbr(packet=self._packet, now=now, phase=phase)
        self.black_hole = self._oversized

    @property
    def unacknowledged(self) -> int:
        """Bytes that were written but are not acknowledged."""
        return self.queue.size + self.flight.outstanding

    @property
    def writable(self) -> bool:
        """Whether more should be written."""
        return self._has_room or (self.catch_up() and self._has_room)

    @property
    def _has_room(self) -> bool:
        return self.unacknowledged < self._limits.send_buffer + min(self.controller.window, self.window)

    @property
    def all_acknowledged(self) -> bool:
        """Whether the remote has received everything, including the END."""
        return self.end_number is not None and self.una > self.end_number

    def leave_black_hole(self) -> bool:
        """Return whether a black hole has ended: all packets in flight are small enough for the path."""
        if not self.black_hole or self._oversized:
            return False
        self.black_hole = False
        return True

    @property
    def _oversized(self) -> bool:
        size = self.mtud.payload
        return any(run.size > size for run in self.flight.runs)

    @property
    def _packet(self) -> int:
        return self.mtud.payload + HEADER_SIZE

    # Acknowledgements

    def receive_window(self, window: int, number: int, ack: int) -> None:
        """Take in the window of a packet, unless a later packet carried another one."""
        if ack >= self.una and (number, ack) >= self._window_order:
            self._window_order = number, ack
            self.window = window
            if window:
                self._timers.stop(Timer.WINDOW)

    def receive_ack(self, ack: int, ranges: list[tuple[int, int]], now: float) -> None:
        """Note that the remote has received every packet below `ack`, and these ranges. `ack` must be
        plausible.
        """
        flight = self.flight
        runs: list[Run] = []
        if ack > self.una:
            runs = flight.remove(self.una, ack)
            self.una = ack
            self._timeouts = 0
        for start, end in ranges:
            if ack <= start < end <= self.next and (sacked := flight.remove(start, end)):
                runs += sacked
                self.recovery.sacked(sum(run.count for run in sacked))
        if runs:
            self._acknowledged(runs, now)
        else:
            self.recovery.advance(self.una)

    @property
    def undisturbed(self) -> bool:
        """Whether nothing is being repaired, so that an acknowledgement reveals no loss."""
        return not self.black_hole and not self.recovery.may_have_losses(self.una)

    def defer_ack(self, ack: int, now: float) -> None:
        """Note that the remote has received every packet below `ack`, but measure that only in `catch_up`.

        A packet that carries data and an acknowledgement is usually a request or an answer. The next one can
        leave before this side has measured the path: as if the acknowledgement had arrived just after it.
        `ack` must be plausible, and the sending half `undisturbed`.
        """
        if self._deferred is not None:
            self.catch_up()
        if ack > self.una:
            self._deferred = ack, now

    def catch_up(self) -> bool:
        """Take in the deferred acknowledgement; returns whether there was one.

        Everything that depends on acknowledgements calls this first: other acknowledgements, timers, and
        sending, once nothing more may leave without it.
        """
        if self._deferred is None:
            return False
        ack, now = self._deferred
        self._deferred = None
        self.receive_ack(ack, [], now)
        return True

    def _acknowledged(self, runs: list[Run], now: float) -> None:
        recovery = self.recovery
        latest = max(runs, key=_time_sent) if len(runs) > 1 else runs[0]
        measures = not latest.retransmitted and latest.time >= self.rate.since
        if measures:
            self.rtt.add(now - latest.time, now)
        self._learn_mtu(runs)
        recovery.acknowledged(runs, self.rtt, now)
        recovery.advance(self.una)
        sample = self.rate.acknowledged(runs, self.rtt.minimum, now)
        if measures:
            sample.rtt = self.rtt.latest
        sample.lost = self._detect_losses(now)
        self._update_controller(sample, now)
        self._set_timers(now)

    def _update_controller(self, sample: Sample, now: float) -> None:
        sample.in_flight = self.flight.in_flight
        sample.recovering = self.recovery.phase is not Phase.OPEN
        self.controller.acknowledged(sample, self.rate.delivered, now)

    def _learn_mtu(self, runs: list[Run]) -> None:
        mtud = self.mtud
        for run in runs:
            if run.padding:
                mtud.probe_acknowledged(len(run.payload) + run.padding)
                self.controller.resize(self._packet)
            elif run.size > mtud.base_payload:
                mtud.large_acknowledged()

    def _detect_losses(self, now: float) -> int:
        """Mark the packets that RACK considers lost; returns their bytes, without probes of the path."""
        recovery = self.recovery
        if not recovery.may_have_losses(self.una):
            self._timers.stop(Timer.LOSS)
            return 0
        runs, self._timers.due[Timer.LOSS] = recovery.detect(self.flight, self.rtt, now)
        lost = self._lose(runs, now)
        if lost and recovery.phase is Phase.OPEN:
            recovery.enter(Phase.RECOVERY, self.next)
        return lost

    def _lose(self, runs: list[Run], now: float) -> int:
        lost = 0
        for run in runs:
            self.flight.lose(run)
            if run.padding:
                self.mtud.probe_lost(now)
                run.padding = 0
            else:
                lost += run.wire_size
        return lost

    # Timers

    def _set_timers(self, now: float) -> None:
        """Set the timers again after an acknowledgement."""
        due = self._timers.due
        if self.flight.runs:
            due[Timer.TIMEOUT] = now + self.rtt.timeout
            self._set_tail(now)
        else:
            due[Timer.TIMEOUT] = due[Timer.TAIL] = due[Timer.LOSS] = math.inf

    def _set_tail(self, now: float) -> None:
        runs = self.flight.runs
        lone = len(runs) == 1 and runs[0].count == 1
        self._timers.due[Timer.TAIL] = now + self.recovery.tail_delay(self.rtt, lone=lone)

    def losses_due(self, now: float) -> None:
        """Handle the loss timer: packets were overtaken too long ago."""
        lost = self._detect_losses(now)
        if lost:
            self._update_controller(Sample(lost=lost), now)

    def tail_due(self, now: float) -> Run:
        """Return a packet that makes the receiver reply: a new one if there is any."""
        self.recovery.probed = True
        run = self._new_run(1) if self.queue.size else self.flight.take_last()
        self.rate.sent(run, self.flight.in_flight, now)
        self._timers.due[Timer.TIMEOUT] = now + self.rtt.timeout
        return run

    def timeout_due(self, now: float) -> None:
        """Handle the timeout: nothing was acknowledged. Raises `StreamTimedOut` if that has happened too
        often.
        """
        if self._timeouts >= self._limits.timeouts:
            raise StreamTimedOut
        self._timeouts += 1
        flight = self.flight
        if flight.runs and flight.runs[0].size > self.mtud.base_payload and self.mtud.large_timed_out(now):
            self._shrunk()
        self._lose(self.recovery.overdue(flight, self.rtt, now), now)
        self.recovery.enter(Phase.LOSS, self.next)
        self.controller.timed_out()
        self._timers.due[Timer.TIMEOUT] = now + 2 * self.rtt.timeout

    def refused(self, size: int, now: float) -> None:
        """Note that the local system refuses UDP payloads of this size."""
        self.catch_up()
        mtud = self.mtud
        runs = self.flight.runs
        probes = [run for run in runs if run.padding]
        if probes and size > self._packet:
            self._lose(probes, now)
            mtud.probe_lost(now, refused=True)
        elif mtud.payload > mtud.base_payload:
            mtud.refused(now)
            self._shrunk()

    def _shrunk(self) -> None:
        """Adapt to a path that turned out to carry small packets only."""
        self.controller.resize(self._packet)
        self.black_hole = self._oversized

    # Sending

    def write(self, data: Buffer) -> None:
        """Queue data."""
        self.queue.append(data)

    @property
    def wants_window(self) -> bool:
        """Whether data waits only because the remote's window is closed."""
        return not self.window and not self.flight.runs and self._has_new

    @property
    def has_work(self) -> bool:
        """Whether anything waits to be sent, for the first time or once more."""
        return self._has_new or self.flight.has_lost

    @property
    def _has_new(self) -> bool:
        return self.queue.size > 0 or (self.ending and self.end_number is None)

    def next_run(self, now: float) -> Run | None:
        """Return the next packets to send, as many as may leave at once, or None."""
        flight, controller = self.flight, self.controller
        lost = flight.has_lost
        if not lost and not self._has_new:
            if flight.in_flight < controller.window:
                self.rate.limited_by_application(flight.in_flight)
            return None
        packet = self._packet
        pending = packet if lost else self.queue.size + HEADER_SIZE
        room = controller.window - flight.in_flight
        if room <= 0 or (flight.in_flight and room < min(pending, controller.window // 4, MAX_RUN)):
            return None
        credit = self.pacer.credit(controller.pacing_rate, packet, now)
        if credit < max(min(pending, controller.pacing_rate * _LOOK_AHEAD, MAX_RUN), 1):
            self._timers.due[Timer.PACING] = self.pacer.ready(controller.pacing_rate, packet)
            return None
        count = min(max(int(min(room, credit)) // packet, 1), MAX_RUN // packet, MAX_DATAGRAMS)
        if not flight.in_flight:
            controller.sending(now, app_limited=self.rate.app_limited)
        if lost:
            in_flight = flight.in_flight
            run = flight.take_lost(count)
            self.rate.sent(run, in_flight, now)
        else:
            count = min(count, self._window_room())
            if not count or self._gathers(now):
                return None
            in_flight = flight.in_flight
            padding = self._probe(now)
            run = self._new_run(1 if padding else count, padding)
            self.rate.sent(run, in_flight, now)
            self._set_tail(now)
        self.pacer.spend(run.wire_size)
        if self._timers.due[Timer.TIMEOUT] == math.inf:
            self._timers.due[Timer.TIMEOUT] = now + self.rtt.timeout
        return run

    def _gathers(self, now: float) -> bool:
        """Return whether new data that does not fill a run waits until a run's worth is acknowledged. It only
        waits while the remote has two more runs to take in, and an acknowledgement is due.
        """
        flight, runs = self.flight, self.flight.runs
        return (
            flight.in_flight >= 2 * MAX_RUN > 2 * self.queue.size
            and not self.ending
            and self.rate.delivered - runs[-1].delivered < MAX_RUN
            and runs[0].time + self.rtt.smoothed <= now + _LOOK_AHEAD
        )

    def _window_room(self) -> int:
        """Return how many packets fit into the remote's window. A window too small for a single packet lets
        one pass.
        """
        room = self.window - self.flight.outstanding
        if self.window and not self.flight.runs:
            return max(room // self.mtud.payload, 1)
        return max(room // self.mtud.payload, 0)

    def _probe(self, now: float) -> int:
        """Return the padding that turns the next packet into a probe of the path, or 0."""
        mtud = self.mtud
        if self.queue.size < mtud.payload or self.una == self._first or self.black_hole:
            return 0
        return mtud.probe() if mtud.wants_probe(now) else 0

    def _new_run(self, count: int, padding: int = 0) -> Run:
        queue, size = self.queue, self.mtud.payload
        payload = queue.take(count * size, size) if queue.size else b""
        ended = self.ending and not queue.size
        run = Run(self.next, max(-(-len(payload) // size), 1), size, payload, ended=ended)
        run.padding = padding
        self.next = run.end
        if ended:
            self.end_number = run.end - 1
        self.flight.add(run)
        return run


def _time_sent(run: Run) -> float:
    return run.time
