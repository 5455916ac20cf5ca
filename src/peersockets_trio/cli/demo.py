"""`peersockets demo`: two nodes on this machine meet on a drive."""

from __future__ import annotations

import os
from typing import Final

import click
import trio

from peersockets_core import WIRES, Address, DriveKey, PeerJoined, PeerLeft, WireName

from ..node import Node, open_node
from . import streams
from .ending import Ending, run

_TIME: Final = 30.0
_HOST: Final = "127.0.0.1"


@click.command()
def demo() -> int:
    """Show two peers on this machine that join, send messages both ways, and leave.

    They meet at an address on each wire, and then through a DHT of their own, where they only know a drive's
    key.

    The demo needs nothing but this package. The exit status is 0 only if everything happened.
    """
    return run(_demo)


async def _demo(ending: Ending) -> int:
    with ending.unless_asked():
        try:
            with trio.fail_after(_TIME):
                for wire in WIRES:
                    await _meet(wire)
                await _meet_in_swarm()
        except trio.TooSlowError:
            raise click.ClickException(f"the peers did not finish within {_TIME:g} seconds") from None
        streams.say("It works.")
    return ending.unfinished


async def _meet(wire: WireName) -> None:
    """Let two nodes meet at an address."""
    key = DriveKey(os.urandom(32))
    streams.say(f"Alice opens drive {key} and listens.")
    async with open_node() as alice, trio.open_nursery() as nursery:
        (listener,) = await alice.listen_tcp(0, host=_HOST)
        nursery.start_soon(_visit, key, listener.address, wire)
        await _receive_visit(alice, key, wire)


async def _meet_in_swarm() -> None:
    """Let two nodes meet that only know the drive's key."""
    key = DriveKey(os.urandom(32))
    async with open_node() as first, first.open_swarm(bootstrap=(), host=_HOST) as network:
        bootstrap = (network.bound_address,)
        streams.say(f"A DHT of our own begins at {Address(*bootstrap[0])}.")
        async with (
            open_node() as alice,
            alice.open_swarm(bootstrap=bootstrap, host=_HOST) as swarm,
            trio.open_nursery() as nursery,
        ):
            await swarm.join(key).flushed()
            streams.say(f"Alice announces drive {key} in it.")
            nursery.start_soon(_visit_through_swarm, key, bootstrap)
            await _receive_visit(alice, key, "hypercore11")


async def _receive_visit(alice: Node, key: DriveKey, wire: WireName) -> None:
    """Wait for a peer, talk with it, and see it leave."""
    async with alice.open_drive(key) as drive, drive.watch() as events, drive.join("chat") as chat:
        joined = await events.receive()
        _expect(isinstance(joined, PeerJoined), f"a peer joined, not {joined}")
        streams.say(f"Alice sees peer {joined.peer_id} join on {wire}, key {joined.public_key.hex()[:8]}.")
        await chat.send(joined.peer_id, b"hello, who is there?")
        answer = await chat.receive()
        _expect(answer.peer_id == joined.peer_id, "the answer comes from the peer that joined")
        _expect(answer.message == b"it is Bob", "the answer is Bob's")
        streams.say(f"Alice hears from peer {answer.peer_id}: {answer.message.decode()}")
        left = await events.receive()
        _expect(isinstance(left, PeerLeft) and left.peer_id == joined.peer_id, "the peer left")
        streams.say(f"Alice sees peer {left.peer_id} leave.")


async def _visit(key: DriveKey, address: Address, wire: WireName) -> None:
    async with open_node() as bob:
        await bob.connect_tcp(*address, wire=wire)
        streams.say(f"Bob connects to {address} and opens the drive.")
        await _answer(bob, key)


async def _visit_through_swarm(key: DriveKey, bootstrap: tuple[tuple[str, int], ...]) -> None:
    async with open_node() as bob, bob.open_swarm(bootstrap=bootstrap, host=_HOST) as swarm:
        swarm.join(key)
        streams.say("Bob looks for the drive in it, and knows no address of a peer.")
        await _answer(bob, key)


async def _answer(bob: Node, key: DriveKey) -> None:
    async with bob.open_drive(key) as drive, drive.join("chat") as chat:
        question = await chat.receive()
        streams.say(f"Bob hears from peer {question.peer_id}: {question.message.decode()}")
        await chat.send(question.peer_id, b"it is Bob")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise click.ClickException(f"expected that {what}")
