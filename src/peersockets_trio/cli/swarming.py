"""`SwarmReport`: shows the progress of a command's search for peers, and explains why it found none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from peersockets_core import WireName

from ..drive import Drive
from ..instruments import Instrument
from ..swarm import Swarm
from . import streams
from .text import short_key

MEETING_TIME: Final = 10.0
"""Seconds in which a first peer should come. A command that goes on then explains why none has."""


class SwarmReport(Instrument):
    """The progress of the search for a drive's peers."""

    def __init__(
        self, announced: Callable[[int], None] | None = None, found: Callable[[bytes], None] | None = None
    ) -> None:
        """Call `announced` once, with the number of nodes that keep the announcement, and `found` with each
        new key.
        """
        self.announced = announced or _say_announced
        self.found = found or _say_found
        self._nodes = 0
        self._found: set[bytes] = set()
        self._failure = ""

    def topic_announced(self, topic: bytes, nodes: int) -> None:
        if not self._nodes:
            self._nodes = nodes
            self.announced(nodes)

    def peer_found(self, topic: bytes, public_key: bytes) -> None:
        if public_key not in self._found:
            self._found.add(public_key)
            self.found(public_key)

    def connection_failed(
        self, address: tuple[str, int] | None, wire: WireName | None, error: Exception
    ) -> None:
        self._failure = str(error)

    def explain(self, nodes: int) -> str:
        """Return why no peer came; `nodes` is the number of known nodes of the DHT."""
        if not nodes:
            return "no node of the DHT has answered"
        if not self._found:
            return "the DHT knows no other peer that announces this drive"
        count = len(self._found)
        found = f"found {count} {'peer' if count == 1 else 'peers'} in the DHT"
        return f"{found}; the last failure: {self._failure}" if self._failure else found


async def explain_absence(
    drive: Drive, swarm: Swarm, report: SwarmReport, show: Callable[[str], None] = streams.note
) -> None:
    """Wait for the first peer of a drive. If none has come in time, show why, and return."""
    async with drive.watch() as events:
        with trio.move_on_after(MEETING_TIME):
            await events.receive()
            return
    why = report.explain(swarm.statistics().nodes)
    show(f"nobody is there after {MEETING_TIME:g} seconds ({why}); still looking")


def _say_announced(nodes: int) -> None:
    streams.note(announced_line(nodes))


def _say_found(public_key: bytes) -> None:
    streams.note(found_line(public_key))


def announced_line(nodes: int) -> str:
    """Return the line that reports our announcement."""
    return f"announced at {nodes} {'node' if nodes == 1 else 'nodes'} of the DHT"


def found_line(public_key: bytes) -> str:
    """Return the line that reports a found peer."""
    return f"found {short_key(public_key)} in the DHT"
