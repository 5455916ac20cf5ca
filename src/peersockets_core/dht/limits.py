"""Every bound of a HyperDHT node that a remote can push against, each with the reason for its default."""

from __future__ import annotations

import attrs

from .rpc.limits import DhtLimits, positive


@attrs.frozen(kw_only=True)
class HyperDhtLimits:
    """Bounds of one HyperDHT node; times in seconds.

    Raises `ValueError`, naming the field, for a bound that is not positive.
    """

    rpc: DhtLimits = attrs.field(factory=DhtLimits)
    """The bounds of the layer below."""

    records: int = attrs.field(default=65_536, validator=positive)
    """Announcements of others that are kept; hyperdht 6.34.0 has the same. About 400 bytes each."""

    topic_records: int = attrs.field(default=4096, validator=positive)
    """Announcements of one topic: two hundred times what an answer holds, and a sixteenth of all, so that one
    topic cannot push out the others."""

    host_records: int = attrs.field(default=4096, validator=positive)
    """Announcements that one host has made: a host may stand for a whole campus behind one address."""

    record_lifetime: float = attrs.field(default=20 * 60.0, validator=positive)
    """How long an announcement is kept; hyperdht 6.34.0 has the same, and announces anew every ten
    minutes."""

    values: int = attrs.field(default=32_768, validator=positive)
    """Values that are kept, each no larger than a datagram; hyperdht 6.34.0 has as many of either kind."""

    host_values: int = attrs.field(default=2048, validator=positive)
    """Values that one host has stored."""

    value_lifetime: float = attrs.field(default=48 * 3600.0, validator=positive)
    """How long a value is kept; hyperdht 6.34.0 has the same."""

    forwards: int = attrs.field(default=65_536, validator=positive)
    """Keys whose handshakes are relayed to the address that has announced them; hyperdht 6.34.0 has the
    same."""

    host_forwards: int = attrs.field(default=4096, validator=positive)
    """The same for one host."""

    incoming_handshakes: int = attrs.field(default=256, validator=positive)
    """Handshakes of others that are answered and have not led to a stream yet; the oldest gives way. Each
    costs four Diffie-Hellman operations and about 2 KiB."""

    handshake_time: float = attrs.field(default=10.0, validator=positive)
    """How long an answered handshake waits for its stream, and is answered again when it is repeated;
    hyperdht 6.34.0 has the same."""

    known_relays: int = attrs.field(default=512, validator=positive)
    """Keys whose relays are remembered for the next time; hyperdht 6.34.0 has the same."""


DEFAULT_HYPER_DHT_LIMITS = HyperDhtLimits()
