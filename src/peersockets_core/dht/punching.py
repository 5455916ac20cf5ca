"""`Punching`: carries the hole punching of one node: its sockets, probes, samples and relayed messages.

Source: hyperdht 6.34.0, `lib/connect.js`, `lib/server.js`, `lib/router.js` and `lib/socket-pool.js`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from ..address import SocketAddress
from ..errors import RemoteProtocolError
from ..holepunch.client import ClientPlan, ClientPunch, Failure, PunchedAddress
from ..holepunch.limits import PunchLimits
from ..holepunch.puncher import FULL_TTL, Puncher
from ..holepunch.rounds import Round
from ..holepunch.server import Refusal, RoundReceived, ServerPunch
from ..holepunch.throttle import Throttle
from ..keys import Entropy
from .exchange import Exchange
from .messages import HyperDhtCommand, RelayedHolepunch, RelayMode, decode_holepunch_untrusted
from .relaying import Pairing, PairingState
from .rpc.events import RequestReceived
from .rpc.messages import RpcCommand, RpcResponse
from .rpc.requests import PendingRequest, Socket
from .secure_payload import SecurePayload

FIRST_SOCKET: Final = Socket.PROBE + 1
"""The number of the first socket for hole punching."""

PROBE: Final = b"\0"
"""The datagram that opens and passes NATs."""


@attrs.frozen
class PunchDatagram:
    """A datagram to send from a socket for hole punching."""

    socket: int
    to: SocketAddress
    data: bytes
    ttl: int
    """Hops after which routers drop the datagram."""


@attrs.frozen
class PunchFailed:
    """An accepted remote could not reach us: no stream of it will arrive."""

    punch: IncomingPunch
    reason: str
    """A reason for people to read."""


@attrs.frozen
class PunchStatistics:
    """Counters of a node's hole punching at one moment."""

    sockets: int
    """Sockets that are open for punches in progress."""
    started: int
    """Punches that have begun, as the dialling or the dialled side."""
    succeeded: int
    failed: dict[str, int]
    """The number of failed punches by reason."""


@attrs.define(eq=False)
class IncomingPunch:
    """The punch towards one remote that has dialled us."""

    id: int
    """Our number of the handshake, with which the remote addresses its messages."""
    public_key: bytes
    socket: int | None
    """The socket from which the handshake is answered, or None for the main one."""
    server: ServerPunch = attrs.field(init=False)
    pairing: Pairing | None = attrs.field(default=None, init=False)
    """The attempt to meet the remote at a blind relay meanwhile."""
    failure: str = attrs.field(default="", init=False)
    """The reason why the punch has failed, while the pairing goes on."""
    relay_failure: str = attrs.field(default="", init=False)
    """The reason why the pairing has failed, while the punch goes on."""
    _payload: SecurePayload | None = attrs.field(default=None, init=False)


