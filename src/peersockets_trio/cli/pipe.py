"""`peersockets pipe`: a node for other programs, with one JSON object per line on stdin and stdout."""

from __future__ import annotations

from typing import Any, Final

import attrs
import click
import trio

from peersockets_core import Address, DriveKey, Message, PeerEvent, PeersocketsError, parse_wire

from ..drive import Drive
from ..node import Node
from ..runtime.telemetry import explain
from ..swarm import Swarm
from ..topic import Topic
from .ending import Ending, run
from .feed import Feed
from .large import data_event_line
from .lines import MAX_LINE, Output, input_lines, member_event
from .options import NodeOptions, drive_argument, node_options
from .outboxes import Outboxes, PeerBehind
from .pipe_commands import field, parse, payload
from .pipe_requests import PipeRequests
from .swarming import SwarmReport

_MAX_BRACKETS: Final = 100


@click.command()
@drive_argument
@node_options
def pipe(drive: DriveKey, options: NodeOptions) -> int:
    """Take part in DRIVE for a program: commands on stdin, events on stdout, one JSON object per line.

    \b
    Commands:
        {"command":"join","topic":T}         {"command":"close","topic":T}
        {"command":"send","topic":T,"peerId":N,"message":BASE64}  (or "text":TEXT)
        {"command":"broadcast","topic":T,"message":BASE64}        (or "text":TEXT)
        {"command":"connect","address":"HOST:PORT","wire":W}
        {"command":"disconnect","peerId":N}  {"command":"peers"}  {"command":"stats"}
    Commands of requests, which a topic carries instead of messages:
        {"command":"request","id":ID,"topic":T,"peerId":N,"message":BASE64,"timeout":SECONDS}
        {"command":"cancel","id":ID}         {"command":"serve","topic":T}
        {"command":"reply","id":N,"message":BASE64}  {"command":"refuse","id":N,"text":TEXT}
    Events: ready, announced, found, join, leave, message, request, reply, cancel, peers, stats, error, and
    closed as the last.

    The node carries out commands in order, from the start, so wait for the join of a peer before you send to
    it. If --connect fails, the node writes an error event, and tries again with growing pauses until it
    succeeds. It reconnects in the same way when the connection ends.

    A peer that does not keep up does not hold up others: up to 16 MiB of messages wait for it. If there are
    more, the commands wait until the peer has taken nothing for 5 seconds. Then an error event "PeerBehind"
    names the peer, and the peer misses all messages until it keeps up again.

    The end of the input, SIGTERM and Ctrl-C close the node in good order: it sends all accepted messages, as
    long as the peers take them, and the end of the input first waits for the replies to requests. An error
    event "PeerBehind" reports each peer that does not take everything, and the exit status is then 1.
    Otherwise it is 0, or 130 after Ctrl-C. A second signal ends the node at once.

    \b
    Example:
        echo '{"command":"peers"}' | peersockets pipe DRIVE --topic chat --listen 127.0.0.1:0
    """
    return run(_run, drive, options)


async def _run(ending: Ending, key: DriveKey, options: NodeOptions) -> int:
    output = Output(ending)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(output.run)
        lost = await _take_part(ending, key, options, output)
        output.write(event="closed")
        output.finish()
    return 1 if lost else 0


async def _take_part(ending: Ending, key: DriveKey, options: NodeOptions, output: Output) -> bool:
    """Take part until the end; returns whether an accepted message was lost."""
    report = SwarmReport(
        announced=lambda nodes: output.write(event="announced"),
        found=lambda public_key: output.write(event="found", publicKey=public_key.hex()),
    )
    async with (
        options.open_node(report) as node,
        options.open_swarm(ending, node) as swarm,
        trio.open_nursery() as nursery,
    ):
        with ending.unless_asked() as starting:
            listening = await options.start(node)
        if starting.cancelled_caught:
            return False
        drive = node.open_drive(key, topic_scope=options.topic_scope)
        output.write(
            event="ready",
            discoveryKey=key.discovery_key.hex(),
            publicKeys={wire: public_key.hex() for wire, public_key in node.public_keys.items()},
            listening=[str(address) for address in listening],
            **_describe(swarm),
        )
        options.join(swarm, drive)
        async with trio.open_nursery() as session_nursery:
            session = Session(node, drive, options, output, session_nursery, nursery)
            await session.run(ending)
            session_nursery.cancel_scope.cancel()
        return await session.finish()


def _describe(swarm: Swarm | None) -> dict[str, Any]:
    if swarm is None:
        return {}
    return {"swarm": {"publicKey": swarm.public_key.hex(), "port": swarm.bound_address[1]}}


