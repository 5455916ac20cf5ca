"""Every bound of hole punching that a remote can push against, each with the reason for its default."""

from __future__ import annotations

import attrs

from ..bounds import positive, repr_of_changes

_positive = positive()


@attrs.frozen(kw_only=True, repr=False)
class PunchLimits:
    """The bounds of all punches of one node. Times are in seconds.

    Raises `ValueError`, which names the field, for a bound that is not positive.
    """

    __repr__ = repr_of_changes

    incoming: int = attrs.field(default=64, validator=_positive)
    """Punches at the same time for remotes that dial us. Each holds a socket and sends four pings, and lives
    for ten seconds unless the remote takes part. Remotes that we meet at a blind relay count
    as pairings instead."""

    incoming_of_key: int = attrs.field(default=4, validator=_positive)
    """Punches at the same time for one remote key. One is normal; a remote that has dialled again after a
    failure has two, until the first one expires."""

    addresses: int = attrs.field(default=8, validator=_positive)
    """Addresses of a remote that are probed. An honest remote has one, and a few more behind a NAT with
    several hosts. A hostile remote could name victims, each of which would receive a byte every four
    seconds."""

    waiting: int = attrs.field(default=4, validator=_positive)
    """Messages of one remote that wait until the kind of our NAT is known; a client has one, and
    repetitions of it. The oldest is dropped."""

    rounds: int = attrs.field(default=32, validator=_positive)
    """Messages of one remote that are answered. A client of hyperdht 6.34.0 sends up to three, each of them
    up to four times, and one more if it gives up."""

    reopens: int = attrs.field(default=3, validator=_positive)
    """Sockets that replace the first one if the NAT treats it oddly, as mobile networks do; hyperdht 6.34.0
    has the same bound."""

    birthday_sockets: int = attrs.field(default=256, validator=_positive)
    """Sockets that a peer behind a random NAT opens for one punch. With 256 open ports of 64,536, half of all
    punches need no more than 175 probes. hyperdht 6.34.0 opens as many."""

    random_probes: int = attrs.field(default=1750, validator=_positive)
    """Probes of a punch with a random NAT on one side: 35 seconds of them. hyperdht 6.34.0 sends as many."""

    random_punches: int = attrs.field(default=1, validator=_positive)
    """Punches with a random NAT on one side at the same time; hyperdht 6.34.0 has the same bound, because
    routers at home have small tables of connections."""

    random_pause: float = attrs.field(default=20.0, validator=_positive)
    """The pause after such a punch, in which a router's table can drain; hyperdht 6.34.0 has the same
    time."""

    initial_time: float = attrs.field(default=10.0, validator=_positive)
    """How long a remote that has dialled us may wait before it starts to punch; hyperdht 6.34.0 has the same
    time."""

    relayed_time: float = attrs.field(default=600.0, validator=_positive)
    """The time that a remote has to take part once a blind relay forwards its stream. A remote begins at once
    unless its network is very slow. hyperdht 6.34.0 waits as long as the stream lives."""


DEFAULT_PUNCH_LIMITS = PunchLimits()
