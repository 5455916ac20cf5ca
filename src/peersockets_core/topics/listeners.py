"""`Listeners`: which joined topics hear an extension's messages."""

from __future__ import annotations

from typing import Generic

from ..owners import C, H
from ..wires.extensions import ExtensionNames
from .drives import Topic
from .naming import Address


class Listeners(Generic[C, H]):
    """The joined topics by their addresses; those of a connection's extensions are announced by name."""

    def __init__(self, extensions: ExtensionNames) -> None:
        self.by_address: dict[Address, list[Topic[C, H]]] = {}
        self._extensions = extensions

    def add(self, topic: Topic[C, H]) -> None:
        """Let a topic hear its extensions."""
        for address in topic.addresses.values():
            self.by_address.setdefault(address, []).append(topic)
            if address[0] is None:
                self._extensions.register(address[1], members_only=topic.scope == "drive")

    def remove(self, topic: Topic[C, H]) -> None:
        """Let a topic hear no more."""
        for address in topic.addresses.values():
            self.by_address[address].remove(topic)
            if not self.by_address[address]:
                del self.by_address[address]
            if address[0] is None:
                self._extensions.unregister(address[1], members_only=topic.scope == "drive")
