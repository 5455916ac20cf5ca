"""A chat in a terminal, and the other member of its drive."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cli.support import ANY_PORT, KEY, Pipe, pipe
from cli.terminal import Terminal, open_terminal


@asynccontextmanager
async def chatting(*options: str, columns: int = 100) -> AsyncIterator[tuple[Terminal, Pipe, str]]:
    """A chat in a terminal, a pipe as the other member, and the chat's name for it."""
    async with pipe("--listen", ANY_PORT, "--topic", "chat", *options) as bob:
        arguments = ("chat", KEY.url, "--connect", bob.address, *options)
        async with open_terminal(*arguments, columns=columns) as terminal:
            name = f"1 ({bob.ready['publicKeys']['hypercore11'][:8]})"
            await terminal.until(f"* {name} joined on hypercore11")
            await bob.hear_until("join")
            yield terminal, bob, name


async def say(bob: Pipe, *messages: bytes, topic: str = "chat") -> None:
    for message in messages:
        encoded = base64.b64encode(message).decode()
        await bob.say({"command": "broadcast", "topic": topic, "message": encoded})


async def heard(bob: Pipe) -> str:
    text: str = (await bob.hear_until("message"))["text"]
    return text
