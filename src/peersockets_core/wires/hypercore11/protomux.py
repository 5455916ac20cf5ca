"""`Mux`: channels of any protocol over one stream of messages, as in protomux. Source: protomux 3.12.1.

To run your own protocol besides hypercore's, open a channel of `Connection.mux` with `Mux.open`. To answer
the remote's channels, call `Mux.pair` with a function `notify`, which opens a channel, or returns True to
decide later. The mux calls the handler when both sides have opened the channel, for every message, and at the
end.

Every Open gets an answer, an Open or a Reject, and a side has at most one unanswered Open for a key. If a
channel is closed before the answer, the Close follows the answer, and only then can the next channel with
its key open. The reference sends the Close at once, but a remote that has not decided yet overlooks it
(protomux 3.12.1, `_onclosesession`); the two sides then disagree about the open channels.

Messages that are queued between two flushes leave in batches; large messages leave alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from ...errors import LocalProtocolError, MessageTooLarge, RemoteProtocolError
from ...limits import Limits
from ...outbox import Outbox
from ...work import ANSWER, RECORD, Work
from .batching import Batcher
from .channel import (
    UNANSWERED,
    Channel,
    ChannelSignal,
    ChannelState,
    Handler,
    Key,
    RunReader,
    take_none_untrusted,
)
from .control import BATCH, CLOSE, CONTROL, OPEN, REJECT
from .encoding import (
    decode_buffer_untrusted,
    decode_string_untrusted,
    decode_uint_untrusted,
    encode_buffer,
    encode_uint,
)
from .local_channels import LocalChannels
from .remote_channels import RemoteChannels
from .secret_stream import MAX_PLAINTEXT

__all__ = ["Channel", "Handler", "Key", "Mux", "Notify", "RunReader"]

Notify: TypeAlias = Callable[[str, bytes], bool]
"""A function that is called with the protocol and id of a channel that the remote has opened. It may
call `Mux.open`. It returns whether the decision comes later; the owner then calls `Mux.open` or
`Mux.reject`."""


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
        """Begin. Output goes to `outbox`. `aliases` maps alternative protocol names to the one in use."""
        self.outbox = outbox
        self.work = work or Work()
        """The rest of this slice of work. Handlers whose messages take long subtract from it."""
        self.batcher = Batcher(outbox)
        self.local = LocalChannels()
        self.remote = RemoteChannels(limits)
        self._aliases = aliases or {}
        self._pairs: dict[tuple[str, bytes | None], Notify] = {}
        self._replying = False
        # A batch that waits for the next slice of work: its bytes, and the position and channel reached.
        self._batch: tuple[bytes, int, int] | None = None

    # Commands

    def pair(self, protocol: str, channel_id: bytes | None, notify: Notify) -> None:
        """Call `notify` for channels that the remote opens: those with one id, or, with None, all others."""
        self._pairs[protocol, channel_id] = notify

    def unpair(self, protocol: str, channel_id: bytes | None) -> None:
        """Undo `pair`."""
        self._pairs.pop((protocol, channel_id), None)

    def open(
        self,
        protocol: str,
        channel_id: bytes,
        handshake: bytes,
        handler: Handler,
        run_untrusted: RunReader = take_none_untrusted,
    ) -> Channel:
        """Open a channel. For speed, a handler may have a `RunReader` that reads whole runs of a batch.

        Raises `LocalProtocolError` if a channel with that protocol and id is open. If the remote had
        already opened the channel, errors of the handler propagate.
        """
        key = (protocol, channel_id)
        if key in self.local.by_key:
            raise LocalProtocolError(f"a channel of {protocol} with id {channel_id.hex()!r} is open")
        channel = self.local.by_key[key] = Channel(key, handler, handshake, run_untrusted)
        if key in self.local.unanswered:
            self.local.waiting[key] = channel
        else:
            self._offer(channel)
        return channel

    def reject(self, protocol: str, channel_id: bytes) -> None:
        """Refuse a channel of the remote about which `notify` postponed the decision."""
        for number in self.remote.waiting.pop((protocol, channel_id), ()):
            self._refuse(number)

    def close(self, channel: Channel) -> None:
        """Close a channel. Closing twice is fine."""
        if channel.closed:
            return
        state = channel.state
        channel.signal(ChannelSignal.CLOSE)
        del self.local.by_key[channel.key]
        if state is ChannelState.OPEN:
            self._disconnect(channel)
            self._control(CLOSE, encode_uint(channel.local))
        elif state is ChannelState.WAITING:
            del self.local.waiting[channel.key]

    def send(self, channel: Channel, message_type: int, body: bytes) -> None:
        """Queue a message. Raises `LocalProtocolError` if the channel is closed, and `MessageTooLarge`."""
        if channel.closed:
            raise LocalProtocolError("the channel is closed")
        message = encode_uint(message_type) + body
        largest = MAX_PLAINTEXT - len(encode_uint(channel.local or self.local.largest_next))
        if len(message) > largest:
            raise MessageTooLarge(len(message), largest)
        if channel.state is ChannelState.WAITING:
            channel.held.append(message)
        else:
            self.queue(channel.local, message)

    def send_to(self, protocol: str, channel_id: bytes, message_type: int, body: bytes) -> None:
        """Queue a message on the channel with that protocol and id, which must be open on our side. Raises as
        `send` does.
        """
        self.send(self.local.by_key[protocol, channel_id], message_type, body)

    # Output

    def queue(self, local: int, message: bytes) -> None:
        """Queue the type and body of a protocol message, as opposed to an application's message."""
        # Join the pieces: an answer has three bytes, and each separate piece would take many times that in
        # memory.
        chunk = b"".join(self.batcher.place(local, message))
        if self._replying:
            self.outbox.append_reply_untrusted(chunk)
        else:
            self.outbox.append(chunk)

    def take_messages(self) -> list[tuple[int, list[bytes]]]:
        """Remove and return the messages for the stream below, in order: the size of each, and its chunks."""
        return self.batcher.take_messages()

    def _control(self, message_type: int, body: bytes) -> None:
        self.queue(CONTROL, bytes((message_type,)) + body)

    # Input

    @property
    def has_input(self) -> bool:
        """Whether the rest of a batch waits for the next slice of work."""
        return self._batch is not None

    @property
    def kept(self) -> int:
        """Bytes of memory that the remote makes us keep: channels, early messages, the rest of a batch."""
        batch = len(self._batch[0]) if self._batch is not None else 0
        return self.remote.kept + batch

    @property
    def any_open(self) -> bool:
        """Whether any channel is open on both sides."""
        return self.local.any_open

    def receive_untrusted(self, message: bytes) -> None:
        """Take in one message of the stream below. Raises only `RemoteProtocolError`.

        It processes as many messages of a batch as the work allows. Before the next message of the stream,
        call `go_on_untrusted` as long as `has_input`.
        """
        number, position = decode_uint_untrusted(message, 0, len(message))
        if number == CONTROL:
            message_type, start = decode_uint_untrusted(message, position, len(message))
            if message_type == BATCH:
                number, position = decode_uint_untrusted(message, start, len(message))
                self._batch = (message, position, number)
                self.go_on_untrusted()
                return
        self._replying = True
        try:
            self._message_untrusted(number, message, position, len(message))
        finally:
            self._replying = False

    def go_on_untrusted(self) -> None:
        """Continue with a batch. Raises only `RemoteProtocolError`."""
        if self._batch is None:
            return
        batch, self._batch = self._batch, None
        self._replying = True
        try:
            self._batch_untrusted(*batch)
        finally:
            self._replying = False

    def forget_input(self) -> None:
        """Drop the input that waits for the next slice of work or for a decision."""
        self._batch = None
        self.remote.forget_input()

    def _message_untrusted(self, number: int, data: bytes, position: int, end: int) -> None:
        self.work.left -= RECORD
        message_type, position = decode_uint_untrusted(data, position, end)
        if number == CONTROL:
            if message_type in _CONTROLS:
                self.work.left -= ANSWER
                _CONTROLS[message_type](self, data, position, end)
            return
        remote = self.remote.by_number.get(number)
        if remote is None:
            return  # the remote sent this before it learned that we closed
        if remote.channel is not None:
            remote.channel.handler.message_untrusted(message_type, data, position, end)
        else:
            self.remote.keep_untrusted(remote, message_type, data, position, end)

    def _batch_untrusted(self, data: bytes, position: int, number: int) -> None:
        end, work, by_number = len(data), self.work, self.remote.by_number
        while position < end:
            if work.left <= 0:
                self._batch = (data, position, number)
                return
            # Look the channel up for each message outside a run, because messages can close and open
            # channels.
            remote = by_number.get(number)
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
            if number == CONTROL and decode_uint_untrusted(data, position, stop)[0] == BATCH:
                raise RemoteProtocolError("a batch within a batch")
            self._message_untrusted(number, data, position, stop)
            position = stop

    def _open_untrusted(self, data: bytes, position: int, end: int) -> None:
        number, position = decode_uint_untrusted(data, position, end)
        protocol, position = decode_string_untrusted(data, position, end)
        channel_id, position = decode_buffer_untrusted(data, position, end)
        key = (self._aliases.get(protocol, protocol), channel_id)
        self.remote.add_untrusted(number, key, data[position:end])
        ours = self.local.unanswered.get(key)
        if ours is not None:
            self._accept_untrusted(ours, number)
        elif key in self.local.by_key:
            self._refuse(number)
        else:
            self.remote.wait(number, key)
            notify = self._pairs.get(key) or self._pairs.get((key[0], None))
            if notify is None or not notify(*key):
                self.reject(*key)

    def _reject_untrusted(self, data: bytes, position: int, end: int) -> None:
        local, _ = decode_uint_untrusted(data, position, end)
        channel = self.local.by_number.get(local)
        if channel is None or channel.state not in UNANSWERED:
            raise RemoteProtocolError(f"the remote rejected channel {local}, which waits for no answer")
        wanted = not channel.closed
        channel.signal(ChannelSignal.REFUSE)
        if wanted:
            del self.local.by_key[channel.key]
        self._answered(channel)
        if wanted:
            channel.handler.closed()

    def _close_untrusted(self, data: bytes, position: int, end: int) -> None:
        number, _ = decode_uint_untrusted(data, position, end)
        remote = self.remote.by_number.get(number)
        if remote is None:
            return
        channel = remote.channel
        if channel is not None:
            channel.signal(ChannelSignal.CLOSE)
            del self.local.by_key[channel.key]
            self._disconnect(channel)
            channel.handler.closed()
            return
        # The remote gave up before we decided, but still expects an answer.
        self.remote.stop_waiting(number, remote.key)
        self._refuse(number)

    def _offer(self, channel: Channel) -> None:
        """Open our half of a channel; the remote's half may already be open."""
        key = channel.key
        self.local.assign(channel)
        channel.signal(ChannelSignal.OFFER)
        names = encode_buffer(key[0].encode()) + encode_buffer(key[1])
        self._control(OPEN, encode_uint(channel.local) + names + channel.handshake)
        for message in channel.held:
            self.queue(channel.local, message)
        channel.held.clear()
        self.local.unanswered[key] = channel
        number = self.remote.take_waiting(key)
        if number is not None:
            self._accept_untrusted(channel, number)

    def _accept_untrusted(self, channel: Channel, number: int) -> None:
        """Treat the remote's Open as the answer to ours."""
        wanted = not channel.closed
        channel.signal(ChannelSignal.ACCEPT)
        if wanted:
            del self.local.unanswered[channel.key]
            self._join_untrusted(channel, number)
        else:
            self.remote.remove(number)
            self._control(CLOSE, encode_uint(channel.local))
            self._answered(channel)

    def _join_untrusted(self, channel: Channel, number: int) -> None:
        handshake, early = self.remote.join(number, channel)
        channel.handler.opened_untrusted(handshake)
        for message_type, message in early:
            if not channel.closed:
                channel.handler.message_untrusted(message_type, message, 0, len(message))

    def _answered(self, channel: Channel) -> None:
        """Free the number and key of a channel that never opened, because the remote has answered."""
        del self.local.unanswered[channel.key]
        self.local.release(channel)
        waiting = self.local.waiting.pop(channel.key, None)
        if waiting is not None:
            self._offer(waiting)

    def _refuse(self, number: int) -> None:
        self.remote.remove(number)
        self._control(REJECT, encode_uint(number))

    def _disconnect(self, channel: Channel) -> None:
        """Release both halves of a channel that was open."""
        self.remote.remove(channel.remote)
        self.local.release(channel)


_CONTROLS: Final = {
    OPEN: Mux._open_untrusted,
    REJECT: Mux._reject_untrusted,
    CLOSE: Mux._close_untrusted,
}
