"""The claims of the page of security about the wires, checked."""

from __future__ import annotations

import logging
import os
import re
from typing import Any, TypeAlias

import pytest
from trio.testing import wait_all_tasks_blocked

from core import support as hypercore9
from core.secrecy import shown
from core.support import KEY, NOW, OTHER_KEY, connection
from core.wires.hypercore11 import wire_support as hypercore11
from docs.markdown import ROOT
from peersockets_core import ConnectionClosed, DriveKey, KeyPair, MessagesReceived, WireName
from peersockets_core.wires.hypercore9 import frames, messages
from peersockets_core.wires.hypercore9.messages import Open, Options
from peersockets_trio import Instrument, Node, open_node
from peersockets_trio.testing import connect_nodes
from peersockets_trio.testing.internals import connection_tasks, node_runtime

NAME = "chat"
MESSAGE = b"pay 100 to Alice"
CHANGED = b"pay 900 to Alice"
Pair: TypeAlias = hypercore9.Pair | hypercore11.Pair


def opened(wire: WireName) -> Pair:
    pair = hypercore9.Pair() if wire == "hypercore9" else hypercore11.Pair()
    pair.open(KEY)
    return pair


def sent(pair: Pair, wire: WireName) -> bytearray:
    """Return the bytes that carry the message, from left to right."""
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
def test_a_stream_cut_off_between_two_frames_looks_like_a_clean_end(wire: WireName) -> None:
    pair = opened(wire)
    assert sent(pair, wire)  # and never delivered
    assert pair.right.receive_eof(NOW) == [ConnectionClosed(None)]


def test_a_remote_that_connects_learns_only_the_discovery_keys_of_open_drives() -> None:
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
    ours_shown = b"".join(hypercore11.RawPeer(ours).heard())
    assert KEY.discovery_key in ours_shown
    assert bytes(KEY.public_key) not in ours_shown


def test_a_receiver_on_hypercore9_learns_the_names_of_all_topics() -> None:
    ours = connection(names=["peersockets/v0/chat", "peersockets/v0/webapp/of another drive/secret"])
    remote = hypercore9.RawPeer(ours)
    ours.sender(None, "peersockets/v0/chat").send(b"hello")
    [names] = [message for _, message in remote.heard_messages() if isinstance(message, Options)]
    assert names.extensions == ours.extensions.names


@pytest.mark.interop
def test_no_real_peer_asks_for_a_new_key() -> None:
    """It would have to push a message with that tag, and secret-stream does not even name the tag."""
    packages = ROOT / "tests" / "interop" / "hypercore11" / "node_modules"
    sources = [
        source.read_text()
        for package in ("@hyperswarm/secret-stream", "sodium-secretstream")
        for source in (packages / package).rglob("*.js")
    ]
    assert any("secretstream" in source for source in sources)
    assert not any("rekey" in source.lower() for source in sources)


def test_everything_that_the_page_names_exists() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "security.md").read_text())
    tests = (ROOT / "tests").glob("**/test_*.py")
    defined = {name for path in tests for name in re.findall(r"def (test_\w+)", path.read_text())}
    assert named
    assert set(named) <= defined


# Output


class _Shows(Instrument):
    """Records every call of an instrument."""

    def __init__(self) -> None:
        self.text = ""

    def _note(self, *arguments: Any) -> None:
        self.text += "".join(f"{argument} {argument!r}\n" for argument in arguments)

    connection_opened = connection_closed = connection_failed = _note  # type: ignore[assignment]
    peer_joined = peer_left = retrying = _note  # type: ignore[assignment]
    data_received = data_sent = _note  # type: ignore[assignment]


def _offer_with_a_wrong_capability(stranger: Node, key: DriveKey) -> None:
    [task] = connection_tasks(stranger)
    if task.connection.wire == "hypercore9":
        wrong = messages.Open(key.discovery_key, bytes(32))
        task.connection.outbox.append(frames.encode(1, 0, messages.encode(wrong)))
    else:
        named = b"\x0fhypercore/alpha\x20" + key.discovery_key
        task.connection.mux.queue(0, b"\1\1" + named + b"\0" + bytes(32))
    node_runtime(stranger).flush()


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
async def test_no_output_of_a_node_shows_a_secret(wire: WireName, caplog: pytest.LogCaptureFixture) -> None:
    """A stranger that has learned the discovery key offers it with a wrong capability."""
    caplog.set_level(logging.DEBUG, "peersockets")
    key, identity, instrument = DriveKey(os.urandom(32)), KeyPair(os.urandom(32)), _Shows()
    secrets = (key.public_key, identity.seed, identity.x25519_secret_key)
    texts: list[object] = []
    async with (
        open_node(key_pair=identity, instruments=[instrument]) as node,
        open_node() as other,
        open_node() as stranger,
        node.open_drive(key) as drive,
        drive.watch() as events,
    ):
        theirs = other.open_drive(key)
        await connect_nodes(other, node, wire=wire)
        texts += [await events.receive(), drive, drive.peers, node, node.peer(1), node.statistics()]
        await connect_nodes(stranger, node, wire=wire)
        _offer_with_a_wrong_capability(stranger, key)
        await wait_all_tasks_blocked()
        assert not connection_tasks(stranger)
        theirs.close()
        texts += [await events.receive(), node.peer(1)]
        for call in (lambda: node.open_drive(key.url[:-2]), lambda: node.peer(99)):
            with pytest.raises(Exception, match=r"not a drive key|peer_id") as caught:
                call()
            texts += [caught.value]
    texts += [instrument.text, caplog.text, *(record.args for record in caplog.records), key, identity]
    output = "\n".join(f"{text} {text!r}" for text in texts)
    assert f"invalid remote capability for drive {key}" in output
    assert not shown(secrets, output)
