"""Sessions of real udx-native streams, in which our stream plays one side."""

from __future__ import annotations

from itertools import groupby

import pytest

from core.udx.recorded import ALICE_ID, BOB_ID, SESSIONS, Session
from core.udx.support import ALICE
from peersockets_core.udx import DataReceived, Endpoint, Event, MessageReceived, StreamClosed, StreamEnded
from peersockets_core.udx.packet import (
    HEADER_SIZE,
    Flag,
    flags_untrusted,
    header,
    pack_ranges,
    parse_ranges_untrusted,
    parse_run_untrusted,
)

NAMED = {session.name: session for session in SESSIONS}
by_name = pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session.name)


class Bob:
    """Does the same as Bob in the recording: he echoes in one session, and ends when Alice does."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.endpoint = Endpoint(now=0.0)
        self.stream = self.endpoint.open_stream(BOB_ID, 0.0)
        self.stream.connect(ALICE_ID, ALICE, 0.0)
        self.data = b""
        self.messages: list[bytes] = []
        self.closed: list[StreamClosed] = []
        self.sent: list[bytes] = []

    def receive(self, data: bytes, size: int, now: float) -> None:
        self.note(self.endpoint.receive_datagrams(data, size, ALICE, now))
        for _, buffers, _ in self.endpoint.datagrams_to_send(now):
            self.sent.append(b"".join(buffers))

    def note(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case DataReceived():
                    self.data += event.data
                    event.stream.consume(len(event.data))
                    if self.session.name == "exchange":
                        event.stream.write(bytes(event.data))
                case MessageReceived():
                    self.messages.append(event.data)
                case StreamEnded():
                    if self.session.name == "half":
                        event.stream.write(b"mine")
                    event.stream.end()
                case StreamClosed():
                    self.closed.append(event)

    def check(self) -> None:
        session = self.session
        assert (self.data, self.messages) == (session.data, session.messages)
        assert self.endpoint.statistics().refused == self.endpoint.statistics().malformed == 0
        (closed,) = self.closed
        assert (closed.error is None) == (session.error is None)
        assert not self.endpoint.streams


@by_name
def test_each_datagram_is_received(session: Session) -> None:
    bob = Bob(session)
    for sender, now, data in session.datagrams:
        if sender == "alice":
            bob.receive(data, len(data), now)
    bob.check()


@pytest.mark.parametrize("session", [NAMED["probes"], NAMED["losses"]], ids=lambda session: session.name)
def test_runs_of_datagrams_are_received(session: Session) -> None:
    bob = Bob(session)
    for size, run in groupby(session.of("alice"), len):
        bob.receive(b"".join(run), size, 0.0)
    bob.check()


@by_name
def test_every_datagram_may_come_twice(session: Session) -> None:
    bob = Bob(session)
    for data in session.of("alice"):
        bob.receive(data * (2 if data[2] != Flag.MESSAGE else 1), len(data), 0.0)
    assert (bob.data, bob.messages) == (session.data, session.messages)


@by_name
def test_every_beginning_of_a_datagram_is_harmless(session: Session) -> None:
    for data in session.of("alice")[:20]:
        bob = Bob(session)
        for size in range(len(data)):
            bob.receive(data[:size], size, 0.0)


@pytest.mark.parametrize("name", ["probes", "losses", "keepalive"])
def test_the_answers_match_those_of_udx_native(name: str) -> None:
    session = NAMED[name]
    bob = Bob(session)
    for data in session.of("alice"):
        bob.receive(data, len(data), 0.0)

    def summary(data: bytes) -> tuple[int, bytes, bytes]:
        return data[2] & ~Flag.END, data[16:20], data[20:]  # our acknowledgements ride on the END

    real = [summary(data) for data in session.of("bob")]
    ours = [summary(data) for data in bob.sent]
    assert set(real) <= set(ours)
    if name == "losses":
        assert any(flags & Flag.SACK for flags, _, _ in ours)


@by_name
def test_every_header_is_written_as_it_was_read(session: Session) -> None:
    for _, _, data in session.datagrams:
        columns = parse_run_untrusted(data, len(data))
        fields = [column[0] for column in columns]
        assert header(*fields) == data[:HEADER_SIZE]
        flags = flags_untrusted(fields[0])
        assert flags is not None
        if flags & Flag.SACK:
            body = data[HEADER_SIZE:]
            assert pack_ranges(parse_ranges_untrusted(body, data[3])) == body
