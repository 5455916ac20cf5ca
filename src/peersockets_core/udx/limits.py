"""Every bound of UDX that a peer, or a stranger, can push against, each with the reason for its default."""

from __future__ import annotations

import math
from typing import Final

import attrs

from ..bounds import KIB, MIB, positive, repr_of_changes

_positive = positive("udx limits")


@attrs.frozen(kw_only=True, repr=False)
class UdxLimits:
    """The bounds of one endpoint and its streams. Times are in seconds, sizes in bytes.

    Raises `ValueError`, which names the field, for a bound that is not positive.
    """

    __repr__ = repr_of_changes

    window: int = attrs.field(default=4 * MIB, validator=_positive)
    """Bytes received on one stream and not yet consumed. This is UDX_DEFAULT_RWND_MAX of libudx a9af5de,
    whose sender assumes this value until it has received ours."""

    window_excess: int = attrs.field(default=64 * KIB, validator=_positive)
    """Bytes accepted beyond a closed window. Releases before libudx d3e199e probe a closed window with
    data, and give up a stream if the probe is dropped six times."""

    reordered_packets: int = attrs.field(default=16_384, validator=_positive)
    """The largest distance, in packets, between the missing packet and a later one that is still kept:
    four windows' worth of full packets. The distance has a bound because a packet of one byte takes a
    hundred bytes of memory."""

    send_buffer: int = attrs.field(default=256 * KIB, validator=_positive)
    """Bytes that may be written in excess of the bytes that may be in flight; a stream with more is not
    writable. This is UDX_HIGH_WATERMARK of libudx."""

    messages: int = attrs.field(default=256 * KIB, validator=_positive)
    """Bytes of messages that wait to be sent. Messages are unreliable, so the oldest are dropped when there
    are more."""

    early_bytes: int = attrs.field(default=64 * KIB, validator=_positive)
    """Bytes of early packets, for all streams together: a first flight of ten packets for each of four
    streams. Their senders send dropped packets again."""

    early_time: float = attrs.field(default=2.0, validator=_positive)
    """How long an early packet is kept. By then, its sender has repeated it twice."""

    farewells: int = attrs.field(default=1024, validator=_positive)
    """The number of ended streams that are remembered, so that a lost last acknowledgement can be
    repeated."""

    farewell_time: float = attrs.field(default=30.0, validator=_positive)
    """How long an ended stream is remembered. At the shortest timeout, libudx repeats its END for 13 s."""

    timeouts: int = attrs.field(default=6, validator=_positive)
    """The number of timeouts in a row that a stream survives; one more ends it. This is UDX_MAX_RTO_TIMEOUTS
    of libudx."""

    keepalive: float = attrs.field(default=math.inf, validator=_positive)
    """The idle time after which a stream sends a heartbeat. HyperDHT 6.34.0 leaves keepalives to
    secret-stream."""

    mtu: int = attrs.field(default=1500, validator=_positive)
    """Bytes of the largest IP packet that a probe tries. libudx reads no more than 2048 bytes at a time."""


DEFAULT_UDX_LIMITS: Final = UdxLimits()
"""Every bound at its default."""
