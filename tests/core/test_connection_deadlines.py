"""The times of a connection: handshakes, keepalives, silence, lateness, and output that is not taken."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import attrs
import pytest

from core.support import (
    NOW,
    RawPeer,
    connection,
    entropy,
    error_of,
    handshaken,
    key_pair,
)
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
)
from peersockets_core.wires.hypercore9 import frames

KEEPALIVE, SILENCE, HANDSHAKE_TIME, SEND_TIME = 10.0, 20.0, 10.0, 120.0


# Time


def test_a_remote_that_sends_nothing() -> None:
    ours = Connection(initiator=False, key_pair=key_pair("ours"), entropy=entropy("ours"), now=NOW)
    assert ours.receive_data(b"", NOW) == []
    assert not ours.data_to_send(NOW)
    error = error_of(ours.handle_deadline(NOW + HANDSHAKE_TIME))
    assert error == "no handshake within 10 seconds"


@pytest.mark.parametrize("initiator", [False, True])
def test_an_endless_handshake(initiator: bool) -> None:
    ours = connection(initiator=initiator)
    assert ours.next_deadline() == NOW + HANDSHAKE_TIME
    assert ours.handle_deadline(NOW + HANDSHAKE_TIME - 0.001) == []
    for second in range(9):  # input in the meantime does not extend it
        assert ours.receive_data(b"\x3a" if second == 0 else b"x", NOW + second) == []
    assert ours.next_deadline() == NOW + HANDSHAKE_TIME
    error = error_of(ours.handle_deadline(NOW + HANDSHAKE_TIME))
    hint = (
        "; does the remote speak hypercore9? For hypercore11, pass wire='hypercore11' or --wire hypercore11."
    )
    assert error == f"no handshake within 10 seconds{hint if initiator else ''}"
    assert ours.next_deadline() == math.inf


def test_a_handshake_is_limited_even_while_we_do_not_read() -> None:
    ours = connection()
    ours.pause_reading(NOW)
    assert ours.next_deadline() == NOW + HANDSHAKE_TIME
    assert error_of(ours.handle_deadline(NOW + HANDSHAKE_TIME))


def test_a_keepalive_is_sent_exactly_when_it_is_due() -> None:
    remote = handshaken()
    ours = remote.ours
    assert ours.next_deadline() == NOW + KEEPALIVE
    assert ours.handle_deadline(NOW + KEEPALIVE - 0.001) == []
    assert not ours.has_output
    assert ours.handle_deadline(NOW + KEEPALIVE) == []
    assert ours.outbox.chunks == [frames.KEEPALIVE]
    assert remote.heard() == []
    assert ours.next_deadline() == NOW + SILENCE


def test_sending_postpones_the_keepalive() -> None:
    ours = handshaken().ours
    ours.sender(None, "chat").send(b"x")
    assert ours.data_to_send(NOW + 4)
    assert ours.next_deadline() == NOW + 4 + KEEPALIVE
    assert not ours.data_to_send(NOW + 6)  # nothing was sent
    assert ours.next_deadline() == NOW + 4 + KEEPALIVE


def test_receiving_does_not_postpone_the_keepalive() -> None:
    remote = handshaken()
    remote.ours.receive_data(remote.encrypt(frames.KEEPALIVE), NOW + 9)
    assert remote.ours.next_deadline() == NOW + KEEPALIVE


def test_a_keepalive_that_cannot_leave_is_not_repeated_at_once() -> None:
    ours = handshaken().ours
    for count in (1, 2, 3):
        ours.receive_data(b"", NOW + count * KEEPALIVE)
        assert ours.handle_deadline(NOW + count * KEEPALIVE) == []
        assert ours.outbox.size == count
        assert ours.next_deadline() == NOW + (count + 1) * KEEPALIVE


def test_a_silent_remote() -> None:
    remote = handshaken()
    ours = remote.ours
    ours.receive_data(remote.encrypt(frames.KEEPALIVE), NOW + 5)
    for second in (10, 15, 20):
        ours.data_to_send(NOW + second)
        assert ours.handle_deadline(NOW + second) == []
    assert ours.handle_deadline(NOW + 24.999) == []
    ours.data_to_send(NOW + 24.999)
    assert ours.next_deadline() == NOW + 25
    assert error_of(ours.handle_deadline(NOW + 25)) == "nothing received for 20 seconds"


def test_a_remote_may_be_silent_while_we_do_not_read() -> None:
    ours = handshaken().ours
    ours.pause_reading(NOW + 1)
    assert ours.next_deadline() == NOW + KEEPALIVE
    for second in range(10, 200, 10):
        assert ours.handle_deadline(NOW + second) == []
        assert ours.data_to_send(NOW + second)  # keepalives are sent all the same
    ours.resume_reading(NOW + 200)
    for later in (0, 10, 19.9):
        assert ours.handle_deadline(NOW + 200 + later) == []
    assert error_of(ours.handle_deadline(NOW + 220)) == "nothing received for 20 seconds"


def test_a_clock_that_steps_back_does_no_harm() -> None:
    remote = handshaken()
    remote.ours.receive_data(remote.encrypt(frames.KEEPALIVE), NOW + 15)
    assert remote.ours.handle_deadline(NOW) == []
    remote.ours.receive_data(remote.encrypt(frames.KEEPALIVE), NOW - 100)
    for second in (25, 34):
        assert remote.ours.handle_deadline(NOW + second) == []
    assert error_of(remote.ours.handle_deadline(NOW + 35))


# Our own lateness, and output that the remote does not take


def test_our_absence_does_not_count_as_silence_of_the_remote() -> None:
    """The remote's keepalives could not reach us, or will still arrive."""
    ours = handshaken().ours
    for second in (10, 90):  # suspended between the two: the remote was silent for 10 seconds
        assert ours.handle_deadline(NOW + second) == []
        assert ours.data_to_send(NOW + second)  # a keepalive is sent all the same
    assert ours.next_deadline() == NOW + 100
    assert error_of(ours.handle_deadline(NOW + 100)) == "nothing received for 20 seconds"


