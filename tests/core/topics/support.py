"""Two nodes that meet on a drive, for the tests of the machine."""

from __future__ import annotations

from core.support import (
    Network,
    Node,
)
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    Limits,
    PeerEvent,
    TopicHandle,
    TopicScope,
    Watch,
    WireName,
)

MIB = 1024 * 1024
FOLD_TIME = DEFAULT_LIMITS.fold_time
WIRES: tuple[WireName, ...] = ("hypercore9", "hypercore11")


def events(watch: Watch) -> list[PeerEvent]:
    return [watch.take() for _ in range(len(watch))]


def received(handle: TopicHandle) -> list[bytes]:
    return [message.message for message in handle.take_all()]


class Meeting:
    """Two nodes that have the drive open, watch it, and have joined a topic."""

    def __init__(
        self, *, wire: WireName = "hypercore9", scope: TopicScope = "drive", limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.network = Network()
        self.a, self.b = (Node(label, wire=wire, limits=limits) for label in "ab")
        self.drives = self.a.open(), self.b.open()
        self.watch_a = self.a.machine.watch(self.drives[0])
        self.watch_b = self.b.machine.watch(self.drives[1])
        self.topic_a = self.a.machine.join(self.drives[0], "chat", scope=scope)
        self.topic_b = self.b.machine.join(self.drives[1], "chat", scope=scope)

    def connect(self) -> tuple[Connection, Connection]:
        """Let A dial B. Return A's side and B's."""
        sides = self.network.connect(self.a, self.b)
        self.network.settle()
        return sides

    def send(self, payload: bytes) -> None:
        assert self.topic_a.send(1, payload) is not None
        self.network.settle()
