"""`peersockets send`: sends one message; the exit status says whether it has left."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Final

import attrs
import click
import trio

from peersockets_core import DriveKey, PeerEvent, PeerLeft
from peersockets_core.info import ConnectionInfo

from ..drive import Drive
from ..node import Node
from ..reconnect import Connected, KeptConnection
from ..swarm import Discovery, Swarm
from ..watch import PeerEvents
from . import log, streams
from .ending import Ending, run
from .options import PEER, SECONDS, NodeOptions, drive_argument, node_options
from .swarming import SwarmReport
from .text import UNREACHABLE, short_name

_MOST: Final = 16 * 1024 * 1024
"""Bytes. No wire carries a message as large as this."""
_LARGE: Final = 64 * 1024
"""Bytes from which sending takes long enough for a progress bar."""
_LOOK: Final = 0.05
"""Seconds between two looks at the unsent bytes."""


@attrs.frozen
class _Order:
    """The message, and its receivers."""

    topic: str
    target: int | bytes | None
    """A peer id, a public key, or None for all members."""
    wait: float
    message: bytes


@click.command()
@drive_argument
@click.argument("message")
@click.option("--to", metavar="ID|KEY", type=PEER, help="Send to this peer, by id or public key.")
@click.option("--all", "everybody", is_flag=True, help="Send to every member.")
@click.option(
    "--wait",
    metavar="SECONDS",
    type=SECONDS,
    default=10.0,
    show_default=True,
    help="How long to wait for a peer to join, and then for it to take more of the message.",
)
@node_options
def send(
    drive: DriveKey, message: str, to: int | bytes | None, everybody: bool, wait: float, options: NodeOptions
) -> int:
    """Send one message on a topic of DRIVE, as soon as the peer is there.

    MESSAGE is text; - stands for the content of stdin, @FILE for the content of a file, and @@ for an @ at
    the beginning of text. --all sends to all members. It first waits for every peer at --connect, and for
    every peer that the first search in the DHT finds, but no longer than --wait.

    The exit status is 0 if all of the message has left, and 1 if no peer joined in time or a peer did not
    take the message. After Ctrl-C or SIGTERM, a message that has begun to leave still leaves; otherwise the
    exit status is 130 or 143.

    \b
    Examples:
        peersockets send DRIVE --topic chat --all hello --connect 127.0.0.1:4200
        peersockets send DRIVE --topic files --to KEY @photo.jpg --connect 127.0.0.1:4200
        date | peersockets send DRIVE --topic chat --to 1 - --listen 127.0.0.1:4200 --wait 60
    """
    if len(options.topics) != 1:
        raise click.UsageError("give exactly one --topic")
    if (to is not None) == everybody:
        raise click.UsageError("give exactly one of --to and --all")
    log.without_warnings()
    order = _Order(options.topics[0], to, wait, _read(message))
    return run(_run, drive, options, order)


async def _run(ending: Ending, key: DriveKey, options: NodeOptions, order: _Order) -> int | None:
    if not options.reachable:
        raise click.ClickException(f"{UNREACHABLE}; nothing was sent")
    report = SwarmReport()
    async with options.open_node(report) as node, options.open_swarm(ending, node) as swarm:
        drive = node.open_drive(key, topic_scope=options.topic_scope)
        topic = drive.join(order.topic, overflow="drop_newest")
        leaves = _Leaves(drive.watch())
        accepted = False
        with ending.unless_asked():
            options.show_listening(await options.start(node))
            peer_ids = await _meet(_Meeting(node, drive, swarm, report, options, order.target), order)
            with _in_time(order.wait, "the message was not accepted"):
                if order.target is None:
                    await topic.broadcast(order.message)
                else:
                    await topic.send(peer_ids[0], order.message)
            accepted = True
            await _leave(node, peer_ids, leaves, order)
        if not accepted:
            streams.complain(f"ended by {ending.name}; nothing was sent")
            return ending.unfinished
        await node.finish()
        leaves.check(peer_ids)
    return None


# The message


def _read(argument: str) -> bytes:
    """Return the message that the argument stands for. Raises `click.ClickException` for a file that cannot
    be read.
    """
    if argument == "-":
        message = sys.stdin.buffer.read(_MOST + 1)
    elif argument.startswith("@@"):
        message = _encode(argument[1:])
    elif argument.startswith("@"):
        message = _read_file(argument[1:])
    else:
        message = _encode(argument)
    if len(message) > _MOST:
        raise click.ClickException(
            f"the message is over {_MOST} bytes, which no wire carries; nothing was sent"
        )
    return message


def _read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as source:
            return source.read(_MOST + 1)
    except OSError as error:
        raise click.FileError(path, error.strerror) from None
    except ValueError as error:  # for example, a path with a null character
        raise click.FileError(path, str(error)) from None


def _encode(text: str) -> bytes:
    return text.encode(errors="surrogateescape")  # the bytes of the shell, unchanged


# The receivers


async def _meet(meeting: _Meeting, order: _Order) -> list[int]:
    """Connect, and wait for the receivers of the message; returns their ids."""
    with trio.move_on_after(order.wait):
        await meeting.run()
    peer_ids = meeting.present
    if not peer_ids:
        who = "nobody was" if order.target is None else f"peer {_spell(order.target)} was not"
        raise click.ClickException(
            f"{who} there within {order.wait:g} seconds{meeting.explain()}; nothing was sent"
        )
    return peer_ids


class _Meeting:
    """The wait until the receivers of the message have joined."""

    def __init__(
        self,
        node: Node,
        drive: Drive,
        swarm: Swarm | None,
        report: SwarmReport,
        options: NodeOptions,
        target: int | bytes | None,
    ) -> None:
        self._node = node
        self._swarm = swarm
        self._report = report
        self._discovery = options.join(swarm, drive)
        self._searched = self._discovery is None
        self._drive = drive
        self._target = target
        # An address that is given twice counts once.
        self._kept = [
            node.keep_connected((at.host, at.port), wire=options.wire)
            for at in dict.fromkeys(options.connect)
        ]
        self._failures: dict[KeptConnection, str] = {}
        self._changed = trio.lowlevel.ParkingLot()

    async def run(self) -> None:
        """Wait until all receivers have joined."""
        async with self._drive.watch() as events, trio.open_nursery() as nursery:
            for kept in self._kept:
                nursery.start_soon(self._follow, kept)
            nursery.start_soon(self._watch, events)
            if self._discovery is not None:
                nursery.start_soon(self._search, self._discovery)
            while not self._complete:
                await self._changed.park()
            nursery.cancel_scope.cancel()

    def explain(self) -> str:
        """Return why no receiver has joined, as far as that is known."""
        failures = [f" ({text})" for text in self._failures.values()]
        connected = [
            f"{kept.address} is connected, but does not have the drive open"
            for kept in self._kept
            if kept.connected is not None and not self._is_member(kept.connected)
        ]
        strangers = self._node.statistics().connections - len(self._drive.peers)
        if strangers and not connected:
            verbs = "is connected, but does" if strangers == 1 else "are connected, but do"
            connected = [
                f"{strangers} {'peer' if strangers == 1 else 'peers'} {verbs} not have the drive open"
            ]
        searched = (
            [] if self._swarm is None else [f" ({self._report.explain(self._swarm.statistics().nodes)})"]
        )
        return "".join(f": {text}" for text in connected[:1]) + "".join(failures + searched)

    @property
    def present(self) -> list[int]:
        """The ids of the receivers that have joined."""
        return _present(self._drive, self._target)

    @property
    def _complete(self) -> bool:
        """Whether the target has joined; or, for all members, every peer at --connect. Several addresses may
        belong to one peer.
        """
        there = _present(self._drive, self._target)
        if self._target is not None:
            return bool(there)
        infos = [kept.connected for kept in self._kept]
        connected = all(info is not None and self._is_member(info) for info in infos)
        return bool(there) and connected and self._searched

    def _is_member(self, info: ConnectionInfo) -> bool:
        peers = self._drive.peers.values()
        return any(peer.public_key == info.public_key and peer.wire == info.wire for peer in peers)

    async def _follow(self, kept: KeptConnection) -> None:
        async for event in kept:
            if isinstance(event, Connected):
                self._failures.pop(kept, None)
            elif event.error is not None:
                self._failures[kept] = f"{kept.address}: {event.reason}"
            self._changed.unpark_all()

    async def _search(self, discovery: Discovery) -> None:
        await discovery.flushed()
        self._searched = True
        self._changed.unpark_all()

    async def _watch(self, events: PeerEvents) -> None:
        async for _ in events:
            self._changed.unpark_all()


def _present(drive: Drive, target: int | bytes | None) -> list[int]:
    """Return the ids of the receivers that have joined. One identity has a different key on each wire."""
    return [peer.peer_id for peer in drive.peers.values() if target in (None, peer.peer_id, peer.public_key)]


def _spell(target: int | bytes) -> str:
    return target.hex() if isinstance(target, bytes) else str(target)


# Waiting until the message has left


class _Leaves:
    """The peers that have left since this object was made."""

    def __init__(self, events: PeerEvents) -> None:
        self._events = events
        self._left: dict[int, PeerLeft] = {}

    def check(self, peer_ids: list[int]) -> None:
        """Raise `click.ClickException` if one of these peers left without taking everything."""
        with contextlib.suppress(trio.WouldBlock):
            while True:
                self._note(self._events.receive_nowait())
        for peer_id in peer_ids:
            left = self._left.get(peer_id)
            if left is not None and (left.unsent or left.reason):
                raise click.ClickException(_explain(left))

    def _note(self, event: PeerEvent) -> None:
        if isinstance(event, PeerLeft):
            self._left[event.peer_id] = event


def _explain(left: PeerLeft) -> str:
    name = short_name(left.peer_id, left.public_key)
    reason = left.reason or "it left"
    if left.unsent:
        return f"peer {name} did not take {left.unsent} bytes: {reason}"
    return f"peer {name} may not have taken everything: {reason}"


async def _leave(node: Node, peer_ids: list[int], leaves: _Leaves, order: _Order) -> None:
    """Wait until the message has left. Raises `click.ClickException` if nothing leaves for `order.wait`
    seconds.
    """
    total = len(order.message) * len(peer_ids)
    least, stalled = total + 1, trio.current_time() + order.wait
    with _progress(total) as show:
        while True:
            leaves.check(peer_ids)
            unsent = sum(node.peer(peer_id).unsent for peer_id in peer_ids)
            show(unsent)
            if not unsent:
                return
            if unsent < least:
                least, stalled = unsent, trio.current_time() + order.wait
            elif trio.current_time() >= stalled:
                raise click.ClickException(
                    f"{unsent} bytes are unsent: the peer has taken nothing for {order.wait:g} seconds"
                )
            await trio.sleep(_LOOK)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Show the sent bytes in a progress bar, if stderr is a terminal and the message is large."""
    if total < _LARGE or not sys.stderr.isatty():
        yield lambda unsent: None
        return
    with click.progressbar(length=total, label="sending", file=sys.stderr) as bar:
        # `unsent` also counts the bytes that the wire adds to the message.
        yield lambda unsent: bar.update(max(0, total - unsent - bar.pos))


@contextlib.contextmanager
def _in_time(wait: float, complaint: str) -> Iterator[None]:
    try:
        with trio.fail_after(wait):
            yield
    except trio.TooSlowError:
        raise click.ClickException(f"{complaint} within {wait:g} seconds") from None
