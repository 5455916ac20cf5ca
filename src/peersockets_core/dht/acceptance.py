"""`Acceptance`: answers remotes that have dialled us, and opens the ways for their streams.

A remote that a NAT or firewall may keep out is met by hole punching, and meanwhile at a blind relay if one of
the two sides has named one. Source: hyperdht 6.34.0, `lib/server.js`.
"""

from __future__ import annotations

from functools import partial
from typing import Final, Protocol

import attrs

from ..address import SocketAddress
from ..holepunch.nat import Firewall
from .announcer import Announcer
from .dialing import Dial
from .exchange import Exchange
from .listening import Accepted, Decision, HandshakeServer, Incoming
from .messages import HandshakeError, HandshakePayload, HolepunchInfo
from .punching import IncomingPunch, PunchFailed, Punching
from .relaying import UNUSABLE_RELAY, PairingState, Relaying

_LOOPBACK: Final = "127.0.0.1"


class AcceptanceHost(Protocol):
    """The attributes and methods of a node that its acceptance uses."""

    listener: HandshakeServer
    announcer: Announcer
    punching: Punching
    relaying: Relaying[Dial]
    local_addresses: tuple[SocketAddress, ...]

    @property
    def exchange(self) -> Exchange[PunchFailed]:
        """The requests of the node's parts, and their reports."""
        ...

    @property
    def open_address(self) -> SocketAddress | None:
        """The address at which everyone can reach us, or None."""

    @property
    def announced_relays(self) -> tuple[SocketAddress, ...]:
        """The relays for our records."""
        ...

    def payload(self, stream_id: int) -> HandshakePayload:
        """Return our payload for a handshake."""


class Acceptance:
    """The accepted remotes of one node that its punches and pairings bring."""

    def __init__(self, host: AcceptanceHost) -> None:
        self._host = host

    def accept(
        self, incoming: Incoming, stream_id: int, now: float, relay_through: bytes | None
    ) -> Accepted | None:
        """Accept a remote, as `HyperDht.accept` documents."""
        host = self._host
        host.listener.check_decidable(incoming, Decision.ACCEPT)
        payload = attrs.evolve(host.payload(stream_id), relays=host.announced_relays)
        punch = None
        relays = tuple(host.announcer.relays.items())
        if relays and self._is_shielded(incoming):
            if incoming.payload.firewall == Firewall.OPEN:
                payload = attrs.evolve(payload, holepunch=HolepunchInfo(0, relays))
            else:
                punch = self._offer(incoming, now)
                offer = None if punch is None else HolepunchInfo(punch.id, relays)
                error = HandshakeError.TRY_LATER if punch is None else HandshakeError.NONE
                payload = attrs.evolve(payload, holepunch=offer, error=error)
        incoming.punch = punch
        if punch is not None and relay_through is not None:
            payload = attrs.evolve(payload, relay_through=host.relaying.invite(relay_through))
        accepted = host.listener.accept(incoming, stream_id, payload, now)
        if punch is not None:
            if accepted is None:
                host.punching.withdraw(punch, now)
            else:
                host.punching.accept(punch, accepted.keys.handshake_hash, now)
                self._meet_at_relay(incoming.payload, punch, accepted, payload, now)
        return accepted

    def punch_failed(self, punch: IncomingPunch, reason: str) -> PunchFailed | None:
        """Return the failure of a punch with all its reasons, or None if the remote is relayed or may still
        be.
        """
        pairing = punch.pairing
        if pairing is not None and pairing.pending:
            punch.failure = reason
            return None
        if pairing is not None and pairing.state is PairingState.PAIRED:
            return None
        return PunchFailed(punch, "; ".join(filter(None, (reason, punch.relay_failure))))

    def _is_shielded(self, incoming: Incoming) -> bool:
        """Return whether a NAT or firewall may shield us from a remote. Nothing shields the programs of one
        host from each other, and a persistent node can be reached.
        """
        ours = incoming.our_address
        open = self._host.open_address is not None or self._host.exchange.node.id is not None
        return not open and ours is not None and ours[0] != _LOOPBACK

    def _offer(self, incoming: Incoming, now: float) -> IncomingPunch | None:
        """Prepare to punch towards a remote. One behind the same public address tries our local addresses
        first.
        """
        ours, theirs = incoming.our_address, incoming.payload
        assert ours is not None
        networks = {host.partition(".")[0] for host, _ in self._host.local_addresses}
        local = ours[0] == incoming.address[0] and any(
            host.partition(".")[0] in networks for host, _ in theirs.addresses
        )
        return self._host.punching.offer(incoming.remote_public_key, theirs.firewall, now, local=local)

    def _meet_at_relay(
        self,
        remote: HandshakePayload,
        punch: IncomingPunch,
        accepted: Accepted,
        payload: HandshakePayload,
        now: float,
    ) -> None:
        """Meet an accepted remote at our blind relay, or at the one that it has named, while we punch."""
        ours, theirs = payload.relay_through, remote.relay_through
        through = ours or theirs
        if through is None:
            return
        assert payload.udx is not None
        punch.pairing = self._host.relaying.offer(
            through,
            ours is not None,
            accepted.keys,
            (payload.udx.id, accepted.remote_stream_id),
            now,
            on_paired=punch.server.relayed,
            on_failed=partial(self._pairing_failed, punch),
        )
        if punch.pairing is None:
            punch.relay_failure = UNUSABLE_RELAY
        else:
            punch.server.wait_until(punch.pairing.expires)

    def _pairing_failed(self, punch: IncomingPunch, reason: str, now: float) -> None:
        """Report that an accepted remote cannot reach us, if its punch has failed before its pairing."""
        punch.relay_failure = reason
        if punch.failure:
            self._host.exchange.report(PunchFailed(punch, punch.failure))
