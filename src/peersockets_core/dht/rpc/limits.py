"""Every bound of a DHT node that a remote can push against, each with the reason for its default."""

from __future__ import annotations

from typing import Any

import attrs


def positive(_: object, attribute: attrs.Attribute[Any], value: float) -> None:
    if not value > 0:
        raise ValueError(f"limits: {attribute.name} must be positive, not {value!r}")


@attrs.frozen(kw_only=True)
class DhtLimits:
    """Bounds of one DHT node; times in seconds.

    Raises `ValueError`, naming the field, for a bound that is not positive.
    """

    datagram: int = attrs.field(default=2048, validator=positive)
    """Bytes of a message; longer ones are dropped. No honest node sends more than a path carries, 1500 bytes.
    Values of 64 KiB would fill the memory, and whoever asks for one in the name of another would have it sent
    there."""

    window: int = attrs.field(default=80, validator=positive)
    """Requests sent in 0.75 s before earlier ones are answered, and half of those in 3 s: the window of
    dht-rpc 6.27.0."""

    requests: int = attrs.field(default=8192, validator=positive)
    """Requests of ours that wait to be sent or answered: a hundred windows, and an eighth of the
    transaction ids."""

    query_nodes: int = attrs.field(default=1024, validator=positive)
    """Nodes that one query hears of: a query in a network of a million visits fewer than a hundred, and nodes
    that name ever new ones could keep it going for good."""

    query_host_unanswered: int = attrs.field(default=32, validator=positive)
    """Nodes of one host that one query waits for, or has waited for in vain. Beyond those, it asks no node of
    that host: a stranger may name all ports of a victim. Nodes that answer do not count."""

    checks: int = attrs.field(default=10, validator=positive)
    """Nodes of the table that are pinged at a time because others report them down; dht-rpc 6.27.0 has the
    same."""

    repings: int = attrs.field(default=3, validator=positive)
    """Nodes that are pinged at a time because a newcomer wants their place; dht-rpc 6.27.0 has the same."""

    ping_delay: float = attrs.field(default=10.0, validator=positive)
    """The longest delay that a remote may ask for before its ping is answered; dht-rpc 6.27.0 has the
    same."""

    delayed_pings: int = attrs.field(default=1024, validator=positive)
    """Such answers that wait at a time: each keeps an address for up to ten seconds."""

    down_hints: int = attrs.field(default=50, validator=positive)
    """Reports of dead nodes that we send in a tick of 5 s; dht-rpc 6.27.0 has the same."""

    requests_per_second: int = attrs.field(default=2000, validator=positive)
    """Requests of one host that are answered in a second. A node on the public network sees a few a second
    from all hosts together; a host may stand for many nodes behind one address."""

    hosts: int = attrs.field(default=65_536, validator=positive)
    """Hosts whose requests are counted in one second; those beyond share one count."""


DEFAULT_DHT_LIMITS = DhtLimits()
