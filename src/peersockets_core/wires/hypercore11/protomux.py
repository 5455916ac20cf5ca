"""protomux: channels of any protocols over one stream of messages. Source: protomux 3.12.1.

To run a protocol of your own beside hypercore's, take `Connection.mux` and open a channel with
`Mux.open(protocol, id, handshake, handler)`, or answer the remote's with `Mux.pair(protocol, id, notify)`,
where `notify` opens one, or returns True to decide later. The handler is told when both sides have opened,
of every message, and of the end.

Every Open is answered, by an Open or a Reject, and a side has one unanswered Open for a key at most: a
channel that is closed before the answer says so when the answer has come, and only then may the next of its
key open. The reference closes at once, which its other end overlooks as long as it has not decided (protomux
3.12.1, `_onclosesession`): the two then disagree on what is open.

What is queued between two flushes goes out in batches, and large messages by themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import attrs

from ...errors import LocalProtocolError, MessageTooLarge, RemoteProtocolError
from ...limits import MESSAGE_COST, Limits
from ...outbox import Outbox
from ...work import ANSWER, RECORD, Work
from .batching import Batcher
from .encoding import (
    decode_buffer_untrusted,
    decode_string_untrusted,
    decode_uint_untrusted,
    encode_buffer,
    encode_uint,
)
from .secret_stream import MAX_PLAINTEXT

_REMOTE_OVERHEAD = 512  # bytes of memory that a channel costs beside its names and its handshake
_BATCH, _OPEN, _REJECT, _CLOSE = range(4)
_CONTROL = 0

Key: TypeAlias = tuple[str, bytes]
"""A protocol's name and the id of a channel, empty for none."""


class Handler(Protocol):
    """What a protocol does with one channel."""

    def opened_untrusted(self, handshake: bytes) -> None:
        """Both sides have opened; `handshake` is the remote's. Raises only `RemoteProtocolError`."""

    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None:
        """A message: its body is `data[start:end]`. Raises only `RemoteProtocolError`."""

    def closed(self) -> None:
        """The remote has rejected or closed the channel."""


Notify: TypeAlias = Callable[[str, bytes], bool]
"""Called with protocol and id of a channel that the remote has opened; it may call `Mux.open`. Returns
whether a decision comes later: then call `Mux.open` or `Mux.reject`."""


RunReader: TypeAlias = Callable[[bytes, int, int], int]
"""Called with the rest of a batch, `data[position:end]`; it takes as many messages as are of a kind that
comes in thousands, each behind its size, and returns where the others begin, or where `Mux.work` is used up,
of which it takes an item for each. Raises nothing."""


def _take_none_untrusted(data: bytes, position: int, end: int) -> int:
    return position


@attrs.define(eq=False)
class Channel:
    """Our half of a channel."""

    key: Key
    handler: Handler
    handshake: bytes = attrs.field(repr=False)
    """What the protocol proves with, such as a capability."""
    run_untrusted: RunReader
    local: int = 0
    """Our number for it, or 0 as long as we have not opened."""
    remote: int = 0
    """The remote's number for it, or 0 as long as it has not opened."""
    closed: bool = False
    held: list[bytes] = attrs.field(factory=list)
    """Messages that wait until we have opened."""


@attrs.define(eq=False)
class _Remote:
    """The remote's half of a channel."""

    key: Key
    handshake: bytes = attrs.field(repr=False)
    channel: Channel | None = None
    early: list[tuple[int, bytes]] = attrs.field(factory=list)

    @property
    def early_size(self) -> int:
        """What the early messages count against the limit."""
        return sum(len(message) + MESSAGE_COST for _, message in self.early)

    @property
    def size(self) -> int:
        """Bytes of memory, early messages left out."""
        return _REMOTE_OVERHEAD + len(self.key[0]) + len(self.key[1]) + len(self.handshake)


