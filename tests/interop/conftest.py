"""Fixtures: one of our nodes, a real peer, and a drive on which they meet."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any, Final

import pytest
import trio

from interop.real_peer import RealPeer, Role, meet, open_real_peer
from peersockets_trio import Drive, Node, open_node

TEST_TIME: Final = 300.0 + float(os.environ.get("PEERSOCKETS_SLEEP", 0))
"""Seconds after which a test counts as hanging. The variable is that of `nat/test_roaming.py`."""


def pytest_itemcollected(item: pytest.Item) -> None:
    if isinstance(item, pytest.Function) and iscoroutinefunction(item.obj):
        item.add_marker(pytest.mark.trio(run=run_in_time))


def run_in_time(test: Callable[..., Awaitable[object]], *arguments: object, **options: Any) -> None:
    """Run a test with pytest-trio, in bounded time."""

    async def test_in_time() -> None:
        with trio.fail_after(TEST_TIME):
            await test(*arguments)

    trio.run(test_in_time, **options)


@pytest.fixture(params=["initiator", "responder"])
def role(request: pytest.FixtureRequest) -> Role:
    value: Role = request.param
    return value


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    async with open_node() as node:
        yield node


@pytest.fixture
async def peer() -> AsyncIterator[RealPeer]:
    async with open_real_peer() as peer:
        yield peer


@pytest.fixture
async def stranger() -> AsyncIterator[RealPeer]:
    """A real peer that does not know the drive."""
    async with open_real_peer() as stranger:
        yield stranger


@pytest.fixture
async def drive(node: Node, peer: RealPeer) -> AsyncIterator[Drive]:
    """A drive that the real peer has written to."""
    created = await peer.call("createDrive")
    async with node.open_drive(created["key"]) as drive:
        yield drive


@pytest.fixture
async def network(node: Node, drive: Drive) -> AsyncIterator[Drive]:
    """The same drive with npm peersockets' topics."""
    async with node.open_drive(drive.key, topic_scope="network") as network:
        yield network


@pytest.fixture
async def member(node: Node, drive: Drive, peer: RealPeer, role: Role) -> int:
    """The peer's id, after the two have met on the drive."""
    return await meet(node, drive, peer, role)
