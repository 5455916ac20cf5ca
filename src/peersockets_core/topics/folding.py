"""Folding: keeps one of several connections of a peer, and retires the duplicates.

Both sides must choose the same connection, although they may see the two in a different order, and the older
one may be dead without either side knowing. The rule is that of the reference. If the two sides could
disagree, one of them decides, and the other waits for the decision, up to `Limits.fold_time`.
"""

from __future__ import annotations

import itertools
import math
from typing import Generic

from ..limits import Limits
from ..owners import C, H
from ..wires.duplicates import Duplicates, Stays, Verdict
from ..wires.table import KINDS
from .members import Host, KnownPeer, Link


def judge(newer: Link, older: Link) -> Verdict:
    """Apply the rule of their wire to two connections between the same keys; returns which one stays."""
    wire = newer.peer.wire
    dialled = newer.connection.initiator
    pair = Duplicates(
        dialled=dialled,
        same_dialler=dialled == older.connection.initiator,
        smaller=newer.connection.key_pair.public_keys[wire] < newer.peer.public_key,
        # A remote that finished the older handshake before we saw the newer one begin knows their order.
        follows=not dialled and newer.connection.began > older.connection.established_at,
    )
    return KINDS[wire].judge(pair)


class Folding(Generic[C, H]):
    """The duplicates of one node, and the deadlines by which remotes should have ended their part of them."""

    def __init__(self, host: Host[C, H], limits: Limits) -> None:
        self._host = host
        self._limits = limits
        self._numbers = itertools.count()
        self._deadlines: dict[KnownPeer[C, H], float] = {}

    def __contains__(self, peer: KnownPeer[C, H]) -> bool:
        """Whether it is undecided which of a peer's connections stays."""
        return peer in self._deadlines

    def __len__(self) -> int:
        return len(self._deadlines)

    def next_deadline(self) -> float:
        """Return the time at which the first wait is over."""
        return min(self._deadlines.values(), default=math.inf)

    def overdue(self, now: float) -> list[KnownPeer[C, H]]:
        """Return the peers whose wait is over."""
        return [peer for peer, deadline in self._deadlines.items() if deadline <= now]

    def postpone(self, now: float) -> None:
        """Give every peer the full time once more."""
        self._deadlines = dict.fromkeys(self._deadlines, now + self._limits.fold_time)

    def add(self, link: Link[C, H]) -> None:
        """Add a new connection to its peer's list, whose last entry is the one that stays."""
        link.number = next(self._numbers)
        links = link.peer.links
        last = links[-1] if links else None
        if last is None or last.retired or judge(link, last).stays is Stays.NEWER:
            links.append(link)
            return
        links.insert(0, link)
        if not last.connection.closed:
            # hyperswarm 4.17.2 does the same: if the line is dead, the keepalive reveals it.
            last.connection.send_keepalive()
            self._host.wake(last.connection)

    def remove(self, link: Link[C, H]) -> None:
        """Remove a connection that has ended."""
        link.peer.links.remove(link)
        if len(link.peer.links) < 2:
            self._deadlines.pop(link.peer, None)

    def fold(self, peer: KnownPeer[C, H], now: float) -> None:
        """Retire every duplicate that may go by now."""
        for link in peer.links[:-1]:
            spent = None if link.retired else self._spent(link, peer.links[-1], now)
            if spent is not None:
                spent.retired = True
                self._host.retire(spent.connection)
        settled = all(link.retired for link in peer.links[:-1])
        if settled or self._deadlines.get(peer, math.inf) <= now:
            self._deadlines.pop(peer, None)

    def _spent(self, link: Link[C, H], survivor: Link[C, H], now: float) -> Link[C, H] | None:
        """Return which of the two may go now, or None. One may only go once the other carries all its
        drives.
        """
        newer, older = (link, survivor) if link.number > survivor.number else (survivor, link)
        verdict = judge(newer, older)
        if verdict.stays is Stays.LIVELIER and survivor is older:
            stays = self._livelier(newer, older, ours=verdict.ours, now=now)
            if stays is None:
                return None
            link, survivor = (older, newer) if stays is newer else (newer, older)
        if not link.drives <= survivor.drives:
            return None
        # The remote may not know a survivor that carries no drive yet.
        decided = survivor.drives and (verdict.ours or verdict.stays is Stays.LIVELIER)
        return link if decided or self._has_waited(link.peer, now, ours=verdict.ours) else None

    def _livelier(self, newer: Link[C, H], older: Link[C, H], *, ours: bool, now: float) -> Link[C, H] | None:
        """Return which of the two stays, or None as long as the older one may still prove to be alive."""
        heard = older.connection.heard_at > newer.connection.began
        if heard and ours:
            return older
        if not self._has_waited(newer.peer, now, ours=ours):
            return None
        # A remote that removes duplicates does not use the connection that we dialled if its own older one is
        # alive.
        used = bool(newer.drives) and older.drives <= newer.drives
        if heard or (ours and not used):
            return older
        links = newer.peer.links
        links.remove(newer)
        links.append(newer)
        return newer

    def _has_waited(self, peer: KnownPeer[C, H], now: float, *, ours: bool) -> bool:
        """Return whether the wait for the remote is over. It is half as long if we decide."""
        time = self._limits.fold_time * (0.5 if ours else 1.0)
        return self._deadlines.setdefault(peer, now + time) <= now
