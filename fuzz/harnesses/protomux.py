"""Invariant: two muxes end in agreement; a hostile remote causes only `RemoteProtocolError`.

The first byte of an input chooses which. The rest is a script. With two muxes, it lists the actions of both
and the arrivals of frames. Against a hostile remote, it lists the remote's messages and our own actions; no
more memory may stay in use than the limits allow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from fuzz.support import LIMITS, Script, bounded_work, retained
from peersockets_core import DEFAULT_LIMITS, Limits, LocalProtocolError, RemoteProtocolError
from peersockets_core.outbox import Outbox
from peersockets_core.wires.hypercore11.protomux import Channel, Mux

CALLS: Final = 300
CALLS_PER_BYTE: Final = 40
MEMORY: Final = 24 * 1024
_HONEST: Final = attrs.evolve(DEFAULT_LIMITS, early_messages=1 << 30)
_KEYS: Final = (("p", b""), ("p", b"1"), ("q", b"1"))
_CLOSE, _ANSWER = 250, 251
"""Types of messages that make our handler do something in the middle of a batch."""


class _Handler:
    """The life of one channel, as its handler sees it."""

    def __init__(self, side: _Side) -> None:
        self._side = side
        self.channel: Channel | None = None
        self.sent: list[bytes] = []
        self.heard: list[bytes] = []
        self.partner: bytes | None = None
        """The handshake of the other end, which names it."""
        self.ended = False

    def opened_untrusted(self, handshake: bytes) -> None:
        assert self.partner is None
        assert not self.ended
        self.partner = handshake

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        assert self.partner is not None
        assert not self.ended
        assert start <= end <= len(data)
        self.heard.append(data[start:end])
        if self.channel is not None and message_type == _CLOSE:
            self._side.close(self)
        elif self.channel is not None and message_type == _ANSWER:
            self._side.mux.send(self.channel, 0, data[start:end])
            self.sent.append(data[start:end])

    def closed(self) -> None:
        assert not self.ended
        self.ended = True


class _Side:
    """A mux, its past and present handlers by the handshakes of their channels, and the frames on their way
    to it.
    """

    def __init__(self, name: int, limits: Limits) -> None:
        self.limits = limits
        self.mux = Mux(limits=limits, outbox=Outbox(limit=limits.send_buffer, reply_limit=limits.replies))
        self.handlers: dict[bytes, _Handler] = {}
        self.arriving: deque[bytes] = deque()
        self._name = name
        self._decisions: dict[tuple[str, bytes], int] = {}
        for protocol in ("p", "q"):
            self.mux.pair(protocol, None, self._notify)

    def _notify(self, protocol: str, channel_id: bytes) -> bool:
        decision = self._decisions.get((protocol, channel_id), 0)
        if decision == 1:
            self.open((protocol, channel_id))
        return decision == 2

    def open(self, key: tuple[str, bytes]) -> None:
        handler = _Handler(self)
        handshake = b"%d:%d" % (self._name, len(self.handlers))
        self.handlers[handshake] = handler
        try:
            handler.channel = self.mux.open(*key, handshake, handler)
        except LocalProtocolError:
            del self.handlers[handshake]

    def close(self, handler: _Handler) -> None:
        assert handler.channel is not None
        self.mux.close(handler.channel)
        handler.ended = True

    def act(self, script: Script) -> None:
        """Carry out one of our own actions."""
        choice, key = script.byte(), _KEYS[script.choose(len(_KEYS))]
        if choice % 5 == 0:
            self.open(key)
        elif choice % 5 == 1:
            self._decisions[key] = choice // 5 % 3
        elif choice % 5 == 2:
            self.mux.reject(*key)
        else:
            living = [handler for handler in self.handlers.values() if not handler.ended and handler.channel]
            if living:
                handler = living[script.choose(len(living))]
                self._use(handler, script, close=choice % 5 == 4)

    def _use(self, handler: _Handler, script: Script, *, close: bool) -> None:
        assert handler.channel is not None
        if close:
            self.close(handler)
        elif self.mux.outbox.size < self.limits.send_buffer:
            message_type, body = script.byte(), script.take(script.byte())
            self.mux.send(handler.channel, message_type, body)
            handler.sent.append(body)

    def receive(self) -> None:
        if self.arriving:
            self.mux.receive_untrusted(self.arriving.popleft())


def _honest(script: Script) -> None:
    left, right = _Side(0, _HONEST), _Side(1, _HONEST)
    while script:
        choice = script.byte()
        here, there = (left, right) if choice & 1 else (right, left)
        if choice & 6 == 0:
            there.arriving += [b"".join(chunks) for _, chunks in here.mux.take_messages()]
        elif choice & 6 == 2:
            here.receive()
        else:
            here.act(script)
    for _ in range(20):
        for here, there in ((left, right), (right, left)):
            there.arriving += [b"".join(chunks) for _, chunks in here.mux.take_messages()]
            while there.arriving:
                there.receive()
        if not left.mux.outbox.chunks and not right.mux.outbox.chunks:
            break
    else:
        raise AssertionError("the two sides talk for ever")
    for here, there in ((left, right), (right, left)):
        for name, handler in here.handlers.items():
            _check_life(name, handler, there)


def _check_life(name: bytes, handler: _Handler, there: _Side) -> None:
    """Check that both ends of a channel agree about the messages that one has received, and whether it is
    open.
    """
    if handler.partner is None:
        return
    partner = there.handlers[handler.partner]
    assert partner.partner in (name, None)
    assert handler.heard == partner.sent[: len(handler.heard)]
    if not handler.ended:
        assert not partner.ended
        assert partner.partner == name
        assert handler.heard == partner.sent


def _hostile(script: Script) -> None:
    side = _Side(0, LIMITS)
    try:
        while script:
            choice = script.byte()
            if choice % 4 < 2:
                side.mux.receive_untrusted(script.chunk())
            elif choice % 4 == 2:
                side.act(script)
            else:
                side.mux.take_messages()
    except RemoteProtocolError:
        return
    side.handlers.clear()
    assert side.mux.remote.early_size == sum(
        remote.early_size for remote in side.mux.remote.by_number.values()
    )
    if not side.mux.local.by_key:  # our own handlers keep the messages that they receive
        assert retained(side.mux) <= MEMORY, retained(side.mux)


_PLAYS: Final[tuple[Callable[[Script], None], ...]] = (_honest, _hostile)


def run(data: bytes) -> None:
    """Play an input."""
    script = Script(data)
    with bounded_work(lambda: CALLS + CALLS_PER_BYTE * len(data)):
        _PLAYS[script.choose(len(_PLAYS))](script)
