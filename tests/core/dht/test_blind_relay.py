"""Our end of the connection to a blind relay, which keeps to the protocol or breaks it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from core.dht.relay_support import BlindRelay, relay_keys
from peersockets_core import RemoteProtocolError
from peersockets_core.dht.blind_relay import PAIR, PROTOCOL, BlindRelayClient, Pair, decode_pair_untrusted
from peersockets_core.dht.limits import HyperDhtLimits

from .support import entropy

TOKEN = bytes(range(32))
OURS = b"\x01" * 32
LIMITS = HyperDhtLimits(relay_frame=512, relay_channels=4)


def connected(initiator: bool = True) -> tuple[BlindRelayClient, BlindRelay]:
    """Return a client that has asked for a pairing, and the relay that it asked."""
    keys, theirs = relay_keys()
    client = BlindRelayClient(keys, OURS, Pair(initiator, TOKEN, 7), entropy=entropy("client"), limits=LIMITS)
    relay = BlindRelay(theirs, OURS)
    relay.receive(client.data_to_send())
    return client, relay


def test_the_bytes_are_those_of_the_reference() -> None:
    # compact-encoding of blind-relay 1.6.1: {isInitiator: true, token, id: 4294967295, seq: 0}
    assert Pair(True, TOKEN, 0xFFFF_FFFF).encode() == b"\x01" + TOKEN + b"\xfe\xff\xff\xff\xff" + b"\x00"
    assert Pair(False, TOKEN, 7).encode() == b"\x00" + TOKEN + b"\x07\x00"


def test_it_asks_for_a_pairing_and_learns_the_stream_of_the_relay() -> None:
    client, relay = connected()
    assert relay.pairs == [Pair(True, TOKEN, 7)]
    assert client.data_to_send() == b""
    client.receive_data_untrusted(relay.answer(Pair(True, TOKEN, 99)))
    assert client.remote_id == 99
    client.receive_data_untrusted(relay.answer(Pair(True, TOKEN, 100)))
    assert client.remote_id == 99


@pytest.mark.parametrize("other", [Pair(False, TOKEN, 9), Pair(True, bytes(32), 9)])
def test_an_answer_for_another_pairing_is_ignored(other: Pair) -> None:
    client, relay = connected()
    client.receive_data_untrusted(relay.answer(other))
    assert client.remote_id is None


def test_an_unknown_message_is_ignored() -> None:
    client, relay = connected()
    client.receive_data_untrusted(relay.say(PAIR + 5, b"?"))
    assert client.remote_id is None


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "ends within"),
        (b"\x01" + TOKEN, "ends within"),
        (b"\x01" + TOKEN + b"\x07", "ends within"),
        (b"\x01" + TOKEN + b"\xff" + bytes(4) + b"\x01" + bytes(3) + b"\x00", "more than 32 bits"),
    ],
)
def test_a_malformed_pair_is_refused(body: bytes, fault: str) -> None:
    with pytest.raises(RemoteProtocolError, match=fault):
        decode_pair_untrusted(body)
    client, relay = connected()
    with pytest.raises(RemoteProtocolError, match=fault):
        client.receive_data_untrusted(relay.say(PAIR, body))


@pytest.mark.parametrize("end", [BlindRelay.refuse, BlindRelay.close])
def test_a_relay_may_refuse_or_end_the_pairing(end: Callable[[BlindRelay], bytes]) -> None:
    keys, theirs = relay_keys()
    client = BlindRelayClient(keys, OURS, Pair(True, TOKEN, 7), entropy=entropy("c"), limits=LIMITS)
    relay = BlindRelay(theirs, OURS, accepts=end is not BlindRelay.refuse)
    relay.receive(client.data_to_send())
    with pytest.raises(RemoteProtocolError, match="the blind relay has refused or ended the pairing"):
        client.receive_data_untrusted(end(relay))


def test_a_relay_that_sends_too_much_is_refused() -> None:
    client, relay = connected()
    with pytest.raises(RemoteProtocolError, match="over the limit of 512"):
        client.receive_data_untrusted(relay.say(9, bytes(1000)))


def test_a_channel_opened_by_the_relay_is_rejected() -> None:
    client, relay = connected()
    client.receive_data_untrusted(relay.open("other"))
    assert client.data_to_send()
    assert PROTOCOL == "blind-relay"
