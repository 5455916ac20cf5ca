"""`Dispatcher`: hands the requests and events of a HyperDHT node to the parts that they concern."""

from __future__ import annotations

from typing import Protocol

from ..errors import RemoteProtocolError
from .acceptance import Acceptance
from .announcer import Announcer
from .dialing import Dial, DialFailed, Dialled
from .events import HyperDhtEvent
from .exchange import Exchange
from .forwarding import Forwarding
from .listening import HandshakeServer
from .messages import HyperDhtCommand
from .outgoing import OutgoingDials
from .punching import FIRST_SOCKET, PunchFailed, Punching
from .relaying import Relaying
from .rpc.events import Answered, DhtEvent, QueryFinished, QueryReplied, RequestReceived, TimedOut
from .rpc.messages import RpcErrorCode
from .rpc.node import DhtNode
from .storage import Storage


class DispatchHost(Protocol):
    """The parts of a node, and its own share of the events."""

    node: DhtNode
    exchange: Exchange[HyperDhtEvent]
    forwarding: Forwarding
    storage: Storage
    listener: HandshakeServer
    announcer: Announcer
    punching: Punching
    relaying: Relaying[Dial]
    outgoing: OutgoingDials
    acceptance: Acceptance
    pending_events: list[HyperDhtEvent]

    @property
    def listening(self) -> bool:
        """Whether we let remotes dial our key."""
        ...

    def follow(self, event: DhtEvent, now: float) -> None:
        """Act on an event of the layer below, which the application receives as well."""


class Dispatcher:
    """The ways of requests and events between the dht-rpc node, the parts and the application."""

    def __init__(self, host: DispatchHost) -> None:
        self._host = host

    def process(self, events: list[DhtEvent], now: float) -> list[HyperDhtEvent]:
        """Hand the events of the node below to the parts; returns the events for the application."""
        host = self._host
        while events:
            for event in events:
                if isinstance(event, RequestReceived):
                    self._serve(event, now)
                elif isinstance(event, Answered | TimedOut | QueryReplied | QueryFinished):
                    host.exchange.dispatch(event, now)
                else:
                    host.follow(event, now)
                    host.pending_events.append(event)
            events = host.node.take_events()  # events of requests that the parts have just made
        caused: list[HyperDhtEvent] = []
        while host.pending_events:
            reported = self._route(host.pending_events.pop(0), now)
            if reported is not None:
                caused.append(reported)
        host.outgoing.forget_finished()
        return caused

    def _route(self, event: HyperDhtEvent, now: float) -> HyperDhtEvent | None:
        """Return an event of a part for the application, or None if it concerns another part alone."""
        relaying = self._host.relaying
        match event:
            case Dialled(dial) | DialFailed(dial) if dial not in self._host.outgoing.dials:
                pass  # cancelled since
            case Dialled(dial, keys, remote_stream_id, address) if relaying.takes(dial):
                relaying.reached(dial, keys, remote_stream_id, address)
            case DialFailed(dial, reason) if relaying.takes(dial):
                relaying.not_reached(dial, reason, now)
            case PunchFailed(punch, reason) if punch.pairing is not None or punch.relay_failure:
                return self._host.acceptance.punch_failed(punch, reason)
            case _:
                return event
        return None

    def _serve(self, received: RequestReceived, now: float) -> None:
        """Answer a request, or drop it if it is malformed."""
        host, request = self._host, received.request
        ours = host.listening and request.target == host.announcer.target
        try:
            if request.command == HyperDhtCommand.PEER_HOLEPUNCH and ours:
                host.punching.receive_untrusted(received, now)
            elif received.socket >= FIRST_SOCKET:
                raise RemoteProtocolError("a socket for hole punching serves nobody else")
            elif request.command == HyperDhtCommand.PEER_HANDSHAKE:
                if ours:
                    host.listener.receive_untrusted(received, now)
                else:
                    host.forwarding.relay_handshake_untrusted(received, now)
            elif request.command == HyperDhtCommand.PEER_HOLEPUNCH:
                host.forwarding.relay_holepunch_untrusted(received, now)
            elif host.node.id is None or not host.storage.serve(received, now):
                host.node.reply(
                    received, now, error=RpcErrorCode.UNKNOWN_COMMAND, token=False, closer_nodes=True
                )
        except RemoteProtocolError:
            host.node.dropped += 1
