"""The README's transcript of a chat matches a chat with a real Hyperswarm application."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from cli.real_drive import SEED
from cli.support import COMMAND
from cli.terminal import Terminal, open_terminal
from interop.real_peer import HOST, RealPeer, RealTopic
from interop.swarm_peers import join, open_application, open_dht_network
from peersockets_trio import DriveKey

README = Path(__file__).parents[2] / "README.md"
TRANSCRIPT = re.compile(r"<!-- transcript: chat -->\n```text\n(.*?)\n```", re.DOTALL)
KEY = re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{8})\b")
PORT = re.compile(r"\b127\.0\.0\.1:\d+")


@pytest.mark.interop
async def test_the_transcript_of_a_chat(tmp_path: Path) -> None:
    (tmp_path / "my.key").write_text(SEED)
    (tmp_path / "my.key").chmod(0o600)
    with trio.fail_after(120):
        async with open_dht_network(3) as network, open_application(network) as application:
            transcript = await _chat(application, f"{HOST}:{network.ports[0]}", tmp_path / "my.key")
    match = TRANSCRIPT.search(README.read_text())
    assert match
    assert _without_chance(transcript) == _without_chance(match[1]), transcript


async def _chat(application: RealPeer, bootstrap: str, key_file: Path) -> str:
    """Talk to an application that knows only the drive's key, on another network."""
    created = await application.call("createDrive")
    key = DriveKey.parse(created["key"])
    await join(application, key.discovery_key, flush=True)
    handle = await application.call("joinTopic", drive=created["key"], topic="chat")
    topic = RealTopic(application, handle["handle"])
    command = ("/usr/bin/env", f"PEERSOCKETS_BOOTSTRAP={bootstrap}", *COMMAND)
    async with open_terminal("chat", key.url, "--key-file", str(key_file), command=command) as terminal:
        await terminal.until("joined on hypercore11")
        await terminal.until("of the DHT\n")
        await terminal.say("hello, who is there?")
        our_key, _ = await topic.receive()
        await _say(topic, our_key, terminal, "hello yourself, I am a Hyperswarm application")
        await terminal.say("/peers")
        await terminal.until("on hypercore11 at 127.0.0.1")
        await terminal.say("/to 1 nice to meet you")
        await topic.receive()
        await _say(
            topic, our_key, terminal, "a message may have\nseveral lines, but no \x1b[31mred ones\x1b[0m"
        )
        await application.call("closeSwarm")
        await terminal.until("left")
        await terminal.say("/quit")
        assert await terminal.finish() == 0
        shown = f"$ peersockets chat {key.url[:18]}... --key-file {key_file.name}"
        return "\n".join((shown, *terminal.lines))


async def _say(topic: RealTopic, our_key: bytes, terminal: Terminal, text: str) -> None:
    await topic.send(our_key, text.encode())
    await terminal.until(text.partition("\n")[2].partition("\x1b")[0] or text)


def _without_chance(transcript: str) -> str:
    """Return a transcript without the parts that differ from run to run. The first notices come in
    any order.
    """
    command, *lines = PORT.sub("ADDRESS", transcript).splitlines()
    first = next(at for at, line in enumerate(lines) if line.startswith(">"))
    rest = re.sub("left: .*", "left", KEY.sub("KEY", "\n".join(lines))).splitlines()
    rest[:first] = sorted(rest[:first])
    return "\n".join((re.sub(r"hyper://\S+", "DRIVE", command), *rest))
