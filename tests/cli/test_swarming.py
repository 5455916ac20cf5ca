"""The output of commands during a search in the DHT, and their explanation when they find nobody."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from peersockets_trio import DriveKey, open_node
from peersockets_trio.cli.swarming import MEETING_TIME, SwarmReport, explain_absence
from peersockets_trio.testing import connect_nodes

DRIVE = DriveKey(b"d" * 32)
HOST = "127.0.0.1"
NOBODY = (HOST, 9)

TOPIC, KEY, OTHER = b"t" * 32, b"a" * 32, b"b" * 32


class Heard:
    def __init__(self) -> None:
        self.announced: list[int] = []
        self.found: list[bytes] = []
        self.report = SwarmReport(self.announced.append, self.found.append)


def test_an_announcement_and_each_key_are_shown_once() -> None:
    heard = Heard()
    for nodes in (0, 3, 5):
        heard.report.topic_announced(TOPIC, nodes)
    for key in (KEY, OTHER, KEY):
        heard.report.peer_found(TOPIC, key)
    assert heard.announced[-1:] == [3]
    assert heard.found == [KEY, OTHER]


def test_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    report = SwarmReport()
    report.topic_announced(TOPIC, 1)
    report.peer_found(TOPIC, KEY)
    shown = capsys.readouterr().err
    assert "announced at 1 node of the DHT\n" in shown
    assert f"found {KEY.hex()[:8]}" in shown


def test_the_reasons_why_nobody_came() -> None:
    report = Heard().report
    assert report.explain(0) == "no node of the DHT has answered"
    assert report.explain(5) == "the DHT knows no other peer that announces this drive"
    report.peer_found(TOPIC, KEY)
    assert report.explain(5) == "found 1 peer in the DHT"
    report.peer_found(TOPIC, OTHER)
    report.connection_failed(None, "hypercore11", OSError("out of reach"))
    assert report.explain(5) == "found 2 peers in the DHT; the last failure: out of reach"


async def test_an_absence_is_explained_once_and_in_time(autojump_clock: trio.testing.MockClock) -> None:
    shown: list[str] = []
    report = SwarmReport()
    async with (
        open_node(instruments=[report]) as node,
        node.open_swarm(bootstrap=[NOBODY], host=HOST) as swarm,
        node.open_drive(DRIVE) as drive,
    ):
        began = trio.current_time()
        await explain_absence(drive, swarm, report, shown.append)
        assert trio.current_time() - began >= MEETING_TIME
    assert shown == ["nobody is there after 10 seconds (no node of the DHT has answered); still looking"]


async def test_a_peer_that_comes_needs_no_explanation() -> None:
    shown: list[str] = []
    async with (
        open_node() as node,
        open_node() as other,
        node.open_swarm(bootstrap=[NOBODY], host=HOST) as swarm,
        node.open_drive(DRIVE) as drive,
        other.open_drive(DRIVE),
    ):
        await connect_nodes(node, other)
        await explain_absence(drive, swarm, SwarmReport(), shown.append)
    assert shown == []
