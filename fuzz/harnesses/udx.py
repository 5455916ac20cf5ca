"""Invariant: whatever arrives, an endpoint stays small, raises nothing, and disturbs no honest stream.

One endpoint has two streams. The honest one talks to a second endpoint, whose packets are delivered as they
are. The other one's remote is the script: it sends packets of its choice, mutated ones of the honest side,
and anything else, from anywhere, while time passes and we use the stream. A packet that it sends to the id of
the honest stream acknowledges packets that were never sent, as a stranger's guess does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

from fuzz.support import Script, bounded_work, retained
from peersockets_core.udx import (
    DataReceived,
    Endpoint,
    Event,
    Stream,
    StreamClosed,
    StreamEnded,
    UdxLimits,
)
from peersockets_core.udx.packet import HEADER_SIZE, Flag, header, word

LIMITS: Final = UdxLimits(
    window=8 * 1024,
    window_excess=1024,
    reordered_packets=32,
    send_buffer=4 * 1024,
    messages=1024,
    early_bytes=2 * 1024,
    farewells=8,
)
"""Bounds that an input of a few KiB can reach."""

CALLS: Final = 8_000
CALLS_PER_PACKET: Final = 120
"""Calls of Python functions allowed for the honest exchange, and for each packet or action of the script."""

MEMORY: Final = 64 * 1024
"""Bytes that the endpoint may hold with `LIMITS`, whatever has arrived."""

ANSWER: Final = HEADER_SIZE + 8 * 50
"""Bytes of the largest packet that answers another one: a header, and fifty ranges."""

FAR: Final = 1 << 24
"""A distance beyond every number that a stream can have reached."""

CONTENT: Final = bytes(range(256)) * 24
"""The bytes that the honest sides send each other."""

OURS, HONEST, THEIRS = 1, 2, 3
_IDS: Final = (OURS, OURS, OURS, HONEST, THEIRS, 98, 99, 0xFFFFFFFF)
_WINDOWS: Final = (4096, 0, 1, 0xFFFFFFFF)
_FIRST: Final = (0, 0xFFFFFFF0)

_US, _FRIEND = ("10.0.0.1", 1), ("10.0.0.2", 2)
_ATTACKER, _STRANGER = ("6.6.6.6", 6), ("7.7.7.7", 7)


class _Honest:
    """The events of one of the honest sides."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.received = bytearray()
        self.ended = False
        self.closed = False
        stream.write(CONTENT)
        stream.end()

    def see(self, event: Event) -> None:
        """Check that each event is as it should be."""
        assert not self.closed
        if isinstance(event, DataReceived):
            self.received += event.data
            self.stream.consume(len(event.data))
        elif isinstance(event, StreamEnded):
            self.ended = True
        elif isinstance(event, StreamClosed):
            assert event.error is None, event.error
            self.closed = True


