"""Invariant: whatever a line of input holds, `pipe` answers with at most one line of JSON, and continues.

An input is the lines of a session that has two topics and no peers. Dialling does nothing.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

import trio
import trio.testing

from fuzz.support import KEYS, bounded_work
from peersockets_core import KeyPair
from peersockets_trio import Node, open_node
from peersockets_trio.cli.ending import Ending
from peersockets_trio.cli.lines import Output
from peersockets_trio.cli.options import NodeOptions
from peersockets_trio.cli.pipe import Session
from peersockets_trio.cli.pipe_commands import parse

CALLS: Final = 1500
CALLS_PER_BYTE: Final = 50
OVERHEAD: Final = 4096
"""Bytes of an answer besides the repeated command, in which an escape may turn any byte into six."""
_EVENTS: Final = {"error", "peers", "stats"}

_OPTIONS: Final = NodeOptions(
    topics=("chat", "é"),
    listen=(),
    connect=(),
    wire="hypercore11",
    topic_scope="drive",
    allow=(),
    swarm=False,
    bootstrap=(),
    announce=True,
    relay_through=None,
    key_pair=KeyPair.from_seed(bytes(32)),
)


class _Offline:
    """A node that cannot dial."""

    def __init__(self, node: Node) -> None:
        self.statistics = node.statistics
        self.disconnect = node.disconnect

    async def connect_tcp(self, host: str, port: int, *, wire: str) -> None:
        raise OSError(f"{host}:{port} is not dialled")


def _check_parse(line: bytes) -> None:
    """Check that a line is refused with `ValueError`, or is an object that can be written as JSON again."""
    try:
        command = parse(line)
    except ValueError:
        return
    assert isinstance(command, dict)
    try:
        again = json.dumps(command, allow_nan=False)
    except RecursionError:
        return
    assert json.loads(again) == command


def _strictly(line: bytes) -> Any:
    return json.loads(line, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


async def _session(lines: list[bytes]) -> None:
    output = Output(Ending())
    async with open_node() as node, node.open_drive(KEYS[0]) as drive, trio.open_nursery() as nursery:
        session = Session(cast(Node, _Offline(node)), drive, _OPTIONS, output, nursery, nursery)
        for topic in _OPTIONS.topics:
            await session.join({"topic": topic})
        for line in lines:
            await session.obey(line)
            await trio.testing.wait_all_tasks_blocked()
            _check_output(output, line)
        nursery.cancel_scope.cancel()


def _check_output(output: Output, line: bytes) -> None:
    written, output.pieces = output.pieces, []
    assert len(written) <= 1
    for answer in written:
        assert answer.endswith(b"\n")
        assert answer.count(b"\n") == 1
        assert len(answer) <= OVERHEAD + 12 * len(line)
        assert _strictly(answer)["event"] in _EVENTS


def run(data: bytes) -> None:
    """Play an input."""
    lines = [line for line in data.split(b"\n") if line.strip()][:16]
    for line in lines:
        _check_parse(line)
    with bounded_work(lambda: CALLS * (1 + len(lines)) + CALLS_PER_BYTE * len(data)):
        trio.run(_session, lines)
