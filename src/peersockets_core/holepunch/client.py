"""`ClientPunch`: punches towards a server whose handshake has been answered through a relay.

Source: hyperdht 6.34.0, `lib/connect.js` (`probeRound`, `roundPunch`).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Final, Protocol

import attrs

from ..address import SocketAddress
from ..transitions import follow
from .nat import Firewall
from .puncher import Puncher, PuncherHost
from .rounds import PunchError, Round

_PATIENCE: Final = 1.0
"""Seconds in which a server that does not know its NAT yet may find out."""


class ClientState(enum.Enum):
    """The state of a client's punch."""

    ASKING = "asking"
    """We ask the server about its NAT."""
    WAITING = "waiting"
    """The server does not know its NAT yet, and we give it a moment to find out."""
    ANALYSING = "analysing"
    """We wait for the samples of our own NAT."""
    AGREEING = "agreeing"
    """We ask the server to punch."""
    PUNCHING = "punching"
    """Both sides send probes."""
    ABORTING = "aborting"
    """We inform the server that we give up."""
    DONE = "done"
    FAILED = "failed"


class ClientSignal(enum.Enum):
    """An occurrence that changes the state."""

    WAIT = "wait for the server"
    ANALYSE = "analyse our NAT"
    ASK = "ask again"
    AGREE = "ask the server to punch"
    PUNCH = "punch"
    ABORT = "give up"
    FINISH = "finish"
    FAIL = "fail"


_ENDS: Final = {ClientSignal.FINISH: ClientState.DONE, ClientSignal.FAIL: ClientState.FAILED}

TRANSITIONS: Final[dict[ClientState, dict[ClientSignal, ClientState]]] = {
    ClientState.ASKING: {
        ClientSignal.WAIT: ClientState.WAITING,
        ClientSignal.ANALYSE: ClientState.ANALYSING,
        **_ENDS,
    },
    ClientState.WAITING: {ClientSignal.ANALYSE: ClientState.ANALYSING, **_ENDS},
    ClientState.ANALYSING: {
        ClientSignal.ASK: ClientState.ASKING,
        ClientSignal.AGREE: ClientState.AGREEING,
        ClientSignal.ABORT: ClientState.ABORTING,
        **_ENDS,
    },
    ClientState.AGREEING: {ClientSignal.PUNCH: ClientState.PUNCHING, **_ENDS},
    ClientState.PUNCHING: _ENDS,
    ClientState.ABORTING: _ENDS,
    ClientState.DONE: {},
    ClientState.FAILED: {},
}
"""Every legal transition."""


class Failure(enum.Enum):
    """The reason why a punch has failed; the value is for people to read."""

    NO_ANSWER = "the relay between us and the peer does not answer"
    INVALID = "the peer's hole punching messages are invalid"
    REMOTE_ABORTED = "the peer has given up hole punching"
    TRY_LATER = "the peer already punches through a random NAT; dial again in 20 seconds"
    BUSY = "this node already punches through a random NAT, or did so seconds ago; dial again in 20 seconds"
    NAT_UNKNOWN = "too few nodes of the DHT answer to find out which kind of NAT lies between us and the peer"
    BOTH_RANDOM = (
        "both sides are behind NATs that use a different port for each remote, which no hole punching "
        "passes; one side needs an open UDP port, or a relay"
    )
    NOT_PUNCHING = "the peer does not take part in hole punching"
    IMPOSSIBLE = "the peer did not prove any address to which this node could punch"
    PROBES_LOST = "no probe has passed the NATs or firewalls between us and the peer"


@attrs.frozen
class PunchedAddress:
    """The way to the remote that a punch has opened: a socket of ours and the remote's address."""

    socket: int
    address: SocketAddress


@attrs.frozen
class ClientPlan:
    """The result of the handshake that a client's punch begins with."""

    client_relay: SocketAddress
    """The relay that has carried the handshake."""
    server_address: SocketAddress
    """The server's address as that relay sees it."""
    server_relay: SocketAddress
    """A relay at which the server announces itself."""
    at_server_relay: SocketAddress
    """The server's address as its own relay sees it."""
    remote_firewall: int


