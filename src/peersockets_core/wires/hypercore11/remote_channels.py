"""`RemoteChannels`: the remote's halves of the channels of one stream, and the memory that they take."""

from __future__ import annotations

import attrs

from ...errors import RemoteProtocolError
from ...limits import MESSAGE_COST, Limits
from .channel import Channel, Key
from .control import CONTROL

_OVERHEAD = 512  # bytes of memory of a channel, besides its names and its handshake


@attrs.define(eq=False)
class RemoteChannel:
    """The remote's half of a channel."""

    key: Key
    handshake: bytes = attrs.field(repr=False)
    channel: Channel | None = None
    """Our half, once both sides have opened."""
    early: list[tuple[int, bytes]] = attrs.field(factory=list)
    """The types and bodies of messages that arrived before we opened the channel."""

    @property
    def early_size(self) -> int:
        """Bytes of the early messages that count against the limit."""
        return sum(len(message) + MESSAGE_COST for _, message in self.early)

    @property
    def size(self) -> int:
        """Bytes of memory, without early messages."""
        return _OVERHEAD + len(self.key[0]) + len(self.key[1]) + len(self.handshake)


class RemoteChannels:
    """The remote's halves of channels: those that we have opened, too, and those that wait for our
    decision.
    """

    __slots__ = ("_highest", "_limits", "_size", "by_number", "early_size", "waiting")

    def __init__(self, limits: Limits) -> None:
        self.by_number: dict[int, RemoteChannel] = {}
        self.waiting: dict[Key, dict[int, None]] = {}
        """The numbers of channels that wait for our decision, in order; the remote may give up any of
        them."""
        self.early_size = 0
        """Bytes of all early messages that count against the limit."""
        self._limits = limits
        self._highest = 0
        self._size = 0

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes us keep."""
        return self._size + self.early_size

    def add_untrusted(self, number: int, key: Key, handshake: bytes) -> None:
        """Note a channel that the remote has opened. Raises only `RemoteProtocolError`."""
        if number == CONTROL or number in self.by_number or number > self._highest + 1:
            raise RemoteProtocolError(f"the remote opened channel {number} out of order")
        if len(self.by_number) >= self._limits.channels:
            raise RemoteProtocolError(f"the remote has more than {self._limits.channels} channels open")
        self._highest = max(self._highest, number)
        remote = self.by_number[number] = RemoteChannel(key, handshake)
        self._size += remote.size

    def keep_untrusted(
        self, remote: RemoteChannel, message_type: int, data: bytes, start: int, end: int
    ) -> None:
        """Keep a message, `data[start:end]`, that arrived before we opened the channel.

        Raises only `RemoteProtocolError`.
        """
        self.early_size += end - start + MESSAGE_COST
        if self.early_size > self._limits.early_messages:
            raise RemoteProtocolError("too many messages on channels that are not open yet")
        remote.early.append((message_type, data[start:end]))

    def wait(self, number: int, key: Key) -> None:
        """Let a channel number wait for our decision."""
        self.waiting.setdefault(key, {})[number] = None

    def take_waiting(self, key: Key) -> int | None:
        """Remove and return the first number that waits for our decision, or None if there is none."""
        number = next(iter(self.waiting.get(key, ())), None)
        if number is not None:
            self.stop_waiting(number, key)
        return number

    def stop_waiting(self, number: int, key: Key) -> None:
        """Remove a number that waits for our decision."""
        numbers = self.waiting[key]
        del numbers[number]
        if not numbers:
            del self.waiting[key]

    def join(self, number: int, channel: Channel) -> tuple[bytes, list[tuple[int, bytes]]]:
        """Connect both halves of a channel; returns the remote's handshake and its early messages."""
        remote = self.by_number[number]
        remote.channel = channel
        channel.remote = number
        self.early_size -= remote.early_size
        self._size -= len(remote.handshake)
        handshake, remote.handshake = remote.handshake, b""
        early, remote.early = remote.early, []
        return handshake, early

    def remove(self, number: int) -> None:
        """Remove a channel that is over."""
        remote = self.by_number.pop(number)
        self.early_size -= remote.early_size
        self._size -= remote.size

    def forget_input(self) -> None:
        """Drop the handshakes and messages that wait for a decision, because there will be none."""
        for remote in self.by_number.values():
            remote.handshake = b""
            remote.early.clear()
        self.early_size = 0
        self._size = sum(remote.size for remote in self.by_number.values())
