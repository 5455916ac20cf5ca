"""Two `pipe`s whose line goes dead without a sign, one of them with options of ours.

Run in a network namespace of its own: it takes loopback up and down. Prints the event of the other's leave.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from cli.support import ANY_PORT, Pipe, pipe

SIZE = 1000
"""Bytes of the message that is sent when the line is dead."""


def loopback(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def talk(alice: Pipe) -> None:
    message = base64.b64encode(bytes(SIZE)).decode()
    await alice.say({"command": "broadcast", "topic": "chat", "message": message})


async def main(*arguments: str) -> None:
    wire, *options = arguments
    loopback("up")
    async with (
        pipe("--listen", ANY_PORT, "--topic", "chat", *options) as alice,
        pipe("--connect", alice.address, "--topic", "chat", "--wire", wire) as bob,
    ):
        await alice.hear_until("join")
        await talk(alice)
        await bob.hear_until("message")
        loopback("down")
        await talk(alice)
        print(json.dumps(await alice.hear_until("leave")), flush=True)


if __name__ == "__main__":
    trio.run(main, *sys.argv[1:])
