"""What the page of security says of the wires, shown."""

from __future__ import annotations

import re
from typing import TypeAlias

import pytest

from core import support as hypercore9
from core.hypercore11 import test_wire as hypercore11
from core.support import KEY, NOW, OTHER_KEY, connection
from docs.markdown import ROOT
from peersockets_core import ConnectionClosed, MessagesReceived, WireName
from peersockets_core.hypercore9.messages import Open, Options

NAME = "chat"
MESSAGE = b"pay 100 to Alice"
CHANGED = b"pay 900 to Alice"
Pair: TypeAlias = hypercore9.Pair | hypercore11.Pair


def opened(wire: WireName) -> Pair:
    pair = hypercore9.Pair() if wire == "hypercore9" else hypercore11.Pair()
    pair.open(KEY)
    return pair


def sent(pair: Pair, wire: WireName) -> bytearray:
    """The bytes that carry the message, from left to right."""
    pair.left.sender(None if wire == "hypercore9" else KEY.discovery_key, NAME).send(MESSAGE)
    return bytearray(pair.left.data_to_send(NOW))


def test_a_flipped_bit_goes_through_on_hypercore9() -> None:
    pair = opened("hypercore9")
    data = sent(pair, "hypercore9")
    data[-len(MESSAGE) + 4] ^= ord("1") ^ ord("9")  # without any key
    assert pair.right.receive_data(bytes(data), NOW) == [MessagesReceived(None, NAME, [CHANGED])]


def test_a_flipped_bit_ends_the_connection_on_hypercore11() -> None:
    pair = opened("hypercore11")
    data = sent(pair, "hypercore11")
    data[-len(MESSAGE)] ^= 8
    [closed] = pair.right.receive_data(bytes(data), NOW)
    assert isinstance(closed, ConnectionClosed)
    assert "does not decrypt" in str(closed.error)


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
def test_a_stream_cut_off_between_two_frames_looks_like_a_good_end(wire: WireName) -> None:
    pair = opened(wire)
    assert sent(pair, wire)  # and never delivered
    assert pair.right.receive_eof(NOW) == [ConnectionClosed(None)]


def test_who_connects_learns_the_discovery_keys_of_what_is_open_and_no_more() -> None:
    ours = connection()
    for key in (KEY, OTHER_KEY):
        ours.open_drive(key)
    learned = hypercore9.RawPeer(ours).heard_messages()
    assert [message.discovery_key for _, message in learned if isinstance(message, Open)] == [
        KEY.discovery_key,
        OTHER_KEY.discovery_key,
    ]

    ours = hypercore11.connection()
    ours.open_drive(KEY)
    ours_told = b"".join(hypercore11.RawPeer(ours).heard())
    assert KEY.discovery_key in ours_told
    assert KEY.public_key not in ours_told


def test_who_is_sent_a_message_on_hypercore9_learns_the_names_of_all_topics() -> None:
    ours = connection(names=["peersockets/v0/chat", "peersockets/v0/webapp/of another drive/secret"])
    remote = hypercore9.RawPeer(ours)
    ours.sender(None, "peersockets/v0/chat").send(b"hello")
    [names] = [message for _, message in remote.heard_messages() if isinstance(message, Options)]
    assert names.extensions == ours.extensions.names


@pytest.mark.interop
def test_no_real_peer_asks_for_a_new_key() -> None:
    """It would push a message with that tag; secret-stream does not so much as name it."""
    packages = ROOT / "tests" / "interop" / "hypercore11" / "node_modules"
    sources = [
        source.read_text()
        for package in ("@hyperswarm/secret-stream", "sodium-secretstream")
        for source in (packages / package).rglob("*.js")
    ]
    assert any("secretstream" in source for source in sources)
    assert not any("rekey" in source.lower() for source in sources)


def test_what_the_page_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert named
    assert set(named) <= set(globals())
