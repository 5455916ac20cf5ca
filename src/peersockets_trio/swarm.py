"""`Swarm`: a node's presence in HyperDHT, where it needs only a drive's key to find the drive's peers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext
from typing import Literal

import attrs
import trio

from peersockets_core import DriveKey, PeerUnreachable, parse_public_key
from peersockets_core import swarm as core
from peersockets_core.address import SocketAddress
from peersockets_core.dht import DEFAULT_HYPER_DHT_LIMITS, HyperDhtLimits, PunchStatistics
from peersockets_core.info import ConnectionInfo
from peersockets_core.swarm import Announced, Flushed, PeerFound, SwarmEvent

from .drive import Drive
from .runtime import swarm_runtime
from .runtime.background import background_tasks, sheltered_task
from .runtime.bootstrap import BootstrapNode, check_bootstrap
from .runtime.closing import Closing
from .runtime.node_runtime import NodeRuntime
from .runtime.swarm_connections import Attach
from .runtime.swarm_runtime import SwarmRuntime
from .udp import open_probe_socket, open_udp_socket

NatKind = Literal["unknown", "open", "consistent", "random"]
"""The way to reach a node from outside: "unknown"; "open", for everyone; "consistent", through a NAT
that uses one public port for all remotes; or "random", through a NAT that uses a different port for each
remote."""


@attrs.frozen(kw_only=True)
class SwarmStatistics:
    """Counters of a swarm: its current state, and its work since it was opened."""

    nodes: int
    """The number of known nodes of the DHT."""
    peers: int
    """The number of known public keys."""
    topics: int
    """The number of topics that are announced or looked up."""
    requests: int
    """The number of requests to the DHT that wait for an answer."""
    answers: int
    retried: int
    """Datagrams that were repeated."""
    timeouts: int
    """Requests that were never answered."""
    dropped: int
    """Datagrams that were malformed, unsolicited or too many."""
    punches: PunchStatistics
    """The hole punching, in both directions."""


class Discovery(Closing):
    """One join of a drive in the swarm, made by `Swarm.join`: an async context manager.

    As long as it is open, the swarm announces the drive and looks for its peers; `flushed` waits for the
    first round, and `refresh` begins another one.
    """

    def __init__(self, swarm: Swarm, handle: core.Discovery) -> None:
        self._swarm = swarm
        self._handle = handle
        self._flushed = trio.Event()

    @property
    def topic(self) -> bytes:
        """The 32-byte topic to announce and look up."""
        return self._handle.topic

    @property
    def closed(self) -> bool:
        """Whether it was closed here, by itself or with its swarm."""
        return self._handle.closed

    async def flushed(self) -> None:
        """Wait until it is announced, and each peer that the first search found has been connected or has
        failed.

        Raises `trio.ClosedResourceError` if it is closed.
        """
        self._check_open()
        await self._flushed.wait()
        self._check_open()

    def refresh(self) -> None:
        """Announce and look up once more now. Raises `trio.ClosedResourceError` if it is closed."""
        self._check_open()
        self._swarm._refresh(self._handle)

    def close(self) -> None:
        """Stop looking for peers, and withdraw the announcement. Connections stay. Closing it twice is
        fine.
        """
        self._swarm._node_runtime.affinity.check()
        if not self._handle.closed:
            self._swarm._leave(self)
            self._flushed.set()

    def _check_open(self) -> None:
        self._swarm._node_runtime.affinity.check()
        if self._handle.closed:
            raise trio.ClosedResourceError("this Discovery is closed")


class Swarm:
    """The presence of a node in HyperDHT, made by `Node.open_swarm`.

    `join` announces a drive and finds its peers, and `connect` dials a public key.
    """

    def __init__(self, node_runtime: NodeRuntime) -> None:
        self._node_runtime = node_runtime
        self._runtime: SwarmRuntime
        self._discoveries: dict[core.Discovery, Discovery] = {}
        self._announced: set[bytes] = set()

    @property
    def public_key(self) -> bytes:
        """The 32-byte key under which others find and dial this node."""
        return self._node_runtime.key_pair.ed25519_public_key

    @property
    def bound_address(self) -> tuple[str, int]:
        """The host and port to which the UDP socket is bound."""
        return self._runtime.udp.address

    @property
    def address(self) -> tuple[str, int] | None:
        """The host and port at which others see us, or None if they disagree."""
        return self._runtime.machine.dht.node.address

    @property
    def nat(self) -> NatKind:
        """The way to reach us from outside, as far as it is known."""
        sampler = self._runtime.machine.dht.node.nat
        if self._runtime.machine.dht.open_address is not None:
            return "open"
        if sampler.host is None:
            return "unknown"
        return "consistent" if sampler.port else "random"

    @property
    def persistent(self) -> bool:
        """Whether this is currently a complete node of the DHT, which keeps the records of others."""
        return self._runtime.machine.dht.node.id is not None

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._runtime.closed

    def join(
        self, topic: Drive | DriveKey | bytes | str, *, announce: bool = True, lookup: bool = True
    ) -> Discovery:
        """Find the peers of a drive and connect to them. Returns at once.

        `topic` is a drive, a drive key in any spelling, or the 32 bytes of your own topic. `announce` lets
        others find us, and `lookup` finds others.

        Raises `TypeError` or `ValueError` for a bad topic, or if both `announce` and `lookup`
        are False, and `trio.ClosedResourceError` if the swarm is closed.
        """
        self._check_open()
        handle = self._runtime.machine.join(
            _topic(topic), trio.current_time(), announce=announce, lookup=lookup
        )
        discovery = self._discoveries[handle] = Discovery(self, handle)
        self._runtime.flush()
        return discovery

    async def connect(
        self, public_key: bytes | str, *, relays: Iterable[SocketAddress] = ()
    ) -> ConnectionInfo:
        """Dial a key, and return once the remote is admitted; if the key is connected, return at once.

        `relays` are nodes of the DHT that may relay to the key.

        Raises `ValueError` for a bad public key; `PeerUnreachable`, with the reason, if the key
        cannot be reached; `RemoteProtocolError` and `Refused` as `Node.connect_tcp` does; and
        `trio.ClosedResourceError` if the swarm is closed.
        """
        key = parse_public_key(public_key, "public_key")
        self._check_open()
        if self.suspended:
            raise PeerUnreachable("the swarm is suspended")
        connection = self._node_runtime.machine.connection_to("hypercore11", key)
        if connection is not None:
            await trio.lowlevel.checkpoint()
            return connection.owner.facts()
        return await self._runtime.connections.connect(key, relays)

    @property
    def suspended(self) -> bool:
        """Whether the swarm is suspended."""
        return self._runtime.machine.suspended

    async def suspend(self) -> None:
        """Stay silent until `resume`, for example while a phone's application is in the background.

        The swarm withdraws its announcements and ends its connections in good order, both within a few
        seconds. After that, it neither sends nor receives. Discoveries stay, and `join` can add more. If the
        swarm is already suspended, nothing happens. Raises `trio.ClosedResourceError` if the swarm is closed.
        """
        self._check_open()
        await trio.lowlevel.checkpoint()
        if not self.suspended:
            await self._runtime.suspend()

    def resume(self) -> None:
        """Announce, look up and dial again for all discoveries.

        Raises `trio.ClosedResourceError` if the swarm is closed.
        """
        self._check_open()
        self._runtime.resume()

    def statistics(self) -> SwarmStatistics:
        """Return the current counters."""
        machine = self._runtime.machine
        node = machine.dht.node
        requests = node.request_statistics()
        return SwarmStatistics(
            nodes=len(node.upkeep.table),
            peers=len(machine.peers),
            topics=machine.topic_count,
            requests=requests.pending,
            answers=requests.answers,
            retried=requests.retried,
            timeouts=requests.timeouts,
            dropped=node.dropped,
            punches=machine.dht.punching.statistics(),
        )

    def nodes(self) -> list[tuple[str, int]]:
        """Return the known nodes of the DHT, which are good bootstrap nodes for the next time."""
        return [contact.address for contact in self._runtime.machine.dht.node.upkeep.table]

    def _refresh(self, handle: core.Discovery) -> None:
        self._runtime.machine.refresh(handle, trio.current_time())
        self._runtime.flush()

    def _leave(self, discovery: Discovery) -> None:
        del self._discoveries[discovery._handle]
        self._runtime.machine.leave(discovery._handle, trio.current_time())
        self._runtime.flush()

    def _heard(self, event: SwarmEvent) -> None:
        """Handle an event of a discovery."""
        match event:
            case Flushed(handle):
                if handle in self._discoveries:
                    self._discoveries[handle]._flushed.set()
            case Announced(topic, nodes):
                self._node_runtime.telemetry.announced(topic, nodes)
            case PeerFound(topic, public_key):
                self._node_runtime.telemetry.found(topic, public_key)
            case _:
                pass

    def _check_open(self) -> None:
        self._node_runtime.affinity.check()
        if self._runtime.closed:
            raise trio.ClosedResourceError("this Swarm is closed")

    async def _finish(self) -> None:
        """End the discoveries and connections in good order."""
        await self._withdraw()
        await self._runtime.connections.finish()

    async def _withdraw(self, *, shield: bool = False) -> None:
        """Close the discoveries, and wait a moment until nodes have removed our announcements."""
        leave_all(self)
        with trio.move_on_after(swarm_runtime.WITHDRAW_TIME, shield=shield):
            await self._runtime.wait_withdrawn()


def leave_all(swarm: Swarm) -> None:
    """Begin to withdraw all announcements of a swarm. Everything else in the swarm continues."""
    for discovery in list(swarm._discoveries.values()):
        discovery.close()


def hurry(swarm: Swarm) -> None:
    """Let a swarm that is being left wait no longer for the nodes that keep its announcements."""
    swarm._runtime.hurry()


@asynccontextmanager
async def open_swarm(
    node_runtime: NodeRuntime,
    attach: Attach,
    *,
    bootstrap: Iterable[BootstrapNode],
    host: str,
    port: int,
    persistent: bool | None,
    relay_through: bytes | str | None,
    limits: HyperDhtLimits | None,
) -> AsyncIterator[Swarm]:
    """Open a swarm on a node; see `Node.open_swarm`."""
    nodes = check_bootstrap(bootstrap)
    relay = None if relay_through is None else parse_public_key(relay_through, "relay_through")
    adaptive = persistent is None and nodes
    async with (
        open_udp_socket(host, port) as udp,
        open_probe_socket(host) if adaptive else nullcontext() as probe,
        background_tasks() as nursery,
    ):
        swarm = Swarm(node_runtime)
        runtime = swarm._runtime = SwarmRuntime(
            node_runtime,
            udp,
            nodes,
            attach,
            nursery,
            swarm._heard,
            persistent=bool(persistent),
            probe=probe,
            relay_through=relay,
            limits=limits or DEFAULT_HYPER_DHT_LIMITS,
        )
        async with sheltered_task(runtime.run):
            try:
                yield swarm
                await swarm._finish()
            except BaseException:
                await swarm._withdraw(shield=True)
                raise
            finally:
                runtime.close()


def runtime_of(swarm: Swarm) -> SwarmRuntime:
    """Return the inside of a swarm (see `peersockets_trio.testing.internals`)."""
    return swarm._runtime


def _topic(topic: Drive | DriveKey | bytes | str) -> bytes:
    """Return the 32-byte topic of a drive."""
    if isinstance(topic, Drive):
        return topic.key.discovery_key
    if isinstance(topic, bytes):
        return topic
    return DriveKey.parse(topic).discovery_key