class _Play:
    def __init__(self, script: Script) -> None:
        self.script = script
        self.now = 1000.0
        self.ours = Endpoint(limits=LIMITS, now=self.now)
        self.friend = Endpoint(limits=LIMITS, now=self.now)
        self.first = _FIRST[script.byte() & 1]
        self.attacked = self.ours.open_stream(OURS, self.now)
        self.attacked_closed = False
        streams = self.ours.open_stream(HONEST, self.now), self.friend.open_stream(THEIRS, self.now)
        streams[0].connect(THEIRS, _FRIEND, self.now)
        streams[1].connect(HONEST, _US, self.now)
        self.sides = {stream: _Honest(stream) for stream in streams}
        self.to_us: list[bytes] = []
        self.to_friend: list[bytes] = []
        self.packets = 0
        """The number of packets that the script has sent, and of our own actions."""
        self.said = 0
        """Bytes that were sent to the attacked stream's remote."""
        self.own = 0
        """Bytes that we have written to it."""

    # Acts

    def send_packet(self) -> None:
        """Send a packet of the attacker."""
        self.hear(self._packet())

    def send_run(self) -> None:
        """Send a few packets in one read, cut wherever the script says."""
        count, size = 1 + self.script.choose(8), self.script.byte()
        self.hear(b"".join(self._packet() for _ in range(count)), size)

    def send_anything(self) -> None:
        """Send any bytes."""
        size = self.script.byte()
        self.hear(self.script.take(self.script.byte()), size)

    def send_flood(self) -> None:
        """Send data, with gaps or without, to one id or to many."""
        script = self.script
        count, step, id_step = 1 + script.byte() // 4, script.choose(4), script.choose(3)
        start, payload, stranger = script.byte(), bytes(script.byte()), script.byte() & 1
        for index in range(count):
            number = self.first + start + index * step & 0xFFFFFFFF
            stream_id = OURS + index * 10 * id_step
            self.hear(
                header(word(Flag.DATA), stream_id, 4096, number, self.first) + payload, stranger=stranger
            )

    def send_mutated(self) -> None:
        """Send a packet of the honest side, with one byte changed, to the attacked stream."""
        place, change = self.script.choose(24), self.script.byte()
        if self.to_us:
            packet = bytearray(self.to_us[0])
            packet[4:8] = OURS.to_bytes(4, "little")
            packet[min(place, len(packet) - 1)] ^= change
            self.hear(bytes(packet))

    def use(self) -> None:
        """Use the attacked stream, or open it again."""
        choice, stream = self.script.byte(), self.attacked
        self.packets += 1
        if self.attacked_closed:
            self.attacked = self.ours.open_stream(OURS, self.now)
            self.attacked_closed = False
        elif not stream.connected:
            stream.connect(99, _ATTACKER, self.now, remote_seq=self.first, local_seq=self.first)
        elif choice & 7 == 0:
            stream.destroy()
            self.attacked_closed = True
        elif choice & 7 == 1:
            stream.consume(stream.unread)
        elif choice & 7 == 2:
            stream.send_message(bytes(choice))
            self.own += HEADER_SIZE + choice
        elif choice & 7 == 3:
            stream.change_remote(98, _ATTACKER, self.now)
        elif choice & 7 == 4 and stream.writable:
            stream.end()
        elif stream.writable:
            stream.write(bytes(choice * 8))
            self.own += choice * 8

    def exchange(self) -> None:
        """Let a few packets of the honest sides arrive."""
        self.deliver(1 + self.script.choose(8))

    def wait(self) -> None:
        """Time passes."""
        self.packets += 1
        self.pass_time(self.now + self.script.byte() / 16)

    # The parts of these actions

    def _packet(self) -> bytes:
        """Return a packet that resembles those of a real remote."""
        script = self.script
        choice, flags = script.byte(), script.byte()
        number, ack = (self.first + script.byte() - 8 & 0xFFFFFFFF for _ in range(2))
        if choice & 64:
            number = number + FAR & 0xFFFFFFFF
        if choice & 128:
            ack = ack + FAR & 0xFFFFFFFF
        offset = script.byte() if choice & 32 else 0
        body = script.take(script.byte() % 64)
        return header(word(flags, offset), _IDS[choice & 7], _WINDOWS[choice >> 3 & 3], number, ack) + body

    def hear(self, data: bytes, size: int = 0, *, stranger: int | None = None) -> None:
        """Receive packets of the script in one read."""
        size = size or len(data) or 1
        harmless = bytearray(data)
        for start in range(0, len(data), size):
            self.packets += 1
            if (
                data[start + 4 : start + 8] == HONEST.to_bytes(4, "little")
                and len(data) - start >= HEADER_SIZE
            ):
                harmless[start + 16 : start + 20] = FAR.to_bytes(4, "little")
        stranger = self.script.byte() & 1 if stranger is None else stranger
        source = _STRANGER if stranger else _ATTACKER
        self.see(self.ours.receive_datagrams(harmless, size, source, self.now))
        self.collect()

    def deliver(self, count: int) -> None:
        """Let packets of the honest sides arrive."""
        for endpoint, inbox, source in (
            (self.ours, self.to_us, _FRIEND),
            (self.friend, self.to_friend, _US),
        ):
            for packet in inbox[:count]:
                self.see(endpoint.receive_datagrams(packet, len(packet), source, self.now))
            del inbox[:count]
        self.collect()

    def pass_time(self, until: float) -> None:
        """Let time pass for everybody; the honest sides lose nothing meanwhile."""
        endpoints = (self.ours, self.friend)
        while True:
            self.collect()
            while self.to_us or self.to_friend:
                self.deliver(len(self.to_us) + len(self.to_friend))
            due = min(endpoint.next_deadline() for endpoint in endpoints)
            if due > until:
                break
            self.now = max(self.now, due)
            for endpoint in endpoints:
                self.packets += 1
                self.see(endpoint.handle_deadline(self.now))
                self.collect()
                assert endpoint.next_deadline() > self.now, "the deadline does not move on"
        self.now = until

    def see(self, events: Iterable[Event]) -> None:
        """Hand each event to the side that it concerns."""
        for event in events:
            if event.stream in self.sides:
                self.sides[event.stream].see(event)
                continue
            assert event.stream is self.attacked
            assert not self.attacked_closed, f"{event} after the end"
            self.attacked_closed = isinstance(event, StreamClosed)

    def collect(self) -> None:
        """Take the output of the endpoints."""
        for endpoint, inbox in ((self.ours, self.to_friend), (self.friend, self.to_us)):
            for destination, buffers, size in endpoint.datagrams_to_send(self.now):
                data = b"".join(buffers)
                if destination == _ATTACKER:
                    self.said += len(data)
                    continue
                assert destination == (_FRIEND if inbox is self.to_friend else _US)
                inbox += [data[start : start + size] for start in range(0, len(data), size)]

    def finish(self) -> None:
        """End the attacked stream. The honest one must end as if there had been no attack."""
        if not self.attacked_closed:
            self.attacked.destroy()
            self.attacked_closed = True
        for _ in range(100):
            if all(side.closed for side in self.sides.values()):
                break
            self.pass_time(self.now + 0.5)
        for side in self.sides.values():
            assert side.closed
            assert side.ended
            assert side.received == CONTENT
        self.pass_time(self.now + 100)
        assert self.ours.next_deadline() == self.friend.next_deadline() == math.inf


