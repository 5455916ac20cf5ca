"""The claims of the documentation about the JavaScript packages, checked on the packages themselves.

tests/interop checks the other claims of docs/javascript.md: waiting for updates, capabilities and silence in
the tests of hypercore11's lifetime and mux, wrong numbers in those of hypercore9's messages, the 20 seconds
in those of its lifetime.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from docs.application import Application, open_application
from docs.markdown import BLOCKS, PAGES, ROOT
from interop import real_peer
from interop.generations import GENERATIONS
from interop.real_peer import HOST, digest, numbered
from peersockets_core import Connection, DriveKey, DriveOpened, KeyPair, WireName
from peersockets_trio import Drive, PeerJoined, Topic, open_node

pytestmark = pytest.mark.interop

MIB: Final = 1024 * 1024

LISTENING = """
const net = require('net')
const SecretStream = require('@hyperswarm/secret-stream')
const keyPair = SecretStream.keyPair()
net.createServer(socket => {
  drive.corestore.replicate(new SecretStream(false, socket, { keyPair }))
}).listen(4200)
"""

TOPIC = """
const Peersockets = require('peersockets')
const peersockets = new Peersockets(networker)
const name = `webapp/${drive.discoveryKey.toString('hex')}/chat`
const heard = { onmessage: message => console.log(message.toString()) }
"""


@asynccontextmanager
async def meeting(application: Application, wire: WireName) -> AsyncIterator[tuple[Drive, Topic, PeerJoined]]:
    """A node of ours that has met the application."""
    async with (
        open_node() as node,
        node.open_drive(application.key) as drive,
        drive.join("chat") as chat,
        drive.watch() as events,
    ):
        await node.connect_tcp(HOST, application.port, wire=wire)
        joined = await events.receive()
        assert isinstance(joined, PeerJoined)
        yield drive, chat, joined


# Identity


SHOWN_IN: dict[str, set[str]] = {
    "SecretStream": {"javascript.md", "tutorial.md"},
    "Hyperswarm": {"README.md", "from-hyperswarm.md", "javascript.md", "tutorial.md"},
}
"""The pages whose code makes an identity."""


@pytest.mark.parametrize("name", SHOWN_IN)
def test_every_shown_identity_stays(name: str) -> None:
    """All code, and all prose that lists arguments, passes a key pair."""
    made = re.compile(rf"new {name}\([^)\n]*\)")
    code = [(block.page.name, found) for block in BLOCKS for found in made.findall(block.code)]
    assert {page for page, _ in code} == SHOWN_IN[name]
    prose = [(page.name, found) for page in PAGES for found in made.findall(page.read_text())]
    assert len(prose) >= len(code)
    shown = code + [(page, found) for page, found in prose if found != f"new {name}()"]
    assert [(page, found) for page, found in shown if "{ keyPair" not in found] == []


async def test_without_a_key_pair_each_connection_has_another_key(tmp_path: Path) -> None:
    code = LISTENING.replace(", { keyPair }", "")
    async with open_application("hypercore11", code, tmp_path) as application:
        keys = set()
        for _ in range(2):
            async with meeting(application, "hypercore11") as (_, _, joined):
                keys.add(joined.public_key)
    assert len(keys) == 2


SWARMING = """
const Hyperswarm = require('hyperswarm')
const swarm = new Hyperswarm()
swarm.on('connection', connection => drive.corestore.replicate(connection))
swarm.join(drive.discoveryKey)
"""


async def test_without_a_key_pair_each_new_swarm_has_another_key(tmp_path: Path) -> None:
    keys = set()
    with trio.fail_after(120):
        async with open_node() as node, node.open_swarm(bootstrap=(), host=HOST) as network:
            for _ in range(2):
                async with open_application(
                    "hyperswarm", SWARMING, tmp_path, bootstrap=network.bound_address
                ) as application:
                    keys.add(await found_in(network.bound_address, application.key))
    assert len(keys) == 2


async def found_in(bootstrap: tuple[str, int], key: str) -> bytes:
    """Find the one member of a drive in a network. Return its public key."""
    async with (
        open_node() as node,
        node.open_swarm(bootstrap=[bootstrap]) as swarm,
        node.open_drive(key) as drive,
        drive.watch() as events,
        swarm.join(drive),
    ):
        return (await events.receive()).public_key


async def test_a_networker_has_another_key_each_time_it_starts(tmp_path: Path) -> None:
    keys = set()
    for _ in range(2):
        async with open_application("hypercore9", "", tmp_path) as application:
            for _ in range(2):
                async with meeting(application, "hypercore9") as (_, _, joined):
                    keys.add(joined.public_key)
    assert len(keys) == 2


# hyperdrive 11 to 13


async def test_without_an_encoding_a_length_precedes_each_message(tmp_path: Path) -> None:
    code = (
        LISTENING
        + """
    const topic = drive.core.registerExtension('peersockets/v0/chat', {})
    drive.core.on('peer-add', peer => topic.send(Buffer.from('hello'), peer))
    """
    )
    async with (
        open_application("hypercore11", code, tmp_path) as application,
        meeting(application, "hypercore11") as (_, chat, _),
    ):
        assert (await chat.receive()).message == b"\x05hello"


async def test_the_peers_of_a_core_are_all_members(tmp_path: Path) -> None:
    code = (
        LISTENING
        + """
    const topic = drive.core.registerExtension('peersockets/v0/chat', {
      encoding: 'binary',
      onmessage (message) { for (const peer of drive.core.peers) topic.send(message, peer) }
    })
    """
    )
    async with (
        open_application("hypercore11", code, tmp_path) as application,
        meeting(application, "hypercore11") as (_, first, joined),
        meeting(application, "hypercore11") as (_, second, _),
    ):
        await first.send(joined.peer_id, b"to all")
        assert [(await topic.receive()).message for topic in (first, second)] == [b"to all"] * 2


def stranger(wire: WireName) -> Connection:
    """Our end of a connection whose bytes a test moves."""
    return Connection(
        wire=wire,
        initiator=True,
        key_pair=KeyPair.generate(os.urandom),
        entropy=os.urandom,
        now=trio.current_time(),
    )


async def reset(application: Application, after: int) -> None:
    """Take part, and break the connection after this many bytes of ours."""
    connection, key = stranger("hypercore11"), DriveKey.parse(application.key)
    connection.open_drive(key)
    opened = False
    async with await trio.open_tcp_stream(HOST, application.port) as stream:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        while True:
            data = bytes(connection.data_to_send())
            await stream.send_all(data[:after])
            after -= len(data)
            if after <= 0:
                return
            if opened:
                connection.sender(key.discovery_key, "peersockets/v0/chat").send(bytes(1000))
            else:
                events = connection.receive_data(await stream.receive_some(), trio.current_time())
                opened = any(isinstance(event, DriveOpened) for event in events)


async def say(application: Application, data: bytes) -> None:
    """Send bytes that are no handshake, and wait until the application has closed the connection."""
    stream = await trio.open_tcp_stream(HOST, application.port)
    async with stream:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(data)
            await stream.send_eof()
            while await stream.receive_some():
                pass


class _Handler:
    """Does nothing with its input."""

    def opened_untrusted(self, handshake: bytes) -> None: ...
    def message_untrusted(self, message_type: int, data: bytes, start: int, end: int) -> None: ...
    def closed(self) -> None: ...


async def prove_nothing(application: Application) -> None:
    """Open the drive with a wrong capability, and wait until the application has closed the connection."""
    connection = stranger("hypercore11")
    key = DriveKey.parse(application.key)
    opened = False
    async with await trio.open_tcp_stream(HOST, application.port) as stream:
        with suppress(trio.BrokenResourceError):
            while True:
                await stream.send_all(connection.data_to_send())
                data = await stream.receive_some()
                if not data:
                    break
                connection.receive_data(data, trio.current_time())
                if connection.remote_public_key and not opened:
                    connection.mux.open("hypercore/alpha", key.discovery_key, bytes(33), _Handler())
                    opened = True
    assert opened


async def test_an_application_without_listeners_of_errors_survives_its_peers(tmp_path: Path) -> None:
    async with open_application("hypercore11", LISTENING, tmp_path) as application:
        for after in (0, 10, 35, 60, 200, 400, 5000):
            await reset(application, after)
        for garbage in (b"", b"\xff" * 1024, b"GET / HTTP/1.1\r\n\r\n", b"\x20\0\0" + bytes(32)):
            await say(application, garbage)
        await prove_nothing(application)
        async with meeting(application, "hypercore11"):
            pass


@pytest.mark.parametrize("wire", ["hypercore9", "hypercore11"])
async def test_the_generations_do_not_understand_each_other(wire: WireName) -> None:
    """Neither side of two real peers finishes a handshake, whichever side dials."""
    ours, theirs = GENERATIONS if wire == "hypercore9" else GENERATIONS[::-1]
    async with ours.open_peer() as dialler, theirs.open_peer() as answerer:
        await dialler.call("connect", port=answerer.port)
        async with open_node() as node:  # the answering side had time for this handshake, which came later
            await theirs.dial(node, answerer, "initiator")
            await answerer.wait_event("connection", publicKey=theirs.our_key(node).hex())
        assert len(answerer.happened("connection")) == 1
        assert not dialler.happened("connection")


async def test_on_a_stream_that_the_corestore_does_not_replicate_nobody_joins(tmp_path: Path) -> None:
    code = """
    const net = require('net')
    const SecretStream = require('@hyperswarm/secret-stream')
    const streams = []
    net.createServer(socket => {
      const stream = new SecretStream(false, socket).on('error', () => {})
      if (streams.push(stream) > 1) drive.corestore.replicate(stream)
    }).listen(4200)
    """
    async with (
        open_application("hypercore11", code, tmp_path) as application,
        open_node() as node,
        node.open_drive(application.key) as drive,
    ):
        await node.connect_tcp(HOST, application.port, wire="hypercore11")
        async with meeting(application, "hypercore11"):
            assert node.statistics().connections == 1
            assert not drive.peers


# hyperdrive 10


async def test_messages_that_a_receiver_does_not_take_end_the_connection() -> None:
    """`send` accepts them."""
    async with real_peer.open_real_peer() as sender, real_peer.open_real_peer() as receiver:
        await sender.call("connect", port=receiver.port)
        await sender.wait_event("connection", publicKey=receiver.public_key.hex())
        topic, heard = await sender.join("chat"), await receiver.join("chat")
        await topic.send(receiver.public_key, bytes(7 * MIB))
        assert len((await heard.receive())[1]) == 7 * MIB
        assert not receiver.happened("connection-closed")
        await topic.send_many(receiver.public_key, count=1, size=8 * MIB)
        await receiver.wait_event("connection-closed")


async def test_messages_to_a_peer_that_does_not_read_are_kept_in_memory() -> None:
    count = 128
    async with real_peer.open_real_peer(alone=True) as sender, real_peer.open_real_peer() as receiver:
        await sender.call("connect", port=receiver.port)
        await sender.wait_event("connection", publicKey=receiver.public_key.hex())
        topic = await sender.join("chat")
        await receiver.call("pauseSockets")
        before = (await sender.call("stats"))["rss"]
        sent = await topic.send_many(receiver.public_key, count=count, size=MIB)
        assert sent == digest(numbered(count, MIB))
        assert (await sender.call("stats"))["rss"] - before > count * MIB // 2


async def test_a_topic_joined_again_does_not_hear_peers_that_connect_later(tmp_path: Path) -> None:
    code = (
        TOPIC
        + """
    peersockets.join(name, heard)
    peersockets.leave(name)
    peersockets.join(name, heard)
    peersockets.join(name + ' fence', heard)
    """
    )
    async with (
        open_application("hypercore9", code, tmp_path) as application,
        meeting(application, "hypercore9") as (drive, chat, joined),
        drive.join("chat fence") as fence,
    ):
        await chat.send(joined.peer_id, b"lost")
        await fence.send(joined.peer_id, b"fence")
        assert await application.line() == "fence"


async def test_the_drives_object_for_a_peer_does_not_work(tmp_path: Path) -> None:
    """It differs from the networker's object, and `send` does not know it."""
    code = (
        TOPIC
        + """
    const topic = peersockets.join(name, heard)
    drive.on('peer-open', peer => {
      console.log([...networker.peers].includes(peer))
      try {
        topic.send(Buffer.from('to the drive\\'s'), peer)
      } catch {}
      const ours = [...networker.peers].find(ours => ours.remotePublicKey.equals(peer.remotePublicKey))
      topic.send(Buffer.from('to the networker\\'s'), ours)
    })
    """
    )
    async with (
        open_application("hypercore9", code, tmp_path) as application,
        meeting(application, "hypercore9") as (_, chat, _),
    ):
        assert await application.line() == "false"
        assert (await chat.receive()).message == b"to the networker's"


