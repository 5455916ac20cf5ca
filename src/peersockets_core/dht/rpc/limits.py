"""Every bound of a DHT node that a remote can push against, each with the reason for its default."""

from __future__ import annotations

import attrs

from ...bounds import positive, repr_of_changes

_positive = positive()


@attrs.frozen(kw_only=True, repr=False)
class DhtLimits:
    """The bounds of one DHT node. Times are in seconds.

    Raises `ValueError`, which names the field, for a bound that is not positive.
    """

    __repr__ = repr_of_changes

    datagram: int = attrs.field(default=2048, validator=_positive)
    """The most bytes of a message; longer ones are dropped. No honest node sends more than a path carries,
    1500 bytes. Values of 64 KiB would fill the memory, and an attacker could direct such answers at a victim
    by asking in its name."""

    window: int = attrs.field(default=80, validator=_positive)
    """Unanswered requests within 0.75 s; within 3 s, twice as many are allowed. This is the window of
    dht-rpc 6.27.0."""

    requests: int = attrs.field(default=8192, validator=_positive)
    """Our requests that wait to be sent or answered: a hundred windows, and an eighth of all
    transaction ids."""

    query_nodes: int = attrs.field(default=1024, validator=_positive)
    """Nodes that one query learns of. A query in a network of a million nodes visits fewer than a hundred.
    Without a bound, nodes that keep naming new ones could keep a query going for ever."""

    query_host_unanswered: int = attrs.field(default=32, validator=_positive)
    """Nodes of one host that one query asks without an answer; nodes that answer do not count. The query asks
    no more nodes of that host, because a stranger may name all ports of a victim."""

    checks: int = attrs.field(default=10, validator=_positive)
    """Nodes of the table that are checked with a ping at the same time; dht-rpc 6.27.0 has the same
    bound."""

    repings: int = attrs.field(default=3, validator=_positive)
    """Nodes that are pinged at the same time because a newcomer needs their place; dht-rpc 6.27.0 has the
    same bound."""

    ping_delay: float = attrs.field(default=10.0, validator=_positive)
    """The longest delay that a remote may request for the answer to its ping; dht-rpc 6.27.0 has the
    same bound."""

    delayed_pings: int = attrs.field(default=1024, validator=_positive)
    """Delayed answers that wait at the same time. Each one occupies memory for up to ten seconds."""

    down_hints: int = attrs.field(default=50, validator=_positive)
    """Reports of dead nodes that we send in a tick of 5 s; dht-rpc 6.27.0 has the same bound."""

    requests_per_second: int = attrs.field(default=2000, validator=_positive)
    """Requests of one host that are answered in a second. A node on the public network receives a few per
    second from all hosts together, but many nodes may share the address of one host."""

    hosts: int = attrs.field(default=65_536, validator=_positive)
    """Hosts whose requests are counted separately in one second; all further hosts share one count."""

    stable_time: float = attrs.field(default=20 * 60.0, validator=_positive)
    """How long strangers must have been able to reach a node before it becomes persistent by itself, so that
    others do not rely on a node that is soon gone. After a failed test, the next test follows after three
    times as long. dht-rpc 6.27.0 has the same time."""


DEFAULT_DHT_LIMITS = DhtLimits()
