"""A real udx-native peer, and a stream between it and a socket of ours."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs

from interop.node_peer import JsonObject, NodePeer, open_node_peer
from interop.udp_relay import RunningRelay, open_relay
from peersockets_core.udx import DEFAULT_UDX_LIMITS, UdxLimits
from peersockets_trio.udp import UdpSocket, UdxStream, open_udp_socket

HOST = "127.0.0.1"
PEER_SCRIPT = Path(__file__).parent / "udx" / "peer.js"
OLD = "udx-native-old"
"""A release of 2024. It uses CUBIC, and probes a closed window with data."""

KIB, MIB = 1024, 1024 * 1024
OURS, THEIRS = 100_001, 200_001


@attrs.frozen
class UdxPeer:
    """A Node process with one socket."""

    process: NodePeer
    port: int

    async def call(self, command: str, /, **parameters: object) -> JsonObject:
        return await self.process.call(command, **parameters)

    async def wait_event(self, event: str, /, timeout: float = 60, **fields: object) -> JsonObject:
        return await self.process.wait_event(event, timeout, **fields)


@attrs.frozen
class Meeting:
    """A stream of ours, and the peer that has the other end under the id `THEIRS`."""

    udp: UdpSocket
    stream: UdxStream
    peer: UdxPeer
    relay: RunningRelay | None

    async def call(self, command: str, /, **parameters: object) -> JsonObject:
        """Send the peer a command for its end. Return the result."""
        return await self.peer.call(command, local=THEIRS, **parameters)

    async def wait_event(self, event: str, timeout: float = 60) -> JsonObject:
        """Wait for an event of its end."""
        return await self.peer.wait_event(event, timeout, local=THEIRS)

    async def receive_all(self) -> bytes:
        """Receive until the peer has ended."""
        received = bytearray()
        while data := await self.stream.receive_some():
            received += data
        return bytes(received)


@asynccontextmanager
async def open_udx_peer(package: str = "udx-native") -> AsyncIterator[UdxPeer]:
    """Run a peer for the length of the block."""
    async with open_node_peer(PEER_SCRIPT, package) as process:
        bound = await process.call("bind")
        yield UdxPeer(process, bound["port"])


@asynccontextmanager
async def meet(
    *,
    role: str = "sink",
    package: str = "udx-native",
    limits: UdxLimits = DEFAULT_UDX_LIMITS,
    relay: dict[str, float] | None = None,
    **options: object,
) -> AsyncIterator[Meeting]:
    """Connect a stream of ours to one of a real peer, through a relay if there are conditions.

    `role` and `options` are those of peer.js's `open`.
    """
    async with open_udp_socket(HOST, limits=limits) as udp, open_udx_peer(package) as peer:
        if relay is None:
            yield await _meet(udp, peer, None, role, options)
        else:
            async with open_relay(udp.address[1], peer.port, **relay) as line:
                yield await _meet(udp, peer, line, role, options)


async def _meet(
    udp: UdpSocket, peer: UdxPeer, relay: RunningRelay | None, role: str, options: dict[str, object]
) -> Meeting:
    ours, theirs = (relay.b, relay.a) if relay else (udp.address[1], peer.port)
    stream = udp.connect(OURS, THEIRS, (HOST, theirs))
    await peer.call("open", local=THEIRS, remote=OURS, port=ours, role=role, **options)
    return Meeting(udp, stream, peer, relay)


def pseudorandom(seed: str, size: int) -> bytes:
    """Return the bytes of peer.js's `source`."""
    return hashlib.shake_128(seed.encode()).digest(size) if size else b""


def digest(data: bytes) -> JsonObject:
    """Return the result of peer.js's `Tally` for these bytes."""
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def tally(event: JsonObject) -> JsonObject:
    """Return the result of peer.js's `Tally` from an event."""
    return {name: event[name] for name in ("bytes", "sha256")}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()
