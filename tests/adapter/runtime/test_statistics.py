"""The figures of a node. `test_instruments.py` tests the counters as a user sees them."""

from __future__ import annotations

import pytest
from trio.testing import wait_all_tasks_blocked

from peersockets_trio import UnknownPeer
from peersockets_trio.testing import open_node_pair


async def test_the_counters_of_a_node_that_has_met_another() -> None:
    async with open_node_pair() as (alice, bob), alice.drive.join("chat") as said:
        before = alice.node.statistics()
        assert (before.connections, before.handshaking) == (1, 0)
        assert (before.drives, before.members, before.peer_ids) == (1, 1, 1)
        async with bob.drive.join("chat") as heard:
            await wait_all_tasks_blocked()
            await said.send(alice.peer_id, b"hello")
            await wait_all_tasks_blocked()
            assert alice.node.statistics().messages_sent == 1
            assert alice.node.statistics().unsent_bytes == 0
            waiting = bob.node.statistics()
            assert (waiting.messages_received, waiting.waiting_messages, waiting.waiting_bytes) == (1, 1, 5)
            await heard.receive()
        assert bob.node.statistics().waiting_messages == 0
        assert bob.node.statistics().bytes_received == alice.node.statistics().bytes_sent


async def test_the_facts_about_a_peer() -> None:
    async with open_node_pair() as (alice, bob):
        info = alice.node.peer(alice.peer_id)
        assert info.public_key == bob.node.public_keys["hypercore11"]
        assert (info.drives, info.unsent, info.address) == ((alice.drive.key,), 0, None)
        with pytest.raises(UnknownPeer):
            alice.node.peer(99)
