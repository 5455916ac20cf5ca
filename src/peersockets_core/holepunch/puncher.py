"""`Puncher`: the sockets and probes of one side of a punch.

A probe is a datagram of one byte. It opens our own NAT for answers, and passes the remote's NAT once the
remote has opened it. Source: hyperdht 6.34.0, `lib/holepuncher.js`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable
from typing import Final, Protocol

import attrs

from ..address import SocketAddress
from ..keys import Entropy
from ..transitions import follow
from .limits import PunchLimits
from .nat import ENOUGH, Firewall, NatClassifier
from .rounds import Round
from .throttle import Throttle

SHORT_TTL: Final = 5
"""Hops of a probe that opens our own NAT, but expires before it reaches the remote's NAT."""

FULL_TTL: Final = 64

_INTERVAL: Final = 1.0  # seconds between the probes of two consistent NATs
_CONSISTENT_PROBES: Final = 10
_UNVERIFIED: Final = 4  # one in so many of these goes to addresses that the remote has not proved
_RANDOM_INTERVAL: Final = 0.02  # seconds between the probes if one NAT is random
_BIRTHDAY_PAUSE: Final = 0.1  # seconds after the burst that has opened the sockets
_FIRST_PORT: Final = 1000
_PORTS: Final = 65_536 - _FIRST_PORT
_FIRST_MULTICAST: Final = 224  # the first byte of an address
_SKIPPED: Final = 5  # nodes heard from last that are not asked for samples, if there are others
_MANY_NODES: Final = 8


class PuncherState(enum.Enum):
    """The state of one side's probing."""

    SAMPLING = "sampling"
    """Nodes of the DHT are asked for the addresses at which they see the socket."""
    READY = "ready"
    """All samples are there; the other side may still change its mind about its NAT."""
    PROBING = "probing"
    """Probes leave for the remote's addresses once a second."""
    SEARCHING = "searching"
    """Probes leave for random ports of a remote behind a random NAT."""
    SPREADING = "spreading"
    """Probes leave from many sockets, because our own NAT is random."""
    CONNECTED = "connected"
    ENDED = "ended"


class PuncherSignal(enum.Enum):
    """An occurrence that changes the state."""

    SAMPLED = "end sampling"
    REOPEN = "open another socket"
    PROBE = "probe addresses"
    SEARCH = "probe random ports"
    SPREAD = "probe from many sockets"
    CONNECT = "connect"
    END = "end"


_ENDS: Final = {PuncherSignal.CONNECT: PuncherState.CONNECTED, PuncherSignal.END: PuncherState.ENDED}

TRANSITIONS: Final[dict[PuncherState, dict[PuncherSignal, PuncherState]]] = {
    PuncherState.SAMPLING: {PuncherSignal.SAMPLED: PuncherState.READY, **_ENDS},
    PuncherState.READY: {
        PuncherSignal.REOPEN: PuncherState.SAMPLING,
        PuncherSignal.PROBE: PuncherState.PROBING,
        PuncherSignal.SEARCH: PuncherState.SEARCHING,
        PuncherSignal.SPREAD: PuncherState.SPREADING,
        **_ENDS,
    },
    PuncherState.PROBING: _ENDS,
    PuncherState.SEARCHING: _ENDS,
    PuncherState.SPREADING: _ENDS,
    PuncherState.CONNECTED: {},
    PuncherState.ENDED: {},
}
"""Every legal transition."""

_PUNCHING: Final = frozenset({PuncherState.PROBING, PuncherState.SEARCHING, PuncherState.SPREADING})


@attrs.frozen
class RemoteAddress:
    """An address of the remote."""

    address: SocketAddress
    verified: bool
    """Whether the remote has proved that it receives messages at that host."""


class PuncherHost(Protocol):
    """The methods of the node that a puncher uses."""

    limits: PunchLimits
    throttle: Throttle
    entropy: Entropy

    def open_socket(self, puncher: Puncher) -> int:
        """Return the number of a new socket, whose datagrams the puncher gets."""

    def close_socket(self, socket: int) -> None:
        """Close a socket."""

    def keep_socket(self, socket: int) -> None:
        """Hand a socket over to the stream that will use it."""

    def probe(self, socket: int, to: SocketAddress, ttl: int) -> None:
        """Send a probe."""

    def nodes(self) -> Iterable[SocketAddress]:
        """Return the known nodes of the DHT, those heard from last first."""

    def ping(self, puncher: Puncher, node: SocketAddress, socket: int, now: float) -> bool:
        """Ask a node for the address at which it sees a socket; `Puncher.sampled` or `Puncher.sample_lost`
        follows. Returns whether the request could be made.
        """

    def forget_pings(self, puncher: Puncher) -> None:
        """Forget the unanswered requests of `ping`."""


class PuncherOwner(Protocol):
    """The side of a punch that a puncher belongs to."""

    def sampling_ended(self, now: float) -> None:
        """Note that no further samples of our NAT will come."""

    def punched(self, socket: int, address: SocketAddress, now: float) -> None:
        """Note that a probe of the remote has arrived at a socket of ours."""

    def probes_ended(self, now: float) -> None:
        """Note that no probe has passed."""


