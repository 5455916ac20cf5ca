from __future__ import annotations

from core.wires.hypercore11.test_channel import Silent
from peersockets_core.wires.hypercore11.channel import Channel, ChannelSignal, take_none_untrusted
from peersockets_core.wires.hypercore11.local_channels import LocalChannels


def test_numbers_count_from_1_and_are_used_again() -> None:
    local = LocalChannels()
    channels = [Channel(("p", bytes((i,))), Silent(), b"", take_none_untrusted) for i in range(4)]
    for channel in channels[:3]:
        local.assign(channel)
    assert [channel.local for channel in channels] == [1, 2, 3, 0]
    assert local.largest_next == 4
    local.release(channels[1])
    local.assign(channels[3])
    assert channels[3].local == 2
    assert local.largest_next == 4
    assert local.by_number == {1: channels[0], 2: channels[3], 3: channels[2]}


def test_a_channel_is_open_when_both_sides_have_opened() -> None:
    local = LocalChannels()
    channel = local.by_key["p", b""] = Channel(("p", b""), Silent(), b"", take_none_untrusted)
    assert not local.any_open
    channel.signal(ChannelSignal.OFFER)
    assert not local.any_open
    channel.signal(ChannelSignal.ACCEPT)
    assert local.any_open