class Mux:
    """One side of a multiplexed stream."""

    def __init__(
        self,
        *,
        limits: Limits,
        outbox: Outbox,
        aliases: dict[str, str] | None = None,
        work: Work | None = None,
    ) -> None:
        """Queue to `outbox`. `aliases` maps other names of protocols to the one in use."""
        self.outbox = outbox
        self.work = work or Work()
        """What is left of this slice of work: handlers whose messages take long take of it."""
        self.batcher = Batcher(outbox)
        self._limits = limits
        self._aliases = aliases or {}
        self._local: dict[int, Channel] = {}
        self._free: list[int] = []
        self._highest_local = 0
        self._remote: dict[int, _Remote] = {}
        self._highest_remote = 0
        self._opened: dict[Key, Channel] = {}
        self._unanswered: dict[Key, Channel] = {}
        self._deferred: dict[Key, Channel] = {}  # to be opened when the one before has been answered
        self._incoming: dict[Key, dict[int, None]] = {}  # numbers in order; the remote may give up any
        self._pairs: dict[tuple[str, bytes | None], Notify] = {}
        self._early_size = 0
        self._remote_size = 0
        self._replying = False
        # A batch that waits for the next slice of work: its bytes, and the position and channel reached.
        self._batch: tuple[bytes, int, int] | None = None

    # Commands

    def pair(self, protocol: str, channel_id: bytes | None, notify: Notify) -> None:
        """Be asked about channels that the remote opens: of one id, or with None of all others."""
        self._pairs[protocol, channel_id] = notify

    def unpair(self, protocol: str, channel_id: bytes | None) -> None:
        """Be asked no longer."""
        self._pairs.pop((protocol, channel_id), None)

    def open(
        self,
        protocol: str,
        channel_id: bytes,
        handshake: bytes,
        handler: Handler,
        run_untrusted: RunReader = _take_none_untrusted,
    ) -> Channel:
        """Open a channel; a handler that is in a hurry has a `RunReader` for batches beside it.

        Raises `LocalProtocolError` if one of that protocol and id is open, and what the handler raises
        where the remote had opened it before.
        """
        key = (protocol, channel_id)
        if key in self._opened:
            raise LocalProtocolError(f"a channel of {protocol} with id {channel_id.hex()!r} is open")
        channel = self._opened[key] = Channel(key, handler, handshake, run_untrusted)
        if key in self._unanswered:
            self._deferred[key] = channel
        else:
            self._offer(channel)
        return channel

    def reject(self, protocol: str, channel_id: bytes) -> None:
        """Refuse what the remote opened and `notify` put off."""
        for number in self._incoming.pop((protocol, channel_id), ()):
            self._refuse(number)

    def close(self, channel: Channel) -> None:
        """Close a channel. Closing twice is fine."""
        if channel.closed:
            return
        self._forget(channel)
        if channel.remote:
            self._control(_CLOSE, encode_uint(channel.local))
        elif not channel.local:
            del self._deferred[channel.key]

    def send(self, channel: Channel, message_type: int, body: bytes) -> None:
        """Queue a message. Raises `LocalProtocolError` on a closed channel, `MessageTooLarge`."""
        if channel.closed:
            raise LocalProtocolError("the channel is closed")
        message = encode_uint(message_type) + body
        largest = MAX_PLAINTEXT - len(encode_uint(channel.local or self._highest_local + 1))
        if len(message) > largest:
            raise MessageTooLarge(len(message), largest)
        if channel.local:
            self.queue(channel.local, message)
        else:
            channel.held.append(message)

    def send_to(self, protocol: str, channel_id: bytes, message_type: int, body: bytes) -> None:
        """Queue a message on the channel of that protocol and id, which is open on our side; as `send`."""
        self.send(self._opened[protocol, channel_id], message_type, body)

    # Output

    def queue(self, local: int, message: bytes) -> None:
        """Queue the type and body of a message of the protocol's own, not of an application."""
        # One piece: an answer is three bytes, and each piece of it would cost many times that in memory.
        chunk = b"".join(self.batcher.place(local, message))
        if self._replying:
            self.outbox.append_reply_untrusted(chunk)
        else:
            self.outbox.append(chunk)

    def take_messages(self) -> list[tuple[int, list[bytes]]]:
        """Hand over the messages of the stream below, in order: the size of each, and its chunks."""
        return self.batcher.take_messages()

    def _control(self, message_type: int, body: bytes) -> None:
        self.queue(_CONTROL, bytes((message_type,)) + body)

    # Input

    @property
    def has_input(self) -> bool:
        """Whether the rest of a batch waits for the next slice of work."""
        return self._batch is not None

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes us keep: channels, early messages, the rest of a batch."""
        batch = len(self._batch[0]) if self._batch is not None else 0
        return self._remote_size + self._early_size + batch

    @property
    def any_open(self) -> bool:
        """Whether both sides have opened any channel."""
        return any(channel.remote for channel in self._opened.values())

    def receive_untrusted(self, message: bytes) -> None:
        """Take one message of the stream below. Raises only `RemoteProtocolError`.

        Of a batch, it takes as many messages as the work allows: before the next message of the stream, call
        `go_on_untrusted` as long as `has_input`.
        """
        number, position = decode_uint_untrusted(message, 0, len(message))
        if number == _CONTROL and decode_uint_untrusted(message, position, len(message))[0] == _BATCH:
            number, position = decode_uint_untrusted(message, position + 1, len(message))
            self._batch = (message, position, number)
            self.go_on_untrusted()
            return
        self._replying = True
        try:
            self._message_untrusted(number, message, position, len(message))
        finally:
            self._replying = False

    def go_on_untrusted(self) -> None:
        """Go on with a batch. Raises only `RemoteProtocolError`."""
        if self._batch is None:
            return
        batch, self._batch = self._batch, None
        self._replying = True
        try:
            self._batch_untrusted(*batch)
        finally:
            self._replying = False

    def forget_input(self) -> None:
        """Let go of what waits: for the next slice of work, and for a decision."""
        self._batch = None
        for remote in self._remote.values():
            remote.handshake = b""
            remote.early.clear()
        self._early_size = 0
        self._remote_size = sum(remote.size for remote in self._remote.values())

    def _message_untrusted(self, number: int, data: bytes, position: int, end: int) -> None:
        self.work.left -= RECORD
        message_type, position = decode_uint_untrusted(data, position, end)
        if number == _CONTROL:
            if message_type in _CONTROLS:
                self.work.left -= ANSWER
                _CONTROLS[message_type](self, data, position, end)
            return
        remote = self._remote.get(number)
        if remote is None:
            return  # sent before the remote learned that we closed
        if remote.channel is not None:
            remote.channel.handler.message_untrusted(message_type, data, position, end)
            return
        self._early_size += end - position + MESSAGE_COST
        if self._early_size > self._limits.early_messages:
            raise RemoteProtocolError("too many messages on channels that are not open yet")
        remote.early.append((message_type, data[position:end]))

    def _batch_untrusted(self, data: bytes, position: int, number: int) -> None:
        end, work = len(data), self.work
        while position < end:
            if work.left <= 0:
                self._batch = (data, position, number)
                return
            # Looked up for each message that is not of a run, since messages close and open channels.
            remote = self._remote.get(number)
            if remote is not None and remote.channel is not None:
                reached = remote.channel.run_untrusted(data, position, end)
                if reached > position:
                    position = reached
                    continue
            size, position = decode_uint_untrusted(data, position, end)
            if not size:
                work.left -= RECORD
                number, position = decode_uint_untrusted(data, position, end)
                continue
            stop = position + size
            if stop > end:
                raise RemoteProtocolError("a batch ends within a message")
            if number == _CONTROL and decode_uint_untrusted(data, position, stop)[0] == _BATCH:
                raise RemoteProtocolError("a batch within a batch")
            self._message_untrusted(number, data, position, stop)
            position = stop

    def _open_untrusted(self, data: bytes, position: int, end: int) -> None:
        number, position = decode_uint_untrusted(data, position, end)
        protocol, position = decode_string_untrusted(data, position, end)
        channel_id, position = decode_buffer_untrusted(data, position, end)
        if number == _CONTROL or number in self._remote or number > self._highest_remote + 1:
            raise RemoteProtocolError(f"the remote opened channel {number} out of order")
        if len(self._remote) >= self._limits.channels:
            raise RemoteProtocolError(f"the remote has more than {self._limits.channels} channels open")
        self._highest_remote = max(self._highest_remote, number)
        key = (self._aliases.get(protocol, protocol), channel_id)
        remote = self._remote[number] = _Remote(key, data[position:end])
        self._remote_size += remote.size
        ours = self._unanswered.pop(key, None)
        if ours is not None and not ours.closed:
            self._join_untrusted(ours, number)
        elif ours is not None:
            self._forget_remote(number)
            self._control(_CLOSE, encode_uint(ours.local))
            self._answered(ours)
        elif key in self._opened:
            self._refuse(number)
        else:
            self._incoming.setdefault(key, {})[number] = None
            notify = self._pairs.get(key) or self._pairs.get((key[0], None))
            if notify is None or not notify(*key):
                self.reject(*key)

    def _reject_untrusted(self, data: bytes, position: int, end: int) -> None:
        local, _ = decode_uint_untrusted(data, position, end)
        channel = self._local.get(local)
        if channel is None or self._unanswered.get(channel.key) is not channel:
            raise RemoteProtocolError(f"the remote rejected channel {local}, which waits for nothing")
        del self._unanswered[channel.key]
        self._answered(channel)
        if not channel.closed:
            self._forget(channel)
            channel.handler.closed()

    def _close_untrusted(self, data: bytes, position: int, end: int) -> None:
        number, _ = decode_uint_untrusted(data, position, end)
        remote = self._remote.get(number)
        if remote is None:
            return
        if remote.channel is not None:
            channel = remote.channel
            self._forget(channel)
            channel.handler.closed()
            return
        # It gave up before we decided, and still wants an answer.
        waiting = self._incoming[remote.key]
        del waiting[number]
        if not waiting:
            del self._incoming[remote.key]
        self._refuse(number)

    def _offer(self, channel: Channel) -> None:
        """Open our half; the remote's may be there."""
        key = channel.key
        channel.local = self._free.pop() if self._free else self._highest_local + 1
        self._highest_local = max(self._highest_local, channel.local)
        self._local[channel.local] = channel
        names = encode_buffer(key[0].encode()) + encode_buffer(key[1])
        self._control(_OPEN, encode_uint(channel.local) + names + channel.handshake)
        for message in channel.held:
            self.queue(channel.local, message)
        channel.held.clear()
        waiting = self._incoming.get(key)
        if waiting is None:
            self._unanswered[key] = channel
            return
        number = next(iter(waiting))
        del waiting[number]
        if not waiting:
            del self._incoming[key]
        self._join_untrusted(channel, number)

    def _answered(self, channel: Channel) -> None:
        """The remote has answered, but the channel does not come about: its number and key are free."""
        self._release(channel)
        deferred = self._deferred.pop(channel.key, None)
        if deferred is not None:
            self._offer(deferred)

    def _refuse(self, number: int) -> None:
        self._forget_remote(number)
        self._control(_REJECT, encode_uint(number))

    def _join_untrusted(self, channel: Channel, number: int) -> None:
        remote = self._remote[number]
        remote.channel = channel
        channel.remote = number
        self._early_size -= remote.early_size
        self._remote_size -= len(remote.handshake)
        handshake, remote.handshake = remote.handshake, b""
        early, remote.early = remote.early, []
        channel.handler.opened_untrusted(handshake)
        for message_type, message in early:
            if not channel.closed:
                channel.handler.message_untrusted(message_type, message, 0, len(message))

    def _forget(self, channel: Channel) -> None:
        channel.closed = True
        del self._opened[channel.key]
        if channel.remote:
            self._forget_remote(channel.remote)
            self._release(channel)

    def _forget_remote(self, number: int) -> None:
        remote = self._remote.pop(number)
        self._early_size -= remote.early_size
        self._remote_size -= remote.size

    def _release(self, channel: Channel) -> None:
        # Not before the remote has answered: what it says of this number would be taken for another's.
        del self._local[channel.local]
        self._free.append(channel.local)


_CONTROLS = {_OPEN: Mux._open_untrusted, _REJECT: Mux._reject_untrusted, _CLOSE: Mux._close_untrusted}
