"""Every bound that a peer can push against, each with the reason for its default."""

from __future__ import annotations

import math
from typing import Final

import attrs

from .bounds import KIB, MIB, positive, repr_of_changes

HYPERCORE9_BODY: Final = 8 * MIB
"""Bytes of a frame's body that a real peer accepts: simple-message-channels 1.2.1 destroys the stream at a
larger one."""

HYPERCORE11_FRAME: Final = 0xFFFFFF
"""Bytes of the largest frame that its length of three bytes can express (secret-stream 6.9.2)."""

MESSAGE_COST: Final = 64
"""Bytes of memory that a message takes besides its payload. Every bound in bytes counts them."""


_positive = positive()


@attrs.frozen(kw_only=True, repr=False)
class Limits:
    """The bounds of one node. Times are in seconds, sizes in bytes.

    Raises `ValueError`, which names the field, for a bound that is not positive.
    """

    __repr__ = repr_of_changes

    handshake_time: float = attrs.field(default=10.0, validator=_positive)
    """The time for a handshake. It has three small messages, so ten seconds suffice on the slowest
    line. If the application decides which remotes to admit, its decision counts as part of the
    handshake; an application that asks a person needs more time."""

    held: int = attrs.field(default=MIB, validator=_positive)
    """Bytes that a remote may send while it waits to be admitted: several reads, for callers that do
    not stop reading at once. A remote that sends more is given up."""

    handshakes: int = attrs.field(default=1024, validator=_positive)
    """The number of unfinished handshakes. The oldest gives way, so that a flood cannot lock others
    out. `peersockets_trio` allows at most half as many as connections."""

    connections: int = attrs.field(default=10_000, validator=_positive)
    """The number of connections; the oldest stranger gives way. `peersockets_trio` allows no more than the
    file descriptors allow, less a reserve."""

    keepalive: float = attrs.field(default=10.0, validator=_positive)
    """The time without output before we send a keepalive. This is half of the time that hypercore-protocol
    8.0.7 waits before it gives up an idle stream."""

    silence: float = attrs.field(default=20.0, validator=_positive)
    """The time without input after which we give up a stream, as in hypercore-protocol 8.0.7. On
    hypercore11, this applies to remotes that have sent a keepalive, because they then send one every 5
    s."""

    hypercore11_keepalive: float = attrs.field(default=5.0, validator=_positive)
    """The same as `keepalive`, for hypercore11: HyperDHT 6.34.0 and hypercore 11.37.1 send an empty frame
    after 5 s without a write."""

    hypercore11_silence: float = attrs.field(default=math.inf, validator=_positive)
    """The same as `silence`, for hypercore11 remotes that have not sent a keepalive. secret-stream
    6.9.2 has no read timeout. Without the `keepAlive` option, a real peer may stay silent for ever."""

    vanished: float = attrs.field(default=45.0, validator=_positive)
    """How long a remote may neither send anything nor acknowledge our output, if the transport reports
    acknowledgements. We send something every few seconds, so we give up a vanished remote within a
    minute."""

    send_time: float = attrs.field(default=120.0, validator=_positive)
    """How long a live remote may take none of our waiting output. Two minutes suffice for a program that is
    stopped for a while, or busy. Until then, the output takes memory (see `send_buffer`)."""

    extension_name: int = attrs.field(default=256 * KIB, validator=_positive)
    """Bytes of one extension's name on hypercore11, where we remember the last name for each drive."""

    early_messages: int = attrs.field(default=32 * KIB, validator=_positive)
    """Bytes of messages on channels that wait for a decision. protomux 3.12.1 stops reading at the same
    number."""

    channels: int = attrs.field(default=65_536, validator=_positive)
    """Channels that the remote may have open or waiting: more than the cores that a corestore replicates."""

    frame_time: float = attrs.field(default=120.0, validator=_positive)
    """How long a frame may be incomplete. The largest frame arrives in time at 1.2 megabits per second."""

    stranger_frame: int = attrs.field(default=MIB, validator=_positive)
    """Bytes of a frame from a stranger, a remote that shares no drive with us. A frame of this size can open
    nine thousand cores at once, as a corestore does. If a topic of network scope is joined on hypercore9,
    strangers' messages may be as large as members'."""

    hypercore11_frame: int = attrs.field(default=HYPERCORE11_FRAME, validator=_positive)
    """Bytes of one frame on hypercore11: the largest number that its three-byte length can express."""

    kept: int = attrs.field(default=128 * MIB, validator=_positive)
    """Bytes that all remotes together can make a node keep: parts of frames, names, channels, early messages,
    unsent answers, and the input of remotes on hold. This is eight of the largest frames; strangers give way
    first."""

    frame_body: int = attrs.field(default=HYPERCORE9_BODY, validator=_positive)
    """Bytes of one frame's body on hypercore9. simple-message-channels 1.2.1 destroys the stream if a body is
    larger."""

    extension_names: int = attrs.field(default=16_384, validator=_positive)
    """Names in one remote list of extensions: plenty for a thousand topics. Without a bound, a frame of 8 MiB
    could hold four million."""

    extension_names_size: int = attrs.field(default=4 * MIB, validator=_positive)
    """Bytes of memory for the names in one remote list: 16,384 names of ordinary length. A name may take four
    times its size on the wire."""

    replies: int = attrs.field(default=3 * MIB, validator=_positive)
    """Bytes of unsent answers to a remote, plus 64 bytes of memory for each: 30,000 refusals. An honest
    peer does not provoke more without reading any of them."""

    send_buffer: int = attrs.field(default=MIB, validator=_positive)
    """The high-water mark of unsent bytes on one connection: enough to fill a fast line between two
    wake-ups."""

    receive_messages: int = attrs.field(default=16_384, validator=_positive)
    """Messages that wait in one topic handle before we stop reading from its senders."""

    receive_bytes: int = attrs.field(default=16 * MIB, validator=_positive)
    """The same in bytes, including `MESSAGE_COST` for each message: two of the largest messages."""

    watch_events: int = attrs.field(default=4096, validator=_positive)
    """Events that wait in one watch. If there are more, the watch drops members that joined and left
    unseen."""

    member_items: int = attrs.field(default=2048, validator=_positive)
    """Items of a member's input that we process before other remotes get a turn. They take half a
    millisecond, so that several slices of hostile members delay an honest one no longer than a network
    line does."""

    stranger_items: int = attrs.field(default=256, validator=_positive)
    """The same for strangers: enough input for an honest remote to become a member, and an eighth of a
    member's share."""

    stranger_read: int = attrs.field(default=16 * KIB, validator=_positive)
    """Bytes of one read from a stranger. Further bytes wait in the kernel, not in our memory."""

    peer_requests: int = attrs.field(default=64, validator=_positive)
    """Requests of one peer that one topic handle answers at the same time: as many as a web page makes
    at once. Further ones get the error "busy"."""

    requests: int = attrs.field(default=1024, validator=_positive)
    """The same for all peers together. Each request takes a task, and the memory of its handler."""

    request_bytes: int = attrs.field(default=64 * MIB, validator=_positive)
    """Bytes of the requests that one topic handle answers at the same time: eight of the largest
    messages. Without this bound, 1,024 requests could take 8 GiB."""

    peer_ids: int = attrs.field(default=1_000_000, validator=_positive)
    """The number of keys that have a peer id. We remember these keys, at half a kilobyte each. If there are
    more, we forget peers that are gone, strangers first."""

    fold_time: float = attrs.field(default=3.0, validator=_positive)
    """How long a member stays after its connection has ended, while another connection of the same
    key has not opened the drive yet; and how long a remote has to end one of two connections that it
    dialled."""

    duplicates: int = attrs.field(default=8, validator=_positive)
    """The number of connections of one key; the oldest gives way. There are two if both sides dial, and more
    if a peer reconnects again and again over a bad line."""

    linger: float = attrs.field(default=5.0, validator=_positive)
    """How long closing waits for the peer to take all messages that were accepted for sending."""


DEFAULT_LIMITS = Limits()
"""Every bound at its default."""
