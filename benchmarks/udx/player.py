"""The parts of a Python process with a role that `ours` and `bare` share."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

import attrs
import trio

from ..process import Report, arguments, resident, say

HOST: Final = "127.0.0.1"
WARM_UP: Final = 300
"""Round trips that are not counted, at the beginning."""
AT_ONCE: Final = 64
"""Streams that are opened side by side."""


@attrs.define
class Player:
    """The address of the other side, and the report of this one."""

    options: Report
    nursery: trio.Nursery
    remote: tuple[str, int] = (HOST, 0)
    finished: trio.Event = attrs.field(factory=trio.Event)
    report: Report = attrs.field(factory=dict)

    def finish(self, **report: float) -> None:
        """Report a server's result."""
        self.report.update(report)
        self.finished.set()


P = TypeVar("P", bound=Player)
Roles = Mapping[str, Callable[[P], Awaitable[None]]]


async def play(player: P, port: int, servers: Roles[P], clients: Roles[P]) -> None:
    """Play a role until the input ends."""
    role, _ = arguments()
    say({"port": port})
    questions = trio.lowlevel.FdStream(os.dup(0))
    while question := await questions.receive_some():
        word, *values = question.split()
        if word == b"connect":
            player.remote = (HOST, int(values[0]))
            if player.options["side"] == "server":
                player.nursery.start_soon(servers[role], player)
            say({})
        elif word == b"run":
            await clients[role](player)
            say({name: value for name, value in player.report.items() if name != "streams"})
        elif word == b"result":
            await player.finished.wait()
            say({name: value for name, value in player.report.items() if name != "streams"})
        else:
            say(resident())
    os._exit(0)
