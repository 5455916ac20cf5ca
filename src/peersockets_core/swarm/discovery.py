"""One topic's announcing and looking up, again and again.

Source: hyperswarm 4.17.2, `lib/peer-discovery.js`. Two peers that join in the same instant can miss each
other; the reference then waits for ten minutes, and we look again after five and thirty seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs

from ..dht.hyperdht import HyperDht
from ..dht.topics import TopicSearch

_EARLY: Final = (5.0, 30.0)
"""Seconds after the first search until the second, and from that to the third."""

_INTERVAL: Final = 600.0
_JITTER: Final = 120.0


@attrs.define(eq=False)
class Discovery:
    """One join of a topic; several may share it, with ends of their own. Made by `Swarm.join`."""

    topic: bytes
    announce: bool
    lookup: bool
    closed: bool = False
    flushed: bool = False
    """Whether its first search has ended and led to what it could."""
    awaited: set[bytes] | None = None
    """The keys that its first search has found and that are yet to connect or fail; None until it has
    ended."""


class TopicDiscovery:
    """A topic's discoveries, and the searches that serve them all."""

    def __init__(self, topic: bytes, dht: HyperDht, chance: Callable[[], float]) -> None:
        """`chance` draws a number from 0 to 1."""
        self.topic = topic
        self.discoveries: list[Discovery] = []
        self.announced = False
        """Whether nodes keep an announcement of ours."""
        self.next_search = math.inf
        self.waits = False
        """Whether it is to be searched as soon as that makes sense."""
        self._dht = dht
        self._chance = chance
        self._search: TopicSearch | None = None
        self._found: set[bytes] = set()
        """The keys that the search under way has found."""
        self._searches = 0

    @property
    def announces(self) -> bool:
        """Whether remotes are to find us."""
        return any(discovery.announce for discovery in self.discoveries)

    @property
    def looks_up(self) -> bool:
        """Whether we are to find remotes."""
        return any(discovery.lookup for discovery in self.discoveries)

    def search(self, now: float) -> None:
        """Look at the nodes near the topic now; one that was under way begins anew."""
        self.stop()
        self.waits = False
        self._found = set()
        dht = self._dht
        self._search = dht.announce(self.topic, now) if self.announces else dht.lookup(self.topic, now)
        self.next_search = math.inf

    def concerns(self, search: TopicSearch) -> bool:
        """Whether a search is the one under way."""
        return search is self._search

    def found(self, public_key: bytes) -> bool:
        """Note a key that the search has found; returns whether peers are wanted at all."""
        if self.looks_up:
            self._found.add(public_key)
        return self.looks_up

    def finished(self, announced: int, now: float) -> None:
        """The search has ended: look again later."""
        self._search = None
        self.announced = self.announced or announced > 0
        wait = _INTERVAL + _JITTER * self._chance()
        self.next_search = now + (_EARLY[self._searches] if self._searches < len(_EARLY) else wait)
        self._searches += 1
        for discovery in self.discoveries:
            if discovery.awaited is None:
                discovery.awaited = set(self._found) if discovery.lookup else set()

    def stop(self) -> None:
        """Give the search under way up."""
        if self._search is not None:
            self._search.cancel()
            self._search = None

    def begin_anew(self) -> None:
        """Look early again, after the network has changed."""
        self._searches = 0
