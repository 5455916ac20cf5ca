"""`GatewayLimits`: every bound that pages, and others who reach the gateway's port, can push against."""

from __future__ import annotations

from typing import Final

import attrs

from peersockets_core.bounds import KIB, MIB, positive

LARGEST_TEXT: Final = 512 * KIB
"""Bytes of a text frame of a page. JSON makes a topic at most six times as long."""

LARGEST_TOPIC: Final = 64 * KIB
"""Bytes of a topic in UTF-8. A topic's name on the wire is shorter than `Limits.extension_name`."""

LARGEST_MESSAGE: Final = 8 * MIB
"""Bytes of a message of a page: a hypercore9 frame carries no more."""

LARGEST_BATCH: Final = MIB
"""Bytes of all records of a batch. More would not make a message cheaper, but hold up other tabs."""

HANDLES: Final = 1024
"""Open handles of a socket. Each has a task and a place in the node."""

_positive = positive("gateway limits")


@attrs.frozen(kw_only=True)
class GatewayLimits:
    """The bounds of one gateway. Times are in seconds, sizes in bytes.

    Raises `ValueError`, which names the field, for a bound that is not positive.
    """

    connections: int = attrs.field(default=128, validator=_positive)
    """TCP connections. The oldest that has not sent a whole request gives way to a new one. A browser opens
    up to six at a time for its downloads, and one for each tab."""

    tabs: int = attrs.field(default=64, validator=_positive)
    """WebSockets, half of the connections, so that tabs do not keep pages from loading."""

    request_time: float = attrs.field(default=10.0, validator=_positive)
    """The time for a request to arrive. A browser sends it at once."""

    response_time: float = attrs.field(default=60.0, validator=_positive)
    """The time for a request and its answer. The largest file takes less than a second on this machine."""

    close_time: float = attrs.field(default=1.0, validator=_positive)
    """The time for a page to answer that a socket closes. Ctrl-C waits for it."""

    file_size: int = attrs.field(default=16 * MIB, validator=_positive)
    """The size of a served file, which is in memory until it has been sent."""

    file_bytes: int = attrs.field(default=64 * MIB, validator=_positive)
    """Bytes of all files that are being sent."""

    page_queue: int = attrs.field(default=16 * MIB, validator=_positive)
    """Bytes that wait for a tab that does not read: five seconds of 25,000 small messages a second."""

    stalled: float = attrs.field(default=120.0, validator=_positive)
    """The time in which a tab must read something while frames wait for it; its socket then ends."""

    peer_queue: int = attrs.field(default=16 * MIB, validator=_positive)
    """Bytes of one tab that wait for one peer without room: the largest message and more."""

    peer_queues: int = attrs.field(default=64 * MIB, validator=_positive)
    """Bytes of one tab that wait for all its peers."""


DEFAULT_GATEWAY_LIMITS: Final = GatewayLimits()
"""Every bound at its default."""
