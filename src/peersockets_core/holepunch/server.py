"""`ServerPunch`: punches towards a client that has dialled us through a relay.

Source: hyperdht 6.34.0, `lib/server.js` (`_onpeerholepunch`).
"""

from __future__ import annotations

import enum
import math
from collections import deque
from typing import Final, Protocol

import attrs

from ..address import SocketAddress
from ..transitions import follow
from .nat import Firewall
from .puncher import Puncher, PuncherHost
from .rounds import PunchError, Round


class ServerState(enum.Enum):
    """The state of a server's punch."""

    WAITING = "waiting"
    """The handshake is answered; the client has not asked us to punch yet."""
    PUNCHING = "punching"
    """Both sides send probes."""
    DONE = "done"
    FAILED = "failed"


class ServerSignal(enum.Enum):
    """An occurrence that changes the state."""

    PUNCH = "punch"
    FINISH = "finish"
    FAIL = "fail"


_ENDS: Final = {ServerSignal.FINISH: ServerState.DONE, ServerSignal.FAIL: ServerState.FAILED}

TRANSITIONS: Final[dict[ServerState, dict[ServerSignal, ServerState]]] = {
    ServerState.WAITING: {ServerSignal.PUNCH: ServerState.PUNCHING, **_ENDS},
    ServerState.PUNCHING: _ENDS,
    ServerState.DONE: {},
    ServerState.FAILED: {},
}
"""Every legal transition."""


class Refusal(enum.Enum):
    """The reason why a server's punch has failed; the value is for people to read."""

    EXPIRED = "the peer did not connect in time"
    REMOTE_ABORTED = "the peer has given up hole punching"
    NAT_UNSTABLE = "our NAT, or both NATs, cannot be punched through"
    BUSY = "this node already punches through a random NAT"
    IMPOSSIBLE = "the peer named no address to which this node could punch"
    TOO_MANY = "the peer has sent too many hole punching messages"
    PROBES_LOST = "no probe has passed the NATs or firewalls between us and the peer"


@attrs.frozen
class RoundReceived:
    """A client's message, and the path back to it."""

    message: Round
    client: SocketAddress
    """The client's address as the relay sees it."""
    relay: SocketAddress
    ours: SocketAddress
    """Our address as the relay sees it."""
    socket: int
    """The socket at which it has arrived."""
    own_relay: bool
    """Whether we have announced ourselves at this relay."""
    path: object = None
    """A value of the host's choice, which it gets back with the answer."""


class PunchServerHost(PuncherHost, Protocol):
    """The methods of the node that a server's punch uses."""

    def answer_round(
        self, server: ServerPunch, received: RoundReceived, message: Round, *, socket: int | None
    ) -> None:
        """Answer a client's message from a socket, or from the node's main socket if that is None."""

    def token(self, server: ServerPunch, to: SocketAddress) -> bytes:
        """Return our token for the client's host."""

    def server_ended(self, server: ServerPunch, refusal: Refusal, now: float) -> None:
        """Note that the punch has failed."""


