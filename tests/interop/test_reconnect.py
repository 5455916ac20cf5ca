"""Staying connected to a real peer of either generation that is killed and comes back."""

import pytest

from interop.generations import GENERATIONS, Generation
from interop.real_peer import HOST
from peersockets_trio import Backoff, Connected, DriveKey, PeerJoined, PeerLeft, open_node
from ports import unused_port

SEED = bytes(range(32)).hex()
KEY = DriveKey(bytes(range(32)))

pytestmark = [
    pytest.mark.interop,
    pytest.mark.parametrize("real", GENERATIONS, ids=lambda real: real.wire),
]


async def test_a_real_peer_that_is_killed_and_comes_back_has_its_old_id(real: Generation) -> None:
    port = unused_port()  # nobody takes this port while the peer is away
    quick = Backoff(first=0.05, longest=0.2)
    async with open_node() as node, node.open_drive(KEY) as drive, drive.watch() as events:
        kept = None
        for _ in range(3):
            async with real.open_peer(seed=SEED, port=port) as peer:
                await peer.call("openDrive", key=KEY.public_key.hex())
                if kept is None:
                    kept = node.keep_connected((HOST, port), wire=real.wire, backoff=quick)
                while not isinstance(await kept.receive(), Connected):
                    pass
                assert await events.receive() == PeerJoined(1, peer.public_key, real.wire)
                await peer.wait_event(
                    "peer-add", drive=KEY.public_key.hex(), publicKey=real.our_key(node).hex()
                )
                await real.both_ways(node, drive, peer, 1)
                await peer.process.kill()
                left = await events.receive()
                assert isinstance(left, PeerLeft)
                assert left.peer_id == 1
        assert kept is not None
        assert kept.connected is None