class Puncher:
    """The sockets of one side of a punch."""

    def __init__(
        self, host: PuncherHost, owner: PuncherOwner, *, initiator: bool, remote_firewall: int
    ) -> None:
        """Open the first socket."""
        self.state = PuncherState.SAMPLING
        self.nat = NatClassifier()
        self.remote_firewall = remote_firewall
        self.remote_addresses: tuple[RemoteAddress, ...] = ()
        self.remote_punching = False
        self.next_deadline = math.inf
        """The time at which to call `handle_deadline`."""
        self._host = host
        self._owner = owner
        self._initiator = initiator
        self._random = False  # whether the throttle counts this punch
        self._tries = 0  # probes, or rounds of them, that were sent
        self._reopens = 0  # sockets that were opened in place of the first one
        self._to: SocketAddress | None = None  # the proved address that all probes go to if a NAT is random
        self._asked: set[SocketAddress] = set()
        self._unanswered = 0  # samples that were asked for
        self._attempts_left = 0
        self.sockets = [host.open_socket(self)]

    @property
    def socket(self) -> int:
        """The main socket of this punch."""
        return self.sockets[0]

    @property
    def over(self) -> bool:
        """Whether it has succeeded or failed."""
        return self.state in (PuncherState.CONNECTED, PuncherState.ENDED)

    @property
    def punching(self) -> bool:
        """Whether probes are being sent."""
        return self.state in _PUNCHING

    @property
    def is_random(self) -> bool:
        """Whether one of the two NATs is random."""
        return self.remote_firewall >= Firewall.RANDOM or self.nat.firewall >= Firewall.RANDOM

    def update_remote(self, message: Round, verified: str | None) -> None:
        """Take in the remote's view of its own NAT; `verified` is a host that it has just proved."""
        proved = {remote.address[0] for remote in self.remote_addresses if remote.verified} | {verified}
        self.remote_firewall = message.firewall
        self.remote_punching = message.punching
        self.remote_addresses = tuple(
            RemoteAddress(address, address[0] in proved)
            for address in dict.fromkeys(message.addresses[: self._host.limits.addresses])
            if _is_unicast(address)
        )

    def open_session(self, to: SocketAddress) -> None:
        """Open our NAT for answers from an address."""
        self._host.probe(self.socket, to, SHORT_TTL)

    def ping(self, to: SocketAddress) -> None:
        """Send a probe that reaches the remote if its NAT is open."""
        self._host.probe(self.socket, to, FULL_TTL)

    # The kind of our NAT

    @property
    def unstable(self) -> bool:
        """Whether another socket may help, because our NAT is unknown or both NATs are random."""
        firewall = self.nat.firewall
        return firewall is Firewall.UNKNOWN or (
            firewall is Firewall.RANDOM and self.remote_firewall >= Firewall.RANDOM
        )

    @property
    def sampling(self) -> bool:
        """Whether samples of our NAT are still being collected."""
        return self.state is PuncherState.SAMPLING

    @property
    def may_reopen(self) -> bool:
        """Whether `reopen` is worth a try, and allowed."""
        fresh = self._reopens < self._host.limits.reopens
        return fresh and self.unstable and self.state is PuncherState.READY

    def reopen(self, now: float) -> None:
        """Begin again with another socket, because the NAT may treat that one better."""
        self._reopens += 1
        self._host.forget_pings(self)
        self._host.close_socket(self.sockets.pop())
        self.sockets = [self._host.open_socket(self)]
        self.nat = NatClassifier()
        self._asked.clear()
        self._signal(PuncherSignal.REOPEN)
        self.begin(now)

    def begin(self, now: float) -> None:
        """Collect samples for the main socket; `PuncherOwner.sampling_ended` follows."""
        self._unanswered = 0
        self._attempts_left = 2
        self._sample_more(now)

    def sample(self, seen_at: SocketAddress, witness: SocketAddress, now: float) -> None:
        """Take in the address at which a node sees our main socket."""
        self.nat.add(seen_at, witness)
        if self.nat.decided:
            self._end_sampling(now)

    def sampled(self, seen_at: SocketAddress, witness: SocketAddress, now: float) -> None:
        """Take in the answer to one of our pings."""
        self._unanswered -= 1
        self.sample(seen_at, witness, now)
        self._sample_more(now)

    def sample_lost(self, now: float) -> None:
        """Note that a node does not answer our ping."""
        self._unanswered -= 1
        self._sample_more(now)

    def _sample_more(self, now: float) -> None:
        """Ask nodes that were not asked before, or conclude; one round of them may be lost."""
        while self.sampling and not self._unanswered:
            if self.nat.decided or not self._attempts_left:
                self._end_sampling(now)
                return
            self._attempts_left -= 1
            self._ask(now)

    def _ask(self, now: float) -> None:
        nodes = list(self._host.nodes())
        # Nodes heard from last may be the relays of this very punch, whose answers count as well.
        for node in nodes[_SKIPPED:] if len(nodes) >= _MANY_NODES else nodes:
            if self.nat.sampled + self._unanswered >= ENOUGH:
                return
            if node not in self._asked:
                self._asked.add(node)
                self._unanswered += self._host.ping(self, node, self.socket, now)

    def _end_sampling(self, now: float) -> None:
        if self.sampling:
            self._signal(PuncherSignal.SAMPLED)
            self._owner.sampling_ended(now)

    # Probing

    def punch(self, now: float) -> bool:
        """Begin to probe; returns False if no kind of probing can work. Calling it twice is fine."""
        if self.punching:
            return True
        if self.state is not PuncherState.READY or not self.remote_addresses:
            return False
        ours, theirs = _coerce(self.nat.firewall), _coerce(self.remote_firewall)
        verified = next((remote.address for remote in self.remote_addresses if remote.verified), None)
        self._to = verified
        match ours, theirs, verified:
            case Firewall.CONSISTENT, Firewall.CONSISTENT, _:
                # A server has sent a probe with its last answer, so the next one can wait.
                self._begin(PuncherSignal.PROBE, now if self._initiator else now + _INTERVAL)
            case Firewall.CONSISTENT, Firewall.RANDOM, (_, _):
                self._begin(PuncherSignal.SEARCH, now)
            case Firewall.RANDOM, Firewall.CONSISTENT, (_, _):
                self._begin(PuncherSignal.SPREAD, now + _BIRTHDAY_PAUSE)
                assert verified is not None
                while len(self.sockets) < self._host.limits.birthday_sockets:
                    self.sockets.append(self._host.open_socket(self))
                    self._host.probe(self.sockets[-1], verified, SHORT_TTL)
            case _:
                return False
        self.handle_deadline(now)
        return True

    def _begin(self, signal: PuncherSignal, first: float) -> None:
        self._signal(signal)
        self._tries = 0
        self.next_deadline = first
        if self.state is not PuncherState.PROBING:
            self._random = True
            self._host.throttle.began()

    def handle_deadline(self, now: float) -> None:
        """Send the probes that are due, or give up after the last one."""
        while self.next_deadline <= now:
            consistent = self.state is PuncherState.PROBING
            if self._tries >= (_CONSISTENT_PROBES if consistent else self._host.limits.random_probes):
                self.close(now)
                self._owner.probes_ended(now)
                return
            self._tries += 1
            self._send_probes()
            # After a pause of the whole program, probes do not leave in a burst.
            interval = _INTERVAL if consistent else _RANDOM_INTERVAL
            self.next_deadline = max(self.next_deadline + interval, now + interval / 2)

    def _send_probes(self) -> None:
        if self.state is PuncherState.PROBING:
            for remote in self.remote_addresses:
                due = remote.verified or self._tries % _UNVERIFIED == 0
                if due and remote.address[1]:
                    self.ping(remote.address)
            return
        to = self._to
        assert to is not None
        if self.state is PuncherState.SEARCHING:
            port = _FIRST_PORT + int.from_bytes(self._host.entropy(4)) % _PORTS
            self.ping((to[0], port))
        else:
            rounds, index = divmod(self._tries - 1, len(self.sockets))
            self._host.probe(self.sockets[index], to, FULL_TTL if rounds else SHORT_TTL)

    def received(self, socket: int, source: SocketAddress, now: float) -> None:
        """Take in a probe of the remote. The initiator connects through that hole; the other side answers
        with a probe.
        """
        if self.over:
            return
        if self._initiator:
            self.connected(socket, now)
            self._owner.punched(socket, source, now)
        else:
            self._host.probe(socket, source, FULL_TTL)

    def connected(self, socket: int, now: float) -> None:
        """Note that the two sides are connected through a socket, and close all others."""
        if not self.over:
            self._signal(PuncherSignal.CONNECT)
            if socket in self.sockets:
                self.sockets.remove(socket)
                self._host.keep_socket(socket)
            self._release(now)

    def close(self, now: float) -> None:
        """Give up, and close all sockets."""
        if not self.over:
            self._signal(PuncherSignal.END)
            self._release(now)

    def _release(self, now: float) -> None:
        self.next_deadline = math.inf
        self._host.forget_pings(self)
        for socket in self.sockets:
            self._host.close_socket(socket)
        self.sockets = []
        if self._random:
            self._random = False
            self._host.throttle.ended(now)

    def _signal(self, signal: PuncherSignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "puncher")


def _is_unicast(address: SocketAddress) -> bool:
    return 0 < int(address[0].partition(".")[0]) < _FIRST_MULTICAST


def _coerce(firewall: int) -> Firewall:
    """Return the kind of NAT to punch through. An open peer is punched like one with a consistent NAT."""
    if firewall == Firewall.OPEN:
        return Firewall.CONSISTENT
    return Firewall.RANDOM if firewall >= Firewall.RANDOM else Firewall(firewall)
