"""Members of one drive in a world, of both kinds of software, and the ledger of all their messages."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import attrs
import trio

from interop.hyperdrive13 import PEER_SCRIPT
from interop.node_peer import JsonObject, NodePeer, NodePeerError, open_node_peer
from nat.ledger import Ledger
from nat.matrix import BOOTSTRAP, EXIT_GRACE, Software
from nat.world import Host
from peersockets_core import KeyPair

HERE: Final = Path(__file__).parent
PACKAGES: Final = HERE.parent / "interop" / "hyperswarm"
PORT: Final = 49737


@attrs.define(eq=False)
class Member:
    """One member, whose process may be started again under the same key."""

    host: Host
    software: Software
    drive: str
    ledger: Ledger
    bootstrap: tuple[str, ...] = BOOTSTRAP
    seed: bytes = attrs.field(factory=lambda: os.urandom(32))
    present: dict[str, int] = attrs.field(factory=dict)
    """The members that it sees, and their ids. A Node process has id 0 for all."""
    ids: dict[str, set[int]] = attrs.field(factory=dict)
    """All ids under which it has seen each member."""
    joins: dict[str, int] = attrs.field(factory=dict)
    changed: trio.lowlevel.ParkingLot = attrs.field(factory=trio.lowlevel.ParkingLot)
    _process: NodePeer | None = None
    _handle: int = 0

    @property
    def key(self) -> str:
        return KeyPair.from_seed(self.seed).ed25519_public_key.hex()

    @property
    def process(self) -> NodePeer:
        assert self._process is not None, "the member's process is not running"
        return self._process

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run its process for the length of the block."""
        self.present.clear()
        self.ids.clear()
        try:
            opening = self._open_python() if self.software == "Python" else self._open_node()
            async with opening as self._process:
                yield
        finally:
            self._process = None
            for other in {receiver for sender, receiver in self.ledger.lines if sender == self.key}:
                self.ledger.report(self.key, other, trio.current_time())

    async def send(self, receiver: Member) -> bool:
        """Send the next message to a member. Return whether it was accepted."""
        number = self.ledger.issue(self.key, receiver.key, trio.current_time())
        message = self.ledger.lines[self.key, receiver.key].messages[number]
        text = json.dumps(number)
        try:
            if self.software == "Python":
                await self.process.call("send", publicKey=receiver.key, text=text)
            else:
                encoded = base64.b64encode(text.encode()).decode()
                await self.process.call("send", handle=self._handle, publicKey=receiver.key, message=encoded)
        except NodePeerError:
            message.refused = True
            return False
        message.accepted = trio.current_time()
        return True

    async def sees(self, *others: Member, joins: int = 1) -> None:
        """Wait until it sees the members, each after at least this many joins."""
        while not all(other.key in self.present and self.joins[other.key] >= joins for other in others):
            await self.changed.park()

    async def figures(self) -> JsonObject:
        """Return the objects that its process holds."""
        if self.software == "Python":
            return await self.process.call("figures")
        held = await self.process.call("stats")
        return {"resident": held["rss"], "files": held["files"], "connections": held["connections"]}

    @asynccontextmanager
    async def _open_python(self) -> AsyncIterator[NodePeer]:
        async with self._run(HERE / "chat.py", *self.bootstrap, program=sys.executable) as process:
            await process.call("open", drive=self.drive, seed=self.seed.hex())
            yield process

    @asynccontextmanager
    async def _open_node(self) -> AsyncIterator[NodePeer]:
        with TemporaryDirectory(prefix="corestore-") as storage:
            async with self._run(PEER_SCRIPT, storage, str(PACKAGES)) as process:
                await process.call("start", seed=self.seed.hex())
                bootstrap = [{"host": host, "port": PORT} for host in self.bootstrap]
                await process.call("openSwarm", bootstrap=bootstrap)
                discovery = (await process.call("openDrive", key=self.drive))["discoveryKey"]
                topic = await process.call("joinTopic", drive=self.drive, topic="chat")
                self._handle = topic["handle"]
                await process.call("joinSwarm", topic=discovery)
                yield process

    def _run(
        self, script: Path, *arguments: str, program: str = "node"
    ) -> AbstractAsyncContextManager[NodePeer]:
        return open_node_peer(
            script,
            *arguments,
            program=program,
            prefix=self.host.enter,
            environment={**os.environ, "PEER_HOST": "0.0.0.0"},
            on_event=self._heard,
            exit_grace=EXIT_GRACE,
        )

    def _heard(self, event: JsonObject) -> None:
        name, other = event["event"], event.get("publicKey")
        if other is None:
            return
        if name == "message":
            text = event["text"] if "text" in event else base64.b64decode(event["message"]).decode()
            self.ledger.lines[other, self.key].deliver(json.loads(text))
        elif name in ("joined", "peer-add"):
            self.present[other] = event.get("id", 0)
            self.ids.setdefault(other, set()).add(self.present[other])
            self.joins[other] = self.joins.get(other, 0) + 1
        elif name in ("left", "peer-remove", "closed", "connection-closed"):
            if name in ("left", "peer-remove"):
                self.present.pop(other, None)
            self.ledger.report(self.key, other, trio.current_time())
        self.changed.unpark_all()
