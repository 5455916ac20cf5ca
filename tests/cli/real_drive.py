"""A drive of a real Node peer, of either generation, on which commands meet the peer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import attrs

from interop import hyperdrive13, real_peer
from interop.real_peer import HOST, RealPeer, RealTopic
from peersockets_core import DriveKey, KeyPair, WireName

SEED: Final = "42" * 32
_OPEN: Final[dict[str, Callable[[], AbstractAsyncContextManager[RealPeer]]]] = {
    "hypercore9": real_peer.open_real_peer,
    "hypercore11": hyperdrive13.open_real_peer,
}


@attrs.frozen
class RealDrive:
    """A drive that a real peer has open, and its topic "chat"."""

    peer: RealPeer
    key: DriveKey
    wire: WireName
    topic: RealTopic
    key_file: Path

    @property
    def options(self) -> tuple[str, ...]:
        """Return the options that let a command meet the peer, which knows it by the key `our_key`."""
        address = f"{HOST}:{self.peer.port}"
        return self.key.url, "--connect", address, "--wire", self.wire, "--key-file", str(self.key_file)

    @property
    def our_key(self) -> bytes:
        return KeyPair(bytes.fromhex(SEED)).public_keys[self.wire]

    @property
    def name(self) -> str:
        """Return our name for the peer."""
        return f"1 ({self.peer.public_key.hex()[:8]})"


@asynccontextmanager
async def open_real_drive(wire: WireName) -> AsyncIterator[RealDrive]:
    async with _OPEN[wire]() as peer:
        created = await peer.call("createDrive")
        key = DriveKey.parse(created["key"])
        joined = await peer.call(
            "joinTopic", drive=key.public_key.hex(), topic="chat", webapp=key.discovery_key.hex(), quiet=False
        )
        with TemporaryDirectory() as folder:
            key_file = Path(folder) / "key"
            key_file.touch(0o600)
            key_file.write_text(SEED)
            yield RealDrive(peer, key, wire, RealTopic(peer, joined["handle"]), key_file)
