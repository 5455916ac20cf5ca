"""`Recording`: records one of our own sessions, as a `Player` and a log of its input, output and reports."""

from __future__ import annotations

import hashlib

from ..errors import TraceError
from ..events import WireName
from ..keys import Entropy, KeyPair
from ..limits import DEFAULT_LIMITS, Limits
from .entries import (
    SIDES,
    Command,
    Digest,
    Ended,
    Entry,
    Keepalive,
    Received,
    Report,
    Secrets,
    Sent,
    Side,
    Trace,
)
from .player import Player

LARGEST_CHUNK = 256 * 1024
"""Size in bytes of our largest chunk that a trace holds in full. For a larger chunk it holds the digest,
because a player produces the chunk again."""


def draw_secrets(key_pair: KeyPair, entropy: Entropy) -> Secrets:
    """Draw the random values that a connection draws, in the same order."""
    return Secrets(key_pair.seed, entropy(32), entropy(24))


def digested(data: bytes) -> bytes | Digest:
    """Return `data`, or its digest if `data` is larger than `LARGEST_CHUNK`."""
    if len(data) <= LARGEST_CHUNK:
        return data
    return Digest(len(data), hashlib.blake2b(data, digest_size=32).digest())


class Recording:
    """Plays one side of a session, and records that side completely and the bytes of the other side."""

    def __init__(
        self,
        wire: WireName | None,
        side: Side,
        secrets: Secrets,
        *,
        now: float,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Begin; a responder may pass None as the wire, and then recognizes it from the first bytes."""
        self.side = side
        self.player = Player(wire, side, secrets, now=now, limits=limits)
        self.entries: list[Entry] = []
        self._other: Side = SIDES[side == SIDES[0]]
        self._secrets = secrets
        self._seen = 0

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self.player.connection.closed

    @property
    def wire(self) -> WireName | None:
        """The wire in use, or None until the first bytes have identified it."""
        return self.player.connection.wire

    def receive(self, data: bytes, now: float) -> list[Report]:
        """Take in bytes and return the reports that they cause. Bytes after the end are not part of the
        session.
        """
        if self.closed:
            return []
        self.entries += (Sent(self._other, data), Received(self.side, len(data)))
        self.player.receive(data, now)
        return self._news()

    def receive_eof(self, now: float) -> list[Report]:
        """Take in the end of the stream and return the reports that it causes."""
        if self.closed:
            return []
        self.entries.append(Ended(self.side))
        self.player.receive_eof(now)
        return self._news()

    def carry_out(self, command: Command) -> list[Report]:
        """Carry out a command and return the reports that it causes. Raises `TraceError` if the connection
        refuses it.
        """
        self.player.carry_out(command)
        self.entries.append(command)
        return self._news()

    def data_to_send(self, now: float) -> bytes:
        """Return the queued output."""
        data = self.player.data_to_send(now)
        if data:
            self.entries.append(Sent(self.side, digested(data)))
        return data

    def next_deadline(self) -> float:
        """Return the latest time at which to call `handle_deadline`; infinity for never."""
        return self.player.connection.next_deadline()

    def handle_deadline(self, now: float) -> list[Report]:
        """Do whatever has become due by `now`, and return the reports that it causes."""
        due = now >= self.next_deadline()
        self.player.handle_deadline(now)
        if due and self.closed:
            # The connection was given up because the remote was silent. A trace has no clock, so it simply
            # ends here.
            return self.player.reports[self._seen :]
        if due:
            self.entries.append(Keepalive(self.side))
        return []

    def trace(self, *, shows: str, produced_by: dict[str, str]) -> Trace:
        """Return the recorded session. Raises `TraceError` if no bytes ever identified the wire."""
        if self.wire is None:
            raise TraceError("no received bytes identify the wire")
        return Trace(
            wire=self.wire,
            shows=shows,
            produced_by=produced_by,
            comparison="bytes",
            secrets={self.side: self._secrets},
            entries=list(self.entries),
        )

    def _news(self) -> list[Report]:
        news = self.player.reports[self._seen :]
        self._seen += len(news)
        self.entries += news
        return news