class Punching:
    """The punches of one node, in both directions. It is the host of each one's machine."""

    def __init__(
        self,
        exchange: Exchange[PunchFailed],
        entropy: Entropy,
        limits: PunchLimits,
        *,
        is_own_relay: Callable[[SocketAddress], bool],
    ) -> None:
        self.limits = limits
        self.throttle = Throttle(limits)
        self.entropy = entropy
        self.sockets: dict[int, Puncher] = {}
        """The open sockets of punches in progress. The caller opens a socket with its first datagram, and
        closes it once its number is gone."""
        self.sockets_closed = 0
        """The number of sockets that have left `sockets`."""
        self._exchange = exchange
        self._is_own_relay = is_own_relay
        self._numbers = itertools.count(FIRST_SOCKET)
        self._output: list[PunchDatagram] = []
        self._clients: dict[ClientPunch, tuple[bytes, int, SecurePayload]] = {}
        self._servers: dict[ServerPunch, IncomingPunch] = {}
        self._by_id: dict[int, IncomingPunch] = {}
        self._pings: dict[PendingRequest, Puncher] = {}
        self._rounds: dict[PendingRequest, ClientPunch] = {}
        self._started = self._succeeded = 0
        self._failed: Counter[str] = Counter()

    def statistics(self) -> PunchStatistics:
        """Return the counters."""
        return PunchStatistics(len(self.sockets), self._started, self._succeeded, dict(self._failed))

    # Datagrams and time

    def receive_probe(self, socket: int, source: SocketAddress, now: float) -> None:
        """Take in a datagram of at most one byte."""
        puncher = self.sockets.get(socket)
        if puncher is not None:
            puncher.received(socket, source, now)

    def datagrams_to_send(self, now: float) -> list[PunchDatagram]:
        """Return the datagrams to send from sockets for hole punching."""
        output, self._output = self._output, []
        for socket, to, data in self._exchange.node.datagrams_of_others(now):
            output.append(PunchDatagram(socket, to, data, FULL_TTL))
        return [datagram for datagram in output if datagram.socket in self.sockets]

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`; infinity for never."""
        if not self._clients and not self._servers:  # the usual case
            return math.inf
        return min(punch.next_deadline() for punch in self._punches())

    def handle_deadline(self, now: float) -> None:
        """Send the probes that are due."""
        for punch in self._punches():
            if punch.next_deadline() <= now:
                punch.handle_deadline(now)

    def _punches(self) -> list[ClientPunch | ServerPunch]:
        return [*self._clients, *self._servers]

    # Punches of a client

    def start(
        self,
        target: bytes,
        id: int,
        handshake_hash: bytes,
        plan: ClientPlan,
        now: float,
        *,
        on_punched: Callable[[PunchedAddress, float], None],
        on_failed: Callable[[Failure, float], None],
    ) -> ClientPunch:
        """Punch towards the server with the key hash `target`, which has given the handshake the number
        `id`. One of the two functions is called at the end.
        """

        def punched(address: PunchedAddress, now: float) -> None:
            del self._clients[client]
            self._succeeded += 1
            on_punched(address, now)

        def failed(failure: Failure, now: float) -> None:
            del self._clients[client]
            self._failed[failure.name.lower()] += 1
            on_failed(failure, now)

        client = ClientPunch(self, plan, now, on_punched=punched, on_failed=failed)
        self._clients[client] = target, id, self._secure(handshake_hash)
        self._started += 1
        return client

    def cancel(self, client: ClientPunch, now: float) -> None:
        """Give up a punch; no function is called."""
        self._clients.pop(client, None)
        client.close(now)

    def postponed_until(self, failure: Failure, now: float) -> float:
        """Return the earliest time at which to punch again after a failure that is no fault of the NATs, or
        NaN for another failure.
        """
        match failure:
            case Failure.BUSY:
                return self.throttle.allowed_at(now)
            case Failure.TRY_LATER:  # the remote's punch may just have ended
                return now + self.limits.random_pause
        return math.nan

    # Punches of a server

    def offer(
        self, public_key: bytes, remote_firewall: int, now: float, *, local: bool
    ) -> IncomingPunch | None:
        """Prepare to punch towards a remote that has dialled us; returns None if there are too many punches.

        A `local` remote may reach our main socket, so the handshake is answered from there.
        """
        of_key = sum(punch.public_key == public_key for punch in self._by_id.values())
        # The pairings have a bound of their own.
        unpaired = [
            punch
            for punch in self._by_id.values()
            if punch.pairing is None or punch.pairing.state is PairingState.OVER
        ]
        if len(unpaired) >= self.limits.incoming or of_key >= self.limits.incoming_of_key:
            return None
        id = next(number for number in itertools.count() if number not in self._by_id)
        server = ServerPunch(self, remote_firewall, now)
        punch = IncomingPunch(id, public_key, None if local else server.puncher.socket)
        punch.server = server
        self._by_id[id] = self._servers[server] = punch
        self._started += 1
        return punch

    def accept(self, punch: IncomingPunch, handshake_hash: bytes, now: float) -> None:
        """Take part in the punch, now that the handshake is answered."""
        punch._payload = self._secure(handshake_hash)
        punch.server.begin(now)

    def connected(self, punch: IncomingPunch, socket: int, now: float) -> None:
        """Note that the remote's stream has arrived at a socket."""
        if not punch.server.over:
            self._succeeded += 1
            self._drop(punch)
            punch.server.connected(socket, now)

    def withdraw(self, punch: IncomingPunch, now: float) -> None:
        """Give up a punch; no event follows."""
        self._drop(punch)
        punch.server.close(now)

    def _drop(self, punch: IncomingPunch) -> None:
        if self._servers.pop(punch.server, None) is not None:
            del self._by_id[punch.id]

    def receive_untrusted(self, received: RequestReceived, now: float) -> None:
        """Take in a relayed message for our key. Raises only `RemoteProtocolError`."""
        relayed = decode_holepunch_untrusted(received.request.value or b"")
        punch = self._by_id.get(relayed.id)
        if relayed.mode != RelayMode.FROM_RELAY or relayed.peer_address is None:
            raise RemoteProtocolError("the hole punching message does not come from a relay")
        if punch is None or punch._payload is None:
            raise RemoteProtocolError("the hole punching message belongs to no handshake")
        punch.server.receive(
            RoundReceived(
                punch._payload.open_untrusted(relayed.payload),
                relayed.peer_address,
                received.source,
                received.request.to,
                received.socket,
                self._is_own_relay(received.source),
                received,
            ),
            now,
        )

    def _secure(self, handshake_hash: bytes) -> SecurePayload:
        return SecurePayload(handshake_hash, self.entropy, self.limits.addresses)

    # The methods of `PuncherHost`

    def open_socket(self, puncher: Puncher) -> int:
        """Return the number of a new socket."""
        socket = next(self._numbers)
        self.sockets[socket] = puncher
        return socket

    def close_socket(self, socket: int) -> None:
        """Forget a socket."""
        del self.sockets[socket]
        self.sockets_closed += 1

    def keep_socket(self, socket: int) -> None:
        """Hand a socket over to a stream, which the caller connects through it."""
        self.close_socket(socket)

    def probe(self, socket: int, to: SocketAddress, ttl: int) -> None:
        """Send a probe."""
        self._output.append(PunchDatagram(socket, to, PROBE, ttl))

    def nodes(self) -> Iterable[SocketAddress]:
        """Return the known nodes, those heard from last first."""
        node = self._exchange.node
        return dict.fromkeys(
            itertools.chain((contact.address for contact in node.upkeep.latest()), node.bootstrap)
        )

    def ping(self, puncher: Puncher, node: SocketAddress, socket: int, now: float) -> bool:
        """Ask a node for the address at which it sees a socket."""
        ping = self._exchange.request(
            self, node, now, command=RpcCommand.PING, internal=True, retries=0, socket=socket
        )
        if ping is not None:
            self._pings[ping] = puncher
        return ping is not None

    def forget_pings(self, puncher: Puncher) -> None:
        """Forget the unanswered pings of a puncher."""
        for ping in [ping for ping, owner in self._pings.items() if owner is puncher]:
            del self._pings[ping]
            self._exchange.cancel(ping)

    # The methods of `PunchClientHost`

    def send_round(
        self, client: ClientPunch, relay: SocketAddress, to: SocketAddress, message: Round, now: float
    ) -> bool:
        """Send a message to a server through a relay."""
        target, id, payload = self._clients[client]
        value = RelayedHolepunch(RelayMode.FROM_CLIENT, id, payload.seal(message), to).encode()
        request = self._exchange.request(
            self,
            relay,
            now,
            command=HyperDhtCommand.PEER_HOLEPUNCH,
            target=target,
            value=value,
            socket=client.puncher.socket,
        )
        if request is not None:
            self._rounds[request] = client
        return request is not None

    def forget_round(self, client: ClientPunch) -> None:
        """Forget a client's unanswered message."""
        for request in [request for request, owner in self._rounds.items() if owner is client]:
            del self._rounds[request]
            self._exchange.cancel(request)

    # The methods of `PunchServerHost`

    def answer_round(
        self, server: ServerPunch, received: RoundReceived, message: Round, *, socket: int | None
    ) -> None:
        """Answer a client's message along its path."""
        payload, request = self._servers[server]._payload, received.path
        assert payload is not None
        assert isinstance(request, RequestReceived)
        value = RelayedHolepunch(RelayMode.FROM_SERVER, 0, payload.seal(message), received.client).encode()
        at = Socket.MAIN if socket is None else socket
        self._exchange.node.relay(request, received.relay, value, socket=at)

    def server_ended(self, server: ServerPunch, refusal: Refusal, now: float) -> None:
        """Report that a remote could not reach us."""
        punch = self._servers[server]
        self._drop(punch)
        self._failed[refusal.name.lower()] += 1
        self._exchange.report(PunchFailed(punch, refusal.value))

    def token(self, punch: ClientPunch | ServerPunch, to: SocketAddress) -> bytes:
        """Return our token for a remote's host."""
        if isinstance(punch, ClientPunch):
            return self._clients[punch][2].token(to[0])
        payload = self._servers[punch]._payload
        assert payload is not None
        return payload.token(to[0])

    # The answers of nodes

    def answered(self, request: PendingRequest, response: RpcResponse, now: float) -> None:
        """Hand an answer to the punch that has asked."""
        puncher = self._pings.pop(request, None)
        if puncher is not None:
            puncher.sampled(response.to, request.to, now)
            return
        client = self._rounds.pop(request)
        try:
            relayed = decode_holepunch_untrusted(response.value or b"")
            if relayed.mode != RelayMode.REPLY:
                raise RemoteProtocolError("the answer to a hole punching message is not a reply")
            message = self._clients[client][2].open_untrusted(relayed.payload)
        except RemoteProtocolError:
            client.round_answered(None, None, response.to, request.to, now)
        else:
            client.round_answered(message, relayed.peer_address, response.to, request.to, now)

    def timed_out(self, request: PendingRequest, now: float) -> None:
        """Note that a node does not answer."""
        puncher = self._pings.pop(request, None)
        if puncher is not None:
            puncher.sample_lost(now)
        else:
            self._rounds.pop(request).round_lost(now)
