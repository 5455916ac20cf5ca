"""Every bound that a peer can push against, each with the reason for its default."""

from __future__ import annotations

import math
from typing import Any, Final

import attrs

KIB = 1024
MIB = 1024 * KIB

HYPERCORE9_BODY: Final = 8 * MIB
"""Bytes of a frame's body that a real peer accepts: simple-message-channels 1.2.1 destroys the stream at a
larger one."""

HYPERCORE11_FRAME: Final = 0xFFFFFF
"""Bytes of the largest frame that its length of three bytes can express (secret-stream 6.9.2)."""

MESSAGE_COST: Final = 64
"""Bytes of memory that a message takes beside its payload, in every bound in bytes."""


def _positive(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ValueError(f"limits: {attribute.name} must be positive, not {value!r}")


@attrs.frozen(kw_only=True)
class Limits:
    """Bounds of one node; times in seconds, sizes in bytes.

    Raises `ValueError`, naming the field, for a bound that is not positive.
    """

    handshake_time: float = attrs.field(default=10.0, validator=_positive)
    """A handshake is three small messages; ten seconds forgive the slowest line. Where the application
    decides who is admitted, its decision is part of it: one that asks a person needs more."""

    held: int = attrs.field(default=MIB, validator=_positive)
    """Bytes of a remote that come while it waits to be admitted: several reads, for callers that do not
    stop reading at once. Who sends more than that unheard is given up."""

    handshakes: int = attrs.field(default=1024, validator=_positive)
    """Unfinished handshakes at a time; the oldest gives way, so that a flood cannot lock others out.
    `peersockets_trio` allows half as many as connections, at most."""

    connections: int = attrs.field(default=10_000, validator=_positive)
    """Connections at a time; the oldest stranger gives way. `peersockets_trio` allows no more than there are
    file descriptors for, less a reserve."""

    keepalive: float = attrs.field(default=10.0, validator=_positive)
    """Half of what hypercore-protocol 8.0.7 waits: an idle line is fed before a real peer gives it up."""

    silence: float = attrs.field(default=20.0, validator=_positive)
    """hypercore-protocol 8.0.7 gives up a stream after 20 s without a byte received; so do we. On
    hypercore11 this holds for remotes that have sent a keepalive: they send one every 5 s from then on."""

    hypercore11_keepalive: float = attrs.field(default=5.0, validator=_positive)
    """HyperDHT 6.34.0 and hypercore 11.37.1 send an empty frame after 5 s without a write."""

    hypercore11_silence: float = attrs.field(default=math.inf, validator=_positive)
    """secret-stream 6.9.2 has no read timeout, and without the `keepAlive` option a real peer that has
    nothing to say sends nothing: its silence means nothing until it has sent a keepalive."""

    vanished: float = attrs.field(default=45.0, validator=_positive)
    """How long a remote may neither be heard nor acknowledge what is sent to it, where the transport knows
    that. Something is sent to it every few seconds: a vanished one is gone within a minute."""

    send_time: float = attrs.field(default=120.0, validator=_positive)
    """How long a remote that is alive may take nothing of what waits to be sent to it: two minutes forgive a
    program that is stopped for a while, or busy. Until then it costs memory (see `send_buffer`)."""

    extension_name: int = attrs.field(default=256 * KIB, validator=_positive)
    """Bytes of one extension's name on hypercore11, where the last one is remembered for each drive."""

    early_messages: int = attrs.field(default=32 * KIB, validator=_positive)
    """Bytes on channels that wait for a decision; protomux 3.12.1 stops reading there."""

    channels: int = attrs.field(default=65_536, validator=_positive)
    """Channels that the remote has open or waiting at a time: more cores than a corestore replicates."""

    frame_time: float = attrs.field(default=120.0, validator=_positive)
    """How long a frame may be incomplete: the largest arrives in time at 1.2 megabits a second."""

    stranger_frame: int = attrs.field(default=MIB, validator=_positive)
    """Bytes of a frame from a remote that shares no drive with us: what opens nine thousand cores at once, as
    a corestore does. Where a topic of network scope is joined on hypercore9, strangers' messages may be as
    large as members'."""

    hypercore11_frame: int = attrs.field(default=HYPERCORE11_FRAME, validator=_positive)
    """Bytes of one frame on hypercore11: the largest that its length of three bytes can express."""

    kept: int = attrs.field(default=128 * MIB, validator=_positive)
    """Bytes that all remotes together can make a node keep: parts of frames, names, channels, early messages,
    unsent answers, and what is held. Eight of the largest frames; strangers give way first."""

    frame_body: int = attrs.field(default=HYPERCORE9_BODY, validator=_positive)
    """simple-message-channels 1.2.1 destroys the stream at a larger body."""

    extension_names: int = attrs.field(default=16_384, validator=_positive)
    """Names in one remote list: a thousand topics with room, where 8 MiB could hold four million."""

    extension_names_size: int = attrs.field(default=4 * MIB, validator=_positive)
    """Bytes of memory of the names in one remote list, each of which may take four times what it takes on the
    wire: 16,384 names of ordinary length."""

    replies: int = attrs.field(default=3 * MIB, validator=_positive)
    """Unsent answers to the remote's own requests, and 64 bytes of memory for each: 30,000 refusals, more
    than an honest peer provokes without reading any of them."""

    send_buffer: int = attrs.field(default=MIB, validator=_positive)
    """High-water mark of unsent bytes on one connection: enough to fill a fast line between two wakes."""

    receive_messages: int = attrs.field(default=16_384, validator=_positive)
    """Messages waiting in one topic handle before its senders are read no further."""

    receive_bytes: int = attrs.field(default=16 * MIB, validator=_positive)
    """The same in bytes, `MESSAGE_COST` for each message included: two of the largest messages."""

    watch_events: int = attrs.field(default=4096, validator=_positive)
    """Events waiting in one watch before members that came and went unseen are left out."""

    member_items: int = attrs.field(default=2048, validator=_positive)
    """Items of a member's input that are worked through before others get their turn: half a millisecond,
    so that several slices of hostile members do not delay an honest one for longer than a line does."""

    stranger_items: int = attrs.field(default=256, validator=_positive)
    """The same for remotes that share no drive with us: what an honest one says to become a member, and an
    eighth of a member's share."""

    stranger_read: int = attrs.field(default=16 * KIB, validator=_positive)
    """Bytes read from such a remote at a time: what it sends in haste waits in the kernel, not here."""

    peer_requests: int = attrs.field(default=64, validator=_positive)
    """Requests of one peer being answered at a time on one topic handle: a page's worth at once. Further
    ones are answered with the error "busy"."""

    requests: int = attrs.field(default=1024, validator=_positive)
    """The same for all peers together: each is a task, and what the handler holds on to."""

    request_bytes: int = attrs.field(default=64 * MIB, validator=_positive)
    """Data of the requests being answered on one topic handle before further ones are too many: eight of
    the largest messages, where 1,024 of them could hold 8 GiB."""

    peer_ids: int = attrs.field(default=1_000_000, validator=_positive)
    """Keys met keep their ids, so they are remembered: half a kilobyte each. Beyond this, those that are gone
    are forgotten, strangers first."""

    fold_time: float = attrs.field(default=3.0, validator=_positive)
    """How long a member whose connection ended stays while another connection of the same key has yet
    to open the drive, and how long a remote has to end one of two connections that it dialled."""

    duplicates: int = attrs.field(default=8, validator=_positive)
    """Connections of one key at a time; the oldest gives way. Two meet where both sides dial, and more where
    a peer comes back again and again from dead lines."""

    linger: float = attrs.field(default=5.0, validator=_positive)
    """How long closing waits for the peer to take what was accepted for sending."""


DEFAULT_LIMITS = Limits()
