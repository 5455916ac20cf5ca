"""`Relays`: the connections of a swarm to blind relays, and the streams of peers that those forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import attrs
import trio

from peersockets_core import PeerUnreachable
from peersockets_core.dht import HyperDht, Incoming, Pairing
from peersockets_core.udx import State

from ..udp import UdpSocket, UdxStream

if TYPE_CHECKING:
    from peersockets_core.address import PathAddress

PASSIVE_TIME: Final = 10.0
"""Seconds to wait for the first packet of a remote that connects to us (hyperdht 6.34.0)."""

_LOST: Final = "the blind relay has ended the connection"


class RelaysHost(Protocol):
    """The attributes and methods of a swarm's connections that its relays use."""

    @property
    def dht(self) -> HyperDht:
        """The node of the DHT."""
        ...

    @property
    def udp(self) -> UdpSocket:
        """The socket of all streams."""
        ...

    def new_stream(self) -> UdxStream:
        """Open a stream with a new id."""

    def unclaim(self, address: PathAddress | None) -> None:
        """Leave a path to its stream, which is about to be connected."""

    def flush(self) -> None:
        """Send the datagrams that a command has caused."""


class Relays:
    """The pairings at blind relays of one swarm."""

    def __init__(self, host: RelaysHost) -> None:
        self._host = host
        self._streams: dict[Pairing, UdxStream] = {}
        """The streams to the relays."""

    # Events of the node

    def offered(self, pairing: Pairing) -> None:
        """Dial the relay of a pairing."""
        stream = self._streams[pairing] = self._host.new_stream()
        self._host.dht.dial_relay(pairing, stream.local_id, trio.current_time())
        self._host.flush()

    async def talk(self, pairing: Pairing, remote_id: int, address: PathAddress | None) -> None:
        """Move bytes between a relay that was reached and its pairing, until either is over."""
        stream, dht = self._streams.get(pairing), self._host.dht
        if stream is None:  # the pairing has ended before this task has begun
            self._host.unclaim(address)
            return
        try:
            if address is None:
                with trio.move_on_after(PASSIVE_TIME):
                    address = await stream.wait_early()
            self._host.unclaim(address)
            if address is not None:
                stream.connect(remote_id, address)
                await stream.send_all(pairing.data_to_send())
                while data := await stream.receive_some():
                    dht.receive_from_relay(pairing, bytes(data), trio.current_time())
                    self._host.flush()
                    if answer := pairing.data_to_send():
                        await stream.send_all(answer)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # whoever has ended the stream says why
        dht.end_relay(pairing, trio.current_time(), _LOST)
        self._host.flush()

    def take_peer(self, pairing: Pairing, incoming: Incoming | None) -> tuple[UdxStream, PathAddress] | None:
        """Return the stream of a peer that the relay forwards from now on, and the relay's address; None if
        the stream has gone another way or is over.
        """
        to_relay = self._streams.get(pairing)
        relay = None if to_relay is None else to_relay.core.remote_address
        core = self._host.udp.endpoint.streams.get(pairing.stream_id)
        if core is None or core.state is not State.OPEN or relay is None:
            self._host.dht.end_relay(pairing, trio.current_time())
            return None
        core.owner.watcher = _Path(self._host, pairing, core.owner, incoming)
        return core.owner, relay

    def upgraded(self, pairing: Pairing, remote_id: int, address: PathAddress) -> None:
        """Let a stream continue on the direct path that we have found."""
        core = self._host.udp.endpoint.streams.get(pairing.stream_id)
        if core is not None and core.connected and not core.owner.closed:
            core.owner.change_remote(remote_id, address)

    def closed(self, pairing: Pairing, reason: str) -> None:
        """End the stream to a relay, and a peer's stream that depends on it."""
        stream = self._streams.pop(pairing, None)
        if stream is None:
            return
        relay = stream.core.remote_address
        stream.abandon()
        core = self._host.udp.endpoint.streams.get(pairing.stream_id)
        if reason and core is not None and core.connected and core.remote_address == relay:
            core.owner.break_off(PeerUnreachable(reason))

    def close(self) -> None:
        """Give up all relays."""
        while self._streams:
            self._streams.popitem()[1].abandon()


@attrs.define(eq=False)
class _Path:
    """Follows the path of a relayed stream, until it is direct."""

    host: RelaysHost
    pairing: Pairing
    stream: UdxStream
    incoming: Incoming | None
    """The handshake of the remote, if it has dialled us."""

    def moved(self, address: PathAddress) -> None:
        """Follow a remote that has dialled us, and has found a direct path. The packet that shows it may have
        ended the stream as well.
        """
        incoming, now = self.incoming, trio.current_time()
        if incoming is None or incoming.punch is None or incoming.punch.server.over:
            return
        if self.stream.closed or not self.stream.core.connected:
            return
        self.stream.change_remote(self.pairing.remote_stream_id, address)
        self.host.dht.arrived(incoming, address, now)
        self.confirmed()

    def confirmed(self) -> None:
        """Leave the relay: packets go directly both ways."""
        self.host.dht.end_relay(self.pairing, trio.current_time())
        self.host.flush()

    def ended(self) -> None:
        """Leave the relay, and stop looking for a direct path."""
        if self.incoming is not None:
            self.host.dht.abandon(self.incoming, trio.current_time())
        self.confirmed()
