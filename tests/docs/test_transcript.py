"""The README's transcript of a chat is what a chat with a real hyperdrive 13 looks like."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from cli.real_drive import SEED, RealDrive, open_real_drive
from cli.terminal import Terminal, open_terminal

README = Path(__file__).parents[2] / "README.md"
TRANSCRIPT = re.compile(r"<!-- transcript: chat -->\n```text\n(.*?)\n```", re.DOTALL)
KEY = re.compile(r"\b([0-9a-f]{64}|[0-9a-f]{16}|[0-9a-f]{8})\b")
PORT = re.compile(r"\b127\.0\.0\.1:\d+")


@pytest.mark.interop
async def test_the_transcript_of_a_chat(tmp_path: Path) -> None:
    (tmp_path / "my.key").write_text(SEED)
    (tmp_path / "my.key").chmod(0o600)
    with trio.fail_after(60):
        async with open_real_drive("hypercore11") as real:
            told = await _chat(real, tmp_path / "my.key")
    match = TRANSCRIPT.search(README.read_text())
    assert match
    assert _without_chance(told) == _without_chance(match[1]), told


async def _chat(real: RealDrive, key_file: Path) -> str:
    address = f"127.0.0.1:{real.peer.port}"
    async with open_terminal(
        "chat", real.key.url, "--connect", address, "--key-file", str(key_file)
    ) as terminal:
        await terminal.until("joined on hypercore11\n>")
        await terminal.say("hello, who is there?")
        await real.topic.receive()
        await _say(real, terminal, "hello yourself, I am a hyperdrive 13")
        await terminal.say("/peers")
        await terminal.until("on hypercore11 at 127.0.0.1")
        await terminal.say("/to 1 nice to meet you")
        await real.topic.receive()
        await _say(real, terminal, "a message may have\nseveral lines, but no \x1b[31mred ones\x1b[0m")
        await real.peer.call("disconnect")
        await terminal.until("left")
        await terminal.say("/quit")
        assert await terminal.finish() == 0
        command = f"$ peersockets chat {real.key.url[:18]}... --connect {address} --key-file {key_file.name}"
        return "\n".join((command, *terminal.lines))


async def _say(real: RealDrive, terminal: Terminal, text: str) -> None:
    await real.topic.send(real.our_key, text.encode())
    await terminal.until(text.partition("\n")[2].partition("\x1b")[0] or text)


def _without_chance(transcript: str) -> str:
    """A transcript without what differs from run to run."""
    command, _, rest = PORT.sub("ADDRESS", transcript).partition("\n")
    return re.sub(r"hyper://\S+", "DRIVE", command) + "\n" + KEY.sub("KEY", rest)
