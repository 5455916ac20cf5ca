"""Connections that wait after the handshake, and those that expect a key, on every wire."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from core.support import CUTS, KEY, NOW, Cutter, entropy, key_pair, merged
from peersockets_core import (
    DEFAULT_LIMITS,
    WIRES,
    Connection,
    ConnectionClosed,
    DriveOpened,
    Event,
    HandshakeCompleted,
    Limits,
    LocalProtocolError,
    MessagesReceived,
    Refused,
    RemoteProtocolError,
    UnexpectedKey,
    WireName,
)

NAME = "chat"
PATIENT = Limits(handshake_time=1000.0)


class Pair:
    """Our connection and a remote's, connected in memory. The remote has a drive open and sends at once."""

    def __init__(
        self, wire: WireName, initiator: bool, *, limits: Limits = DEFAULT_LIMITS, **ours: Any
    ) -> None:
        self.ours = self._connection("ours", wire, initiator, limits=limits, **ours)
        self.remote = self._connection("remote", wire, not initiator)
        self.events: list[Event] = []
        self.remote_events: list[Event] = []
        self.ours.open_drive(KEY)
        self.remote.open_drive(KEY)

    def _connection(self, label: str, wire: WireName, initiator: bool, **options: Any) -> Connection:
        made = Connection(
            wire=wire,
            initiator=initiator,
            key_pair=key_pair(label),
            entropy=entropy(label),
            now=NOW,
            **options,
        )
        made.extensions.register(NAME)
        return made

    def exchange(self, cut: Cutter = CUTS["whole"]) -> None:
        """Carry bytes both ways until no side has more."""
        while self.ours.has_output or self.remote.has_output:
            self.remote_events += self.remote.receive_data(bytes(self.ours.data_to_send(NOW)), NOW)
            for chunk in cut(bytes(self.remote.data_to_send(NOW))):
                self.events += self.ours.receive_data(chunk, NOW)

    def talk(self) -> None:
        """Let each side send a message to the other."""
        for side in (self.ours, self.remote):
            sender = side.sender(KEY.discovery_key if side.wire == "hypercore11" else None, NAME)
            sender.send(side.key_pair.seed)
        self.exchange()


@pytest.fixture(params=list(itertools.product(WIRES, (True, False))), ids=str)
def make(request: pytest.FixtureRequest) -> Callable[..., Pair]:
    wire, initiator = request.param
    return lambda **options: Pair(wire, initiator, **options)


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS)
def test_nothing_is_said_either_way_before_the_remote_is_admitted(
    make: Callable[..., Pair], cut: Cutter
) -> None:
    pair = make(hold=True)
    ours = pair.ours
    pair.exchange(cut)
    (completed,) = pair.events
    assert isinstance(completed, HandshakeCompleted)
    assert completed.remote_public_key == ours.remote_public_key
    held = ours.on_hold
    assert [type(event) for event in pair.remote_events] == [HandshakeCompleted]
    pair.events += ours.admit(NOW)
    assert (held, ours.on_hold) == (True, False)
    pair.exchange(cut)
    pair.talk()
    for events, sender in ((pair.events, pair.remote), (pair.remote_events, ours)):
        kinds = merged(events)
        message = kinds[2]
        assert isinstance(message, MessagesReceived)
        assert message.payloads == [sender.key_pair.seed]
        assert [type(event) for event in kinds] == [HandshakeCompleted, DriveOpened, MessagesReceived]


def test_a_connection_on_hold_sends_no_byte_about_drives(make: Callable[..., Pair]) -> None:
    """It sends exactly the bytes of a connection without any drive."""
    pair, without = make(hold=True), make(hold=True)
    without.ours.close_drive(KEY.discovery_key)
    said: list[bytes] = []
    for one in (pair, without):
        data = bytearray()
        while one.ours.has_output or one.remote.has_output:
            chunk = bytes(one.ours.data_to_send(NOW))
            data += chunk
            one.remote.receive_data(chunk, NOW)
            one.ours.receive_data(bytes(one.remote.data_to_send(NOW)), NOW)
        said.append(bytes(data))
    assert said[0] == said[1] != b""


def test_drives_opened_and_closed_on_hold_count_once_the_remote_is_admitted(
    make: Callable[..., Pair],
) -> None:
    pair = make(hold=True)
    pair.exchange()
    pair.ours.close_drive(KEY.discovery_key)
    pair.ours.open_drive(KEY)
    assert not pair.ours.has_output
    pair.events += pair.ours.admit(NOW)
    pair.exchange()
    assert DriveOpened(KEY.discovery_key) in pair.events
    assert DriveOpened(KEY.discovery_key) in pair.remote_events


def test_nothing_is_sent_on_hold(make: Callable[..., Pair]) -> None:
    pair = make(hold=True)
    with pytest.raises(LocalProtocolError, match="handshake is not finished"):
        pair.ours.sender(None, NAME)
    pair.exchange()
    with pytest.raises(LocalProtocolError, match="on hold"):
        pair.ours.sender(None, NAME)


def test_admitting_without_a_remote_on_hold_is_an_error(make: Callable[..., Pair]) -> None:
    for pair in (make(hold=True), make(hold=False)):
        with pytest.raises(LocalProtocolError, match="no remote is on hold"):
            pair.ours.admit(NOW)
    pair.exchange()
    with pytest.raises(LocalProtocolError, match="no remote is on hold"):
        pair.ours.admit(NOW)


