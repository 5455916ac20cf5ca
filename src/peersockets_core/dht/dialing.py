"""Dials a key: finds nodes that relay to it, sends a handshake through several of them, and decides
to which address the stream connects.

Source: hyperdht 6.34.0, `lib/connect.js`.
"""

from __future__ import annotations

import enum
import ipaddress
import math
from collections import deque
from collections.abc import Callable
from typing import Final

import attrs

from ..address import PathAddress, SocketAddress
from ..errors import RemoteProtocolError
from ..holepunch.client import POSTPONEMENTS, ClientPlan, ClientPunch, Failure, PunchedAddress
from ..holepunch.nat import Firewall
from ..keys import Entropy, KeyPair
from ..transitions import follow
from ..wires.keys import Keys
from .exchange import Exchange
from .messages import (
    VERSION,
    HandshakeError,
    HandshakePayload,
    HyperDhtCommand,
    RelayedHandshake,
    RelayMode,
    decode_handshake_untrusted,
)
from .noise_ik import HandshakeNoise
from .punching import Punching
from .relaying import UNUSABLE_RELAY, Pairing, Relaying, Upgraded
from .rpc.messages import RpcCommand, RpcResponse
from .rpc.query import Query, Reply
from .rpc.requests import PendingRequest
from .signing import key_hash

_WAYS: Final = 2  # relays that carry the handshake at the same time
_WAYS_WITH_KNOWN_RELAYS: Final = 3

_HEAD_START: Final = 0.1
"""Seconds for which known relays are tried before a search for others begins. Most answer sooner, and a
search asks twenty nodes. The reference searches at the same time."""

_LOCAL_HEAD_START: Final = 0.05
"""Seconds for which a local address is tried before hole punching begins as well. Hosts of one network answer
sooner, and a punch sends about twenty datagrams. The reference begins both at the same time."""


class DialState(enum.Enum):
    """The state of a dial."""

    FINDING = "finding relays"
    """The dial looks for relays, and sends the handshake through them."""
    REACHING = "reaching the remote"
    """The handshake is finished, but the address for the stream is not known yet."""
    RELAYED = "relayed"
    """The stream goes through a blind relay, and a direct path is still sought."""
    DONE = "done"
    FAILED = "failed"


class DialSignal(enum.Enum):
    """An occurrence that changes the state."""

    REACH = "reach the remote"
    RELAY = "meet at a blind relay"
    FINISH = "finish"
    FAIL = "fail"


TRANSITIONS: Final[dict[DialState, dict[DialSignal, DialState]]] = {
    DialState.FINDING: {DialSignal.REACH: DialState.REACHING, DialSignal.FAIL: DialState.FAILED},
    DialState.REACHING: {
        DialSignal.RELAY: DialState.RELAYED,
        DialSignal.FINISH: DialState.DONE,
        DialSignal.FAIL: DialState.FAILED,
    },
    DialState.RELAYED: {DialSignal.FINISH: DialState.DONE, DialSignal.FAIL: DialState.FAILED},
    DialState.DONE: {},
    DialState.FAILED: {},
}
"""Every legal transition."""


@attrs.frozen
class Dialled:
    """The handshake with a dialled key is finished. The caller connects the stream."""

    dial: Dial
    keys: Keys
    """The keys of the stream, whose initiator is the dialler."""
    remote_stream_id: int
    address: PathAddress | None
    """The address of the remote's stream, with our socket that reaches it, or None if only its first packet
    reveals that."""


@attrs.frozen
class DialFailed:
    """A dialled key cannot be reached."""

    dial: Dial
    reason: str
    """A reason for people to read."""
    unpunched: bool = False
    """Whether the peer has answered, and no way to it was found. A blind relay may help then."""


