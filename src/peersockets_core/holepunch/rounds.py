"""`Round`: one message between the two sides of a punch, without the encryption and the relays around it.

Source: hyperdht 6.34.0, `lib/messages.js` (`holepunchPayload`).
"""

from __future__ import annotations

from enum import IntEnum

import attrs

from ..address import SocketAddress
from .nat import Firewall


class PunchError(IntEnum):
    """The reason why a side gives up, as the other side learns it."""

    NONE = 0
    ABORTED = 1
    TRY_LATER = 3


@attrs.frozen
class Round:
    """One message. Both sides send their view of their own NAT with each one."""

    error: int = PunchError.NONE
    firewall: int = Firewall.UNKNOWN
    round: int = 0
    connected: bool = False
    punching: bool = False
    """Whether the sender punches, or is willing to."""
    addresses: tuple[SocketAddress, ...] = ()
    """The addresses at which others see the sender."""
    remote_address: SocketAddress | None = None
    """The address of the receiver to which the sender has opened its own NAT."""
    token: bytes | None = None
    """A token that the receiver sends back, to prove that it receives messages at its address."""
    remote_token: bytes | None = None
    """The receiver's token, sent back."""
