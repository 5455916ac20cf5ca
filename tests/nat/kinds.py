"""A table of the kinds of places on the internet where peers live.

Linux translates the addresses. Its masquerade keeps a port if it can, so one port stands for a socket towards
all remotes. With `fully-random`, each remote sees a port of its own. In both cases a datagram enters only
from an address and port that the socket has written to.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import attrs

Mapping: TypeAlias = Literal["preserving", "random"]
Firewall: TypeAlias = Literal["open", "consistent", "random"]
"""The class that HyperDHT gives to a place."""


@attrs.frozen
class Router:
    """A router that translates addresses."""

    mapping: Mapping = "preserving"
    hairpin: bool = True
    """Whether its own hosts reach each other at its public address. This needs a mapping that keeps ports."""


@attrs.frozen
class Kind:
    """A kind of place."""

    name: str
    firewall: Firewall
    routers: tuple[Router, ...] = ()
    """The routers between a host and the internet, the nearest to the internet first."""
    filtered: bool = False
    """Whether the host itself drops unsolicited datagrams."""


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind("open", "open"),
        Kind("filtered", "consistent", filtered=True),
        Kind("home", "consistent", (Router(),)),
        Kind("carrier", "consistent", (Router(), Router())),
        Kind("random", "random", (Router("random"),)),
    )
}
"""The kinds by name. `filtered` has a public address, `home` one router, and `carrier` a second one that
belongs to the provider.
"""