class ServerPunch:
    """One punch of a server."""

    def __init__(self, host: PunchServerHost, remote_firewall: int, now: float) -> None:
        """Prepare; `begin` starts to sample our NAT. The punch expires if the client does not take part."""
        self.state = ServerState.WAITING
        self.puncher = Puncher(host, self, initiator=False, remote_firewall=remote_firewall)
        self._host = host
        self._expires = now + host.limits.initial_time
        self._round = 0
        self._rounds = 0  # messages that were answered
        self._waiting: deque[RoundReceived] = deque()
        """The messages that are answered once the kind of our NAT is known."""

    def begin(self, now: float) -> None:
        """Collect samples of our NAT."""
        self.puncher.begin(now)

    @property
    def over(self) -> bool:
        """Whether it has succeeded or failed."""
        return not TRANSITIONS[self.state]

    def next_deadline(self) -> float:
        """Return the time at which to call `handle_deadline`; infinity for never."""
        return min(self._expires, self.puncher.next_deadline)

    def handle_deadline(self, now: float) -> None:
        """Send probes, or give up, if it is time."""
        if self._expires <= now:
            self._fail(Refusal.EXPIRED, now)
        else:
            self.puncher.handle_deadline(now)

    def wait_until(self, time: float) -> None:
        """Give the client more time to take part, because it meets us at a blind relay meanwhile."""
        if self.state is ServerState.WAITING:
            self._expires = max(self._expires, time)

    def relayed(self, now: float) -> None:
        """Note that a blind relay forwards the client's stream."""
        self.wait_until(now + self._host.limits.relayed_time)

    def connected(self, socket: int, now: float) -> None:
        """Note that the client's stream has arrived at a socket."""
        if not self.over:
            self.puncher.connected(socket, now)
            self._end(ServerSignal.FINISH, now)

    def close(self, now: float) -> None:
        """Give up; the host is not called."""
        if not self.over:
            self._end(ServerSignal.FAIL, now)

    # The client's messages

    def receive(self, received: RoundReceived, now: float) -> None:
        """Take in a message of the client."""
        if self.over:
            return
        message = received.message
        self._rounds += 1
        if self._rounds > self._host.limits.rounds:
            self._fail(Refusal.TOO_MANY, now)
            return
        if message.error != PunchError.NONE:
            self._round = max(self._round, message.round)
            self._refuse(received, Refusal.REMOTE_ABORTED, now)
            return
        if message.round >= self._round:
            self._round = message.round
            token = self._host.token(self, received.client)
            echoed = received.own_relay and message.remote_token == token
            self.puncher.update_remote(message, received.client[0] if echoed else None)
        if len(self._waiting) >= self._host.limits.waiting:
            self._waiting.popleft()
        self._waiting.append(received)
        if received.socket == self.puncher.socket:
            self.puncher.sample(received.ours, received.relay, now)
        self._answer_waiting(now)

    def sampling_ended(self, now: float) -> None:
        """Answer the messages that have waited for this."""
        self._answer_waiting(now)

    def _answer_waiting(self, now: float) -> None:
        puncher = self.puncher
        while self._waiting and not self.over and not puncher.sampling:
            if not puncher.remote_punching and puncher.may_reopen:
                puncher.reopen(now)
                continue
            received = self._waiting.popleft()
            if not puncher.remote_punching and puncher.unstable:
                self._refuse(received, Refusal.NAT_UNSTABLE, now)
            else:
                self._answer(received, now)

    def _answer(self, received: RoundReceived, now: float) -> None:
        puncher, nat = self.puncher, self.puncher.nat
        if nat.firewall is Firewall.CONSISTENT and received.message.remote_address in nat.addresses:
            puncher.ping(received.client)  # the client has opened its NAT for us
        if puncher.remote_punching and not puncher.punching and not self._punch(received, now):
            return
        # The client is informed of this view.
        nat.frozen = nat.frozen or nat.firewall is not Firewall.UNKNOWN
        message = self._message(received, PunchError.NONE)
        self._host.answer_round(self, received, message, socket=puncher.socket)

    def _punch(self, received: RoundReceived, now: float) -> bool:
        """Punch as the client has asked for; returns whether that is possible."""
        puncher = self.puncher
        if puncher.is_random and not self._host.throttle.allows(now):
            self._refuse(received, Refusal.BUSY, now, PunchError.TRY_LATER)
            return False
        if not puncher.punch(now):
            self._refuse(received, Refusal.IMPOSSIBLE, now)
            return False
        self._signal(ServerSignal.PUNCH)
        self._expires = math.inf
        return True

    def _message(self, received: RoundReceived, error: PunchError) -> Round:
        nat = self.puncher.nat
        return Round(
            error=error,
            firewall=nat.firewall,
            round=self._round,
            punching=self.puncher.punching,
            addresses=nat.addresses,
            token=self._host.token(self, received.client) if received.own_relay else None,
            remote_token=received.message.token,
        )

    # The end

    def probes_ended(self, now: float) -> None:
        """Note that no probe has passed."""
        self._fail(Refusal.PROBES_LOST, now)

    def punched(self, socket: int, address: SocketAddress, now: float) -> None:
        """Do nothing: the client's stream follows its probe."""

    def _refuse(
        self,
        received: RoundReceived,
        refusal: Refusal,
        now: float,
        error: PunchError = PunchError.ABORTED,
    ) -> None:
        """Inform the client that we give up."""
        self._host.answer_round(self, received, Round(error=error, round=self._round), socket=None)
        self._fail(refusal, now)

    def _fail(self, refusal: Refusal, now: float) -> None:
        self._end(ServerSignal.FAIL, now)
        self._host.server_ended(self, refusal, now)

    def _end(self, signal: ServerSignal, now: float) -> None:
        self._signal(signal)
        self._expires = math.inf
        self._waiting.clear()
        self.puncher.close(now)

    def _signal(self, signal: ServerSignal) -> None:
        self.state = follow(TRANSITIONS, self.state, signal, "punch")
