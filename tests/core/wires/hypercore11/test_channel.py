from __future__ import annotations

import pytest

from peersockets_core import LocalProtocolError
from peersockets_core.wires.hypercore11.channel import (
    ENDED,
    TRANSITIONS,
    UNANSWERED,
    Channel,
    ChannelSignal,
    ChannelState,
    take_none_untrusted,
)


class Silent:
    def opened_untrusted(self, handshake: bytes) -> None: ...
    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None: ...
    def closed(self) -> None: ...


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(ChannelState)


def test_every_state_can_be_reached_and_only_a_closed_channel_is_over_on_both_sides() -> None:
    reached = {target for row in TRANSITIONS.values() for target in row.values()}
    assert reached == set(ChannelState) - {ChannelState.WAITING}
    assert [state for state, row in TRANSITIONS.items() if not row] == [ChannelState.CLOSED]


def test_the_remote_answers_every_open_and_nothing_else() -> None:
    for answer in (ChannelSignal.ACCEPT, ChannelSignal.REFUSE):
        assert {state for state, row in TRANSITIONS.items() if answer in row} == UNANSWERED


def test_a_channel_is_closed_once() -> None:
    assert {state for state, row in TRANSITIONS.items() if ChannelSignal.CLOSE not in row} == ENDED


def test_an_illegal_transition_raises() -> None:
    channel = Channel(("p", b""), Silent(), b"", take_none_untrusted)
    assert take_none_untrusted(b"abc", 1, 3) == 1
    with pytest.raises(LocalProtocolError, match="cannot accept: the channel is waiting"):
        channel.signal(ChannelSignal.ACCEPT)
    assert channel.state is ChannelState.WAITING
    for signal, closed in (
        (ChannelSignal.OFFER, False),
        (ChannelSignal.CLOSE, True),
        (ChannelSignal.REFUSE, True),
    ):
        channel.signal(signal)
        assert channel.closed is closed
    with pytest.raises(LocalProtocolError, match="cannot close: the channel is closed"):
        channel.signal(ChannelSignal.CLOSE)
