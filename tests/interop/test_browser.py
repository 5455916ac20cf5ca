"""A page behind the gateway, together with real peers of both generations."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapter.browser.support import Site, open_page
from interop import hyperdrive13, real_peer
from interop.real_peer import RealTopic
from peersockets_core import KeyPair, WireName
from peersockets_trio import open_node
from peersockets_trio.browser import open_gateway, token_of

pytestmark = pytest.mark.interop


async def test_a_page_talks_to_both_generations_at_once(tmp_path: Path) -> None:
    async with (
        real_peer.open_real_peer() as elder,
        hyperdrive13.open_real_peer() as younger,
        open_node() as node,
    ):
        key = (await younger.call("createDrive"))["key"]
        drive = node.open_drive(key)
        token = token_of(KeyPair(bytes(32)), drive.key)
        elders = await elder.join("chat", webapp=drive.key.discovery_key.hex())
        joined = await younger.call("joinTopic", drive=drive.key.public_key.hex(), topic="chat")
        youngers = RealTopic(younger, joined["handle"])
        async with (
            open_gateway(node, drive, token=token, folder=tmp_path) as gateway,
            open_page(Site(gateway.url)) as page,
        ):
            await page.say("join", 1, "chat")
            await page.say("watch", 2)
            wires: tuple[WireName, ...] = ("hypercore9", "hypercore11")
            peers = ((elder, elders, real_peer.meet), (younger, youngers, hyperdrive13.meet))
            for name, (peer, topic, meet) in zip(wires, peers, strict=True):
                await meet(node, drive, peer, "initiator")
                number = (await page.until(2, "join"))[2]
                assert page.peers[number] == (peer.public_key.hex(), name)
                assert number == len(page.peers)
                ours = node.public_keys[name]
                for message in (b"", b"\x00\xff", bytes(range(256)) * 4000):
                    await page.send(1, number, message)
                    assert await topic.receive() == (ours, message)
                    await topic.send(ours, message)
                    assert await page.message() == (1, number, message)
            # Each peer gets its own message.
            await page.send_batch((1, 1, b"to the elder"), (1, 2, b"to the younger"), (1, 1, b"again"))
            ours9, ours11 = node.public_keys["hypercore9"], node.public_keys["hypercore11"]
            assert await elders.receive() == (ours9, b"to the elder")
            assert await elders.receive() == (ours9, b"again")
            assert await youngers.receive() == (ours11, b"to the younger")
