"""`Dial`: sends a handshake to a key through the relays that `RelayFinder` finds, and tries the ways to the
remote, until the stream can be connected.

Source: hyperdht 6.34.0, `lib/connect.js`.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Final

import attrs

from ..address import PathAddress, SocketAddress
from ..errors import RemoteProtocolError
from ..holepunch.client import ClientPlan, ClientPunch, Failure, PunchedAddress
from ..keys import Entropy, KeyPair
from ..transitions import follow
from ..wires.keys import Keys
from .exchange import Exchange
from .finding import RelayFinder
from .messages import (
    VERSION,
    HandshakeError,
    HandshakePayload,
    RelayedHandshake,
    RelayMode,
    decode_handshake_untrusted,
)
from .noise_ik import HandshakeNoise
from .punching import Punching
from .relaying import UNUSABLE_RELAY, Pairing, Relaying, Upgraded
from .rpc.messages import RpcCommand, RpcResponse
from .rpc.requests import PendingRequest
from .signing import key_hash
from .ways import Way, Ways, WaySignal, local_address, open_way

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
        self.ways = Ways()
        """The ways to the remote, once that has answered."""
        self.pairing: Pairing | None = None
        """The attempt to meet the remote at a blind relay, if one of the two has named one."""
        self.postponed_until = math.nan
        """The earliest time at which dialling again makes sense, if the dial has failed only because one of
        the two sides may not punch through a random NAT so soon."""
        self._exchange = exchange
        self._punching = punching
        self._target = key_hash(public_key)
        self._payload = payload
        self._noise = HandshakeNoise(key_pair, entropy, public_key)
        self._learn_relays = learn_relays
        self._relaying = relaying
        self._finished: tuple[Keys, int] | None = None
        """The keys of the finished handshake, and the id of the remote's stream."""
        self._ping: PendingRequest | None = None  # to a local address of the remote
        self._punch: ClientPunch | None = None
        self._plan: tuple[int, ClientPlan] | None = None
        """The number that the remote has given the handshake, and the plan of the punch."""
        self._punch_at = math.inf
        message = RelayedHandshake(RelayMode.FROM_CLIENT, self._noise.write(payload)).encode()
        self._finder = RelayFinder(self, exchange, self._target, message, relays)
        self._finder.begin(now)

    @property
    def active(self) -> bool:
        """Whether the dial is still in progress."""
        return bool(TRANSITIONS[self.state])

    @property
    def attempts(self) -> int:
        """The number of nodes through which the handshake was sent."""
        return self._finder.attempts

    @property
    def stream_id(self) -> int:
        """The id of our stream."""
        assert self._payload.udx is not None
        return self._payload.udx.id

    @property
    def relayed(self) -> bool:
        """Whether we have named a blind relay."""
        return self._payload.relay_through is not None

    @property
    def postponed(self) -> bool:
        """Whether it has failed only because of another random punch, so that `postponed_until` is set."""
        return not math.isnan(self.postponed_until)

    def next_deadline(self) -> float:
        """Return the time at which to call `handle_deadline`; infinity for never."""
        return min(self._finder.next_deadline(), self._punch_at)

    def handle_deadline(self, now: float) -> None:
        """Search for other relays, or begin to punch, if it is time."""
        self._finder.handle_deadline(now)
        if self._punch_at <= now:
            self._begin_punch(now)

    def cancel(self, now: float) -> None:
        """Give up; no event follows."""
        if self.active:
            self._signal(DialSignal.FAIL)
            self._let_go(now)
            self._end_pairing(now)

    # The answer

    def relay_answered(self, relay: SocketAddress, response: RpcResponse, now: float) -> None:
        """Take in the remote's answer that a relay has sent, or a relay's refusal."""
        try:
            self._take_answer_untrusted(relay, response, now)
        except RemoteProtocolError:
            self._exchange.node.dropped += 1

    def relays_exhausted(self, reason: str, now: float) -> None:
        """Fail, because the remote has not answered."""
        self._fail(reason, now)

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
            server = answer.peer_address or relay
            # A peer that has answered by itself needs no relay next time.
            relays = (relay,) if server == relay else payload.relays or tuple(self._finder.tried)
            self._learn_relays(self.public_key, relays)
            self._finished = (self._noise.keys(), payload.udx.id)
            self._reach(relay, server, payload, response.to, now)

    def _reach(
        self,
        relay: SocketAddress,
        server: SocketAddress,
        payload: HandshakePayload,
        ours: SocketAddress,
        now: float,
    ) -> None:
        """Take the open way to the remote, or try all others."""
        self._signal(DialSignal.REACH)
        self._finder.stop()
        direct = open_way(relay, server, payload, self._payload)
        if direct is not None:
            self.ways.signal(Way.OPEN, WaySignal.TRY)
            self._pass(Way.OPEN, direct.address, now)
            return
        self._plan_punch(relay, server, payload, now)
        local = local_address(server, ours, payload, self._payload)
        if local is not None:
            self._try_local(local, now)
        self._meet_at_relay(payload, now)
        self.handle_deadline(now)

    # Local addresses

    def _try_local(self, address: SocketAddress, now: float) -> None:
        """Ask at a local address of the remote. It has a head start before the punch."""
        self._ping = self._exchange.request(self, address, now, command=RpcCommand.PING, internal=True)
        if self._ping is not None:
            self.ways.signal(Way.LOCAL, WaySignal.TRY)
            self._punch_at = now + _LOCAL_HEAD_START

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Connect to the local address, which has answered."""
        self._ping = None
        self._pass(Way.LOCAL, request.to, now)

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Note that the local address does not answer."""
        self._ping = None
        self._lose(Way.LOCAL, "", now)

    # Hole punching

    def _plan_punch(
        self, relay: SocketAddress, server: SocketAddress, payload: HandshakePayload, now: float
    ) -> None:
        punchable = payload.holepunch
        assert punchable is not None
        at = dict(punchable.relays)
        server_relay = relay if relay in at else punchable.relays[0][0]
        plan = ClientPlan(relay, server, server_relay, at[server_relay], payload.firewall)
        self._plan = punchable.id, plan
        self._punch_at = now
        self.ways.signal(Way.PUNCH, WaySignal.PLAN)

    def _begin_punch(self, now: float) -> None:
        assert self._finished is not None
        assert self._plan is not None
        self._punch_at = math.inf
        self.ways.signal(Way.PUNCH, WaySignal.TRY)
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
        self._pass(Way.PUNCH, (*punched.address, punched.socket), now)

    def _punch_failed(self, failure: Failure, now: float) -> None:
        self._punch = None
        self.postponed_until = self._punching.postponed_until(failure, now)
        self._lose(Way.PUNCH, failure.value, now)

    # Blind relays

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
            self.ways.fail(Way.RELAY, UNUSABLE_RELAY)
        else:
            self.ways.signal(Way.RELAY, WaySignal.TRY)

    def _paired(self, now: float) -> None:
        self.ways.signal(Way.RELAY, WaySignal.PASS)
        self._signal(DialSignal.RELAY)
        self._end_without_ways(now)

    def _pairing_failed(self, reason: str, now: float) -> None:
        """Note that the two have not met at the relay; they may still meet directly."""
        self._lose(Way.RELAY, reason, now)

    def _end_pairing(self, now: float) -> None:
        """End the attempt to meet at a relay, which is not needed any more."""
        if self.pairing is not None:
            self._relaying.end(self.pairing, now)

    # The end

    def _pass(self, way: Way, address: PathAddress | None, now: float) -> None:
        """Let the stream take a direct way."""
        assert self._finished is not None
        relayed = self.state is DialState.RELAYED
        self.ways.signal(way, WaySignal.PASS)
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

    def _lose(self, way: Way, reason: str, now: float) -> None:
        """Go on without a way that has failed."""
        self.ways.fail(way, reason)
        self._end_without_ways(now)

    def _end_without_ways(self, now: float) -> None:
        """End once no other way may pass: a stream that is relayed stays so."""
        if self.ways.pending:
            return
        if self.state is DialState.RELAYED:
            self._signal(DialSignal.FINISH)
            self._let_go(now)
        else:
            self._fail(self.ways.reasons, now, unpunched=True)

    def _fail(self, reason: str, now: float, *, unpunched: bool = False) -> None:
        self._signal(DialSignal.FAIL)
        self._let_go(now)
        self._exchange.report(DialFailed(self, reason, unpunched))

    def _let_go(self, now: float) -> None:
        """Stop everything but the pairing."""
        self._finder.stop()
        self._punch_at = math.inf
        if self._punch is not None:
            self._punching.cancel(self._punch, now)
            self._punch = None
        if self._ping is not None:
            self._exchange.cancel(self._ping)
            self._ping = None

    def _signal(self, signal: DialSignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "dial")