@pytest.mark.parametrize("hidden", [False, True])
async def test_a_loopback_socket_is_ignored_unless_its_address_is_hidden(
    tmp_path: Path, hidden: bool
) -> None:
    code = """
    const { Duplex } = require('stream')
    const hide = socket => Duplex.from({ readable: socket, writable: socket })
    networker.on('stream-opened', () => console.log('taken'))
    require('net').createServer(socket => {
      networker.swarm.emit('connection', socket, { client: false, deduplicate: () => false })
      console.log('seen')
    }).listen(4200)
    """
    if hidden:
        code = code.replace("'connection', socket", "'connection', hide(socket)")
    async with (
        open_application("hypercore9", code, tmp_path) as application,
        await trio.open_tcp_stream(HOST, application.port),
    ):
        assert await application.line() == ("taken" if hidden else "seen")


def manifest(path: str) -> Any:
    return json.loads((ROOT / "tests" / "interop" / "hypercore9" / path).read_text())


def test_the_named_packages() -> None:
    networker = manifest("node_modules/@corestore/networker/package.json")
    assert networker["dependencies"]["hyperswarm"].startswith("^2.")
    assert manifest("package.json")["overrides"] == {"noise-protocol": "3.0.1"}
    assert manifest("node_modules/noise-protocol/package.json")["version"] == "3.0.1"
