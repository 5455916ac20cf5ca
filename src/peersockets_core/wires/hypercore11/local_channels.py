"""`LocalChannels`: our halves of the channels of one stream, by key and by number."""

from __future__ import annotations

from .channel import Channel, ChannelState, Key


class LocalChannels:
    """Our halves of the channels, and their numbers.

    A number is free again once the remote has answered. Before that, a late message of the remote about it
    could be mistaken for one about another channel.
    """

    __slots__ = ("_free", "_highest", "by_key", "by_number", "unanswered", "waiting")

    def __init__(self) -> None:
        self.by_key: dict[Key, Channel] = {}
        """The channels that their handlers have not closed."""
        self.by_number: dict[int, Channel] = {}
        """The channels that have a number."""
        self.unanswered: dict[Key, Channel] = {}
        """The channels whose Open the remote has not answered."""
        self.waiting: dict[Key, Channel] = {}
        """The channels that will be offered when the earlier one with their key has been answered."""
        self._free: list[int] = []
        self._highest = 0

    @property
    def any_open(self) -> bool:
        """Whether any channel is open on both sides."""
        return any(channel.state is ChannelState.OPEN for channel in self.by_key.values())

    @property
    def largest_next(self) -> int:
        """The largest number that the next channel may get."""
        return self._highest + 1

    def assign(self, channel: Channel) -> None:
        """Give a channel its number."""
        channel.local = self._free.pop() if self._free else self._highest + 1
        self._highest = max(self._highest, channel.local)
        self.by_number[channel.local] = channel

    def release(self, channel: Channel) -> None:
        """Free the number of a channel that the remote has answered."""
        del self.by_number[channel.local]
        self._free.append(channel.local)
