"""`Listeners`: the joined topics that receive an extension's messages."""

from __future__ import annotations

from typing import Generic

from ..owners import C, H
from ..wires.extensions import ExtensionNames
from .drives import OpenTopic
from .naming import TopicAddress


class Listeners(Generic[C, H]):
    """The joined topics by address. The names of connection extensions are registered for announcement."""

    def __init__(self, extensions: ExtensionNames) -> None:
        self.by_address: dict[TopicAddress, list[OpenTopic[C, H]]] = {}
        self._extensions = extensions

    def add(self, topic: OpenTopic[C, H]) -> None:
        """Deliver the messages of a topic's extensions to it."""
        for address in topic.addresses.values():
            self.by_address.setdefault(address, []).append(topic)
            if address[0] is None:
                self._extensions.register(address[1], members_only=topic.scope == "drive")

    def remove(self, topic: OpenTopic[C, H]) -> None:
        """Stop delivering messages to a topic."""
        for address in topic.addresses.values():
            self.by_address[address].remove(topic)
            if not self.by_address[address]:
                del self.by_address[address]
            if address[0] is None:
                self._extensions.unregister(address[1], members_only=topic.scope == "drive")
