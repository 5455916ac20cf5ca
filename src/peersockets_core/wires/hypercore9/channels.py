"""Channels: keep track of the drives that both sides have open, after each side has proved that it knows the
key.

Each side numbers its own channels from 1 and uses no number twice, neither for a channel nor for a
refusal. If the remote opens a drive that is not open here, we refuse it at once and keep no state.
Source: hypercore-protocol 8.0.7 (`Channelizer`), hypercore-crypto 2.3.2 (`capability`).
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import Callable

import attrs

from ...errors import LocalProtocolError, RemoteProtocolError
from ...events import DriveClosed, DriveOpened, Event
from ...keys import DriveKey
from ...secret import Secret
from .messages import ChannelMessage, Close, Open, Status

_POLITE_STATUS = Status(uploading=False, downloading=True)
"""We send this right after both sides have opened a drive. Without it, a real hyperdrive waits for
data that we do not have; with `downloading` off, it might end the channel."""


@attrs.define
class _Channel:
    key: DriveKey
    local: int | None = None
    """The number under which we opened it; None if the remote refused it."""
    remote: int | None = None
    """The number under which the remote opened it, with a valid capability."""
    offered: bool = True
    """Whether our last Open still answers the remote's next one. It does not after the remote has closed the
    channel."""


class Channels:
    """The channels of one connection."""

    def __init__(
        self,
        *,
        sending_key: bytes,
        receiving_key: bytes,
        send: Callable[[int, ChannelMessage], None],
        reply_untrusted: Callable[[int, ChannelMessage], None],
    ) -> None:
        """Begin. `send(channel, message)` sends our own messages, and `reply_untrusted` sends our answers."""
        self._sending_key = sending_key
        self._receiving_key = receiving_key
        self._send = send
        self._reply_untrusted = reply_untrusted
        self.by_key: dict[bytes, _Channel] = {}
        """The drives that are open here, by discovery key."""
        # The reference's `Channelizer.allocLocal` looks for a free lower number, but never finds one.
        self._numbers = itertools.count(1)
        self.by_number: dict[int, _Channel] = {}
        """The drives that the remote has open as well, by its number."""

    @property
    def any_open(self) -> bool:
        """Whether both sides have any drive open."""
        return bool(self.by_number)

    def open(self, key: DriveKey) -> None:
        """Open a drive here and offer it to the remote. Raises `LocalProtocolError` if it is open."""
        if key.discovery_key in self.by_key:
            raise LocalProtocolError(f"drive {key} is already open on this connection")
        channel = self.by_key[key.discovery_key] = _Channel(key)
        self._send(self._number(channel), self._offer(channel))

    def close(self, discovery_key: bytes) -> None:
        """Close a drive that is open here, and send a Close. Raises `LocalProtocolError` if it is not
        open.
        """
        channel = self.by_key.pop(discovery_key, None)
        if channel is None:
            raise LocalProtocolError(f"no drive with discovery key {discovery_key.hex()} is open")
        if channel.remote is not None:
            del self.by_number[channel.remote]
        if channel.local is not None:
            self._send(channel.local, Close())

    def receive_open_untrusted(self, number: int, message: Open, events: list[Event]) -> None:
        """Handle an Open of the remote. Raises only `RemoteProtocolError`."""
        channel = self.by_key.get(message.discovery_key)
        if channel is None:
            self._reply_untrusted(next(self._numbers), Close(message.discovery_key))
            return
        if self.by_number.get(number, channel) is not channel or number == 0:
            raise RemoteProtocolError(f"the remote opened channel {number} for two cores")
        expected = capability(channel.key, self._receiving_key, self._sending_key)
        if not hmac.compare_digest(message.capability or b"", expected):
            raise RemoteProtocolError(f"invalid remote capability for drive {channel.key}")
        if channel.local is None or not channel.offered:
            number_here = self._number(channel) if channel.local is None else channel.local
            self._reply_untrusted(number_here, self._offer(channel))
            channel.offered = True
        assert channel.local is not None
        if channel.remote is not None:  # a second Open moves the core to another number
            del self.by_number[channel.remote]
        else:
            self._reply_untrusted(channel.local, _POLITE_STATUS)
            events.append(DriveOpened(message.discovery_key))
        channel.remote = number
        self.by_number[number] = channel

    def receive_close_untrusted(self, number: int, message: Close, events: list[Event]) -> None:
        """Handle a Close of the remote, which closes or refuses a channel. Raises only
        `RemoteProtocolError`.
        """
        channel = self.by_number.get(number) or self.by_key.get(message.discovery_key or b"")
        if channel is None:
            return
        if channel.remote is not None:
            # Keep our half, and offer it again when the remote opens the drive again. hypercore-protocol
            # closes its half and sends a Close. If both sides did that while closing and reopening,
            # their answers would chase each other for ever.
            del self.by_number[channel.remote]
            channel.remote = None
            channel.offered = False
            events.append(DriveClosed(channel.key.discovery_key))
        elif channel.local is not None and channel.offered:
            # This is a refusal. The remote keeps our number until we close it.
            self._reply_untrusted(channel.local, Close())
            channel.local = None

    def _offer(self, channel: _Channel) -> Open:
        return Open(
            channel.key.discovery_key, capability(channel.key, self._sending_key, self._receiving_key)
        )

    def _number(self, channel: _Channel) -> int:
        channel.local = next(self._numbers)
        return channel.local


def capability(key: DriveKey, sending_key: bytes, receiving_key: bytes) -> Secret:
    """Return the capability: the proof that the side that sends with `sending_key` knows the key."""
    named = b"hypercore capability" + sending_key + key.public_key
    return Secret(hashlib.blake2b(named, digest_size=32, key=receiving_key).digest())
