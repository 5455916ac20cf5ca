"""`TopicDiscovery`: announces one topic and looks it up, again and again.

Source: hyperswarm 4.17.2, `lib/peer-discovery.js`. Two peers that join in the same instant can miss each
other. The reference then waits for ten minutes; we look again after five seconds and after thirty more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs

from ..dht.hyperdht import HyperDht
from ..dht.topics import TopicSearch

_EARLY: Final = (5.0, 30.0)
"""Seconds from the first search to the second, and from the second to the third."""

_INTERVAL: Final = 600.0
_JITTER: Final = 120.0


@attrs.define(eq=False)
class Discovery:
    """One join of a topic, made by `Swarm.join`. Several joins may share a topic; each one ends by itself."""

    topic: bytes
    announce: bool
    lookup: bool
    closed: bool = False
    flushed: bool = False
    """Whether its first search has ended, and every peer that it found has been connected or has failed."""
    awaited: set[bytes] | None = None
    """The keys that the first search found and that have neither connected nor failed yet; None until
    that search has ended."""


class TopicDiscovery:
    """The discoveries of a topic, and the searches that serve all of them."""

    def __init__(self, topic: bytes, dht: HyperDht, chance: Callable[[], float]) -> None:
        """Begin; `chance` returns a random number from 0 to 1."""
        self.topic = topic
        self.discoveries: list[Discovery] = []
        self.announced = False
        """Whether nodes keep our announcement."""
        self.next_search = math.inf
        """The time of the next search; infinity during a search, and once there is no discovery left."""
        self.waits = False
        """Whether a search begins as soon as it makes sense."""
        self._dht = dht
        self._chance = chance
        self.running: TopicSearch | None = None
        self._found: set[bytes] = set()
        """The keys that the current search has found."""
        self._searches = 0

    @property
    def announces(self) -> bool:
        """Whether remotes should find us."""
        return any(discovery.announce for discovery in self.discoveries)

    @property
    def looks_up(self) -> bool:
        """Whether we look for remotes."""
        return any(discovery.lookup for discovery in self.discoveries)

    def search(self, now: float) -> None:
        """Search the nodes near the topic now, in place of any current search."""
        self.stop()
        self.waits = False
        self._found = set()
        dht = self._dht
        self.running = dht.announce(self.topic, now) if self.announces else dht.lookup(self.topic, now)

    def concerns(self, search: TopicSearch) -> bool:
        """Return whether `search` is the current one."""
        return search is self.running

    def found(self, public_key: bytes) -> bool:
        """Note a key that the search has found; returns whether we look for peers at all."""
        if self.looks_up:
            self._found.add(public_key)
        return self.looks_up

    def finished(self, announced: int, now: float) -> None:
        """Note that the search has ended, and schedule the next one."""
        self.running = None
        self.announced = self.announced or announced > 0
        wait = _INTERVAL + _JITTER * self._chance()
        self.next_search = now + (_EARLY[self._searches] if self._searches < len(_EARLY) else wait)
        self._searches += 1
        for discovery in self.discoveries:
            if discovery.awaited is None:
                discovery.awaited = set(self._found) if discovery.lookup else set()

    def stop(self) -> None:
        """Cancel the current search, and plan no other one."""
        self.next_search = math.inf
        if self.running is not None:
            self.running.cancel()
            self.running = None

    def begin_anew(self) -> None:
        """Use the short intervals again, after the network has changed."""
        self.stop()
        self._searches = 0