_ACTS: Final[tuple[Callable[[_Play], None], ...]] = (
    _Play.send_packet, _Play.send_packet, _Play.send_run, _Play.send_anything, _Play.send_flood,
    _Play.send_mutated, _Play.use, _Play.use, _Play.exchange, _Play.wait,
)  # fmt: skip


_CONNECTED: Final = bytes((0, 7, 0))
_FLOOD: Final = 4
KEPT: Final = (
    _CONNECTED + b"".join(bytes((_FLOOD, 255, 1, 0, start, 255, 0)) for start in (0, 64, 128, 192)),
    _CONNECTED + bytes((_FLOOD, 255, 2, 0, 1, 1, 0)) * 4,
    b"\0" + bytes((_FLOOD, 255, 1, 1, 0, 255, 0)) * 6,
)
"""More data than the window, in order; only gaps; packets for ids that no stream has. Coverage does not count
bytes."""


def run(data: bytes) -> None:
    """Play an input."""
    the = _Play(Script(data))
    with bounded_work(lambda: CALLS + CALLS_PER_PACKET * the.packets):
        the.collect()
        while the.script:
            _ACTS[the.script.choose(len(_ACTS))](the)
            # A packet is sent at most seven times, and each time answered by one.
            assert the.said <= 8 * 2 * the.own + ANSWER * the.packets
            assert the.attacked.unread <= LIMITS.window + LIMITS.window_excess
    assert retained(the.ours) <= MEMORY, retained(the.ours)
    the.finish()
