"""`peersockets demo`: two nodes meet on a drive, on this machine."""

from __future__ import annotations

import os

import click
import trio

from peersockets_core import WIRES, Address, DriveKey, PeerJoined, PeerLeft, WireName

from ..node import open_node
from . import streams
from .ending import Ending, run

_TIME = 30.0


@click.command()
def demo() -> int:
    """Show two peers on this machine: joining, messages both ways, leaving.

    Needs nothing but this package. Exits with 0 only if all of it happened.
    """
    return run(_demo)


async def _demo(ending: Ending) -> int:
    with ending.unless_asked():
        try:
            with trio.fail_after(_TIME):
                for wire in WIRES:
                    await _meet(wire)
        except trio.TooSlowError:
            raise click.ClickException(f"the peers did not finish within {_TIME:g} seconds") from None
        streams.say("It works.")
    return ending.unfinished


async def _meet(wire: WireName) -> None:
    key = DriveKey(os.urandom(32))
    streams.say(f"Alice opens drive {key} and listens.")
    async with (
        open_node() as alice,
        alice.open_drive(key) as drive,
        drive.watch() as events,
        drive.join("chat") as chat,
    ):
        (listener,) = await alice.listen_tcp(0, host="127.0.0.1")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_visit, key, listener.address, wire)
            joined = await events.receive()
            _expect(isinstance(joined, PeerJoined), f"a peer joined, not {joined}")
            streams.say(
                f"Alice sees peer {joined.peer_id} join on {wire}, key {joined.public_key.hex()[:8]}."
            )
            await chat.send(joined.peer_id, b"hello, who is there?")
            answer = await chat.receive()
            _expect(answer.peer_id == joined.peer_id, "the answer comes from the peer that joined")
            _expect(answer.message == b"it is Bob", "the answer is Bob's")
            streams.say(f"Alice hears from peer {answer.peer_id}: {answer.message.decode()}")
            left = await events.receive()
            _expect(isinstance(left, PeerLeft) and left.peer_id == joined.peer_id, "the peer left")
            streams.say(f"Alice sees peer {left.peer_id} leave.")


async def _visit(key: DriveKey, address: Address, wire: WireName) -> None:
    async with open_node() as bob, bob.open_drive(key) as drive, drive.join("chat") as chat:
        await bob.connect_tcp(*address, wire=wire)
        streams.say(f"Bob connects to {address} and opens the drive.")
        question = await chat.receive()
        streams.say(f"Bob hears from peer {question.peer_id}: {question.message.decode()}")
        await chat.send(question.peer_id, b"it is Bob")


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise click.ClickException(f"expected that {what}")