def test_a_refusal(make: Callable[..., Pair]) -> None:
    pair = make(hold=True)
    pair.exchange()
    refusal = Refused("not on the list")
    assert pair.ours.fail(refusal) == [ConnectionClosed(refusal)]
    assert str(pair.ours.error) == "refused: not on the list"
    assert not pair.ours.on_hold
    assert not pair.ours.has_output
    assert pair.ours.data_to_send() == b""
    with pytest.raises(LocalProtocolError, match="closed"):
        pair.ours.admit(NOW)
    assert [type(event) for event in pair.remote_events] == [HandshakeCompleted]


def test_a_remote_that_is_refused_at_once_can_finish_the_handshake(make: Callable[..., Pair]) -> None:
    """The last message of the handshake is still sent if it is ours."""
    pair = make(hold=True)
    while not pair.ours.on_hold:
        pair.remote.receive_data(bytes(pair.ours.data_to_send(NOW)), NOW)
        pair.ours.receive_data(bytes(pair.remote.data_to_send(NOW)), NOW)
    pair.ours.fail(Refused("at once"))
    pair.exchange()
    assert pair.remote.remote_public_key == pair.ours.key_pair.public_keys[pair.ours.wire or "hypercore9"]
    assert pair.remote.receive_eof(NOW) == [ConnectionClosed(None)]


def test_a_decision_must_come_within_the_time_of_the_handshake(make: Callable[..., Pair]) -> None:
    limits = Limits(handshake_time=4.0)
    pair = make(hold=True, limits=limits)
    pair.exchange()
    assert pair.ours.next_deadline() == NOW + limits.handshake_time
    assert pair.ours.handle_deadline(NOW + 3.9) == []
    (closed,) = pair.ours.handle_deadline(NOW + 4.0)
    assert isinstance(closed, ConnectionClosed)
    assert str(closed.error) == "refused: no decision within 4 seconds"


def test_keepalives_are_sent_on_hold(make: Callable[..., Pair]) -> None:
    """They reveal nothing. The remote may be silent, since we do not read."""
    pair = make(hold=True, limits=PATIENT)
    pair.exchange()
    pair.remote_events.clear()
    for _ in range(5):
        now = pair.ours.next_deadline()
        assert pair.ours.handle_deadline(now) == []
        data = bytes(pair.ours.data_to_send(now))
        assert data
        assert pair.remote.receive_data(data, now) == []
    assert now < NOW + PATIENT.handshake_time
    pair.events += pair.ours.admit(now)
    assert pair.ours.next_deadline() > now
    pair.exchange()
    assert DriveOpened(KEY.discovery_key) in pair.events


def test_kept_input_is_bounded(make: Callable[..., Pair]) -> None:
    pair = make(hold=True, limits=Limits(held=10_000))
    pair.exchange()
    pair.events.clear()
    while not pair.events:
        pair.events += pair.ours.receive_data(bytes(1000), NOW)
        assert len(pair.ours.admission.held) <= 11_000
    (closed,) = pair.events
    assert isinstance(closed, ConnectionClosed)
    assert type(closed.error) is RemoteProtocolError
    assert "not yet admitted" in str(closed.error)


def test_garbage_is_not_read_before_the_remote_is_admitted(make: Callable[..., Pair]) -> None:
    pair = make(hold=True)
    pair.exchange()
    assert pair.ours.receive_data(b"\xff" * 100, NOW) == []
    closed = (pair.ours.admit(NOW) + pair.ours.receive_eof(NOW))[-1]
    assert isinstance(closed, ConnectionClosed)
    assert type(closed.error) is RemoteProtocolError


def test_the_end_of_the_stream_on_hold(make: Callable[..., Pair]) -> None:
    pair = make(hold=True)
    pair.exchange()
    (closed,) = pair.ours.receive_eof(NOW)
    assert isinstance(closed, ConnectionClosed)
    assert not pair.ours.on_hold


# The key of the remote


def test_the_remote_has_the_expected_key(make: Callable[..., Pair]) -> None:
    wire = make().ours.wire
    assert wire is not None
    pair = make(expect=key_pair("remote").public_keys[wire])
    pair.exchange()
    assert DriveOpened(KEY.discovery_key) in pair.events


@pytest.mark.parametrize("hold", [True, False])
def test_the_remote_has_another_key_than_expected(make: Callable[..., Pair], hold: bool) -> None:
    expected = bytes(32)
    pair = make(expect=expected, hold=hold)
    pair.exchange()
    (closed,) = pair.events
    assert isinstance(closed, ConnectionClosed)
    error = closed.error
    assert isinstance(error, UnexpectedKey)
    assert (error.expected, error.actual) == (expected, pair.ours.remote_public_key)
    assert error.actual.hex() in str(error)
    assert not pair.ours.on_hold
    assert DriveOpened(KEY.discovery_key) not in pair.remote_events
    if pair.ours.initiator:
        # The wrong remote does not learn who we are.
        assert pair.remote.remote_public_key is None


@pytest.mark.parametrize("expect", [b"", bytes(31), "00" * 31, "xx" * 32, 7])
def test_the_expected_key_must_be_a_key(make: Callable[..., Pair], expect: Any) -> None:
    with pytest.raises(ValueError, match="expect must be a public key"):
        make(expect=expect)
