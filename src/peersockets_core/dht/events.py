"""The events of a HyperDHT node."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import attrs

from ..wires.keys import Keys
from .messages import MutableValue, Peer
from .rpc.address import Address
from .rpc.events import AddressChanged, BecamePersistent, Bootstrapped

if TYPE_CHECKING:
    from .dialing import Dial
    from .listening import Incoming
    from .topics import TopicSearch
    from .values import ValueSearch


@attrs.frozen
class PeersFound:
    """A node has named peers of a topic that is looked for; the same peer may be named by many nodes."""

    search: TopicSearch
    peers: tuple[Peer, ...]
    source: Address | None
    """The node, which may also relay to them; None for what we know ourselves."""


@attrs.frozen
class SearchFinished:
    """All nodes near a topic have been asked, and told of our announcement if there is one."""

    search: TopicSearch
    announced: int
    """Nodes that keep our announcement."""


@attrs.frozen
class ValueFound:
    """A search for a value has ended."""

    search: ValueSearch
    value: MutableValue | bytes | None
    """The newest signed value of a key, or the bytes of a hash; None where nobody has it."""
    stored: int
    """Nodes that have stored what the search was to store."""


@attrs.frozen
class Listening:
    """Nodes near our key relay handshakes to us from now on; again whenever they change."""

    relays: tuple[Address, ...]


@attrs.frozen
class ConnectionRequested:
    """A remote wants to connect; call `HyperDht.accept` or `HyperDht.refuse`.

    Its key is proved, unless somebody repeats an older message of it, who can do nothing with the answer.
    """

    incoming: Incoming


@attrs.frozen
class Dialled:
    """The handshake with a key that was dialled is finished: connect the stream."""

    dial: Dial
    keys: Keys
    """What secures the stream; the dialler is its initiator."""
    remote_stream_id: int
    address: Address | None
    """Where the remote's stream is, or None where its first packet shows that."""


@attrs.frozen
class DialFailed:
    """A key that was dialled cannot be reached."""

    dial: Dial
    reason: str
    """For people."""


HyperDhtEvent: TypeAlias = (
    PeersFound
    | SearchFinished
    | ValueFound
    | Listening
    | ConnectionRequested
    | Dialled
    | DialFailed
    | AddressChanged
    | Bootstrapped
    | BecamePersistent
)
