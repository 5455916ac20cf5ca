"""The line protocol of the Node peers (../interop/hypercore9/lines.js) for a program of ours."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import trio

from peersockets_trio import PeersocketsError

Result = dict[str, Any]


def say(**line: object) -> None:
    """Print a line."""
    print(json.dumps(line), flush=True)


async def serve(open_host: Callable[[trio.Nursery], object]) -> None:
    """Run the commands on stdin as methods of a host, concurrently, until stdin ends."""
    async with trio.open_nursery() as nursery:
        host = open_host(nursery)
        pending = b""
        async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
            async for chunk in stdin:
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    request = json.loads(line)
                    nursery.start_soon(_answer, host, request.pop("id"), request.pop("command"), request)
        nursery.cancel_scope.cancel()


async def _answer(host: object, id: int, command: str, parameters: Result) -> None:
    try:
        result: Result | None = await getattr(host, command)(**parameters)
    except (PeersocketsError, OSError, trio.BrokenResourceError) as error:
        say(id=id, error=f"{type(error).__name__}: {error}")
    else:
        say(id=id, result=result or {})
