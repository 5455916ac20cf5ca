"""Every bound of UDX that a peer, or a stranger, can push against, each with the reason for its default."""

from __future__ import annotations

import math
from typing import Any, Final

import attrs

KIB: Final = 1024
MIB: Final = 1024 * KIB


def _positive(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ValueError(f"udx limits: {attribute.name} must be positive, not {value!r}")


@attrs.frozen(kw_only=True)
class UdxLimits:
    """Bounds of one endpoint and its streams; times in seconds, sizes in bytes.

    Raises `ValueError`, naming the field, for a bound that is not positive.
    """

    window: int = attrs.field(default=4 * MIB, validator=_positive)
    """Bytes received on one stream and not yet consumed: UDX_DEFAULT_RWND_MAX of libudx a9af5de, from which
    its sender starts before it has heard of ours."""

    window_excess: int = attrs.field(default=64 * KIB, validator=_positive)
    """Bytes taken beyond a closed window: releases before libudx d3e199e probe it with data, and give up a
    stream whose probe is dropped six times."""

    reordered_packets: int = attrs.field(default=16_384, validator=_positive)
    """Distance in packets from the one that is missing to one that is still kept: four windows' worth of
    full packets. A packet may be one byte, but keeping it takes a hundred."""

    send_buffer: int = attrs.field(default=256 * KIB, validator=_positive)
    """Bytes written beyond what may be in flight before a stream is no longer writable: UDX_HIGH_WATERMARK of
    libudx."""

    messages: int = attrs.field(default=256 * KIB, validator=_positive)
    """Bytes of messages that wait to be sent: they promise nothing, so the oldest go when there are more."""

    early_bytes: int = attrs.field(default=64 * KIB, validator=_positive)
    """Bytes of packets for ids that are not open, or not connected, for all of them together: a first flight
    of ten packets for each of four streams. Their senders send again what does not fit."""

    early_time: float = attrs.field(default=2.0, validator=_positive)
    """How long such a packet is kept: a sender has repeated it by then, twice."""

    farewells: int = attrs.field(default=1024, validator=_positive)
    """Ended streams that are remembered, so that a last acknowledgement that was lost can be repeated."""

    farewell_time: float = attrs.field(default=30.0, validator=_positive)
    """How long: libudx repeats its END for 13 s at the shortest timeout."""

    timeouts: int = attrs.field(default=6, validator=_positive)
    """Timeouts in a row after which one more ends the stream: UDX_MAX_RTO_TIMEOUTS of libudx."""

    keepalive: float = attrs.field(default=math.inf, validator=_positive)
    """Idle time after which a stream sends a heartbeat. HyperDHT 6.34.0 leaves that to secret-stream."""

    mtu: int = attrs.field(default=1500, validator=_positive)
    """Bytes of the largest IP packet that is tried: libudx reads no more than 2048 bytes at a time."""


DEFAULT_UDX_LIMITS: Final = UdxLimits()
