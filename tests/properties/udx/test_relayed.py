"""A stream leaves a blind relay for a direct path while both sides send. Each byte arrives once, in order."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from peersockets_core.udx import Address, AddressChanged, AddressConfirmed
from properties.udx.pair import Forwarder, Pair, User, content, open_pair

SIZE = 400_000


@attrs.define(eq=False)
class Upgrade:
    """Acts for each side as the adapter does after the event `Upgraded` (`runtime/relays.py`)."""

    pair: Pair
    relay: Forwarder
    changed: list[str] = attrs.field(factory=list)
    """The sides that send directly, in order."""
    left: list[str] = attrs.field(factory=list)
    """The sides that have seen the other's packets come directly, in order."""

    def watch(self, user: User, name: str, remote_id: int) -> None:
        see = user.see

        def watched(event: Any) -> None:
            match event:
                case AddressChanged(_, address) if name not in self.changed and not self.left:
                    self.move(user, name, remote_id, address)
                    self.leave(name)
                case AddressChanged():
                    pass  # packets that the relay still had on the way
                case AddressConfirmed():
                    self.leave(name)
                case _:
                    see(event)

        user.host.on_event = watched

    def move(self, user: User, name: str, remote_id: int, address: Address) -> None:
        """Send directly from now on, and show the other side the path."""
        self.changed.append(name)
        user.stream.change_remote(remote_id, address, self.pair.network.now)
        user.stream.send_message(b"")

    def leave(self, name: str) -> None:
        """Leave the relay, which forwards nothing to nobody then."""
        if name not in self.left:
            self.left.append(name)
            self.relay.gone = True


LINES: dict[str, dict[str, float]] = {
    "good": {},
    "lossy": {"loss": 0.05, "jitter": 0.01, "reorder": 0.05, "duplicate": 0.02},
    "with a short queue": {"queue": 10_000.0},
}
SHIFTS: dict[str, dict[str, float]] = {
    "as before": {},
    "longer": {"delay": 0.15},
    "shorter": {"delay": 0.001},
    "smaller packets": {"mtu": 1250.0},
}
"""How the direct path differs from the one through the relay."""


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize("line", LINES)
def test_nothing_is_lost_or_doubled_when_a_busy_stream_leaves_the_relay(line: str, shift: str) -> None:
    relay = Forwarder()
    pair = open_pair(seed=f"{line} {shift}", relay=relay)
    pair.both(delay=0.02, bandwidth=3e6, queue=40_000.0)
    pair.both(**LINES[line])
    upgrade = Upgrade(pair, relay)
    upgrade.watch(pair.alice, "alice", 22)
    upgrade.watch(pair.bob, "bob", 11)
    data = [content(SIZE), content(SIZE)[::-1]]
    pair.alice.send(data[0])
    pair.bob.send(data[1])
    users = (pair.alice, pair.bob)
    pair.network.run_until(lambda: max(len(user.received) for user in users) > SIZE // 10, within=600)
    assert relay.forwarded
    pair.both(**SHIFTS[shift])
    upgrade.move(pair.alice, "alice", 22, pair.bob.host.address)
    pair.alice.host.settle()
    pair.network.run_until(lambda: len(upgrade.left) == 2, within=60)
    assert upgrade.changed == ["alice", "bob"]
    assert all(len(user.received) < SIZE for user in users)
    through_relay = relay.forwarded
    pair.run_until_closed()
    assert relay.forwarded == through_relay
    assert [bytes(user.received) for user in users] == data[::-1]
    assert [user.error for user in users] == [None, None]