def test_a_slightly_late_call_is_no_absence() -> None:
    ours = handshaken().ours
    assert ours.handle_deadline(NOW + 10) == []
    assert error_of(ours.handle_deadline(NOW + 20.9)) == "nothing received for 20 seconds"


def test_input_unread_during_our_absence_counts_from_the_time_of_reading() -> None:
    remote = handshaken()
    assert remote.ours.handle_deadline(NOW + 10) == []
    remote.ours.receive_data(remote.encrypt(frames.KEEPALIVE), NOW + 90)
    remote.ours.data_to_send(NOW + 90)
    assert remote.ours.remote_deadline == NOW + 110


@pytest.mark.parametrize("what", ["data", "deadline"])
def test_our_absence_does_not_shorten_the_handshake(what: str) -> None:
    ours = connection()
    if what == "data":  # some of the handshake came in the meantime
        assert ours.receive_data(b"\x3a", NOW + 60) == []
    assert ours.handle_deadline(NOW + 60) == []
    assert ours.next_deadline() == ours.remote_deadline == NOW + 60 + HANDSHAKE_TIME
    assert error_of(ours.handle_deadline(NOW + 60 + HANDSHAKE_TIME))


def test_sending_shows_that_we_were_away() -> None:
    remote = handshaken()
    remote.ours.sender(None, "chat").send(b"x")
    assert remote.ours.data_to_send(NOW + 60)
    assert remote.ours.handle_deadline(NOW + 60) == []
    assert remote.ours.remote_deadline == NOW + 60 + SILENCE


def test_a_long_wait_with_nothing_due_is_no_absence() -> None:
    ours = handshaken().ours
    ours.pause_reading(NOW + 9)
    ours.resume_reading(NOW + 9.9)
    assert ours.remote_deadline == NOW + 29.9


def stuck() -> Connection:
    """Return a connection whose output is never taken, and whose remote sends keepalives."""
    remote = handshaken()
    ours = remote.ours
    for second in range(10, 140, 10):
        ours.receive_data(remote.encrypt(frames.KEEPALIVE), NOW + second)
        assert ours.handle_deadline(NOW + second) == []
    return ours


def test_a_remote_that_takes_no_output_is_given_up() -> None:
    ours = stuck()
    # Counted from the time at which the first keepalive was found untaken.
    assert ours.remote_deadline == NOW + 20 + SEND_TIME
    error = error_of(ours.handle_deadline(NOW + 20 + SEND_TIME))
    assert error == "the remote has taken no output for 120 seconds"


@pytest.mark.parametrize("take", [lambda ours: ours.output_taken(), lambda ours: ours.data_to_send()])
def test_a_remote_that_takes_some_output_gets_its_full_time_again(
    take: Callable[[Connection], object],
) -> None:
    ours = stuck()
    take(ours)
    assert ours.remote_deadline == NOW + 130 + SILENCE


def test_our_absence_does_not_count_against_a_remote_that_takes_no_output() -> None:
    ours = stuck()
    assert ours.handle_deadline(NOW + 230) == []
    ours.receive_data(b"", NOW + 230)
    assert ours.remote_deadline == NOW + 20 + SEND_TIME + 100


@pytest.mark.parametrize("seed", range(30))
def test_handling_a_deadline_moves_the_next_one_into_the_future(seed: int) -> None:
    generator, now = random.Random(seed), NOW
    remote = handshaken() if seed % 3 else None
    ours = remote.ours if remote is not None else connection()
    actions: list[Callable[[], object]] = [
        lambda: ours.pause_reading(now),
        lambda: ours.resume_reading(now),
        lambda: ours.data_to_send(now),
        lambda: remote is not None and ours.receive_data(remote.encrypt(frames.KEEPALIVE), now),
        lambda: None,
    ]
    while not ours.closed and now < NOW + 500:
        now += generator.choice((0, 0.1, 3, 9.99, 10, 19.99, 20, 45))
        generator.choice(actions)()
        events = ours.handle_deadline(now)
        assert ours.next_deadline() > now
        assert bool(events) == ours.closed
        if generator.random() < 0.3:  # as precise as a timer
            now = min(ours.next_deadline(), now + 1000)
            ours.handle_deadline(now)
            assert ours.next_deadline() > now


def test_times_are_those_of_the_limits() -> None:
    limits = attrs.evolve(DEFAULT_LIMITS, handshake_time=1, keepalive=2, silence=3)
    ours = connection(limits=limits)
    assert ours.next_deadline() == NOW + 1
    remote = RawPeer(ours)
    remote.heard()
    assert ours.next_deadline() == NOW + 2
    assert ours.handle_deadline(NOW + 2) == []
    assert error_of(ours.handle_deadline(NOW + 3)) == "nothing received for 3 seconds"
