"""A member of a drive that chats on one topic, driven over stdin and stdout: python chat.py BOOTSTRAP..."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from nat.lines import Result, say, serve
from peersockets_trio import (
    ConnectionInfo,
    Drive,
    Instrument,
    KeyPair,
    Node,
    PeerJoined,
    Swarm,
    Topic,
    open_node,
)

PORT = 49737
BOOTSTRAP = [(host, PORT) for host in sys.argv[1:]]
TOPIC = "chat"


class Closed(Instrument):
    """Reports connections that end."""

    def connection_closed(self, info: ConnectionInfo, reason: str, unsent: int) -> None:
        say(event="closed", publicKey=info.public_key.hex(), reason=reason, unsent=unsent)


class Member:
    """The commands."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._ids: dict[str, int] = {}
        self._swarm: Swarm
        self._topic: Topic
        self._node: Node

    async def open(self, drive: str, seed: str) -> None:
        """Find the members of a drive."""
        await self._nursery.start(self._run, drive, KeyPair.from_seed(bytes.fromhex(seed)))

    async def send(self, publicKey: str, text: str) -> None:  # noqa: N803
        """Send to a member."""
        if publicKey not in self._ids:
            raise ConnectionError("the member has never been here")
        await self._topic.send(self._ids[publicKey], text.encode())

    async def process(self) -> Result:
        """Return the process's number."""
        return {"id": os.getpid()}

    async def sleep(self, clock: float | None) -> None:
        """Stop until a signal continues this process. By its clock, this many seconds pass."""
        began = time.monotonic()
        os.kill(os.getpid(), signal.SIGSTOP)
        if clock is not None:
            shift_clock(began + clock - time.monotonic())

    async def nodes(self) -> Result:
        """Return how many nodes of the DHT it knows."""
        return {"nodes": self._swarm.statistics().nodes}

    async def figures(self) -> Result:
        """Return the objects that this process holds."""
        gc.collect()
        kinds = Counter(type(each).__qualname__ for each in gc.get_objects() if _ours(each))
        return {
            "resident": _resident(),
            "files": len(os.listdir("/proc/self/fd")),
            "tasks": trio.lowlevel.current_statistics().tasks_living,
            "blocks": sys.getallocatedblocks(),
            "objects": kinds.total(),
            "kinds": dict(kinds),
        }

    async def _run(
        self,
        drive: str,
        pair: KeyPair,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async with (
            open_node(key_pair=pair, instruments=[Closed()]) as self._node,
            self._node.open_swarm(bootstrap=BOOTSTRAP) as self._swarm,
            self._node.open_drive(drive) as opened,
            opened.join(TOPIC) as self._topic,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self._watch, opened)
            nursery.start_soon(self._receive)
            self._swarm.join(opened)
            task_status.started()

    async def _watch(self, drive: Drive) -> None:
        async with drive.watch() as events:
            async for event in events:
                key = event.public_key.hex()
                if isinstance(event, PeerJoined):
                    self._ids[key] = event.peer_id
                    say(event="joined", publicKey=key, id=event.peer_id)
                else:
                    say(event="left", publicKey=key, reason=event.reason, unsent=event.unsent)

    async def _receive(self) -> None:
        async for message in self._topic:
            key = self._node.peer(message.peer_id).public_key.hex()
            say(event="message", publicKey=key, text=message.message.decode())


def shift_clock(seconds: float) -> None:
    """Shift the monotonic clock of this process with a time namespace of its own."""
    new_time = 0x80  # CLONE_NEWTIME
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(new_time):
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/self/timens_offsets").write_text(f"monotonic {int(seconds)} 0\n")
    with open("/proc/self/ns/time_for_children") as namespace:
        if libc.setns(namespace.fileno(), new_time):
            raise OSError(ctypes.get_errno(), "setns")


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _ours(thing: object) -> bool:
    return (type(thing).__module__ or "").startswith("peersockets")


if __name__ == "__main__":
    trio.run(serve, Member)