class Session:
    """The commands and events of one run."""

    def __init__(
        self,
        node: Node,
        drive: Drive,
        options: NodeOptions,
        output: Output,
        nursery: trio.Nursery,
        outbox_nursery: trio.Nursery,
    ) -> None:
        self._node = node
        self._drive = drive
        self._options = options
        self._output = output
        self._nursery = nursery
        self._feed = Feed(drive, member=self._write_member, message=self._write_message, room=output.room)
        self._requests = PipeRequests(drive, self._feed, output, nursery)
        self._outboxes = Outboxes(
            node,
            drive,
            outbox_nursery,
            self._report_behind,
            others=lambda: self._requests.unsent_answers,
        )
        self._commands = {
            "join": self.join,
            "close": self._close,
            "send": self._send,
            "broadcast": self._broadcast,
            "request": self._requests.request,
            "cancel": self._requests.cancel,
            "serve": self._requests.serve,
            "reply": self._requests.reply,
            "refuse": self._requests.refuse,
            "connect": self._connect,
            "disconnect": self._disconnect,
            "peers": self._peers,
            "stats": self._stats,
        }

    async def run(self, ending: Ending) -> None:
        """Run until the input ends or the command is asked to end, and all accepted messages have left."""
        self._nursery.start_soon(self._feed.follow_members)
        for topic in dict.fromkeys(self._options.topics):
            await self.join({"topic": topic})
        self._nursery.start_soon(
            self._options.keep_connected, self._node, self._nursery, self._report_failure
        )
        async for line in input_lines(ending):
            if line is None:
                self._report(ValueError(f"line of more than {MAX_LINE} bytes"))
            elif line.strip():
                await self.obey(line)
        with ending.unless_asked():
            await self._requests.until_replied()
        await self._outboxes.drain()

    async def finish(self) -> bool:
        """Close every connection; returns whether an accepted message was lost."""
        losses = await self._outboxes.finish([*self._feed.topics.values(), *self._requests.topics.values()])
        for loss in losses:
            self._report_behind(loss)
        return bool(losses)

    # Commands

    async def obey(self, line: bytes) -> None:
        """Carry out the command of one line, or report its fault."""
        text = line.decode(errors="replace")
        offending: Any = text
        try:
            command = parse(line)
            # If the command is nested too deeply to be written as JSON again, repeat its text.
            deep = text.count("[") + text.count("{") > _MAX_BRACKETS
            offending = text if deep else command
            name = command.get("command")
            handler = self._commands.get(name) if isinstance(name, str) else None
            if handler is None:
                raise ValueError(f"command must be one of {', '.join(self._commands)}, not {name!r}")
            await handler(command)
        except (ValueError, TypeError, RecursionError, PeersocketsError) as error:
            self._report(error, offending)

    async def join(self, command: dict[str, Any]) -> None:
        """Join the topic that a command names."""
        name = field(command, "topic", str)
        if name in self._feed.topics:
            raise ValueError(f"topic {name!r} is already joined")
        if name in self._requests.topics:
            raise ValueError(f"topic {name!r} carries requests: close it first, or use another")
        self._feed.topics[name] = self._drive.join(name)
        self._nursery.start_soon(self._feed.follow_topic, self._feed.topics[name])

    async def _close(self, command: dict[str, Any]) -> None:
        name = field(command, "topic", str)
        if name in self._requests.topics:
            self._requests.close(name)
            return
        topic = self._joined(command)
        del self._feed.topics[topic.name]
        self._outboxes.close(topic)

    async def _send(self, command: dict[str, Any]) -> None:
        topic = self._joined(command)
        await self._outboxes.send(topic, field(command, "peerId", int), payload(command))

    async def _broadcast(self, command: dict[str, Any]) -> None:
        await self._outboxes.broadcast(self._joined(command), payload(command))

    async def _connect(self, command: dict[str, Any]) -> None:
        address = Address.parse(field(command, "address", str))
        wire = parse_wire(command.get("wire", self._options.wire))
        # A handshake may take long, and later commands need not wait for it.
        self._nursery.start_soon(self._dial, address, wire, command)

    async def _disconnect(self, command: dict[str, Any]) -> None:
        self._node.disconnect(field(command, "peerId", int))

    async def _peers(self, command: dict[str, Any]) -> None:
        peers = [
            {"peerId": peer.peer_id, "publicKey": peer.public_key.hex(), "wire": peer.wire}
            for peer in self._drive.peers.values()
        ]
        self._output.write(event="peers", peers=peers)

    async def _stats(self, command: dict[str, Any]) -> None:
        counters = attrs.asdict(self._node.statistics())
        self._output.write(event="stats", **{_camel_case(name): value for name, value in counters.items()})

    async def _dial(self, address: Address, wire: Any, command: dict[str, Any]) -> None:
        try:
            await self._node.connect_tcp(address.host, address.port, wire=wire)
        except (OSError, PeersocketsError, trio.BrokenResourceError) as error:
            self._report(error, {key: value for key, value in command.items() if isinstance(value, str)})

    def _joined(self, command: dict[str, Any]) -> Topic:
        name = field(command, "topic", str)
        if name not in self._feed.topics:
            raise ValueError(f"topic {name!r} is not joined")
        return self._feed.topics[name]

    # Events

    def _write_member(self, event: PeerEvent) -> None:
        self._output.write(**member_event(event))

    async def _write_message(self, topic: Topic, message: Message) -> None:
        event: dict[str, Any] = {
            "event": "message",
            "topic": topic.name,
            "peerId": message.peer_id,
            "publicKey": message.public_key.hex(),
        }
        self._output.write_line(await data_event_line(event, message.message))

    def _report_failure(self, error: Exception, text: str) -> None:
        self._output.write(event="error", error=type(error).__name__, message=f"{text}; trying again")

    def _report_behind(self, error: PeerBehind) -> None:
        numbers = {"peerId": error.peer_id, "messages": error.messages, "bytes": error.size}
        self._output.write(event="error", error=type(error).__name__, message=str(error), **numbers)

    def _report(self, error: Exception, command: Any = None) -> None:
        event: dict[str, Any] = {"event": "error", "error": type(error).__name__, "message": explain(error)}
        if command is not None:
            event["command"] = command
        self._output.write(**event)


def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
