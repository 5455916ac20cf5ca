from __future__ import annotations

import pytest

from core.wires.hypercore11.test_channel import Silent
from peersockets_core import Limits, RemoteProtocolError
from peersockets_core.limits import MESSAGE_COST
from peersockets_core.wires.hypercore11.channel import Channel, take_none_untrusted
from peersockets_core.wires.hypercore11.remote_channels import RemoteChannels

KEY = ("p", b"id")


@pytest.fixture
def remote() -> RemoteChannels:
    return RemoteChannels(Limits(channels=2, early_messages=2 * MESSAGE_COST + 10))


@pytest.mark.parametrize("numbers", [(0,), (2,), (1, 1), (1, 3)])
def test_the_remote_numbers_its_channels_in_order(remote: RemoteChannels, numbers: tuple[int, ...]) -> None:
    for number in numbers[:-1]:
        remote.add_untrusted(number, KEY, b"")
    with pytest.raises(RemoteProtocolError, match=f"opened channel {numbers[-1]} out of order"):
        remote.add_untrusted(numbers[-1], KEY, b"")


def test_a_number_may_be_used_again(remote: RemoteChannels) -> None:
    for number in (1, 2):
        remote.add_untrusted(number, KEY, b"")
    remote.remove(1)
    remote.add_untrusted(1, KEY, b"")
    with pytest.raises(RemoteProtocolError, match="more than 2 channels open"):
        remote.add_untrusted(3, KEY, b"")


def test_early_messages_are_counted_until_they_are_handed_over(remote: RemoteChannels) -> None:
    remote.add_untrusted(1, KEY, b"handshake")
    before = remote.kept
    half = remote.by_number[1]
    remote.keep_untrusted(half, 7, b"-hello-", 1, 6)
    assert remote.kept - before == MESSAGE_COST + 5
    with pytest.raises(RemoteProtocolError, match="too many messages"):
        remote.keep_untrusted(half, 7, bytes(MESSAGE_COST), 0, MESSAGE_COST)
    remote.early_size = half.early_size
    channel = Channel(KEY, Silent(), b"", take_none_untrusted)
    assert remote.join(1, channel) == (b"handshake", [(7, b"hello")])
    assert (half.channel, channel.remote, remote.early_size) == (channel, 1, 0)
    assert before - remote.kept == len(b"handshake")
    remote.remove(1)
    assert remote.kept == 0


def test_waiting_channels_are_decided_in_order(remote: RemoteChannels) -> None:
    assert remote.take_waiting(KEY) is None
    remote.wait(2, KEY)
    remote.wait(1, KEY)
    assert remote.take_waiting(KEY) == 2
    remote.wait(3, KEY)
    remote.stop_waiting(1, KEY)
    assert remote.take_waiting(KEY) == 3
    assert not remote.waiting


def test_waiting_channels_are_released_at_the_end(remote: RemoteChannels) -> None:
    remote.add_untrusted(1, KEY, bytes(1000))
    remote.keep_untrusted(remote.by_number[1], 7, b"hello", 0, 5)
    before = remote.kept
    remote.forget_input()
    assert before - remote.kept == 1000 + MESSAGE_COST + 5


def test_the_memory_of_all_channels_adds_up(remote: RemoteChannels) -> None:
    sizes = [remote.kept]
    for number, handshake in ((1, b""), (2, bytes(100))):
        remote.add_untrusted(number, KEY, handshake)
        sizes.append(remote.kept)
    each = sizes[1]
    assert each > len(KEY[0]) + len(KEY[1])
    assert sizes == [0, each, 2 * each + 100]
    remote.remove(1)
    assert remote.kept == each + 100
    remote.remove(2)
    assert remote.kept == 0
