from __future__ import annotations

import math

import pytest

from peersockets_core import Limits, RemoteProtocolError
from peersockets_core.connection_state import ENDED, UNPROVED, ConnectionState
from peersockets_core.connection_timers import ConnectionTimers
from peersockets_core.wires.pieces import Pieces
from peersockets_core.wires.table import Undecided
from peersockets_core.wires.wire import Wire

LIMITS = Limits(handshake_time=10, frame_time=50, send_time=60)
ADMITTED = ConnectionState.ADMITTED


class Quiet(Undecided):
    """A wire on which the remote has to send something every 30 seconds, and we every 20."""

    keepalive = 20.0
    silence = 30.0

    def __init__(self) -> None:
        self.unfinished = Pieces()


@pytest.fixture
def timers() -> ConnectionTimers:
    return ConnectionTimers(LIMITS, 100.0)


def overdue(timers: ConnectionTimers, wire: Wire, now: float) -> str:
    timers.now = now
    error = timers.overdue(ADMITTED, wire, None)
    assert error is None or isinstance(error, RemoteProtocolError)
    return str(error or "")


@pytest.mark.parametrize("state", ConnectionState)
def test_the_deadlines_of_each_state(timers: ConnectionTimers, state: ConnectionState) -> None:
    wire = Quiet()
    next_deadline, remote_deadline = timers.next_deadline(state, wire), timers.remote_deadline(state, wire)
    if state in ENDED:
        assert (next_deadline, remote_deadline) == (math.inf, math.inf)
    elif state in UNPROVED:
        assert (next_deadline, remote_deadline) == (110, 110)
    elif state is ConnectionState.ON_HOLD:
        assert (next_deadline, remote_deadline) == (110, math.inf)
    else:
        assert (next_deadline, remote_deadline) == (120, 130)


def test_a_remote_may_be_silent_while_we_do_not_read(timers: ConnectionTimers) -> None:
    wire = Quiet()
    wire.unfinished.begin(b"", missing=1)
    timers.pause_reading()
    assert timers.remote_deadline(ADMITTED, wire) == math.inf
    timers.now = 200
    timers.resume_reading()
    assert timers.remote_deadline(ADMITTED, wire) == 230
    assert overdue(timers, wire, 229) == ""
    assert overdue(timers, wire, 230) == "nothing received for 30 seconds"


def test_the_time_of_a_frame_runs_while_it_is_the_same_frame(timers: ConnectionTimers) -> None:
    wire = Quiet()
    wire.unfinished.begin(b"", missing=1)
    for now in (110, 135, 155):
        timers.now = timers.heard_at = now
        timers.reached(wire.unfinished.begun)
    assert overdue(timers, wire, 159) == ""
    assert overdue(timers, wire, 160) == "a message has been incomplete for 50 seconds"
    wire.unfinished.take()
    wire.unfinished.begin(b"", missing=1)
    timers.reached(wire.unfinished.begun)
    assert overdue(timers, wire, 161) == ""


def test_output_that_the_remote_does_not_take(timers: ConnectionTimers) -> None:
    wire = Quiet()
    for now in (110, 130):
        timers.now = timers.heard_at = now
        timers.output_waits()
    timers.heard_at = 169
    assert overdue(timers, wire, 169) == ""
    assert overdue(timers, wire, 170) == "the remote has taken no output for 60 seconds"
    timers.output_taken()
    assert overdue(timers, wire, 170) == ""
    timers.output_waits()
    timers.sent()
    assert timers.sent_at == 170
    assert timers.remote_deadline(ADMITTED, wire) == 199


def test_time_only_moves_forward(timers: ConnectionTimers) -> None:
    timers.advance(99.0, lambda: math.inf)
    assert timers.now == 100.0


def test_the_remote_gets_back_the_time_of_our_absence(timers: ConnectionTimers) -> None:
    wire = Quiet()
    timers.advance(1000.0, lambda: timers.next_deadline(ADMITTED, wire))
    assert timers.now == 1000.0
    assert timers.handshake_deadline > 900
    assert timers.remote_deadline(ADMITTED, wire) > 1000.0
