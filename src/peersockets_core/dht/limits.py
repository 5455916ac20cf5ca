"""Every bound of a HyperDHT node that a remote can push against, each with the reason for its default."""

from __future__ import annotations

import attrs

from ..bounds import KIB, positive, repr_of_changes
from ..holepunch.limits import PunchLimits
from .rpc.limits import DhtLimits

_positive = positive()


@attrs.frozen(kw_only=True, repr=False)
class HyperDhtLimits:
    """The bounds of one HyperDHT node. Times are in seconds.

    Raises `ValueError`, which names the field, for a bound that is not positive.
    """

    __repr__ = repr_of_changes

    rpc: DhtLimits = attrs.field(factory=DhtLimits)
    """The bounds of the layer below."""

    punches: PunchLimits = attrs.field(factory=PunchLimits)
    """The bounds of hole punching."""

    records: int = attrs.field(default=65_536, validator=_positive)
    """The number of others' announcements that are kept, of about 400 bytes each; hyperdht 6.34.0 has the
    same bound."""

    topic_records: int = attrs.field(default=4096, validator=_positive)
    """Announcements of one topic. This is two hundred times the number that an answer holds, and a sixteenth
    of all, so that one topic cannot push out the others."""

    host_records: int = attrs.field(default=4096, validator=_positive)
    """Announcements from one host. A whole campus may share the address of one host."""

    record_lifetime: float = attrs.field(default=20 * 60.0, validator=_positive)
    """How long an announcement is kept. hyperdht 6.34.0 keeps it as long, and announces again every
    ten minutes."""

    values: int = attrs.field(default=32_768, validator=_positive)
    """The number of values that are kept, each no larger than a datagram. hyperdht 6.34.0 keeps as many of
    either kind."""

    host_values: int = attrs.field(default=2048, validator=_positive)
    """Values from one host."""

    value_lifetime: float = attrs.field(default=48 * 3600.0, validator=_positive)
    """How long a value is kept; hyperdht 6.34.0 keeps it as long."""

    forwards: int = attrs.field(default=65_536, validator=_positive)
    """The number of keys whose handshakes are relayed to the address that announced them; hyperdht
    6.34.0 has the same bound."""

    host_forwards: int = attrs.field(default=4096, validator=_positive)
    """Such keys from one host."""

    incoming_handshakes: int = attrs.field(default=256, validator=_positive)
    """Handshakes of remotes that dial us and have not led to a stream yet; the oldest is dropped. Each
    costs four Diffie-Hellman operations and about 2 KiB."""

    handshake_time: float = attrs.field(default=10.0, validator=_positive)
    """How long a handshake is remembered, waits for its stream, and is answered again when it is
    repeated; hyperdht 6.34.0 has the same time."""

    known_relays: int = attrs.field(default=512, validator=_positive)
    """The number of keys whose relays are remembered for the next dial; hyperdht 6.34.0 has the same
    bound."""

    pairings: int = attrs.field(default=64, validator=_positive)
    """Streams that blind relays forward to us at a time, each with a connection to its relay, of about
    8 KiB. Remotes that dial us choose their relays. The number is that of the peers of a swarm."""

    relay_time: float = attrs.field(default=15.0, validator=_positive)
    """How long reaching a blind relay, and waiting there for the other side, may take together;
    hyperdht 6.34.0 has the same time."""

    relay_frame: int = attrs.field(default=4 * KIB, validator=_positive)
    """Bytes of one frame from a blind relay. Its messages have less than 60 bytes, and it batches a few."""

    relay_channels: int = attrs.field(default=16, validator=_positive)
    """Channels that a blind relay may open on its connection. Ours is the only one that means anything."""


DEFAULT_HYPER_DHT_LIMITS = HyperDhtLimits()
"""Every bound at its default."""
