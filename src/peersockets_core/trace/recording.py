"""Records a session of ours: a `Player` that writes down what happens to it."""

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
"""Bytes; of a larger chunk of ours, a trace has only the digest, since we can make it again."""


def draw_secrets(key_pair: KeyPair, entropy: Entropy) -> Secrets:
    """Draw what a connection would have drawn."""
    return Secrets(key_pair.seed, entropy(32), entropy(24))


def digested(data: bytes) -> bytes | Digest:
    """Return `data`, or its digest if that is enough."""
    if len(data) <= LARGEST_CHUNK:
        return data
    return Digest(len(data), hashlib.blake2b(data, digest_size=32).digest())


class Recording:
    """One side of a session, played by us and written down; of the other, its bytes."""

    def __init__(
        self,
        wire: WireName | None,
        side: Side,
        secrets: Secrets,
        *,
        now: float,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        """Begin; a responder may leave the wire to be told from the first bytes."""
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
        """The wire in use; None as long as the first bytes have not told."""
        return self.player.connection.wire

    def receive(self, data: bytes, now: float) -> list[Report]:
        """Bytes arrive; returns what they cause. After the end, they are no part of the session."""
        if self.closed:
            return []
        self.entries += (Sent(self._other, data), Received(self.side, len(data)))
        self.player.receive(data, now)
        return self._news()

    def receive_eof(self, now: float) -> list[Report]:
        """The stream has ended; returns what that causes."""
        if self.closed:
            return []
        self.entries.append(Ended(self.side))
        self.player.receive_eof(now)
        return self._news()

    def carry_out(self, command: Command) -> list[Report]:
        """Do what the application asks for. Raises `TraceError` where that is impossible."""
        self.player.carry_out(command)
        self.entries.append(command)
        return self._news()

    def data_to_send(self, now: float) -> bytes:
        """Hand over what is queued."""
        data = self.player.data_to_send(now)
        if data:
            self.entries.append(Sent(self.side, digested(data)))
        return data

    def next_deadline(self) -> float:
        """When to call `handle_deadline`, at the latest; infinity for never."""
        return self.player.connection.next_deadline()

    def handle_deadline(self, now: float) -> list[Report]:
        """Do what has become due by `now`; returns what that causes."""
        due = now >= self.next_deadline()
        self.player.handle_deadline(now)
        if due and self.closed:
            # Given up for its silence. A trace has no clock, so it just ends here.
            return self.player.reports[self._seen :]
        if due:
            self.entries.append(Keepalive(self.side))
        return []

    def trace(self, *, shows: str, produced_by: dict[str, str]) -> Trace:
        """Return what was recorded. Raises `TraceError` if the wire was never known."""
        if self.wire is None:
            raise TraceError("nothing was received that tells the wire")
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
