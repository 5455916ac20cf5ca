"""A node and its remotes for the cases, and the register of all cases."""

from __future__ import annotations

from collections.abc import Callable

from core.support import KEY, NOW, Node, RawPeer, entropy
from peersockets_core import (
    DEFAULT_LIMITS,
    Connection,
    DriveKey,
    DriveOpened,
    Event,
    Limits,
    MessagesReceived,
)

NAME = f"peersockets/v0/webapp/{KEY.discovery_key.hex()}/chat"


Action = Callable[[], object]


class Remote:
    """A remote that has shaken hands, and that the machine does not know yet."""

    def __init__(self, node: Node, label: str) -> None:
        self.side = node.connection(initiator=False)
        self.raw = RawPeer(self.side, label=label)
        self.shaken: list[Event] = self.raw.events

    def join(self) -> list[Event]:
        return [*self.shaken, DriveOpened(KEY.discovery_key)]


class Case:
    """A node with an open drive, and remotes that share nothing with it yet."""

    def __init__(self, size: int, *, limits: Limits = DEFAULT_LIMITS, one_key: bool = False) -> None:
        self.node = Node("ours", limits=limits)
        self.machine = self.node.machine
        self.drive = self.node.open()
        self.remotes = [Remote(self.node, "the same" if one_key else f"{number}") for number in range(size)]

    def handle(self, connection: Connection, *events: Event) -> None:
        """Act as the host: close every connection that the machine wants dropped or retired."""
        host = self.node.host
        self.machine.receive_events(connection, list(events), NOW)
        unwanted = [dropped for dropped, _ in host.dropped] + host.retired
        host.dropped.clear()
        host.retired.clear()
        host.noted.clear()
        for gone in unwanted:
            self.machine.remove_connection(gone, NOW)

    def shake_all(self) -> None:
        for remote in self.remotes:
            self.handle(remote.side, *remote.shaken)

    def join_all(self) -> None:
        for remote in self.remotes:
            self.handle(remote.side, *remote.join())

    def send_all(self, *payloads: bytes) -> None:
        for remote in self.remotes:
            if not remote.side.closed:
                self.handle(remote.side, MessagesReceived(None, NAME, list(payloads)))

    def remove_all(self) -> None:
        for remote in self.remotes:
            self.machine.remove_connection(remote.side, NOW)


def keys(size: int) -> list[DriveKey]:
    return [DriveKey(entropy(f"drive {number}")(32)) for number in range(size)]


CASES: dict[str, Callable[[int], Action]] = {}


def case(function: Callable[[int], Action]) -> Callable[[int], Action]:
    CASES[function.__name__.replace("_", " ")] = function
    return function
