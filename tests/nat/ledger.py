"""A ledger of messages: each accepted message arrives, in order, or its loss is reported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import attrs

SLACK: Final = 5.0
"""Seconds by which the report of a loss may follow the acceptance of the next message, since a program gets
the two in different tasks.
"""


@attrs.define
class Message:
    """One message of a sender to a receiver."""

    issued: float
    accepted: float | None = None
    refused: bool = False
    """Whether `send` failed. That is a report, too."""
    delivered: int = 0


@attrs.define
class Line:
    """All messages of one sender to one receiver, and the times at which the sender got reports of losses."""

    messages: list[Message] = attrs.field(factory=list)
    reports: list[float] = attrs.field(factory=list)
    disordered: int = 0
    _last: int = -1

    def deliver(self, number: int) -> None:
        self.messages[number].delivered += 1
        if number <= self._last:
            self.disordered += 1
        self._last = max(self._last, number)

    def lost(self) -> Iterator[tuple[int, Message, float]]:
        """The accepted messages that did not arrive, each with the latest time for a report."""
        limit = float("inf")
        for number in reversed(range(len(self.messages))):
            message = self.messages[number]
            if message.delivered:
                limit = (message.accepted or message.issued) + SLACK
            elif message.accepted is not None:
                yield number, message, limit


@attrs.define
class Ledger:
    """Lines by sender and receiver."""

    lines: dict[tuple[str, str], Line] = attrs.field(factory=lambda: defaultdict(Line))

    def issue(self, sender: str, receiver: str, now: float) -> int:
        """Note that a message is about to be sent. Return its number."""
        line = self.lines[sender, receiver]
        line.messages.append(Message(now))
        return len(line.messages) - 1

    def report(self, sender: str, receiver: str, now: float) -> None:
        """Note a report to the sender that earlier messages may be lost."""
        self.lines[sender, receiver].reports.append(now)

    @property
    def waiting(self) -> list[tuple[str, str, int]]:
        """Return the accepted messages that have neither arrived nor been reported."""
        return [
            (*pair, number)
            for pair, line in self.lines.items()
            for number, message, limit in line.lost()
            if not any(message.issued <= report <= limit for report in line.reports)
        ]

    @property
    def faults(self) -> list[str]:
        """Return all faults, except messages that still wait."""
        return [
            f"{sender[:8]} to {receiver[:8]}: {line.disordered} out of order, "
            f"{sum(message.delivered > 1 for message in line.messages)} twice"
            for (sender, receiver), line in self.lines.items()
            if line.disordered or any(message.delivered > 1 for message in line.messages)
        ]

    def count(self, *, delivered: bool) -> int:
        """Return how many accepted messages have arrived, or have not."""
        return sum(
            bool(message.delivered) == delivered
            for line in self.lines.values()
            for message in line.messages
            if message.accepted is not None
        )