class PunchClientHost(PuncherHost, Protocol):
    """The methods of the node that a client's punch uses."""

    def send_round(
        self, client: ClientPunch, relay: SocketAddress, to: SocketAddress, message: Round, now: float
    ) -> bool:
        """Send a message to the server, which the relay sees at the address `to`.
        `ClientPunch.round_answered` or `ClientPunch.round_lost` follows. Returns whether it could be sent.
        """

    def forget_round(self, client: ClientPunch) -> None:
        """Forget the unanswered message."""

    def token(self, client: ClientPunch, to: SocketAddress) -> bytes:
        """Return our token for the server's host."""


class ClientPunch:
    """One punch of a client."""

    def __init__(
        self,
        host: PunchClientHost,
        plan: ClientPlan,
        now: float,
        *,
        on_punched: Callable[[PunchedAddress, float], None],
        on_failed: Callable[[Failure, float], None],
    ) -> None:
        """Prepare; `begin` starts the punch, and one of the two functions is called at its end."""
        self.state = ClientState.ASKING
        self._host = host
        self._plan = plan
        self._on_punched = on_punched
        self._on_failed = on_failed
        self.puncher = Puncher(host, self, initiator=True, remote_firewall=plan.remote_firewall)
        self._server_address = plan.server_address
        self._peer_address = plan.server_address  # the server's address at its own relay
        self._round = 0
        self._retries = 1  # how often the server is asked again about its NAT
        self._reopened = False
        self._sent_token: bytes | None = None
        self._verifies = ""  # the host that an echo of our token proves
        self._remote_token: bytes | None = None
        self._counted = False  # whether the throttle counts us before the probes begin
        self._resume_at = math.inf
        self._failure = Failure.NAT_UNKNOWN  # that follows after `ABORTING`

    def begin(self, now: float) -> None:
        """Open our NAT for the server, and ask it about its own."""
        self.puncher.begin(now)
        self._ask(now)

    @property
    def over(self) -> bool:
        """Whether it has succeeded or failed."""
        return not TRANSITIONS[self.state]

    def next_deadline(self) -> float:
        """Return the time at which to call `handle_deadline`; infinity for never."""
        return min(self._resume_at, self.puncher.next_deadline)

    def handle_deadline(self, now: float) -> None:
        """Send probes, or ask the server again, if it is time."""
        if self._resume_at <= now:
            self._resume_at = math.inf
            self._analyse(now)
        self.puncher.handle_deadline(now)

    def close(self, now: float) -> None:
        """Give up; no function is called."""
        if not self.over:
            self._end(ClientSignal.FAIL, now)

    # The server's answers

    def round_answered(
        self,
        message: Round | None,
        server: SocketAddress | None,
        ours: SocketAddress,
        relay: SocketAddress,
        now: float,
    ) -> None:
        """Take in the server's answer, or None if it is invalid. The relay sees the server at the address
        `server`, and our main socket at the address `ours`.
        """
        if self.state is ClientState.ABORTING:
            self._fail(self._failure, now)
        elif message is None:
            self._fail(Failure.INVALID, now)
        elif message.error == PunchError.TRY_LATER:
            self._fail(Failure.TRY_LATER, now)
        elif message.error != PunchError.NONE:
            self._fail(Failure.REMOTE_ABORTED, now)
        else:
            echoed = self._sent_token is not None and message.remote_token == self._sent_token
            self.puncher.update_remote(message, self._verifies if echoed else None)
            if self.state is ClientState.ASKING:
                self._peer_address = self._server_address if server is None else server
                self._remote_token = message.token
                self._learn(ours, relay, now)
            else:
                self._agreed(now)

    def round_lost(self, now: float) -> None:
        """Note that the relay does not answer."""
        self._fail(self._failure if self.state is ClientState.ABORTING else Failure.NO_ANSWER, now)

    def _learn(self, ours: SocketAddress, relay: SocketAddress, now: float) -> None:
        """Use the server's view of its NAT, and the sample of ours that the answer carries."""
        if self.puncher.remote_firewall == Firewall.UNKNOWN:
            # The server may say so to see whether its first probe reaches us.
            self._signal(ClientSignal.WAIT)
            self._resume_at = now + _PATIENCE
            self.puncher.sample(ours, relay, now)
        else:
            self.puncher.sample(ours, relay, now)
            self._analyse(now)

    def _analyse(self, now: float) -> None:
        """Go on as soon as the samples of our own NAT are there."""
        self._signal(ClientSignal.ANALYSE)
        if not self.puncher.sampling:
            self.sampling_ended(now)

    def sampling_ended(self, now: float) -> None:
        """Decide what follows from the kinds of both NATs."""
        if self.state is not ClientState.ANALYSING:
            return
        puncher = self.puncher
        if puncher.may_reopen:
            self._reopened = True
            puncher.reopen(now)
        elif self._reopened and not puncher.unstable:
            self._reopened = False
            self._ask_again(now)
        elif self._retries and (puncher.remote_firewall == Firewall.UNKNOWN or self._remote_token is None):
            self._ask_again(now)
        elif Firewall.UNKNOWN in (puncher.remote_firewall, puncher.nat.firewall):
            self._abort(Failure.NAT_UNKNOWN, now)
        elif puncher.remote_firewall >= Firewall.RANDOM and puncher.nat.firewall is Firewall.RANDOM:
            self._abort(Failure.BOTH_RANDOM, now)
        else:
            self._agree(now)

    # Our messages

    def _ask(self, now: float) -> None:
        self.puncher.open_session(self._server_address)
        plan = self._plan
        self._send(plan.server_relay, plan.at_server_relay, now, remote_address=self._server_address)

    def _ask_again(self, now: float) -> None:
        self._retries = 0
        self._signal(ClientSignal.ASK)
        self._ask(now)

    def _agree(self, now: float) -> None:
        """Ask the server to punch."""
        plan, puncher = self._plan, self.puncher
        if plan.server_relay == plan.client_relay and self._peer_address != self._server_address:
            # The server has taken another socket, because its NAT treats the first one oddly.
            self._server_address = self._peer_address
            puncher.open_session(self._server_address)
        puncher.nat.frozen = True  # the server is informed of this view
        if puncher.is_random:
            if not self._host.throttle.allows(now):
                self._abort(Failure.BUSY, now)
                return
            self._host.throttle.began()
            self._counted = True
        self._signal(ClientSignal.AGREE)
        self._sent_token = self._host.token(self, self._server_address)
        self._verifies = self._server_address[0]
        self._send(
            plan.client_relay,
            self._server_address,
            now,
            punching=True,
            token=self._sent_token,
            remote_token=self._remote_token,
        )

    def _agreed(self, now: float) -> None:
        """Punch, now that the server does so."""
        self._uncount()
        self._signal(ClientSignal.PUNCH)
        if not self.puncher.remote_punching:
            self._fail(Failure.NOT_PUNCHING, now)
        elif not self.puncher.punch(now):
            self._fail(Failure.IMPOSSIBLE, now)

    def _abort(self, failure: Failure, now: float) -> None:
        """Inform the server that we give up."""
        self._signal(ClientSignal.ABORT)
        self._failure = failure
        plan = self._plan
        message = Round(error=PunchError.ABORTED, round=self._round)
        if not self._host.send_round(self, plan.server_relay, plan.at_server_relay, message, now):
            self._fail(failure, now)

    def _send(
        self,
        relay: SocketAddress,
        to: SocketAddress,
        now: float,
        *,
        punching: bool = False,
        remote_address: SocketAddress | None = None,
        token: bytes | None = None,
        remote_token: bytes | None = None,
    ) -> None:
        nat = self.puncher.nat
        message = Round(
            firewall=nat.firewall,
            round=self._round,
            punching=punching,
            addresses=nat.addresses,
            remote_address=remote_address,
            token=token,
            remote_token=remote_token,
        )
        self._round += 1
        if not self._host.send_round(self, relay, to, message, now):
            self._fail(Failure.NO_ANSWER, now)

    # The end

    def punched(self, socket: int, address: SocketAddress, now: float) -> None:
        """Connect through the hole that a probe of the server has come through."""
        self._end(ClientSignal.FINISH, now)
        self._on_punched(PunchedAddress(socket, address), now)

    def probes_ended(self, now: float) -> None:
        """Note that no probe has passed."""
        self._fail(Failure.PROBES_LOST, now)

    def _fail(self, failure: Failure, now: float) -> None:
        self._end(ClientSignal.FAIL, now)
        self._on_failed(failure, now)

    def _end(self, signal: ClientSignal, now: float) -> None:
        self._signal(signal)
        self._resume_at = math.inf
        self._uncount()
        self._host.forget_round(self)
        self.puncher.close(now)

    def _uncount(self) -> None:
        if self._counted:
            self._counted = False
            self._host.throttle.cancelled()

    def _signal(self, signal: ClientSignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "punch")
