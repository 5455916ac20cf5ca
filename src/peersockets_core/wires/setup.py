"""`WireSetup`: the arguments that a connection passes to its wire."""

from __future__ import annotations

from typing import NamedTuple

from ..keys import Entropy, KeyPair
from ..limits import Limits
from ..outbox import Outbox
from ..work import Work
from .extensions import ExtensionNames
from .keys import Keys


class WireSetup(NamedTuple):
    """The arguments that a connection passes to its wire."""

    initiator: bool
    key_pair: KeyPair
    entropy: Entropy
    limits: Limits
    extensions: ExtensionNames
    """The registered extensions, for wires on which they belong to the connection."""
    outbox: Outbox
    work: Work
    keys: Keys | None = None
    """The keys of a handshake that is finished, for wires that can start with them."""
