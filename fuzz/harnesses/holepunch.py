"""Invariant: a hostile peer of a punch exceeds no bound, and leaves no socket and no deadline behind.

The first byte of an input chooses the side that is attacked. The rest are the peer's messages, probes and
pauses, and the answers of the nodes that sample our NAT. In every case, messages are answered a bounded
number of times, sockets are bounded, probes go to proved hosts but for a few, and the punch ends once, within
its time.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Final

from fuzz.support import Script, bounded_work
from peersockets_core import RemoteProtocolError
from peersockets_core.address import SocketAddress
from peersockets_core.dht.secure_payload import decode_round_untrusted, encode_round
from peersockets_core.holepunch import (
    ClientPlan,
    ClientPunch,
    PunchLimits,
    Round,
    RoundReceived,
    ServerPunch,
)
from peersockets_core.holepunch.puncher import Puncher
from simulation.punch_host import NODES, TOKEN, PunchHost

LIMITS: Final = PunchLimits(
    addresses=3, waiting=2, rounds=6, reopens=2, birthday_sockets=5, random_probes=20, random_pause=5.0
)
RELAY: Final = ("55.0.0.1", 1)
THEIRS: Final = ("99.0.0.9", 9000)
HOSTS: Final = ("99.0.0.9", "66.0.0.6", "77.0.0.7", "224.0.0.1", "0.0.0.0")
CALLS: Final = 60_000
CALLS_PER_BYTE: Final = 400
LONGEST: Final = 60.0
"""Seconds after which every punch is over."""


class _Host(PunchHost):
    """A node, of which the input plays the network. It checks the bounds at each call."""

    def __init__(self) -> None:
        super().__init__(limits=LIMITS, known=NODES, room=CALLS)
        self.waits = False
        """Whether a round has not been answered yet."""
        self.echoes = 0
        """The number of probes that arrived, each of which may be answered."""
        self.proved = {THEIRS[0]}
        """The hosts at which relays have placed the peer. A host counts as proved if a message that is sent
        there is answered."""

    def open_socket(self, puncher: Puncher) -> int:
        number = super().open_socket(puncher)
        assert len(self.open) <= LIMITS.birthday_sockets
        return number

    def ping(self, puncher: Puncher, node: SocketAddress, socket: int, now: float) -> bool:
        super().ping(puncher, node, socket, now)
        assert len(self.pings) <= len(NODES)
        return True

    def send_round(
        self, client: ClientPunch, relay: SocketAddress, to: SocketAddress, message: Round, now: float
    ) -> bool:
        assert not self.waits
        self.waits = True
        return super().send_round(client, relay, to, message, now)

    def forget_round(self, client: ClientPunch) -> None:
        self.waits = False

    def answer_round(
        self, server: ServerPunch, received: RoundReceived, message: Round, *, socket: int | None
    ) -> None:
        assert decode_round_untrusted(encode_round(message), 99) == message
        super().answer_round(server, received, message, socket=socket)
        assert len(self.answers) <= LIMITS.rounds


def _address(script: Script) -> SocketAddress:
    return HOSTS[script.choose(len(HOSTS))], script.byte() << 8


def _message(script: Script, host: _Host) -> Round | None:
    """Return a message that the peer encodes, or one that is decoded from any bytes."""
    flags = script.byte()
    if flags & 1:
        with contextlib.suppress(RemoteProtocolError):
            return decode_round_untrusted(script.chunk(), LIMITS.addresses)
        return None
    return Round(
        error=script.byte() if flags & 2 else 0,
        firewall=script.choose(5),
        round=script.byte(),
        punching=bool(flags & 4),
        addresses=tuple(_address(script) for _ in range(script.choose(6))),
        remote_address=_address(script) if flags & 8 else None,
        token=TOKEN if flags & 16 else None,
        remote_token=TOKEN if flags & 32 else None,
    )


class _Played:
    """One punch, and everything that happens to it."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._now = 0.0
        self._host = _Host()
        self._ends: list[object] = []  # the addresses and failures that a client's punch has ended in
        self._client: ClientPunch | None = None
        self._server: ServerPunch | None = None
        if script.choose(2):
            ends = self._ends
            self._client = ClientPunch(
                self._host,
                ClientPlan(RELAY, THEIRS, RELAY, THEIRS, script.choose(4)),
                0.0,
                on_punched=lambda address, now: ends.append(address),
                on_failed=lambda failure, now: ends.append(failure),
            )
            self.punch: ClientPunch | ServerPunch = self._client
        else:
            self._server = self.punch = ServerPunch(self._host, script.choose(4), 0.0)
        self.punch.begin(0.0)

    def play(self) -> None:
        """Play the whole input, and then let time pass."""
        while self._script and not self.punch.over:
            match self._script.choose(5):
                case 0 | 1:
                    self._bring(_message(self._script, self._host))
                case 2:
                    self._sample()
                case 3:
                    self._pass(self._script.byte() / 32)
                case _:
                    self._probe()
        self._pass(LONGEST)
        if self._client is not None and self._host.waits:
            self._client.round_lost(self._now)
        self._pass(LONGEST)
        self._check()

    def _bring(self, message: Round | None) -> None:
        if self._client is not None:
            if self._host.waits:
                self._host.waits = False
                server = _address(self._script)
                self._host.proved.add(server[0])
                self._client.round_answered(message, server, THEIRS, RELAY, self._now)
        elif self._server is not None and message is not None:
            at = self._script.choose(4)
            received = RoundReceived(message, THEIRS, RELAY, THEIRS, at, bool(at & 1))
            self._server.receive(received, self._now)

    def _sample(self) -> None:
        if self._host.pings:
            node, _ = self._host.pings.pop(0)
            port = self._script.choose(4)
            if port:
                self.punch.puncher.sampled(("88.0.0.1", port), node, self._now)
            else:
                self.punch.puncher.sample_lost(self._now)

    def _probe(self) -> None:
        if self._host.open:
            socket = sorted(self._host.open)[self._script.choose(len(self._host.open))]
            self._host.echoes += 1
            self.punch.puncher.received(socket, _address(self._script), self._now)

    def _pass(self, seconds: float) -> None:
        until = self._now + seconds
        while (deadline := self.punch.next_deadline()) <= until:
            self._now = max(self._now, deadline)
            self.punch.handle_deadline(self._now)
        while self._host.pings and seconds >= LONGEST:
            self._host.pings.pop()
            self.punch.puncher.sample_lost(self._now)
        self._now = until

    def _check(self) -> None:
        host = self._host
        assert self.punch.over
        assert len(self._ends) + len(host.refusals) == 1
        assert not host.open
        assert len(host.kept) <= 1
        assert self.punch.next_deadline() == float("inf")
        assert host.throttle.allows(self._now)
        assert len(host.rounds) <= 4
        probes = Counter(to for _, to, _ in host.probes)
        for (name, _), count in probes.items():
            if name not in host.proved:  # though its own probes are answered
                assert count <= 3 + host.echoes
        assert len(host.probes) <= 200 + host.echoes


def run(data: bytes) -> None:
    """Play an input."""
    with bounded_work(lambda: CALLS + CALLS_PER_BYTE * len(data)):
        _Played(Script(data)).play()