class Dial:
    """One attempt to connect to a key, made by `HyperDht.dial`."""

    def __init__(
        self,
        exchange: Exchange[Dialled | DialFailed | Upgraded],
        punching: Punching,
        key_pair: KeyPair,
        entropy: Entropy,
        public_key: bytes,
        payload: HandshakePayload,
        relays: tuple[SocketAddress, ...],
        learn_relays: Callable[[bytes, tuple[SocketAddress, ...]], None],
        relaying: Relaying[Dial],
        now: float,
    ) -> None:
        """Begin; the dial tries `relays` at once, and soon searches for others."""
        self.public_key = public_key
        self.state = DialState.FINDING
        self.attempts = 0
        """The number of nodes through which the handshake was sent."""
        self._exchange = exchange
        self._punching = punching
        self._target = key_hash(public_key)
        self._payload = payload
        self._noise = HandshakeNoise(key_pair, entropy, public_key)
        self._learn_relays = learn_relays
        self._relaying = relaying
        self.pairing: Pairing | None = None
        """The attempt to meet the remote at a blind relay, if one of the two has named one."""
        self._message = RelayedHandshake(RelayMode.FROM_CLIENT, self._noise.write(payload)).encode()
        self._ways: dict[PendingRequest, None] = {}
        self._most_ways = _WAYS_WITH_KNOWN_RELAYS if relays else _WAYS
        self._to_try: deque[SocketAddress] = deque(relays)
        self._tried: set[SocketAddress] = set()
        self._ping: PendingRequest | None = None  # to a local address of the remote
        self._punch: ClientPunch | None = None
        self._plan: tuple[int, ClientPlan] | None = None
        """The number that the remote has given the handshake, and the plan of a punch that begins soon."""
        self._punch_at = math.inf
        self._punch_failure = ""
        self.postponed = False
        """Whether it failed only because one of the two sides may not punch through a random NAT so soon."""
        self._finished: tuple[Keys, int] | None = None
        self._relay_failure = ""
        self._query: Query | None = None
        self._relays = relays
        self._search_at = now + _HEAD_START
        """The time of the search for other relays, unless the dial is over by then; infinity once it runs."""
        self._try_next(now)
        if not self._ways:
            self._search(now)

    def next_deadline(self) -> float:
        """Return the time at which to call `handle_deadline`; infinity for never."""
        return min(self._search_at, self._punch_at)

    def handle_deadline(self, now: float) -> None:
        """Search for other relays, or begin to punch, if it is time."""
        if self._search_at <= now:
            self._search(now)
        if self._punch_at <= now:
            self._begin_punch(now)

    def _search(self, now: float) -> None:
        """Search for nodes that relay to the key."""
        if self._search_at < math.inf:
            self._search_at = math.inf
            self._query = self._exchange.query(
                self, self._target, now, command=HyperDhtCommand.FIND_PEER, nodes=self._relays
            )

    def cancel(self, now: float) -> None:
        """Give up; no event follows."""
        if self.active:
            self._signal(DialSignal.FAIL)
            self._let_go(now)
            self._end_pairing(now)

    @property
    def active(self) -> bool:
        """Whether the dial is still in progress."""
        return bool(TRANSITIONS[self.state])

    @property
    def stream_id(self) -> int:
        """The id of our stream."""
        assert self._payload.udx is not None
        return self._payload.udx.id

    @property
    def relayed(self) -> bool:
        """Whether we have named a blind relay."""
        return self._payload.relay_through is not None

    # Finding relays

    def replied(self, query: Query, reply: Reply, now: float) -> None:
        """Take in a node's answer. A node that knows the key relays to it."""
        if reply.value is not None and self.state is DialState.FINDING:
            self._to_try.append(reply.source)
            self._try_next(now)

    def finished(self, query: Query, now: float) -> None:
        """Note that all nodes near the key have been asked."""
        self._query = None
        self._fail_if_nothing_is_left(now)

    def _try_next(self, now: float) -> None:
        while self._to_try and len(self._ways) < self._most_ways:
            relay = self._to_try.popleft()
            if relay in self._tried:
                continue
            self._tried.add(relay)
            way = self._exchange.request(
                self,
                relay,
                now,
                command=HyperDhtCommand.PEER_HANDSHAKE,
                target=self._target,
                value=self._message,
            )
            if way is not None:
                self.attempts += 1
                self._ways[way] = None

    def _go_on(self, now: float) -> None:
        """Try the next relays; without any, search at once; fail if the search is over as well."""
        self._try_next(now)
        if self.state is DialState.FINDING and not self._ways:
            self._search(now)
        self._fail_if_nothing_is_left(now)

    def _fail_if_nothing_is_left(self, now: float) -> None:
        if self.state is DialState.FINDING and not self._ways and not self._to_try and self._query is None:
            self._fail(
                f"the peer did not answer through any of {self.attempts} relays"
                if self.attempts
                else "no node of the DHT knows the peer: it is not listening",
                now,
            )

    # The answer

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Take in the remote's answer that a relay has sent, a relay's refusal, or a local address's
        answer to our ping.
        """
        if request is self._ping:
            self._ping = None
            self._done(request.to, now)
            return
        self._ways.pop(request, None)
        try:
            self._take_answer_untrusted(request.to, response, now)
        except RemoteProtocolError:
            self._exchange.node.dropped += 1
        if self.state is DialState.FINDING:
            self._go_on(now)

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Note that a relay, or a local address, does not answer."""
        if request is self._ping:
            self._ping = None
            self._fail_if_no_way_is_left(now)
            return
        self._ways.pop(request, None)
        self._go_on(now)

    def _take_answer_untrusted(self, relay: SocketAddress, response: RpcResponse, now: float) -> None:
        if response.value is None:
            return
        answer = decode_handshake_untrusted(response.value)
        if answer.mode != RelayMode.REPLY:
            raise RemoteProtocolError("the answer to a handshake is not a reply")
        payload = self._noise.read_untrusted(answer.noise)
        if payload.version != VERSION:
            self._fail(f"the peer speaks version {payload.version} of the handshake", now)
        elif payload.error != HandshakeError.NONE or payload.udx is None:
            self._fail(f"the peer declined with error {payload.error}", now)
        else:
            server = answer.peer_address
            # A peer that has answered by itself needs no relay next time.
            relays = (relay,) if server in (None, relay) else payload.relays or tuple(self._tried)
            self._learn_relays(self.public_key, relays)
            self._finished = (self._noise.keys(), payload.udx.id)
            self._reach(relay, server, payload, response.to, now)

    def _reach(
        self,
        relay: SocketAddress,
        server: SocketAddress | None,
        payload: HandshakePayload,
        ours: SocketAddress,
        now: float,
    ) -> None:
        """Decide to which address the stream connects."""
        self._signal(DialSignal.REACH)
        punchable = payload.holepunch
        if server is None or server == relay:
            self._done(relay, now)
        elif payload.firewall == Firewall.OPEN or punchable is None or not punchable.relays:
            public = [address for address in payload.addresses if _is_public(address)]
            self._done(public[0] if public else server, now)
        elif self._payload.firewall == Firewall.OPEN:
            self._done(None, now)
        else:
            self._let_go(now)
            at = dict(punchable.relays)
            server_relay = relay if relay in at else punchable.relays[0][0]
            plan = ClientPlan(relay, server, server_relay, at[server_relay], payload.firewall)
            self._plan = punchable.id, plan
            self._punch_at = now
            if ours[0] == server[0] and any(map(_is_unicast, payload.addresses)):
                local = _best_match(self._payload.addresses, tuple(filter(_is_unicast, payload.addresses)))
                self._ping = self._exchange.request(self, local, now, command=RpcCommand.PING, internal=True)
                self._punch_at = now + _LOCAL_HEAD_START
            self._meet_at_relay(payload, now)
            self.handle_deadline(now)

    def _meet_at_relay(self, payload: HandshakePayload, now: float) -> None:
        """Meet the remote at the blind relay that it has named, or at ours, while we punch."""
        ours, theirs = self._payload.relay_through, payload.relay_through
        through = theirs or ours
        if through is None:
            return
        assert self._finished is not None
        keys, remote_stream_id = self._finished
        self.pairing = self._relaying.offer(
            through,
            theirs is None,
            keys,
            (self.stream_id, remote_stream_id),
            now,
            on_paired=self._paired,
            on_failed=self._pairing_failed,
        )
        if self.pairing is None:
            self._relay_failure = UNUSABLE_RELAY

    def _paired(self, now: float) -> None:
        self._signal(DialSignal.RELAY)
        self._fail_if_no_way_is_left(now)

    def _pairing_failed(self, reason: str, now: float) -> None:
        """Note that the two have not met at the relay; they may still meet directly."""
        self._relay_failure = reason
        self._fail_if_no_way_is_left(now)

    def _begin_punch(self, now: float) -> None:
        assert self._finished is not None
        assert self._plan is not None
        self._punch_at = math.inf
        id, plan = self._plan
        self._punch = self._punching.start(
            self._target,
            id,
            self._finished[0].handshake_hash,
            plan,
            now,
            on_punched=self._punched,
            on_failed=self._punch_failed,
        )
        self._punch.begin(now)

    def _punched(self, punched: PunchedAddress, now: float) -> None:
        self._punch = None
        self._done((*punched.address, punched.socket), now)

    def _punch_failed(self, failure: Failure, now: float) -> None:
        self._punch = None
        self._punch_failure = failure.value
        self.postponed = failure in POSTPONEMENTS
        self._fail_if_no_way_is_left(now)

    def _fail_if_no_way_is_left(self, now: float) -> None:
        """Fail after the punch, unless the remote may still answer at a local address, or come to the blind
        relay. A stream that is already relayed stays so.
        """
        if not self._punch_failure or self._ping is not None:
            return
        if self.state is DialState.RELAYED:
            self._signal(DialSignal.FINISH)
            self._let_go(now)
        elif self.pairing is None or not self.pairing.pending:
            reasons = (self._punch_failure, self._relay_failure)
            self._fail("; ".join(filter(None, reasons)), now, unpunched=True)

    def _done(self, address: PathAddress | None, now: float) -> None:
        assert self._finished is not None
        relayed = self.state is DialState.RELAYED
        self._signal(DialSignal.FINISH)
        self._let_go(now)
        keys, stream_id = self._finished
        if relayed:
            assert self.pairing is not None
            assert address is not None
            self._exchange.report(Upgraded(self.pairing, stream_id, address))
        else:
            self._end_pairing(now)
            self._exchange.report(Dialled(self, keys, stream_id, address))

    def _fail(self, reason: str, now: float, *, unpunched: bool = False) -> None:
        self._signal(DialSignal.FAIL)
        self._let_go(now)
        self._exchange.report(DialFailed(self, reason, unpunched))

    def _end_pairing(self, now: float) -> None:
        """End the attempt to meet at a relay, which is not needed any more."""
        if self.pairing is not None:
            self._relaying.end(self.pairing, now)

    def _let_go(self, now: float) -> None:
        self._search_at = self._punch_at = math.inf
        if self._punch is not None:
            self._punching.cancel(self._punch, now)
            self._punch = None
        for asked in (*self._ways, self._query, self._ping):
            if asked is not None:
                self._exchange.cancel(asked)
        self._ways.clear()
        self._to_try.clear()
        self._query = self._ping = None

    def _signal(self, signal: DialSignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "dial")


def _is_public(address: SocketAddress) -> bool:
    return ipaddress.IPv4Address(address[0]).is_global and address[1] != 0


def _is_unicast(address: SocketAddress) -> bool:
    host = ipaddress.IPv4Address(address[0])
    return not (host.is_unspecified or host.is_multicast or host.is_reserved) and address[1] != 0


def _best_match(ours: tuple[SocketAddress, ...], theirs: tuple[SocketAddress, ...]) -> SocketAddress:
    """Return the address of `theirs` that shares the longest prefix with an address of `ours`."""

    def shared(address: SocketAddress) -> int:
        number = int(ipaddress.IPv4Address(address[0]))
        return max(
            (32 - (number ^ int(ipaddress.IPv4Address(host))).bit_length() for host, _ in ours), default=0
        )

    return max(theirs, key=shared)
