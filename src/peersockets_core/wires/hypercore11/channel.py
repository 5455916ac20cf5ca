"""`Channel`: our half of one channel, its states, and every transition between them.

WAITING ──offer──▶ OFFERED ──accept──▶ OPEN ──close──▶ CLOSED
│                  │                                  ▲
│                  ├──────────────refuse──────────────┤
│                close                                │
│                  ▼                                  │
│               GIVEN_UP ───────accept, refuse────────┤
└──────────────────close──────────────────────────────┘
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

import attrs

from ...transitions import follow

Key: TypeAlias = tuple[str, bytes]
"""A protocol's name and the id of a channel; the id is empty if there is none."""


class ChannelState(enum.Enum):
    """The state of our half of a channel."""

    __hash__ = object.__hash__  # states are looked up for every message, and Enum's own hash is Python code

    WAITING = "waiting"
    """An earlier channel with the same key waits for its answer; ours is offered after that."""
    OFFERED = "offered"
    """Our Open is sent, and the remote has not answered it."""
    OPEN = "open"
    """Both sides have opened the channel."""
    GIVEN_UP = "given up"
    """We closed the channel before the remote answered, and still wait for the answer."""
    CLOSED = "closed"
    """The channel is over."""


class ChannelSignal(enum.Enum):
    """An occurrence that changes the state."""

    OFFER = "offer"
    ACCEPT = "accept"
    """The remote has opened the channel, too."""
    REFUSE = "refuse"
    """The remote has rejected our Open."""
    CLOSE = "close"
    """Either side has closed the channel."""


TRANSITIONS: Final[dict[ChannelState, dict[ChannelSignal, ChannelState]]] = {
    ChannelState.WAITING: {
        ChannelSignal.OFFER: ChannelState.OFFERED,
        ChannelSignal.CLOSE: ChannelState.CLOSED,
    },
    ChannelState.OFFERED: {
        ChannelSignal.ACCEPT: ChannelState.OPEN,
        ChannelSignal.REFUSE: ChannelState.CLOSED,
        ChannelSignal.CLOSE: ChannelState.GIVEN_UP,
    },
    ChannelState.OPEN: {ChannelSignal.CLOSE: ChannelState.CLOSED},
    ChannelState.GIVEN_UP: {
        ChannelSignal.ACCEPT: ChannelState.CLOSED,
        ChannelSignal.REFUSE: ChannelState.CLOSED,
    },
    ChannelState.CLOSED: {},
}
"""Every legal transition. Any other one cannot happen, or is the caller's fault."""

UNANSWERED: Final = frozenset({ChannelState.OFFERED, ChannelState.GIVEN_UP})
"""States in which the remote owes an answer to our Open."""

ENDED: Final = frozenset({ChannelState.GIVEN_UP, ChannelState.CLOSED})
"""States in which the channel is over for its handler."""


class Handler(Protocol):
    """The interface between a protocol and one of its channels."""

    def opened_untrusted(self, handshake: bytes) -> None:
        """Note that both sides have opened the channel; `handshake` is the remote's. Raises only
        `RemoteProtocolError`.
        """

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        """Handle a message with the body `data[start:end]`. Raises only `RemoteProtocolError`."""

    def closed(self) -> None:
        """Note that the remote has rejected or closed the channel."""


RunReader: TypeAlias = Callable[[bytes, int, int], int]
"""A function that reads a run of frequent messages from the rest of a batch, `data[position:end]`, in which
a size precedes each message. It returns the position of the first other message, or the position at which
`Mux.work` is used up; it subtracts an item for each message. Raises nothing."""


def take_none_untrusted(data: bytes, position: int, end: int) -> int:
    """Read no messages. This is the `RunReader` of a handler that handles messages one by one. Raises
    nothing.
    """
    return position


@attrs.define(eq=False)
class Channel:
    """Our half of a channel."""

    key: Key
    handler: Handler
    handshake: bytes = attrs.field(repr=False)
    """The protocol's own handshake, such as a capability."""
    run_untrusted: RunReader
    local: int = 0
    """Our number for the channel, or 0 before we offer it."""
    remote: int = 0
    """The remote's number for the channel, or 0 before the remote opens it."""
    state: ChannelState = ChannelState.WAITING
    held: list[bytes] = attrs.field(factory=list)
    """Messages that wait until the channel is offered."""

    @property
    def closed(self) -> bool:
        """Whether the channel is over for its handler."""
        return self.state in ENDED

    def signal(self, signal: ChannelSignal) -> None:
        """Change the state. Raises `LocalProtocolError` if there is no such transition."""
        self.state = follow(TRANSITIONS, self.state, signal, "channel")
